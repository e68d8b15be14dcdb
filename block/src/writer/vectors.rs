//! The distinct timestamp vectors of a piece: series that are scraped together share one.

use std::collections::HashMap;

use model::TimestampMs;
use xxhash_rust::xxh3::xxh3_64;

/// Timestamps kept at most; series beyond are read from the `ts` column.
const TIMESTAMPS_MAX: usize = 2 << 20;
/// Places remembered per timestamp.
const PLACES_MAX: usize = 4;

/// Collects vectors.
#[derive(Default)]
pub(super) struct Vectors {
    all: Vec<TimestampMs>,
    /// Start of each vector in `all`.
    starts: Vec<usize>,
    by_content: HashMap<u64, u32>,
    /// Where a timestamp occurs in `all`.
    by_first: HashMap<TimestampMs, Vec<u32>>,
    last: Option<(u32, u32)>,
}

fn hash(timestamps: &[TimestampMs]) -> u64 {
    let bytes: Vec<u8> = timestamps.iter().flat_map(|t| t.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

impl Vectors {
    fn vector(&self, id: u32) -> &[TimestampMs] {
        let id = id as usize;
        let end = self.starts.get(id + 1).copied().unwrap_or(self.all.len());
        &self.all[self.starts[id]..end]
    }

    fn lies_at(&self, id: u32, offset: u32, timestamps: &[TimestampMs]) -> bool {
        self.vector(id).get(offset as usize..).is_some_and(|rest| rest.starts_with(timestamps))
    }

    /// The vector and the place in it where `timestamps` (not empty) lie contiguously; a new vector
    /// when there is none; `None` when there is no room for it.
    pub(super) fn place(&mut self, timestamps: &[TimestampMs]) -> Option<(u32, u32)> {
        if let Some((id, offset)) = self.last
            && self.lies_at(id, offset, timestamps)
        {
            return self.last;
        }
        let found = self.find(timestamps).or_else(|| self.add(timestamps));
        self.last = found.or(self.last);
        found
    }

    fn find(&self, timestamps: &[TimestampMs]) -> Option<(u32, u32)> {
        let key = hash(timestamps);
        if let Some(id) = self.by_content.get(&key)
            && self.vector(*id) == timestamps
        {
            return Some((*id, 0));
        }
        for &place in self.by_first.get(timestamps.first()?)? {
            let id = self.starts.partition_point(|s| *s <= place as usize) - 1;
            let (id, offset) = (id as u32, place - self.starts[id] as u32);
            if self.lies_at(id, offset, timestamps) {
                return Some((id, offset));
            }
        }
        None
    }

    fn add(&mut self, timestamps: &[TimestampMs]) -> Option<(u32, u32)> {
        if self.all.len() + timestamps.len() > TIMESTAMPS_MAX {
            return None;
        }
        let id = self.starts.len() as u32;
        self.starts.push(self.all.len());
        for t in timestamps {
            let places = self.by_first.entry(*t).or_default();
            // the latest vectors are the likeliest
            if places.len() == PLACES_MAX {
                places.remove(0);
            }
            places.push(self.all.len() as u32);
            self.all.push(*t);
        }
        self.by_content.insert(hash(timestamps), id);
        Some((id, 0))
    }

    /// The vectors, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[TimestampMs]> {
        (0..self.starts.len() as u32).map(|id| self.vector(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_vectors_and_contiguous_pieces_are_shared() {
        let mut vectors = Vectors::default();
        assert_eq!(vectors.place(&[1, 2, 3, 4]), Some((0, 0)));
        assert_eq!(vectors.place(&[1, 2, 3, 4]), Some((0, 0)));
        assert_eq!(vectors.place(&[2, 3]), Some((0, 1)));
        assert_eq!(vectors.place(&[2, 4]), Some((1, 0)));
        assert_eq!(vectors.place(&[4]), Some((0, 3)));
        assert_eq!(vectors.iter().collect::<Vec<_>>(), vec![&[1, 2, 3, 4][..], &[2, 4]]);
    }
}
