//! Reads samples: what is needed is shared or copied under the lock, and decoded without it.

use std::sync::Arc;

use model::{FloatHistogram, HistogramPoint, SampleBatch, SeriesSamples, TimeRange, TimestampMs};
use smallvec::SmallVec;

use super::TenantHead;
use super::cuts::Cut;
use super::group::OpenRows;
use super::late::{LateHead, StoredHistogram};
use super::segment::Segment;
use super::series::{HAS_HISTOGRAMS, HAS_LATE, HAS_STARTS, HAS_STINTS, NONE, Stint};

/// Which late samples to read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LateWanted<'a> {
    /// Those in range.
    Range(TimeRange),
    /// Those of one cut.
    OfCut(&'a Cut),
}

#[derive(Debug)]
struct GroupView {
    number: u32,
    segments: Arc<Vec<Arc<Segment>>>,
    /// Timestamps of the open rows in range.
    open_t: Vec<TimestampMs>,
}

#[derive(Debug)]
struct Part {
    /// Index into `SeriesRead::groups`.
    group: usize,
    column: u32,
    reference: u32,
    open_values: std::ops::Range<usize>,
    open_mask: u64,
}

#[derive(Debug, Default)]
struct SeriesPart {
    parts: SmallVec<[Part; 1]>,
    late: Vec<(TimestampMs, f64)>,
    starts: Vec<(TimestampMs, TimestampMs)>,
    late_starts: Vec<(TimestampMs, TimestampMs)>,
    histograms: Vec<StoredHistogram>,
    /// The last histogram before those, when nothing can be between.
    histogram_before: Option<StoredHistogram>,
}

/// What was shared and copied for a run of series; decoding needs no lock.
#[derive(Debug)]
pub(crate) struct SeriesRead {
    range: TimeRange,
    groups: Vec<GroupView>,
    series: Vec<SeriesPart>,
    open_values: Vec<f64>,
}

/// A group's timestamps in range, decoded once for all its series.
#[derive(Default)]
struct GroupTimes {
    vector: Arc<[TimestampMs]>,
    /// Per segment in range: where it is, which of its rows are in range.
    segments: Vec<(usize, std::ops::Range<u32>)>,
    /// Index of the vector in the batch, once it is there.
    batch_vector: Option<usize>,
}

/// How far before its range a read looks for the histogram that the first one follows.
const EARLIER_MS: i64 = 10 * 60_000;

impl TenantHead {
    /// Collects what `references` have in order inside `range`, and the late samples wanted.
    pub(crate) fn prepare_read(
        &self,
        references: impl Iterator<Item = u32>,
        range: TimeRange,
        late: LateWanted<'_>,
    ) -> SeriesRead {
        self.prepare(references, range, late, true)
    }

    fn prepare(
        &self,
        references: impl Iterator<Item = u32>,
        range: TimeRange,
        late: LateWanted<'_>,
        wants_before: bool,
    ) -> SeriesRead {
        let mut read = SeriesRead { range, groups: Vec::new(), series: Vec::new(), open_values: Vec::new() };
        let (late_heads, late_range): (SmallVec<[&LateHead; 4]>, _) = match late {
            LateWanted::OfCut(cut) => (SmallVec::from_slice(&[&cut.late]), TimeRange::all()),
            LateWanted::Range(range) => {
                (self.late_heads(range).filter(|head| !head.is_empty()).collect(), range)
            }
        };
        let mut open: Vec<OpenRows<'_>> = Vec::new();
        let count = references.size_hint().0;
        read.series.reserve(count);
        for reference in references {
            let mut series = SeriesPart::default();
            if let Some(row) = self.series.row_of(reference) {
                let flags = self.series.flags[row as usize];
                let home = self.series.home[row as usize];
                if flags & HAS_STINTS != 0 {
                    // A series may be back in a column it left before: that one is read once.
                    let former = self.stints.get(&reference).into_iter().flatten();
                    for stint in former.filter(|stint| **stint != home) {
                        self.prepare_part(&mut read, &mut open, &mut series, *stint, reference);
                    }
                }
                self.prepare_part(&mut read, &mut open, &mut series, home, reference);
                if flags & HAS_STARTS != 0 {
                    series.starts = self.starts.get(&reference).cloned().unwrap_or_default();
                }
                if flags & HAS_HISTOGRAMS != 0 {
                    let list = self.histograms.get(&reference);
                    let all = list.map(Vec::as_slice).unwrap_or_default();
                    let first = all.partition_point(|h| h.t < range.start);
                    let end = all.partition_point(|h| h.t < range.end).max(first);
                    series.histograms.extend_from_slice(&all[first..end]);
                    let is_simple = home.group == NONE && flags & (HAS_STINTS | HAS_LATE) == 0;
                    if is_simple && let Some(before) = first.checked_sub(1) {
                        series.histogram_before = all.get(before).cloned();
                    }
                }
                if flags & HAS_LATE != 0 {
                    read_late(&late_heads, reference, late_range, &mut series);
                }
                let is_unknown = !series.histograms.is_empty() && series.histogram_before.is_none();
                if wants_before && is_unknown {
                    series.histogram_before = self.histogram_shortly_before(reference, range.start);
                }
            }
            read.series.push(series);
        }
        read
    }

    /// The last sample of a series shortly before `t`, where that is a histogram: for series that have floats, late
    /// samples or former homes, of which one cannot tell at a glance.
    fn histogram_shortly_before(&self, reference: u32, t: TimestampMs) -> Option<StoredHistogram> {
        let range = TimeRange { start: t.saturating_sub(EARLIER_MS).max(self.floor), end: t };
        let row = self.series.row_of(reference)?;
        let is_simple = self.series.flags[row as usize] & (HAS_STINTS | HAS_LATE) == 0;
        if range.is_empty() || (is_simple && self.series.home[row as usize].group == NONE) {
            return None;
        }
        let read = self.prepare(std::iter::once(reference), range, LateWanted::Range(range), false);
        let floats = read.decode()?;
        let newest_float = floats.timestamps_of(0).last().copied();
        let newest = read.series.first()?.histograms.last()?.clone();
        newest_float.is_none_or(|float| float < newest.t).then_some(newest)
    }

    /// About how many bytes the decoded samples of `references` in `range` take: value and timestamp of what their
    /// groups hold, histograms by the size of each one's first.
    pub(crate) fn bytes_estimate(&self, references: &[u32], range: TimeRange) -> usize {
        const SAMPLE_BYTES: usize = 16;
        let mut rows_of: hashbrown::HashMap<u32, usize> = hashbrown::HashMap::new();
        let mut bytes = 0;
        for reference in references {
            let Some(row) = self.series.row_of(*reference) else { continue };
            let home = self.series.home[row as usize];
            if let Some(group) = self.groups.get(home.group as usize).and_then(Option::as_ref) {
                bytes += SAMPLE_BYTES * *rows_of.entry(home.group).or_insert_with(|| group.rows_in(range));
            }
            if self.series.flags[row as usize] & HAS_HISTOGRAMS != 0 {
                let all = self.histograms.get(reference).map(Vec::as_slice).unwrap_or_default();
                let one = all.first().map_or(0, |stored| stored.histogram.to_float().bytes());
                let inside =
                    all.partition_point(|h| h.t < range.end) - all.partition_point(|h| h.t < range.start);
                bytes += inside * (one + 64);
            }
        }
        bytes
    }

    fn prepare_part<'a>(
        &'a self,
        read: &mut SeriesRead,
        open: &mut Vec<OpenRows<'a>>,
        series: &mut SeriesPart,
        stint: Stint,
        reference: u32,
    ) {
        if stint.group == NONE {
            return;
        }
        let Some(group) = self.groups.get(stint.group as usize).and_then(Option::as_ref) else { return };
        // Series of one group mostly stand together.
        let known = read.groups.iter().rposition(|view| view.number == stint.group);
        let at = known.unwrap_or_else(|| {
            let first = group.rows.partition_point(|row| row.t < read.range.start);
            let end = group.rows.partition_point(|row| row.t < read.range.end).max(first);
            read.groups.push(GroupView {
                number: stint.group,
                segments: Arc::clone(&group.segments),
                open_t: group.rows[first..end].iter().map(|row| row.t).collect(),
            });
            open.push(group.open_rows(first..end));
            if read.open_values.is_empty() {
                // The others are likely at as many rows.
                read.open_values.reserve(read.series.capacity() * (end - first));
            }
            read.groups.len() - 1
        });
        let from = read.open_values.len();
        let mut open_mask = 0;
        if group.members.get(stint.column as usize) == Some(&reference) {
            open_mask = open[at].copy(stint.column, &mut read.open_values);
        }
        series.parts.push(Part {
            group: at,
            column: stint.column,
            reference,
            open_values: from..read.open_values.len(),
            open_mask,
        });
    }

    /// The value in the head at exactly `t`, in order or late.
    pub(crate) fn value_at(&self, row: u32, t: TimestampMs) -> Option<f64> {
        let flags = self.series.flags[row as usize];
        if t > self.series.last_t[row as usize] && flags & HAS_LATE == 0 {
            return None;
        }
        let reference = self.series.reference[row as usize];
        if t >= self.floor && t <= self.series.last_t[row as usize] {
            let former = if flags & HAS_STINTS != 0 { self.stints.get(&reference) } else { None };
            let home = self.series.home[row as usize];
            for stint in former.into_iter().flatten().chain(std::iter::once(&home)) {
                let found = self.value_in(*stint, reference, t);
                if found.is_some() {
                    return found;
                }
            }
        }
        if flags & HAS_LATE == 0 {
            return None;
        }
        self.late_heads(TimeRange::inclusive(t, t)).find_map(|head| head.series.get(&reference)?.get(t))
    }

    fn value_in(&self, stint: Stint, reference: u32, t: TimestampMs) -> Option<f64> {
        let group = self.groups.get(stint.group as usize)?.as_ref()?;
        if group.members.get(stint.column as usize) == Some(&reference)
            && let Ok(row) = group.rows.binary_search_by_key(&t, |row| row.t)
        {
            return group.get_checked(row, stint.column);
        }
        let at = group.segments.partition_point(|segment| segment.last_t < t);
        let segment = group.segments.get(at).filter(|segment| segment.first_t <= t)?;
        if segment.members.get(stint.column as usize) != Some(&reference) {
            return None;
        }
        let mut timestamps = Vec::new();
        segment.timestamps(&mut timestamps)?;
        let row = timestamps.binary_search(&t).ok()?;
        let mut values = Vec::new();
        let mask = segment.read(stint.column, reference, &mut values)?;
        if mask >> row & 1 == 0 {
            return None;
        }
        values.get((mask & ((1 << row) - 1)).count_ones() as usize).copied()
    }
}

fn read_late(heads: &[&LateHead], reference: u32, range: TimeRange, series: &mut SeriesPart) {
    for head in heads {
        let Some(late) = head.series.get(&reference) else { continue };
        late.read(range, &mut series.late);
        series.late_starts.extend(late.starts.iter().map(|(t, start)| (*t, *start)));
        series.histograms.extend(late.histograms.iter().filter(|h| range.contains(h.t)).cloned());
    }
    // Heads of one window can overlap in time; the earlier one wins.
    series.late.sort_by_key(|sample| sample.0);
    series.late.dedup_by_key(|sample| sample.0);
    series.late_starts.sort_by_key(|start| start.0);
    series.histograms.sort_by_key(|h| h.t);
    series.histograms.dedup_by_key(|h| h.t);
}

impl SeriesRead {
    /// Stored histograms of series `i`, ascending.
    pub(crate) fn stored_histograms(&self, i: usize) -> &[StoredHistogram] {
        &self.series[i].histograms
    }

    /// Per series at these places: the histogram that comes right before those of the range, where known.
    pub(crate) fn histograms_before(
        &self,
        wanted: std::ops::Range<usize>,
    ) -> Vec<Option<Arc<FloatHistogram>>> {
        let wanted = self.series.get(wanted).unwrap_or_default();
        if wanted.iter().all(|series| series.histogram_before.is_none()) {
            return Vec::new();
        }
        let before =
            |series: &SeriesPart| Some(Arc::new(series.histogram_before.as_ref()?.histogram.to_float()));
        wanted.iter().map(before).collect()
    }

    /// Decodes all series; `None` when a segment is damaged.
    pub(crate) fn decode(&self) -> Option<SampleBatch> {
        self.decode_some(0..self.series.len())
    }

    /// Decodes the series at these places; `None` when a segment is damaged.
    pub(crate) fn decode_some(&self, wanted: std::ops::Range<usize>) -> Option<SampleBatch> {
        let wanted = self.series.get(wanted)?;
        let mut batch = SampleBatch::default();
        batch.series.reserve(wanted.len());
        if wanted.len() == self.series.len() {
            batch.values.reserve(self.open_values.len());
        }
        let mut is_wanted = vec![false; self.groups.len()];
        wanted.iter().flat_map(|series| &series.parts).for_each(|part| is_wanted[part.group] = true);
        let mut times = Vec::with_capacity(self.groups.len());
        for (view, is_wanted) in self.groups.iter().zip(is_wanted) {
            times.push(if is_wanted { self.group_times(view)? } else { GroupTimes::default() });
        }
        let mut scratch = Vec::new();
        let mut timestamps = Vec::new();
        for series in wanted {
            let first_value = batch.values.len();
            let mut samples = SeriesSamples { values: first_value..first_value, ..SeriesSamples::default() };
            let mut shared: Option<(usize, usize, usize)> = None;
            timestamps.clear();
            let mut is_shared = true;
            for part in &series.parts {
                let view = &self.groups[part.group];
                let group = &times[part.group];
                let mut base = 0;
                let mut take =
                    |start: usize, mask: u64, batch: &mut SampleBatch, values: &[f64], direct: bool| {
                        // `mask`: which of the vector's entries from `start` on the values belong to.
                        if mask == 0 {
                            return;
                        }
                        if !direct {
                            batch.values.extend_from_slice(values);
                        }
                        let first = start + mask.trailing_zeros() as usize;
                        let count = mask.count_ones() as usize;
                        let is_run =
                            64 - mask.leading_zeros() as usize - mask.trailing_zeros() as usize == count;
                        if is_shared && is_run {
                            match &mut shared {
                                None => {
                                    shared = Some((part.group, first, first + count));
                                    return;
                                }
                                Some((group, _, end)) if *group == part.group && *end == first => {
                                    *end += count;
                                    return;
                                }
                                Some(_) => {}
                            }
                        }
                        if is_shared {
                            is_shared = false;
                            if let Some((group, start, end)) = shared {
                                timestamps.extend_from_slice(&times[group].vector[start..end]);
                            }
                        }
                        let vector = &times[part.group].vector;
                        timestamps.extend((0..64).filter(|i| mask >> i & 1 == 1).map(|i| vector[start + i]));
                    };
                for (at, rows) in &group.segments {
                    let segment = &view.segments[*at];
                    let length = rows.len();
                    if length == segment.rows as usize {
                        let before = batch.values.len();
                        let mask = segment.read(part.column, part.reference, &mut batch.values)?;
                        debug_assert_eq!(batch.values.len() - before, mask.count_ones() as usize);
                        take(base, mask, &mut batch, &[], true);
                    } else {
                        scratch.clear();
                        let mask = segment.read(part.column, part.reference, &mut scratch)?;
                        let skipped = (mask & ((1 << rows.start) - 1)).count_ones() as usize;
                        let inside = (mask >> rows.start) & (u64::MAX >> (64 - length));
                        let count = inside.count_ones() as usize;
                        take(base, inside, &mut batch, &scratch[skipped..skipped + count], false);
                    }
                    base += length;
                }
                take(base, part.open_mask, &mut batch, &self.open_values[part.open_values.clone()], false);
            }
            samples.values.end = batch.values.len();
            if !is_shared {
                ascend(&mut timestamps, &mut batch.values[first_value..]);
            }
            if !series.late.is_empty() {
                if is_shared && let Some((group, start, end)) = shared {
                    timestamps.extend_from_slice(&times[group].vector[start..end]);
                }
                is_shared = false;
                merge_late(&mut batch, &mut samples, &mut timestamps, &series.late);
            }
            if is_shared {
                if let Some((group, start, _)) = shared {
                    let group = &mut times[group];
                    samples.vector = *group.batch_vector.get_or_insert_with(|| {
                        batch.vectors.push(Arc::clone(&group.vector));
                        batch.vectors.len() - 1
                    });
                    samples.vector_offset = start;
                }
            } else {
                samples.vector = batch.vectors.len();
                batch.vectors.push(Arc::from(timestamps.as_slice()));
            }
            let histograms = batch.histograms.len();
            batch.histograms.extend(series.histograms.iter().map(|stored| HistogramPoint {
                t: stored.t,
                h: Arc::new(stored.histogram.to_float()),
                start_t: stored.start_t,
            }));
            samples.histograms = histograms..batch.histograms.len();
            batch.series.push(samples);
            if !series.starts.is_empty() || !series.late_starts.is_empty() {
                let at = batch.series.len() - 1;
                let starts = starts_of(series, batch.timestamps_of(at));
                batch.series[at].start_ts = starts;
            }
        }
        Some(batch)
    }

    fn group_times(&self, view: &GroupView) -> Option<GroupTimes> {
        let mut vector = Vec::new();
        let mut segments = Vec::new();
        let mut timestamps = Vec::new();
        for (at, segment) in view.segments.iter().enumerate() {
            if segment.last_t < self.range.start || segment.first_t >= self.range.end {
                continue;
            }
            timestamps.clear();
            segment.timestamps(&mut timestamps)?;
            let first = timestamps.partition_point(|t| *t < self.range.start);
            let end = timestamps.partition_point(|t| *t < self.range.end).max(first);
            if first == end {
                continue;
            }
            vector.extend_from_slice(&timestamps[first..end]);
            segments.push((at, first as u32..end as u32));
        }
        vector.extend_from_slice(&view.open_t);
        Some(GroupTimes { vector: Arc::from(vector), segments, batch_vector: None })
    }
}

/// Puts samples in the order of time: a series that came back to a group it had left has older and newer
/// samples there than in the groups between.
fn ascend(timestamps: &mut [TimestampMs], values: &mut [f64]) {
    if timestamps.is_sorted() {
        return;
    }
    let mut samples: Vec<(TimestampMs, f64)> =
        timestamps.iter().copied().zip(values.iter().copied()).collect();
    samples.sort_by_key(|sample| sample.0);
    for (i, (t, value)) in samples.into_iter().enumerate() {
        (timestamps[i], values[i]) = (t, value);
    }
}

/// Merges late samples into those of the series that was read last; those in order win.
fn merge_late(
    batch: &mut SampleBatch,
    samples: &mut SeriesSamples,
    timestamps: &mut Vec<TimestampMs>,
    late: &[(TimestampMs, f64)],
) {
    let values = batch.values.split_off(samples.values.start);
    let in_order: Vec<(TimestampMs, f64)> = timestamps.drain(..).zip(values).collect();
    let (mut a, mut b) = (in_order.iter().peekable(), late.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                b.next();
                a.next()
            }
            (Some(x), Some(y)) if x.0 < y.0 => a.next(),
            (Some(_), None) => a.next(),
            (_, Some(_)) => b.next(),
            (None, None) => break,
        };
        if let Some((t, value)) = next {
            timestamps.push(*t);
            batch.values.push(*value);
        }
    }
    samples.values.end = batch.values.len();
}

fn starts_of(series: &SeriesPart, timestamps: &[TimestampMs]) -> Option<Arc<[TimestampMs]>> {
    let starts: Vec<TimestampMs> = timestamps
        .iter()
        .map(|t| {
            if let Ok(at) = series.late_starts.binary_search_by_key(t, |start| start.0) {
                return series.late_starts[at].1;
            }
            match series.starts.partition_point(|start| start.0 <= *t) {
                0 => 0,
                at => series.starts[at - 1].1,
            }
        })
        .collect();
    starts.iter().any(|start| *start != 0).then(|| Arc::from(starts))
}
