//! The whole state of a head as bytes: for snapshots, and to compare replicas.
//!
//! A frame holds everything but the sealed segments, which it names by their order; they are immutable
//! and shared, so a snapshot writes each of them once. Two heads that applied the same entries have equal
//! frames and equal segments. The layout is in `docs/formats/head-snapshot.md`.

use std::sync::{Arc, OnceLock};

use model::{Exemplar, Labels, LogPosition, SeriesId, TimeRange, TimestampMs};
use xxhash_rust::xxh3::Xxh3;

use super::cuts::{Cut, CutState};
use super::exemplars::StoredExemplar;
use super::group::{COLUMNS_MAX, Group};
use super::late::{CHUNK_SAMPLES_MAX, LateChunk, LateHead, LateSeries, StoredHistogram};
use super::segment::{SEGMENT_ROWS_MAX, Segment};
use super::series::{NONE, Stint};
use super::{TenantHead, put_ascending, read_ascending};
use crate::entry::{put_block, put_histogram, put_metadata, read_block, read_histogram, read_metadata};
use crate::wire::{Malformed, Reader, put_bytes, put_f64, put_u128, put_varint, put_zigzag};

const VERSION: u8 = 1;

/// Why a head cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Bytes that are not a head's.
    #[error("head snapshot: {0}")]
    Malformed(#[from] Malformed),
    /// Numbers that point nowhere.
    #[error("head snapshot: {0} out of range")]
    OutOfRange(&'static str),
}

/// A frozen copy of a head: its frame, and the segments that it names by order.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) frame: Vec<u8>,
    pub(crate) segments: Vec<Arc<Segment>>,
}

impl Segment {
    /// Appends the segment's bytes.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first_t);
        put_zigzag(out, self.last_t);
        put_varint(out, u64::from(self.rows));
        put_varint(out, self.members.len() as u64);
        let mut before = 0_i64;
        for reference in self.members.iter() {
            put_zigzag(out, i64::from(*reference) - before);
            before = i64::from(*reference);
        }
        put_varint(out, u64::from(self.columns_at));
        let mut before = self.columns_at;
        for end in &self.ends {
            put_varint(out, u64::from(end - before));
            before = *end;
        }
        put_bytes(out, &self.data);
    }

    /// Reads what `put` wrote; shares `members` with the segment before where they are the same.
    pub(crate) fn read_back(
        reader: &mut Reader<'_>,
        before: Option<&Arc<Segment>>,
    ) -> Result<Segment, StateError> {
        let first_t = reader.zigzag()?;
        let last_t = reader.zigzag()?;
        let rows = reader.u32()?;
        if rows == 0 || rows as usize > SEGMENT_ROWS_MAX {
            return Err(StateError::OutOfRange("rows"));
        }
        let count = reader.count(2)?;
        if count > COLUMNS_MAX {
            return Err(StateError::OutOfRange("columns"));
        }
        let mut members = Vec::with_capacity(count);
        let mut reference = 0_i64;
        for _ in 0..count {
            reference = reference.wrapping_add(reader.zigzag()?);
            members.push(u32::try_from(reference).map_err(|_| StateError::OutOfRange("reference"))?);
        }
        let members = match before {
            Some(segment) if *segment.members == *members => Arc::clone(&segment.members),
            _ => Arc::from(members),
        };
        let columns_at = reader.u32()?;
        let mut end = columns_at;
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            end = end.checked_add(reader.u32()?).ok_or(StateError::OutOfRange("column"))?;
            ends.push(end);
        }
        let data = reader.prefixed()?;
        if end as usize > data.len() {
            return Err(StateError::OutOfRange("column"));
        }
        Ok(Segment {
            first_t,
            last_t,
            rows,
            members,
            ends: ends.into_boxed_slice(),
            columns_at,
            data: Box::from(data),
            stored: OnceLock::new(),
        })
    }
}

impl TenantHead {
    /// A frozen copy.
    pub(crate) fn freeze(&self) -> Frozen {
        let mut out = Vec::with_capacity(self.series.len() * 128 + 1024);
        let mut segments = Vec::new();
        out.push(VERSION);
        for t in [self.max_t, self.frozen_until, self.floor, self.previous_floor, self.last_write] {
            put_zigzag(&mut out, t);
        }
        put_position(&mut out, self.last_cut);
        self.put_series(&mut out);
        put_varint(&mut out, self.groups.len() as u64);
        put_list(&mut out, &self.free_groups);
        for group in self.groups.iter().flatten() {
            put_group(&mut out, group);
            segments.extend(group.segments.iter().cloned());
        }
        put_varint(&mut out, self.stints.len() as u64);
        for (reference, stints) in &self.stints {
            put_varint(&mut out, u64::from(*reference));
            put_varint(&mut out, stints.len() as u64);
            for stint in stints {
                put_varint(&mut out, u64::from(stint.group));
                put_varint(&mut out, u64::from(stint.column));
            }
        }
        put_varint(&mut out, self.starts.len() as u64);
        for (reference, starts) in &self.starts {
            put_varint(&mut out, u64::from(*reference));
            put_pairs(&mut out, starts.iter().copied(), starts.len());
        }
        put_varint(&mut out, self.histograms.len() as u64);
        for (reference, list) in &self.histograms {
            put_varint(&mut out, u64::from(*reference));
            put_stored_histograms(&mut out, list);
        }
        put_varint(&mut out, self.late.len() as u64);
        for (window, head) in &self.late {
            put_zigzag(&mut out, *window);
            put_late(&mut out, head);
        }
        put_varint(&mut out, self.cuts.len() as u64);
        for state in &self.cuts {
            put_cut(&mut out, state);
        }
        put_varint(&mut out, self.generations().len() as u64);
        for (window, generation) in self.generations() {
            put_zigzag(&mut out, *window);
            put_varint(&mut out, u64::from(*generation));
        }
        put_varint(&mut out, self.exemplars.ring.len() as u64);
        self.exemplars.ring.iter().for_each(|stored| put_exemplar(&mut out, stored));
        put_varint(&mut out, self.exemplars.newest.len() as u64);
        for (reference, t) in &self.exemplars.newest {
            put_varint(&mut out, u64::from(*reference));
            put_zigzag(&mut out, *t);
        }
        put_varint(&mut out, self.metadata.len() as u64);
        for (metric, metadata) in &self.metadata {
            put_bytes(&mut out, metric.as_bytes());
            put_metadata(&mut out, metadata);
        }
        Frozen { frame: out, segments }
    }

    fn put_series(&self, out: &mut Vec<u8>) {
        put_varint(out, self.index.names.len() as u64);
        for name in &self.index.names {
            put_bytes(out, name.text.as_bytes());
        }
        put_varint(out, self.index.pairs.len() as u64);
        put_list(out, &self.index.free_pairs);
        for pair in self.index.pairs.iter().filter(|pair| pair.name != NONE) {
            put_varint(out, u64::from(pair.name));
            put_bytes(out, pair.value.as_bytes());
        }
        let series = &self.series;
        put_varint(out, u64::from(series.next_reference));
        put_varint(out, series.reference.len() as u64);
        put_list(out, &series.free_rows);
        for row in &series.rows {
            let at = row as usize;
            put_varint(out, u64::from(series.reference[at]));
            out.extend_from_slice(&series.id[at].0.to_le_bytes());
            put_zigzag(out, series.last_t[at]);
            put_varint(out, u64::from(series.home[at].group));
            put_varint(out, u64::from(series.home[at].column));
            out.push(series.flags[at]);
            put_list(out, series.pairs(row));
        }
    }

    /// A number that is equal on replicas that applied the same entries.
    pub(crate) fn state_hash(&self) -> u64 {
        let frozen = self.freeze();
        let mut hash = Xxh3::new();
        hash.update(&frozen.frame);
        let mut bytes = Vec::new();
        for segment in &frozen.segments {
            bytes.clear();
            segment.put(&mut bytes);
            hash.update(&bytes);
        }
        hash.digest()
    }

    /// The head of a frame and its segments.
    pub(crate) fn restore(seed: u64, frame: &[u8], segments: Vec<Arc<Segment>>) -> Result<Self, StateError> {
        let mut head = TenantHead::new(seed);
        let mut reader = Reader::new(frame);
        let r = &mut reader;
        if r.byte()? != VERSION {
            return Err(Malformed("frame: unknown version").into());
        }
        head.max_t = r.zigzag()?;
        head.frozen_until = r.zigzag()?;
        head.floor = r.zigzag()?;
        head.previous_floor = r.zigzag()?;
        head.last_write = r.zigzag()?;
        head.last_cut = read_position(r)?;
        head.restore_series(r)?;
        let count = r.count(0)?;
        if count > segments.len() + r.rest().len() {
            return Err(StateError::OutOfRange("groups"));
        }
        head.free_groups = read_list(r)?;
        let mut is_free = vec![false; count];
        for number in &head.free_groups {
            *is_free.get_mut(*number as usize).ok_or(StateError::OutOfRange("group"))? = true;
        }
        let mut segments = segments.into_iter();
        for is_free in is_free {
            head.groups.push(if is_free { None } else { Some(read_group(r, &mut segments)?) });
        }
        head.check_homes()?;
        for _ in 0..r.count(2)? {
            let reference = r.u32()?;
            let mut stints = Vec::new();
            for _ in 0..r.count(2)? {
                stints.push(Stint { group: r.u32()?, column: r.u32()? });
            }
            head.stints.insert(reference, stints);
        }
        for _ in 0..r.count(2)? {
            let reference = r.u32()?;
            head.starts.insert(reference, read_pairs(r)?);
        }
        for _ in 0..r.count(2)? {
            let reference = r.u32()?;
            head.histograms.insert(reference, read_stored_histograms(r)?);
        }
        for _ in 0..r.count(2)? {
            let window = r.zigzag()?;
            head.late.insert(window, read_late(r)?);
        }
        for _ in 0..r.count(2)? {
            head.cuts.push(read_cut(r)?);
        }
        for _ in 0..r.count(2)? {
            let window = r.zigzag()?;
            let generation = r.u32()?;
            head.generations.insert(window, generation);
        }
        for _ in 0..r.count(2)? {
            head.exemplars.ring.push_back(read_exemplar(r)?);
        }
        for _ in 0..r.count(2)? {
            let reference = r.u32()?;
            let t = r.zigzag()?;
            head.exemplars.newest.insert(reference, t);
        }
        for _ in 0..r.count(2)? {
            let metric = r.text()?.to_owned();
            head.metadata.insert(metric, read_metadata(r)?);
        }
        Ok(head)
    }

    fn restore_series(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for _ in 0..r.count(1)? {
            let name = r.text()?;
            self.index.intern_name(name);
        }
        let count = r.varint()? as usize;
        let free = read_list(r)?;
        if count > free.len() + r.rest().len() {
            return Err(StateError::OutOfRange("pairs"));
        }
        let mut is_free = vec![false; count];
        for id in &free {
            *is_free.get_mut(*id as usize).ok_or(StateError::OutOfRange("pair"))? = true;
        }
        for (id, _) in is_free.iter().enumerate().filter(|(_, is_free)| !**is_free) {
            let name = r.u32()?;
            if name as usize >= self.index.names.len() {
                return Err(StateError::OutOfRange("name"));
            }
            self.index.restore_pair(id as u32, name, r.text()?);
        }
        self.index.restore_free(count, free);
        self.series.next_reference = r.u32()?;
        let count = r.varint()? as usize;
        let free = read_list(r)?;
        if count > free.len() + r.rest().len() {
            return Err(StateError::OutOfRange("rows"));
        }
        let mut is_free = vec![false; count];
        for row in &free {
            *is_free.get_mut(*row as usize).ok_or(StateError::OutOfRange("row"))? = true;
        }
        self.series.restore_rows(count);
        self.series.free_rows = free;
        for (row, _) in is_free.iter().enumerate().filter(|(_, is_free)| !**is_free) {
            let reference = r.u32()?;
            let id = SeriesId(r.u64()?);
            let last_t = r.zigzag()?;
            let home = Stint { group: r.u32()?, column: r.u32()? };
            let flags = r.byte()?;
            let pairs = read_list(r)?;
            if reference >= self.series.next_reference
                || pairs.iter().any(|id| self.index.pairs.get(*id as usize).is_none_or(|p| p.name == NONE))
            {
                return Err(StateError::OutOfRange("series"));
            }
            self.series.restore(&mut self.index, row as u32, reference, id, &pairs);
            self.series.last_t[row] = last_t;
            self.series.home[row] = home;
            self.series.flags[row] = flags;
        }
        Ok(())
    }

    /// Every home is a column that names the series.
    fn check_homes(&self) -> Result<(), StateError> {
        for row in &self.series.rows {
            let home = self.series.home[row as usize];
            if home.group == NONE {
                continue;
            }
            let group = self.groups.get(home.group as usize).and_then(Option::as_ref);
            let member = group.and_then(|g| g.members.get(home.column as usize));
            if member != Some(&self.series.reference[row as usize]) {
                return Err(StateError::OutOfRange("home"));
            }
        }
        Ok(())
    }
}

fn put_list(out: &mut Vec<u8>, list: &[u32]) {
    put_varint(out, list.len() as u64);
    list.iter().for_each(|v| put_varint(out, u64::from(*v)));
}

fn read_list(r: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    (0..r.count(1)?).map(|_| r.u32()).collect()
}

fn put_position(out: &mut Vec<u8>, position: LogPosition) {
    put_varint(out, position.index);
    put_varint(out, position.term);
}

fn read_position(r: &mut Reader<'_>) -> Result<LogPosition, Malformed> {
    Ok(LogPosition { index: r.varint()?, term: r.varint()? })
}

fn put_pairs(out: &mut Vec<u8>, pairs: impl Iterator<Item = (TimestampMs, TimestampMs)>, count: usize) {
    put_varint(out, count as u64);
    for (a, b) in pairs {
        put_zigzag(out, a);
        put_zigzag(out, b);
    }
}

fn read_pairs(r: &mut Reader<'_>) -> Result<Vec<(TimestampMs, TimestampMs)>, Malformed> {
    (0..r.count(2)?).map(|_| Ok((r.zigzag()?, r.zigzag()?))).collect()
}

fn put_group(out: &mut Vec<u8>, group: &Group) {
    put_varint(out, group.segments.len() as u64);
    put_list(out, &group.members);
    put_list(out, &group.vacant);
    put_list(out, &group.leaving);
    put_varint(out, u64::from(group.live));
    put_varint(out, group.seal_rows as u64);
    put_varint(out, group.rows.len() as u64);
    for (i, row) in group.rows.iter().enumerate() {
        put_zigzag(out, row.t);
        let cells: Vec<(u32, f64)> = group.cells(i).collect();
        put_ascending(out, cells.iter().map(|cell| cell.0).collect::<Vec<_>>().into_iter());
        cells.iter().for_each(|cell| put_f64(out, cell.1));
    }
}

fn read_group(
    r: &mut Reader<'_>,
    segments: &mut impl Iterator<Item = Arc<Segment>>,
) -> Result<Group, StateError> {
    let count = r.varint()?;
    let mut group = Group::default();
    let mut own = Vec::new();
    for _ in 0..count {
        own.push(segments.next().ok_or(StateError::OutOfRange("segment"))?);
    }
    group.segments = Arc::new(own);
    group.members = read_list(r)?;
    group.vacant = read_list(r)?;
    group.leaving = read_list(r)?;
    group.live = r.u32()?;
    group.seal_rows = r.u32()? as usize;
    let columns = group.members.len();
    let rows = r.count(2)?;
    let is_column = |column: &u32| (*column as usize) < columns;
    if columns > COLUMNS_MAX
        || rows > SEGMENT_ROWS_MAX
        || group.seal_rows == 0
        || group.seal_rows >= SEGMENT_ROWS_MAX
        || !group.vacant.iter().all(is_column)
        || !group.leaving.iter().all(is_column)
    {
        return Err(StateError::OutOfRange("group"));
    }
    for _ in 0..rows {
        let row = group.open_row(r.zigzag()?);
        let present = read_ascending(r)?;
        for column in present {
            if !is_column(&column) {
                return Err(StateError::OutOfRange("column"));
            }
            group.set(row, column, r.f64()?);
        }
    }
    Ok(group)
}

fn put_stored_histograms(out: &mut Vec<u8>, list: &[StoredHistogram]) {
    put_varint(out, list.len() as u64);
    for stored in list {
        put_zigzag(out, stored.t);
        put_zigzag(out, stored.start_t);
        put_histogram(out, &stored.histogram);
    }
}

fn read_stored_histograms(r: &mut Reader<'_>) -> Result<Vec<StoredHistogram>, Malformed> {
    (0..r.count(4)?)
        .map(|_| {
            let t = r.zigzag()?;
            let start_t = r.zigzag()?;
            Ok(StoredHistogram { t, start_t, histogram: Arc::new(read_histogram(r)?) })
        })
        .collect()
}

fn put_late(out: &mut Vec<u8>, head: &LateHead) {
    put_zigzag(out, head.since);
    put_varint(out, head.series.len() as u64);
    for (reference, series) in &head.series {
        put_varint(out, u64::from(*reference));
        put_varint(out, series.chunks.len() as u64);
        for chunk in &series.chunks {
            put_zigzag(out, chunk.first);
            put_zigzag(out, chunk.last);
            put_varint(out, u64::from(chunk.count));
            put_bytes(out, &chunk.data);
        }
        put_varint(out, series.tail.len() as u64);
        for (t, value) in &series.tail {
            put_zigzag(out, *t);
            put_f64(out, *value);
        }
        put_pairs(out, series.starts.iter().map(|(a, b)| (*a, *b)), series.starts.len());
        put_stored_histograms(out, &series.histograms);
    }
}

fn read_late(r: &mut Reader<'_>) -> Result<LateHead, Malformed> {
    let mut head = LateHead { since: r.zigzag()?, ..LateHead::default() };
    for _ in 0..r.count(4)? {
        let reference = r.u32()?;
        let mut series = LateSeries::default();
        for _ in 0..r.count(4)? {
            let first = r.zigzag()?;
            let last = r.zigzag()?;
            let count = r.u32()?;
            if count == 0 || count as usize > CHUNK_SAMPLES_MAX {
                return Err(Malformed("late chunk: count"));
            }
            series.chunks.push(LateChunk { first, last, count, data: Box::from(r.prefixed()?) });
        }
        for _ in 0..r.count(9)? {
            series.tail.push((r.zigzag()?, r.f64()?));
        }
        series.starts = read_pairs(r)?.into_iter().collect();
        series.histograms = read_stored_histograms(r)?;
        head.series.insert(reference, series);
    }
    Ok(head)
}

fn put_exemplar(out: &mut Vec<u8>, stored: &StoredExemplar) {
    put_varint(out, u64::from(stored.reference));
    out.push(u8::from(stored.is_cut));
    put_bytes(out, stored.exemplar.labels.as_bytes());
    put_f64(out, stored.exemplar.value);
    put_zigzag(out, stored.exemplar.t);
}

fn read_exemplar(r: &mut Reader<'_>) -> Result<StoredExemplar, Malformed> {
    let reference = r.u32()?;
    let is_cut = r.byte()? != 0;
    let labels = Labels::from_canonical(r.prefixed()?).map_err(|_| Malformed("labels"))?;
    let exemplar = Exemplar { labels, value: r.f64()?, t: r.zigzag()? };
    Ok(StoredExemplar { reference, is_cut, exemplar })
}

fn put_cut(out: &mut Vec<u8>, state: &CutState) {
    let cut = &state.cut;
    out.push(u8::from(state.is_published));
    put_block(out, state.block);
    put_varint(out, u64::from(cut.generation));
    put_u128(out, cut.identity);
    for t in [cut.window, cut.in_order.start, cut.in_order.end, cut.until] {
        put_zigzag(out, t);
    }
    put_late(out, &cut.late);
    put_varint(out, cut.exemplars.len() as u64);
    cut.exemplars.iter().for_each(|stored| put_exemplar(out, stored));
    put_position(out, cut.log.0);
    put_position(out, cut.log.1);
}

fn read_cut(r: &mut Reader<'_>) -> Result<CutState, Malformed> {
    let is_published = r.byte()? != 0;
    let block = read_block(r)?;
    let generation = r.u32()?;
    let identity = r.u128()?;
    let window = r.zigzag()?;
    let in_order = TimeRange::new(r.zigzag()?, r.zigzag()?);
    let until = r.zigzag()?;
    let late = read_late(r)?;
    let exemplars = (0..r.count(4)?).map(|_| read_exemplar(r)).collect::<Result<_, _>>()?;
    let log = (read_position(r)?, read_position(r)?);
    let cut = Cut { window, generation, identity, in_order, late, exemplars, until, log };
    Ok(CutState { cut: Arc::new(cut), is_published, block })
}
