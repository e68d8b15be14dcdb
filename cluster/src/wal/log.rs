//! One group's log as it stands in memory: where every entry lies, and the newest entries themselves.
//!
//! Entries are readable from the moment they are appended. Those whose place on disk is not known
//! yet are always held in memory; written ones stay until the shared cache needs their bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::GroupId;
use openraft::EntryPayload;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::record;
use crate::types::{Body, Entry, LogId, StoredSnapshot, Vote, log_id};

/// Where an entry's record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// One entry: its term, its place once written, its payload while cached.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) term: u64,
    pub(crate) payload_len: u32,
    pub(crate) place: Option<Place>,
    pub(crate) cached: Option<Body>,
}

impl Slot {
    fn record_len(&self) -> u64 {
        record::entry_record_len(self.payload_len as usize)
    }
}

/// What is known of a group's log.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) snapshot: Option<Arc<StoredSnapshot>>,
    /// Index of `entries[0]`.
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<Slot>,
    /// Bytes the entries take in the log.
    pub(crate) live_bytes: u64,
}

/// An entry to be read: in memory, or from its place.
#[derive(Debug)]
pub(crate) enum Found {
    Cached(Entry),
    Stored { id: LogId, place: Place, payload_len: u32 },
}

impl LogState {
    /// Index after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn at(&self, index: u64) -> Option<usize> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }

    pub(crate) fn slot(&mut self, index: u64) -> Option<&mut Slot> {
        let at = self.at(index)?;
        self.entries.get_mut(at)
    }

    /// The last entry, or what was purged last.
    pub(crate) fn last(&self) -> Option<LogId> {
        match self.entries.back() {
            Some(slot) => Some(log_id(slot.term, self.end() - 1)),
            None => self.purged,
        }
    }

    /// Puts an entry at its index; whatever was there and after it goes.
    pub(crate) fn push(&mut self, index: u64, slot: Slot) {
        if self.entries.is_empty() || index < self.first || index > self.end() {
            self.clear();
            self.first = index;
        } else {
            self.truncate_from(index);
        }
        self.live_bytes += slot.record_len();
        self.entries.push_back(slot);
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.live_bytes = 0;
    }

    /// Removes the entries from `index` on.
    pub(crate) fn truncate_from(&mut self, index: u64) {
        while self.end() > index {
            match self.entries.pop_back() {
                Some(slot) => self.live_bytes -= slot.record_len(),
                None => return,
            }
        }
    }

    /// Removes the entries up to `upto`, which may lie behind the end.
    pub(crate) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        while self.first <= upto.index
            && let Some(slot) = self.entries.pop_front()
        {
            self.live_bytes -= slot.record_len();
            self.first += 1;
        }
        if self.entries.is_empty() {
            self.first = upto.index + 1;
        }
    }

    /// The entries there are in `start..end`, until their payloads exceed `bytes_max`; at least one
    /// if there is one.
    pub(crate) fn find(&self, start: u64, end: u64, bytes_max: u64) -> Vec<Found> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in start.max(self.first)..end.min(self.end()) {
            let Some(slot) = self.at(index).and_then(|at| self.entries.get(at)) else { break };
            bytes += u64::from(slot.payload_len);
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            let id = log_id(slot.term, index);
            found.push(match (&slot.cached, slot.place) {
                (Some(body), _) => Found::Cached(Entry { log_id: id, payload: body.clone() }),
                (None, Some(place)) => Found::Stored { id, place, payload_len: slot.payload_len },
                // a slot has at least one of the two
                (None, None) => break,
            });
        }
        found
    }
}

/// One group's log: its state, and how far it is durable.
#[derive(Debug)]
pub(crate) struct GroupLog {
    pub(crate) id: GroupId,
    pub(crate) state: Mutex<LogState>,
    pub(crate) flushed: watch::Sender<Option<LogId>>,
    /// Index after the last applied entry.
    applied: AtomicU64,
}

impl GroupLog {
    pub(crate) fn new(id: GroupId, state: LogState) -> Self {
        let flushed = watch::channel(state.last()).0;
        GroupLog { id, state: Mutex::new(state), flushed, applied: AtomicU64::new(0) }
    }

    /// The entry at `index`, and all before it, are applied.
    pub(crate) fn set_applied(&self, index: u64) {
        self.applied.store(index + 1, Ordering::Relaxed);
    }

    pub(crate) fn is_applied(&self, index: u64) -> bool {
        index < self.applied.load(Ordering::Relaxed)
    }
}

/// Bytes of a payload in the log.
pub(crate) fn payload_len(body: &Body) -> usize {
    match body {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Membership(membership) => {
            let mut writer = crate::codec::Writer::default();
            writer.membership(membership);
            writer.0.len()
        }
    }
}
