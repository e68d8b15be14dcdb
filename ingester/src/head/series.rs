//! The series of one tenant, in columns.
//!
//! A series has a *reference*, given out when it is created and never used again, and a *row*, its place
//! in the columns, which another series takes when it is gone. Everything outside of the head, and
//! everything that outlives a lock, names series by reference.

use hashbrown::HashTable;
use model::{Labels, SeriesId, TimestampMs};
use roaring::RoaringBitmap;

use super::index::Index;

/// "No such row, reference, group or column."
pub(crate) const NONE: u32 = u32::MAX;
/// References end before the bit that marks new series.
const REFERENCES_MAX: u32 = proto::NEW_SERIES - 1;
const PAGE: usize = 1024;

/// The series has samples in columns of groups other than its home.
pub(crate) const HAS_STINTS: u8 = 1;
/// The series has, or had, late samples.
pub(crate) const HAS_LATE: u8 = 2;
/// The series has native histograms.
pub(crate) const HAS_HISTOGRAMS: u8 = 4;
/// The series has start timestamps.
pub(crate) const HAS_STARTS: u8 = 8;

/// Where samples of a series lie: a column of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stint {
    pub(crate) group: u32,
    pub(crate) column: u32,
}

/// The series that is nowhere.
pub(crate) const HOMELESS: Stint = Stint { group: NONE, column: NONE };

/// The columns.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    /// Reference by row; `NONE` when the row is free.
    pub(crate) reference: Vec<u32>,
    pub(crate) id: Vec<SeriesId>,
    /// Newest sample in order.
    pub(crate) last_t: Vec<TimestampMs>,
    pub(crate) home: Vec<Stint>,
    pub(crate) flags: Vec<u8>,
    /// Where in `arena` the count of pairs, then the pairs are.
    pairs_at: Vec<u32>,
    arena: Vec<u32>,
    pub(crate) free_rows: Vec<u32>,
    pub(crate) next_reference: u32,
    /// Row by reference, in pages; a page without a living series is not there.
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    by_id: HashTable<u32>,
    pub(crate) rows: RoaringBitmap,
}

impl SeriesTable {
    /// Living series.
    pub(crate) fn len(&self) -> usize {
        self.reference.len() - self.free_rows.len()
    }

    /// The row of `reference`, when the series lives.
    #[inline]
    pub(crate) fn row_of(&self, reference: u32) -> Option<u32> {
        let page = self.pages.get(reference as usize / PAGE)?.as_ref()?;
        let row = page[reference as usize % PAGE];
        (row != NONE).then_some(row)
    }

    /// Pair ids of a row, in the order of the labels.
    pub(crate) fn pairs(&self, row: u32) -> &[u32] {
        let at = self.pairs_at[row as usize] as usize;
        let count = self.arena[at] as usize;
        &self.arena[at + 1..at + 1 + count]
    }

    /// The row of `labels`.
    pub(crate) fn find(&self, index: &Index, labels: &Labels, id: SeriesId) -> Option<u32> {
        self.by_id
            .find(id.0, |row| self.id[*row as usize] == id && index.spells(self.pairs(*row), labels))
            .copied()
    }

    /// A new series; `None` when all references are spent.
    pub(crate) fn create(&mut self, index: &mut Index, labels: &Labels, id: SeriesId) -> Option<u32> {
        if self.next_reference > REFERENCES_MAX {
            return None;
        }
        let reference = self.next_reference;
        self.next_reference += 1;
        let pairs: smallvec::SmallVec<[u32; 16]> = labels
            .iter()
            .map(|(name, value)| {
                let name = index.intern_name(name);
                index.intern_pair(name, value)
            })
            .collect();
        let row = match self.free_rows.pop() {
            Some(row) => row,
            None => {
                self.reference.push(NONE);
                self.id.push(id);
                self.last_t.push(TimestampMs::MIN);
                self.home.push(HOMELESS);
                self.flags.push(0);
                self.pairs_at.push(0);
                self.reference.len() as u32 - 1
            }
        };
        self.fill(row, reference, id, &pairs);
        index.add(row, &pairs);
        Some(row)
    }

    fn fill(&mut self, row: u32, reference: u32, id: SeriesId, pairs: &[u32]) {
        let at = row as usize;
        self.reference[at] = reference;
        self.id[at] = id;
        self.last_t[at] = TimestampMs::MIN;
        self.home[at] = HOMELESS;
        self.flags[at] = 0;
        self.pairs_at[at] = self.arena.len() as u32;
        self.arena.push(pairs.len() as u32);
        self.arena.extend_from_slice(pairs);
        let page = reference as usize / PAGE;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([NONE; PAGE]))[reference as usize % PAGE] = row;
        let ids = &self.id;
        self.by_id.insert_unique(id.0, row, |row| ids[*row as usize].0);
        self.rows.insert(row);
    }

    /// Rows that are there but free, for a snapshot that is read: all rows up to `count`.
    pub(crate) fn restore_rows(&mut self, count: usize) {
        self.reference.resize(count, NONE);
        self.id.resize(count, SeriesId(0));
        self.last_t.resize(count, TimestampMs::MIN);
        self.home.resize(count, HOMELESS);
        self.flags.resize(count, 0);
        self.pairs_at.resize(count, 0);
    }

    /// Puts a series back at its row (when a snapshot is read).
    pub(crate) fn restore(
        &mut self,
        index: &mut Index,
        row: u32,
        reference: u32,
        id: SeriesId,
        pairs: &[u32],
    ) {
        self.fill(row, reference, id, pairs);
        index.add(row, pairs);
    }

    /// Forgets `gone` rows.
    pub(crate) fn remove(&mut self, index: &mut Index, gone: &RoaringBitmap) {
        if gone.is_empty() {
            return;
        }
        let mut touched: Vec<u32> = gone.iter().flat_map(|row| self.pairs(row).iter().copied()).collect();
        touched.sort_unstable();
        touched.dedup();
        index.remove(gone, &touched);
        for row in gone {
            let at = row as usize;
            if let Ok(entry) = self.by_id.find_entry(self.id[at].0, |other| *other == row) {
                entry.remove();
            }
            let reference = self.reference[at] as usize;
            if let Some(page) = self.pages[reference / PAGE].as_mut() {
                page[reference % PAGE] = NONE;
            }
            self.reference[at] = NONE;
            self.home[at] = HOMELESS;
            self.free_rows.push(row);
        }
        self.rows -= gone;
        for page in &mut self.pages {
            if page.as_ref().is_some_and(|rows| rows.iter().all(|row| *row == NONE)) {
                *page = None;
            }
        }
        self.compact();
    }

    /// Writes the arena again without what is gone.
    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len());
        for row in &self.rows {
            let at = arena.len() as u32;
            arena.push(self.pairs(row).len() as u32);
            arena.extend_from_slice(self.pairs(row));
            self.pairs_at[row as usize] = at;
        }
        self.arena = arena;
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.reference.capacity() * (4 + 8 + 8 + 8 + 1 + 4)
            + self.arena.capacity() * 4
            + self.by_id.capacity() * 5
            + self.pages.iter().flatten().count() * PAGE * 4
    }
}
