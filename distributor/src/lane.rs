//! The fast lane: from the hash of a series' raw labels to where it is, without looking at a label.
//!
//! One table per tenant. Senders repeat their order, so the series that followed last time is guessed
//! before the table is asked. Two generations bound what is remembered: an entry that nobody asked for
//! during a whole generation is gone. A lost or wrong entry costs time, never truth: the head refuses a
//! reference that is no longer in use.

use std::hash::BuildHasherDefault;
use std::time::Duration;

use hashbrown::HashTable;
use model::{GroupId, SeriesId};
use proto::SeriesRef;
use runtime::Moment;

/// How long a generation is filled.
const GENERATION: Duration = Duration::from_secs(3600);
/// Most metric families whose last metadata is remembered.
const FAMILIES_MAX: usize = 1 << 16;
const NONE: u32 = u32::MAX;

/// A series where it was when it was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: SeriesId,
    pub(crate) group: GroupId,
    pub(crate) reference: SeriesRef,
    /// Hash of the metadata sent last; 0: none.
    pub(crate) metadata: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// In halves: a u128 would be padded to sixteen.
    key: [u64; 2],
    id: u64,
    group: u32,
    reference: SeriesRef,
    /// The entry of the series that followed last time.
    next: u32,
    metadata: u32,
}

impl Entry {
    fn known(&self) -> Known {
        Known {
            id: SeriesId(self.id),
            group: GroupId(self.group),
            reference: self.reference,
            metadata: self.metadata,
        }
    }
}

fn halves(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

/// Entries of one generation. Dead ones (no longer in the index) have the key zero.
#[derive(Debug, Default)]
struct Generation {
    entries: Vec<Entry>,
    index: HashTable<u32>,
}

impl Generation {
    fn find(&self, key: [u64; 2]) -> Option<u32> {
        self.index.find(key[0], |i| self.entries[*i as usize].key == key).copied()
    }

    fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(at) = self.find(entry.key) {
            let next = self.entries[at as usize].next;
            self.entries[at as usize] = Entry { next, ..entry };
            return at;
        }
        let at = self.entries.len() as u32;
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(entry.key[0], at, |i| entries[*i as usize].key[0]);
        at
    }

    fn remove(&mut self, key: [u64; 2]) -> Option<Entry> {
        let entries = &self.entries;
        let found = self.index.find_entry(key[0], |i| entries[*i as usize].key == key).ok()?;
        let (at, _) = found.remove();
        let entry = self.entries[at as usize];
        self.entries[at as usize].key = [0, 0];
        Some(entry)
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.index.allocation_size()
    }
}

type Families = std::collections::HashMap<u64, u32, BuildHasherDefault<Prehashed>>;

/// The keys are keyed hashes already.
#[derive(Debug, Default)]
pub(crate) struct Prehashed(u64);

impl std::hash::Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// How look-ups went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LookupCounts {
    pub(crate) guessed: u64,
    pub(crate) found: u64,
    pub(crate) missed: u64,
}

/// What is remembered of one tenant.
#[derive(Debug)]
pub(crate) struct Lane {
    young: Generation,
    old: Generation,
    began: Moment,
    families: Families,
}

impl Lane {
    pub(crate) fn new(now: Moment) -> Self {
        Lane {
            young: Generation::default(),
            old: Generation::default(),
            began: now,
            families: Families::default(),
        }
    }

    /// Looks up `keys` in their order; `out` gets one answer each.
    pub(crate) fn look_up(
        &mut self,
        keys: &[u128],
        now: Moment,
        out: &mut Vec<Option<Known>>,
    ) -> LookupCounts {
        if now.since(self.began) >= GENERATION {
            self.rotate(now);
        }
        let mut counts = LookupCounts::default();
        let mut previous = NONE;
        out.reserve(keys.len());
        for key in keys {
            let key = halves(*key);
            if key == [0, 0] {
                // not to be remembered; dead entries bear this key, too
                counts.missed += 1;
                previous = NONE;
                out.push(None);
                continue;
            }
            let guess = self.young.entries.get(previous as usize).map_or(NONE, |entry| entry.next);
            if let Some(entry) = self.young.entries.get(guess as usize)
                && entry.key == key
            {
                counts.guessed += 1;
                previous = guess;
                out.push(Some(entry.known()));
                continue;
            }
            let at = self.young.find(key).or_else(|| self.promote(key));
            if let Some(before) = self.young.entries.get_mut(previous as usize) {
                before.next = at.unwrap_or(before.next);
            }
            previous = at.unwrap_or(NONE);
            match self.young.entries.get(previous as usize) {
                Some(entry) => {
                    counts.found += 1;
                    out.push(Some(entry.known()));
                }
                None => {
                    counts.missed += 1;
                    out.push(None);
                }
            }
        }
        counts
    }

    /// Takes an entry over from the old generation; its metadata is to be sent again, lest the other side
    /// has forgotten it.
    fn promote(&mut self, key: [u64; 2]) -> Option<u32> {
        let entry = self.old.remove(key)?;
        Some(self.young.insert(Entry { next: NONE, metadata: 0, ..entry }))
    }

    /// Remembers where a series is.
    pub(crate) fn insert(&mut self, key: u128, known: Known) {
        let key = halves(key);
        if key == [0, 0] {
            return;
        }
        self.old.remove(key);
        self.young.insert(Entry {
            key,
            id: known.id.0,
            group: known.group.0,
            reference: known.reference,
            next: NONE,
            metadata: known.metadata,
        });
    }

    /// Forgets a series, if it still is where the caller found it.
    pub(crate) fn remove(&mut self, key: u128, reference: SeriesRef) {
        let key = halves(key);
        for generation in [&mut self.young, &mut self.old] {
            if generation.find(key).is_some_and(|at| generation.entries[at as usize].reference == reference) {
                generation.remove(key);
            }
        }
    }

    /// Notes the metadata that was sent with a series.
    pub(crate) fn set_metadata(&mut self, key: u128, metadata: u32) {
        if let Some(at) = self.young.find(halves(key)) {
            self.young.entries[at as usize].metadata = metadata;
        }
    }

    /// Whether the metadata sent last for a metric family was the same.
    pub(crate) fn family_is_known(&self, family: u64, metadata: u32) -> bool {
        self.families.get(&family) == Some(&metadata)
    }

    /// Notes the metadata that was sent for a metric family.
    pub(crate) fn set_family(&mut self, family: u64, metadata: u32) {
        if self.families.len() >= FAMILIES_MAX {
            self.families.clear();
        }
        self.families.insert(family, metadata);
    }

    /// Starts a new generation; what only the one before the last knew is forgotten.
    pub(crate) fn rotate(&mut self, now: Moment) {
        self.old = std::mem::take(&mut self.young);
        self.families.clear();
        self.began = now;
    }

    pub(crate) fn len(&self) -> usize {
        self.young.index.len() + self.old.index.len()
    }

    pub(crate) fn young_bytes(&self) -> usize {
        self.young.bytes()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes() + self.families.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(reference: u32) -> Known {
        Known { id: SeriesId(7), group: GroupId(1), reference, metadata: 0 }
    }

    fn now() -> Moment {
        Moment::now()
    }

    #[test]
    fn the_second_pass_in_the_same_order_is_all_guesses() {
        let mut lane = Lane::new(now());
        let keys: Vec<u128> = (1..=100).collect();
        let mut out = Vec::new();
        assert_eq!(lane.look_up(&keys, now(), &mut out).missed, 100);
        for key in &keys {
            lane.insert(*key, known(*key as u32));
        }
        out.clear();
        assert_eq!(lane.look_up(&keys, now(), &mut out).found, 100);
        out.clear();
        let counts = lane.look_up(&keys, now(), &mut out);
        assert_eq!(counts, LookupCounts { guessed: 99, found: 1, missed: 0 });
        assert!(out.iter().zip(&keys).all(|(k, key)| k.unwrap().reference == *key as u32));
        // another order: found all the same
        let turned: Vec<u128> = keys.iter().rev().copied().collect();
        out.clear();
        assert_eq!(lane.look_up(&turned, now(), &mut out).missed, 0);
        assert!(out.iter().zip(&turned).all(|(k, key)| k.unwrap().reference == *key as u32));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_after_two_generations() {
        let mut lane = Lane::new(now());
        lane.insert(1, known(1));
        lane.insert(2, known(2));
        lane.rotate(now());
        let mut out = Vec::new();
        lane.look_up(&[1], now(), &mut out);
        lane.rotate(now());
        out.clear();
        lane.look_up(&[1, 2], now(), &mut out);
        assert_eq!(out, [Some(known(1)), None]);
        assert_eq!(lane.len(), 1);
        lane.remove(1, 99);
        assert_eq!(lane.len(), 1, "another reference by now");
        lane.remove(1, 1);
        assert_eq!(lane.len(), 0);
        out.clear();
        lane.insert(3, known(3));
        lane.insert(4, known(4));
        lane.look_up(&[3, 4], now(), &mut out);
        lane.remove(4, 4);
        out.clear();
        lane.look_up(&[3, 0], now(), &mut out);
        assert_eq!(out, [Some(known(3)), None], "a dead entry answers nobody");
        let later = now() + GENERATION;
        lane.look_up(&[1], later, &mut out);
        assert_eq!(lane.began, later);
    }
}
