//! Appends sections to the head.
//!
//! The common case, a sample newer than the last of its series, on the row its group is at, costs a look
//! at three columns and one cell. Everything else (first sample, other rhythm, late, duplicate, refused)
//! takes the slow path.

use std::sync::Arc;

use model::{Histogram, TimeRange, TimestampMs};
use proto::{AppendOutcome, Column, NEW_SERIES, RejectReason, Rejection};

use super::cuts::window_of;
use super::group::{Fit, Group};
use super::late::StoredHistogram;
use super::series::{HAS_HISTOGRAMS, HAS_LATE, HAS_STARTS, HAS_STINTS, HOMELESS, NONE, Stint};
use super::{FUTURE_MS_MAX, METADATA_MAX, TenantHead};
use crate::entry::{Limits, Section};

/// Late samples this close behind the newest are taken even where out-of-order samples are not allowed,
/// when they are in order for their series: another sender was ahead.
const GRACE_MS: i64 = 3_600_000;

/// Nobody measured anything before the year 1; such timestamps are too old whatever the window.
const TIMESTAMP_MIN: TimestampMs = -62_135_596_800_000;

/// The row of a group that the last sample went to.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    group: u32,
    row: usize,
}

#[derive(Debug, Clone, Copy)]
struct Context {
    limits: Limits,
    leader_time: TimestampMs,
    future_max: TimestampMs,
}

impl TenantHead {
    /// Applies one section of an entry.
    pub(crate) fn append(&mut self, section: &Section, leader_time: TimestampMs) -> AppendOutcome {
        let mut outcome = AppendOutcome::default();
        let context = Context {
            limits: section.limits,
            leader_time,
            future_max: leader_time.saturating_add(FUTURE_MS_MAX),
        };
        self.last_write = self.last_write.max(leader_time);
        let mut new_rows = Vec::with_capacity(section.new_series.len());
        for labels in &section.new_series {
            let row = self.row_of_labels(labels, section.limits.series_max);
            new_rows.push(row.unwrap_or(NONE));
            outcome.references.push(row.map_or(NEW_SERIES, |row| self.series.reference[row as usize]));
        }
        self.append_floats(section, &new_rows, context, &mut outcome);
        for (i, (series, t, start_t, histogram)) in section.histograms.iter().enumerate() {
            let result = self
                .resolve(*series, &new_rows)
                .and_then(|row| self.append_histogram(row, *t, *start_t, histogram, context));
            reject(&mut outcome, Column::Histograms, i, result);
        }
        for (i, (series, exemplar)) in section.exemplars.iter().enumerate() {
            let result = self.resolve(*series, &new_rows).and_then(|row| {
                if exemplar.t > context.future_max {
                    return Err(RejectReason::TooFarInFuture);
                }
                self.counters.exemplars += 1;
                self.exemplars.push(self.series.reference[row as usize], exemplar)
            });
            reject(&mut outcome, Column::Exemplars, i, result);
        }
        for (metric, metadata) in &section.metadata {
            let has_room = self.metadata.len() < METADATA_MAX;
            match self.metadata.get_mut(metric) {
                Some(known) if known == metadata => {}
                Some(known) => known.clone_from(metadata),
                None if has_room => {
                    self.metadata.insert(metric.clone(), metadata.clone());
                }
                None => {}
            }
        }
        for rejection in &outcome.rejections {
            self.counters.rejected[rejection.reason as usize % 8] += 1;
            if rejection.reason == RejectReason::SeriesLimit {
                outcome.series_limit = section.limits.series_max;
            }
        }
        if outcome.references.contains(&NEW_SERIES) {
            outcome.series_limit = section.limits.series_max;
        }
        outcome
    }

    fn resolve(&self, series: u32, new_rows: &[u32]) -> Result<u32, RejectReason> {
        if series & NEW_SERIES == 0 {
            return self.series.row_of(series).ok_or(RejectReason::StaleReference);
        }
        match new_rows.get((series & !NEW_SERIES) as usize) {
            Some(&NONE) => Err(RejectReason::SeriesLimit),
            Some(row) => Ok(*row),
            None => Err(RejectReason::StaleReference),
        }
    }

    fn append_floats(
        &mut self,
        section: &Section,
        new_rows: &[u32],
        context: Context,
        outcome: &mut AppendOutcome,
    ) {
        let floats = &section.floats;
        let mut i = 0;
        for run in &floats.runs {
            let t = run.t;
            // In order, for this timestamp, means behind both.
            let frozen_until = self.frozen_until;
            let is_open = t >= frozen_until.max(TIMESTAMP_MIN) && t <= context.future_max;
            let mut cursor: Option<Cursor> = None;
            let end = (i + run.count as usize).min(floats.values.len());
            let mut taken = 0;
            let mut flags = 0;
            while i < end {
                let value = floats.values[i];
                let start_t = floats.start_timestamps.get(i).copied().unwrap_or(0);
                match self.resolve(floats.series[i], new_rows) {
                    Ok(row) if is_open && self.series.last_t[row as usize] < t => {
                        self.append_in_order(row, t, value, &mut cursor);
                        taken += 1;
                        flags |= self.series.flags[row as usize];
                        if start_t != 0 || self.series.flags[row as usize] & HAS_STARTS != 0 {
                            self.note_start(row, t, start_t);
                        }
                    }
                    Ok(row) => {
                        let result = self.append_slow(row, t, value, start_t, context);
                        reject(outcome, Column::Floats, i, result);
                    }
                    Err(reason) => reject(outcome, Column::Floats, i, Err(reason)),
                }
                i += 1;
            }
            if taken > 0 {
                self.counters.samples += taken;
                self.max_t = self.max_t.max(t);
                self.note_change(t, flags & HAS_HISTOGRAMS != 0);
            }
        }
    }

    #[inline]
    fn append_in_order(&mut self, row: u32, t: TimestampMs, value: f64, cursor: &mut Option<Cursor>) {
        self.series.last_t[row as usize] = t;
        let home = self.series.home[row as usize];
        if let Some(at) = *cursor
            && at.group == home.group
            && let Some(group) = &mut self.groups[at.group as usize]
        {
            group.set(at.row, home.column, value);
            return;
        }
        self.append_elsewhere(row, t, value, cursor);
    }

    /// The sample is not for the cursor's group: find or make its row.
    fn append_elsewhere(&mut self, row: u32, t: TimestampMs, value: f64, cursor: &mut Option<Cursor>) {
        loop {
            let home = self.series.home[row as usize];
            let Some(group) = self.groups.get(home.group as usize).and_then(Option::as_ref) else { break };
            match group.fit(t) {
                Fit::Row(at) => {
                    self.set(Cursor { group: home.group, row: at }, home.column, value);
                    *cursor = Some(Cursor { group: home.group, row: at });
                    return;
                }
                Fit::Newer if group.last_row_is_sparse() => self.split_off(home.group),
                Fit::Newer => {
                    self.open_row(home.group, t);
                    // Sealing may have sent idle series away, this one among them.
                    if self.series.home[row as usize] != home {
                        continue;
                    }
                }
                Fit::Misfit => {
                    self.leave(row);
                    break;
                }
            }
        }
        let reference = self.series.reference[row as usize];
        // The neighbour's group, when it is at this very row and has room.
        let neighbour = cursor.filter(|at| {
            self.groups[at.group as usize]
                .as_ref()
                .is_some_and(|g| at.row + 1 == g.rows.len() && g.has_room())
        });
        let at = neighbour.unwrap_or_else(|| {
            let group = self.new_group();
            self.open_row(group, t);
            Cursor { group, row: 0 }
        });
        if let Some(group) = &mut self.groups[at.group as usize] {
            let column = group.join(reference);
            group.set(at.row, column, value);
            self.series.home[row as usize] = Stint { group: at.group, column };
        }
        *cursor = Some(at);
    }

    fn set(&mut self, at: Cursor, column: u32, value: f64) {
        if let Some(group) = &mut self.groups[at.group as usize] {
            group.set(at.row, column, value);
        }
    }

    fn new_group(&mut self) -> u32 {
        let number = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() as u32 - 1
        });
        self.groups[number as usize] = Some(Group::new(number));
        number
    }

    fn open_row(&mut self, number: u32, t: TimestampMs) {
        let Some(group) = &mut self.groups[number as usize] else { return };
        if group.is_full() {
            let idle = group.seal(&mut self.encoder);
            let is_hollow = group.is_hollow();
            let staying = if is_hollow { group.members.clone() } else { Vec::new() };
            for (column, reference) in idle {
                if let Some(row) = self.series.row_of(reference) {
                    self.series.home[row as usize] = HOMELESS;
                    self.note_stint(row, Stint { group: number, column });
                }
            }
            // Its few series find each other in a new group, at their next sample.
            for (column, reference) in staying.into_iter().enumerate() {
                let home = Stint { group: number, column: column as u32 };
                if let Some(row) = self.series.row_of(reference)
                    && self.series.home[row as usize] == home
                {
                    self.leave(row);
                }
            }
            if is_hollow {
                return;
            }
        }
        if let Some(group) = &mut self.groups[number as usize] {
            group.open_row(t);
        }
    }

    /// The series leaves its home; what it has there stays.
    pub(super) fn leave(&mut self, row: u32) {
        let home = std::mem::replace(&mut self.series.home[row as usize], HOMELESS);
        if let Some(group) = self.groups.get_mut(home.group as usize).and_then(Option::as_mut) {
            group.leave(home.column);
            self.note_stint(row, home);
        }
    }

    fn note_stint(&mut self, row: u32, stint: Stint) {
        self.series.flags[row as usize] |= HAS_STINTS;
        let stints = self.stints.entry(self.series.reference[row as usize]).or_default();
        if !stints.contains(&stint) {
            stints.push(stint);
        }
    }

    /// The few series of a group's newest row move, with that row, to a group of their own.
    fn split_off(&mut self, number: u32) {
        let Some(group) = &mut self.groups[number as usize] else { return };
        let Some(t) = group.rows.last().map(|row| row.t) else { return };
        let taken = group.take_last_row();
        if taken.is_empty() {
            return;
        }
        let references: Vec<u32> = taken.iter().map(|(column, _)| group.members[*column as usize]).collect();
        let fresh = self.new_group();
        self.open_row(fresh, t);
        for ((column, value), reference) in taken.into_iter().zip(references) {
            let Some(row) = self.series.row_of(reference) else { continue };
            if self.series.home[row as usize] == (Stint { group: number, column }) {
                self.leave(row);
            }
            if let Some(group) = &mut self.groups[fresh as usize] {
                let column = group.join(reference);
                group.set(0, column, value);
                self.series.home[row as usize] = Stint { group: fresh, column };
            }
        }
    }

    fn note_start(&mut self, row: u32, t: TimestampMs, start_t: TimestampMs) {
        self.series.flags[row as usize] |= HAS_STARTS;
        let starts = self.starts.entry(self.series.reference[row as usize]).or_default();
        if starts.last().map_or(0, |last| last.1) != start_t {
            starts.push((t, start_t));
        }
    }

    /// A sample that is not simply the next of its series.
    fn append_slow(
        &mut self,
        row: u32,
        t: TimestampMs,
        value: f64,
        start_t: TimestampMs,
        context: Context,
    ) -> Result<(), RejectReason> {
        if t > context.future_max {
            return Err(RejectReason::TooFarInFuture);
        }
        if let Some(known) = self.value_at(row, t) {
            if known.to_bits() != value.to_bits() {
                return Err(RejectReason::Duplicate);
            }
            self.counters.duplicates += 1;
            return Ok(());
        }
        self.check_late(t, self.series.last_t[row as usize], context)?;
        let reference = self.series.reference[row as usize];
        self.series.flags[row as usize] |= HAS_LATE;
        let head = self.late.entry(window_of(t)).or_default();
        if head.is_empty() {
            head.since = context.leader_time;
        }
        head.series.entry(reference).or_default().insert(t, value, start_t);
        self.note_change(t, self.series.flags[row as usize] & HAS_HISTOGRAMS != 0);
        self.counters.samples += 1;
        self.counters.late_samples += 1;
        self.max_t = self.max_t.max(t);
        Ok(())
    }

    fn check_late(&self, t: TimestampMs, last_t: TimestampMs, context: Context) -> Result<(), RejectReason> {
        if t < TIMESTAMP_MIN {
            return Err(RejectReason::TooOld);
        }
        let allowed = context.limits.out_of_order_ms;
        let is_behind = t <= last_t;
        if is_behind && allowed == 0 {
            return Err(RejectReason::OutOfOrder);
        }
        let allowed = if is_behind { allowed } else { allowed.max(GRACE_MS) };
        if t < self.max_t.saturating_sub(allowed) {
            return Err(RejectReason::TooOld);
        }
        Ok(())
    }

    fn append_histogram(
        &mut self,
        row: u32,
        t: TimestampMs,
        start_t: TimestampMs,
        histogram: &Histogram,
        context: Context,
    ) -> Result<(), RejectReason> {
        if t > context.future_max {
            return Err(RejectReason::TooFarInFuture);
        }
        let reference = self.series.reference[row as usize];
        let stored = StoredHistogram { t, start_t, histogram: Arc::new(histogram.clone()) };
        let series = self.histograms.entry(reference).or_default();
        let last_t = series.last().map_or(TimestampMs::MIN, |h| h.t);
        self.series.flags[row as usize] |= HAS_HISTOGRAMS;
        if t > last_t && t >= self.frozen_until.max(TIMESTAMP_MIN) {
            series.push(stored);
            self.note_change(t, false);
        } else {
            if let Some(known) = self.histogram_at(reference, t) {
                if !is_same_histogram(&known.histogram, histogram) {
                    return Err(RejectReason::Duplicate);
                }
                self.counters.duplicates += 1;
                return Ok(());
            }
            self.check_late(t, last_t, context)?;
            self.series.flags[row as usize] |= HAS_LATE;
            let head = self.late.entry(window_of(t)).or_default();
            if head.is_empty() {
                head.since = context.leader_time;
            }
            let late = &mut head.series.entry(reference).or_default().histograms;
            let at = late.partition_point(|h| h.t < t);
            late.insert(at, stored);
            self.note_change(t, true);
            self.counters.late_samples += 1;
        }
        self.counters.histograms += 1;
        self.max_t = self.max_t.max(t);
        Ok(())
    }

    fn histogram_at(&self, reference: u32, t: TimestampMs) -> Option<&StoredHistogram> {
        let find = |list: &'_ [StoredHistogram]| list.binary_search_by_key(&t, |h| h.t).ok();
        if let Some(list) = self.histograms.get(&reference)
            && let Some(at) = find(list)
        {
            return list.get(at);
        }
        self.late_heads(TimeRange::inclusive(t, t)).find_map(|head| {
            let list = &head.series.get(&reference)?.histograms;
            find(list).and_then(|at| list.get(at))
        })
    }
}

/// Equal bit by bit; a NaN sum equals itself.
fn is_same_histogram(a: &Histogram, b: &Histogram) -> bool {
    let bytes = |h: &Histogram| {
        let mut out = Vec::new();
        crate::entry::put_histogram(&mut out, h);
        out
    };
    bytes(a) == bytes(b)
}

fn reject(outcome: &mut AppendOutcome, column: Column, index: usize, result: Result<(), RejectReason>) {
    if let Err(reason) = result {
        outcome.rejections.push(Rejection { column, index: index as u32, reason });
    }
}
