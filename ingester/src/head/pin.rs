//! What readers hold of a head while entries go on being applied to it.
//!
//! Nothing a selection found may vanish from under it. Only a drop takes samples away, and drops are rare:
//! before one, everything that a reader still could ask for of what goes is saved for it, and it reads
//! from there from then on. Everything else (sealing, cutting, moving) leaves samples where reads find them.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use model::{TimeRange, TimestampMs};
use parking_lot::Mutex;

use super::{LateWanted, SeriesRead, TenantHead};

/// Series that are read under one hold of a head's lock, and saved together.
pub(crate) const SERIES_PER_READ: usize = 1024;

/// The series a selection found in one head.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) references: Vec<u32>,
    range: TimeRange,
    /// Samples in order before this were dropped before the selection was made.
    floor: TimestampMs,
    /// Everything there is to read, run by run, once something of it was to be dropped.
    saved: OnceLock<Vec<SeriesRead>>,
}

/// The pins whose selections may still live.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Vec<Weak<Pin>>>);

impl Pin {
    fn prepare(&self, head: &TenantHead, references: &[u32]) -> SeriesRead {
        let in_order = TimeRange::new(self.range.start.max(self.floor), self.range.end);
        head.prepare_read(references.iter().copied(), in_order, LateWanted::Range(self.range))
    }

    /// Collects what the series `wanted` (places in `references`) have; `None` once it was saved.
    pub(crate) fn read(&self, head: &TenantHead, wanted: Range<usize>) -> Option<SeriesRead> {
        match self.saved.get() {
            Some(_) => None,
            None => Some(self.prepare(head, &self.references[wanted])),
        }
    }

    /// About how many bytes reading everything takes.
    pub(crate) fn bytes_estimate(&self, head: &TenantHead) -> usize {
        head.bytes_estimate(&self.references, self.range)
    }

    /// What was saved of the run that begins with series `run * SERIES_PER_READ`.
    pub(crate) fn saved(&self, run: usize) -> Option<&SeriesRead> {
        self.saved.get()?.get(run)
    }
}

impl TenantHead {
    /// Pins series: what they have in `range` stays readable through the pin.
    pub(crate) fn pin(&self, references: Vec<u32>, range: TimeRange) -> Arc<Pin> {
        let pin = Arc::new(Pin { references, range, floor: self.floor, saved: OnceLock::new() });
        let mut pins = self.pins.0.lock();
        if pins.len() == pins.capacity() {
            pins.retain(|pin| pin.strong_count() > 0);
        }
        pins.push(Arc::downgrade(&pin));
        pin
    }

    /// Before everything up to `floor` goes: saves what readers hold of it.
    pub(super) fn save_for_readers(&self, floor: TimestampMs) {
        let mut pins = self.pins.0.lock();
        pins.retain(|pin| pin.strong_count() > 0);
        for pin in pins.iter().filter_map(Weak::upgrade) {
            // What goes ends before the floor, late samples and the last ones of collected series too.
            if pin.range.start < floor && pin.saved.get().is_none() {
                let runs = pin.references.chunks(SERIES_PER_READ);
                let _never_set = pin.saved.set(runs.map(|run| pin.prepare(self, run)).collect()).is_err();
            }
        }
    }
}
