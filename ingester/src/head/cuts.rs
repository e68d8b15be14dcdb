//! Freezing, publishing and dropping.
//!
//! A cut freezes the samples in order of `[frozen_until, until)` and all late samples, window by window;
//! each window's part is one generation and becomes one block. Frozen samples stay readable until their
//! cut is published and `floor` has passed them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{BlockId, LogPosition, TimeRange, TimestampMs};
use roaring::RoaringBitmap;

use super::late::LateHead;
use super::series::{HAS_HISTOGRAMS, HAS_LATE, HAS_STARTS, HAS_STINTS, HOMELESS, NONE};
use super::{StoredExemplar, TenantHead};

/// Length of a window.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;

/// The start of the window that holds `t`.
pub(crate) fn window_of(t: TimestampMs) -> TimestampMs {
    t.saturating_sub(t.rem_euclid(WINDOW_MS))
}

/// What one cut froze of one window.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Start of the window.
    pub(crate) window: TimestampMs,
    pub(crate) generation: u32,
    /// Of the entry that made it: with the window, tells its block from those of any other cut.
    pub(crate) identity: u128,
    /// The samples in order that belong to it.
    pub(crate) in_order: TimeRange,
    /// The late samples that belong to it.
    pub(crate) late: LateHead,
    pub(crate) exemplars: Vec<StoredExemplar>,
    /// Samples before this can be dropped once it is published.
    pub(crate) until: TimestampMs,
    /// Log it came from: behind the first, up to the second position.
    pub(crate) log: (LogPosition, LogPosition),
}

/// A cut and whether its block is in the catalog.
#[derive(Debug, Clone)]
pub(crate) struct CutState {
    pub(crate) cut: Arc<Cut>,
    pub(crate) is_published: bool,
    /// The block, once it is published, unless the cut was empty.
    pub(crate) block: Option<BlockId>,
}

impl TenantHead {
    /// Freezes what is before `until`, and everything late.
    pub(crate) fn cut(&mut self, until: TimestampMs, identity: u128, position: LogPosition) {
        let from = self.frozen_until;
        let until = until.max(from);
        let mut windows = BTreeSet::new();
        if until > from {
            self.windows_in_order(TimeRange::new(from, until), &mut windows);
        }
        windows.extend(self.late.keys().copied());
        let log = (self.last_cut, position);
        for window in windows {
            let end = window.saturating_add(WINDOW_MS);
            let in_order = TimeRange::new(from.max(window), until.min(end));
            let in_order = if in_order.is_empty() { TimeRange::new(window, window) } else { in_order };
            let mut late = self.late.remove(&window).unwrap_or_default();
            late.series.retain(|_, series| {
                !(series.chunks.is_empty() && series.tail.is_empty() && series.histograms.is_empty())
            });
            let range = TimeRange::new(window, end);
            let mut exemplars = Vec::new();
            for stored in &mut self.exemplars.ring {
                if !stored.is_cut && range.contains(stored.exemplar.t) {
                    stored.is_cut = true;
                    exemplars.push(stored.clone());
                }
            }
            // A reader that takes everything from the floor on from the head must not miss late samples.
            let until = in_order.end.max(late.end());
            let generation = self.generations.entry(window).or_insert(0);
            let cut =
                Cut { window, generation: *generation, identity, in_order, late, exemplars, until, log };
            *generation += 1;
            self.counters.cuts += 1;
            self.cuts.push(CutState { cut: Arc::new(cut), is_published: false, block: None });
        }
        self.frozen_until = until;
        self.last_cut = position;
    }

    /// The windows that have samples in order inside `range`.
    fn windows_in_order(&self, range: TimeRange, windows: &mut BTreeSet<TimestampMs>) {
        let mut note = |t: TimestampMs| {
            if range.contains(t) {
                windows.insert(window_of(t));
            }
        };
        let mut timestamps = Vec::new();
        for group in self.groups.iter().flatten() {
            for segment in group.segments.iter() {
                if segment.last_t < range.start || segment.first_t >= range.end {
                    continue;
                }
                note(segment.first_t);
                note(segment.last_t);
                if window_of(segment.first_t) != window_of(segment.last_t) {
                    timestamps.clear();
                    // Written by us, checked by a checksum when read from a file.
                    let _damaged = segment.timestamps(&mut timestamps).is_none();
                    timestamps.iter().copied().for_each(&mut note);
                }
            }
            group.rows.iter().map(|row| row.t).for_each(&mut note);
        }
        for list in self.histograms.values() {
            list.iter().map(|h| h.t).for_each(&mut note);
        }
    }

    /// Notes that the block of a cut is in the catalog.
    pub(crate) fn published(&mut self, window: TimestampMs, generation: u32, block: Option<BlockId>) {
        for state in &mut self.cuts {
            if state.cut.window == window && state.cut.generation == generation {
                state.is_published = true;
                state.block = block;
            }
        }
    }

    /// The published blocks whose every sample is here too.
    pub(crate) fn held_blocks(&self) -> impl Iterator<Item = BlockId> {
        let is_whole = |cut: &Cut| cut.in_order.is_empty() || self.floor <= cut.in_order.start;
        self.cuts.iter().filter(move |state| is_whole(&state.cut)).filter_map(|state| state.block)
    }

    /// How far the floor may rise: to the first sample in order that is in no published block.
    pub(crate) fn floor_max(&self) -> TimestampMs {
        self.pending_cuts()
            .filter(|cut| !cut.in_order.is_empty())
            .map(|cut| cut.in_order.start)
            .fold(self.frozen_until, TimestampMs::min)
    }

    /// Where the first sample may lie that is in no published block; `TimestampMs::MAX` when all are.
    pub(crate) fn unpublished_from(&self) -> TimestampMs {
        let in_order = if self.max_t < self.frozen_until {
            self.pending_cuts().map(|cut| cut.in_order.start).min().unwrap_or(TimestampMs::MAX)
        } else if self.frozen_until == TimestampMs::MIN {
            self.oldest().unwrap_or(TimestampMs::MAX)
        } else {
            self.floor_max()
        };
        let frozen = self.pending_cuts().map(|cut| cut.window);
        let late = self.late.keys().copied();
        frozen.chain(late).fold(in_order, TimestampMs::min)
    }

    /// Lets go of published samples before `floor`, and of series without samples since the floor before.
    pub(crate) fn drop_before(&mut self, floor: TimestampMs) {
        let floor = floor.min(self.floor_max()).max(self.floor);
        self.save_for_readers(floor);
        // Blocks have all of it; should one of them not, whoever kept a result must ask again.
        if let Some(oldest) = self.oldest() {
            self.changes.get_mut().note(TimeRange::new(oldest, floor));
        }
        self.previous_floor = self.floor;
        self.floor = floor;
        self.cuts.retain(|state| !(state.is_published && state.cut.until <= floor));
        for group in self.groups.iter_mut().flatten() {
            let count = group.rows.partition_point(|row| row.t < floor);
            if count > 0 {
                group.discard(count);
            }
            if group.segments.iter().any(|segment| segment.last_t < floor) {
                Arc::make_mut(&mut group.segments).retain(|segment| segment.last_t >= floor);
            }
            if group.rows.is_empty() {
                for column in std::mem::take(&mut group.leaving) {
                    group.members[column as usize] = NONE;
                    group.vacant.push(column);
                }
            }
        }
        self.histograms.retain(|_, list| {
            let count = list.partition_point(|h| h.t < floor);
            list.drain(..count);
            !list.is_empty()
        });
        for list in self.starts.values_mut() {
            let count = list.partition_point(|start| start.0 < floor);
            list.drain(..count.saturating_sub(1));
        }
        self.collect_series();
        self.prune_stints();
        for number in 0..self.groups.len() {
            if self.groups[number].as_ref().is_some_and(|g| g.is_dead()) {
                self.groups[number] = None;
                self.free_groups.push(number as u32);
            }
        }
    }

    /// Forgets series whose newest sample lies before the floor before this one.
    fn collect_series(&mut self) {
        let mut late = BTreeSet::new();
        for head in self.late.values().chain(self.cuts.iter().map(|state| &state.cut.late)) {
            late.extend(head.series.keys().copied());
        }
        let mut gone = RoaringBitmap::new();
        for row in &self.series.rows {
            let at = row as usize;
            let reference = self.series.reference[at];
            if !late.contains(&reference) {
                self.series.flags[at] &= !HAS_LATE;
            }
            let has_histograms = self.histograms.contains_key(&reference);
            if !has_histograms {
                self.series.flags[at] &= !HAS_HISTOGRAMS;
            }
            if self.series.last_t[at] < self.previous_floor
                && self.series.flags[at] & (HAS_LATE | HAS_HISTOGRAMS) == 0
            {
                gone.insert(row);
            }
        }
        for row in &gone {
            let at = row as usize;
            let reference = self.series.reference[at];
            let home = std::mem::replace(&mut self.series.home[at], HOMELESS);
            if let Some(group) = self.groups.get_mut(home.group as usize).and_then(Option::as_mut) {
                group.leave(home.column);
                if group.rows.is_empty() {
                    group.leaving.retain(|column| *column != home.column);
                    group.members[home.column as usize] = NONE;
                    group.vacant.push(home.column);
                }
                group.members_changed();
            }
            if self.series.flags[at] & HAS_STARTS != 0 {
                self.starts.remove(&reference);
            }
            self.stints.remove(&reference);
        }
        self.counters.series_removed += gone.len();
        self.series.remove(&mut self.index, &gone);
        let series = &self.series;
        self.exemplars.retain(|reference| series.row_of(reference).is_some());
    }

    /// Forgets former homes that hold nothing of the series any more.
    fn prune_stints(&mut self) {
        let groups = &self.groups;
        self.stints.retain(|reference, stints| {
            stints.retain(|stint| {
                let Some(group) = groups.get(stint.group as usize).and_then(Option::as_ref) else {
                    return false;
                };
                let column = stint.column as usize;
                (!group.rows.is_empty() && group.members.get(column) == Some(reference))
                    || group.segments.iter().any(|segment| segment.members.get(column) == Some(reference))
            });
            !stints.is_empty()
        });
        let series = &mut self.series;
        for row in &series.rows {
            let reference = series.reference[row as usize];
            if series.flags[row as usize] & HAS_STINTS != 0 && !self.stints.contains_key(&reference) {
                series.flags[row as usize] &= !HAS_STINTS;
            }
        }
    }

    /// Late heads, frozen or not, whose window overlaps `range`.
    pub(crate) fn late_heads(&self, range: TimeRange) -> impl Iterator<Item = &LateHead> {
        let overlaps = move |window: TimestampMs| {
            TimeRange::new(window, window.saturating_add(WINDOW_MS)).overlaps(&range)
        };
        let frozen = self.cuts.iter().filter(move |s| overlaps(s.cut.window)).map(|state| &state.cut.late);
        let open = self.late.iter().filter(move |(window, _)| overlaps(**window)).map(|(_, head)| head);
        frozen.chain(open)
    }

    /// Windows whose next generation is known, for a snapshot.
    pub(super) fn generations(&self) -> &BTreeMap<TimestampMs, u32> {
        &self.generations
    }
}
