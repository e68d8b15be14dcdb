//! The head of one tenant in one group: its recent samples, and the index to find them by.
//!
//! A head is a deterministic function of the entries applied to it: it reads no clock, no configuration
//! and no randomness that is stored or answered. Samples in order lie in groups, late ones in late heads
//! by window, frozen ones of both kinds stay where they are until their cut is published and dropped.

mod append;
mod cuts;
mod exemplars;
mod group;
mod index;
mod late;
mod pin;
mod read;
mod segment;
mod series;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Metadata, SeriesId, TimeRange, TimestampMs};
use parking_lot::Mutex;
use proto::{ChangeLog, DataChanges, DataVersion};

use cuts::CutState;
pub(crate) use cuts::{Cut, WINDOW_MS, window_of};
pub(crate) use exemplars::StoredExemplar;
pub(crate) use group::Group;
pub(crate) use index::Index;
pub(crate) use late::{LateHead, StoredHistogram};
pub(crate) use pin::{Pin, SERIES_PER_READ};
pub(crate) use read::{LateWanted, SeriesRead};
pub(crate) use segment::{Segment, Stored};
pub(crate) use series::{HAS_HISTOGRAMS, HAS_LATE};
use series::{SeriesTable, Stint};
pub(crate) use state::Frozen;

use crate::codec::ValueEncoder;
use crate::wire::{Reader, put_varint};

/// How far a sample may be ahead of the leader's clock.
pub(crate) const FUTURE_MS_MAX: i64 = 10 * 60_000;
/// Most metrics with metadata per tenant.
const METADATA_MAX: usize = 100_000;

/// What a head has counted since it was made (not part of its state).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadCounters {
    /// Float samples taken, duplicates not counted.
    pub samples: u64,
    /// Histogram samples taken.
    pub histograms: u64,
    /// Exemplars taken.
    pub exemplars: u64,
    /// Samples taken that were late.
    pub late_samples: u64,
    /// Exact duplicates, taken silently.
    pub duplicates: u64,
    /// Items not taken, by the number of the reason.
    pub rejected: [u64; 8],
    /// Series made.
    pub series_created: u64,
    /// Series collected.
    pub series_removed: u64,
    /// Windows cut.
    pub cuts: u64,
}

/// The head.
#[derive(Debug)]
pub(crate) struct TenantHead {
    pub(crate) index: Index,
    pub(crate) series: SeriesTable,
    pub(crate) groups: Vec<Option<Group>>,
    free_groups: Vec<u32>,
    /// Earlier homes of series, oldest first, by reference.
    pub(crate) stints: BTreeMap<u32, Vec<Stint>>,
    /// From when on a series has which start timestamp, by reference.
    pub(crate) starts: BTreeMap<u32, Vec<(TimestampMs, TimestampMs)>>,
    /// Histograms in order, by reference.
    pub(crate) histograms: BTreeMap<u32, Vec<StoredHistogram>>,
    /// Late samples that are not frozen, by start of the window.
    pub(crate) late: BTreeMap<TimestampMs, LateHead>,
    /// Cuts that are not dropped yet, oldest first.
    pub(crate) cuts: Vec<CutState>,
    /// Next generation by window.
    generations: BTreeMap<TimestampMs, u32>,
    pub(crate) exemplars: exemplars::ExemplarRing,
    pub(crate) metadata: BTreeMap<String, Metadata>,
    /// Newest sample: the watermark.
    pub(crate) max_t: TimestampMs,
    /// Samples in order before this are frozen.
    pub(crate) frozen_until: TimestampMs,
    /// Samples in order before this are dropped.
    pub(crate) floor: TimestampMs,
    pub(crate) previous_floor: TimestampMs,
    /// Leader's time of the last entry with samples.
    pub(crate) last_write: TimestampMs,
    /// Log position of the last cut.
    last_cut: model::LogPosition,
    encoder: ValueEncoder,
    /// What readers hold (not part of its state).
    pins: pin::Pins,
    /// What changed when, for those who keep results (not part of its state).
    changes: Mutex<ChangeLog>,
    pub(crate) counters: HeadCounters,
}

impl TenantHead {
    /// An empty head; `seed` makes its hash tables hard to attack and is no part of its state.
    pub(crate) fn new(seed: u64) -> Self {
        TenantHead {
            index: Index::new(seed),
            series: SeriesTable::default(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            stints: BTreeMap::new(),
            starts: BTreeMap::new(),
            histograms: BTreeMap::new(),
            late: BTreeMap::new(),
            cuts: Vec::new(),
            generations: BTreeMap::new(),
            exemplars: exemplars::ExemplarRing::default(),
            metadata: BTreeMap::new(),
            max_t: TimestampMs::MIN,
            frozen_until: TimestampMs::MIN,
            floor: TimestampMs::MIN,
            previous_floor: TimestampMs::MIN,
            last_write: 0,
            last_cut: model::LogPosition::default(),
            encoder: ValueEncoder::default(),
            pins: pin::Pins::default(),
            changes: Mutex::default(),
            counters: HeadCounters::default(),
        }
    }

    /// The labels of a row.
    pub(crate) fn labels(&self, row: u32) -> Labels {
        self.labels_in(row, &mut Vec::new())
    }

    /// The labels of a row; `buffer` is for their bytes.
    pub(crate) fn labels_in(&self, row: u32, buffer: &mut Vec<u8>) -> Labels {
        self.index.labels(self.series.pairs(row).iter().copied(), buffer)
    }

    /// The row of `labels`, made when it is new; `None` when the limit is reached.
    fn row_of_labels(&mut self, labels: &Labels, series_max: u64) -> Option<u32> {
        let id: SeriesId = labels.series_id();
        if let Some(row) = self.series.find(&self.index, labels, id) {
            return Some(row);
        }
        if series_max > 0 && self.series.len() as u64 >= series_max {
            return None;
        }
        let row = self.series.create(&mut self.index, labels, id)?;
        self.counters.series_created += 1;
        Some(row)
    }

    /// The version of what it holds, and what changed since `since`.
    pub(crate) fn changes(&self, since: Option<&DataVersion>) -> DataChanges {
        self.changes.lock().changes(since)
    }

    /// Notes that what series have at `t` changed. What a histogram is told of resets depends on what was before it,
    /// so of series with histograms everything after changes too.
    fn note_change(&mut self, t: TimestampMs, with_later: bool) {
        let changes = self.changes.get_mut();
        if with_later {
            changes.note(TimeRange::new(t, TimestampMs::MAX));
        } else {
            changes.note_at(t);
        }
    }

    /// Everything before the open windows that a cut has still to write.
    pub(crate) fn pending_cuts(&self) -> impl Iterator<Item = &Arc<Cut>> {
        self.cuts.iter().filter(|state| !state.is_published).map(|state| &state.cut)
    }

    /// Whether there are samples in order behind the frozen boundary.
    pub(crate) fn has_open(&self) -> bool {
        let newest = |group: &Group| {
            group.rows.last().map(|row| row.t).or_else(|| group.segments.last().map(|s| s.last_t))
        };
        self.groups.iter().flatten().filter_map(newest).any(|t| t >= self.frozen_until)
            || self.histograms.values().any(|list| list.last().is_some_and(|h| h.t >= self.frozen_until))
    }

    /// The oldest sample in order, or the oldest window with late samples.
    pub(crate) fn oldest(&self) -> Option<TimestampMs> {
        let groups = self.groups.iter().flatten().filter_map(|group| {
            group.segments.first().map(|s| s.first_t).or_else(|| group.rows.first().map(|row| row.t))
        });
        let histograms = self.histograms.values().filter_map(|list| list.first().map(|h| h.t));
        let in_order = groups.chain(histograms).map(|t| t.max(self.floor)).min();
        let late = self.late.keys().copied().chain(self.cuts.iter().map(|state| state.cut.window)).min();
        match (in_order, late) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sealed segments, their chunks and bytes.
    pub(crate) fn sealed(&self) -> (usize, usize, usize) {
        let mut totals = (0, 0, 0);
        for segment in self.groups.iter().flatten().flat_map(|g| g.segments.iter()) {
            totals.0 += 1;
            totals.1 += segment.members.len();
            totals.2 += segment.bytes();
        }
        totals
    }

    /// Bytes held by index, open rows and late heads, roughly.
    pub(crate) fn open_bytes(&self) -> usize {
        self.index.bytes()
            + self.series.bytes()
            + self.groups.iter().flatten().map(Group::open_bytes).sum::<usize>()
            + self.late.values().map(LateHead::bytes).sum::<usize>()
            + self.cuts.iter().map(|c| c.cut.late.bytes()).sum::<usize>()
    }
}

/// Writes a sorted list of numbers as differences.
fn put_ascending(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = u32>) {
    put_varint(out, values.len() as u64);
    let mut before = 0;
    for value in values {
        put_varint(out, u64::from(value.wrapping_sub(before)));
        before = value;
    }
}

fn read_ascending(reader: &mut Reader<'_>) -> Result<Vec<u32>, crate::wire::Malformed> {
    let count = reader.count(1)?;
    let mut before = 0_u32;
    (0..count)
        .map(|_| {
            before = before.wrapping_add(reader.u32()?);
            Ok(before)
        })
        .collect()
}
