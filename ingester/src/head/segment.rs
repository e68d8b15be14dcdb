//! A sealed matrix: the rows of one group over one stretch of time, column by column in chunks.
//!
//! Immutable and shared: by the head, by readers, by snapshots.

use std::sync::{Arc, OnceLock};

use model::TimestampMs;

use crate::codec::{decode_ints, decode_values};

/// First byte of a column that lacks some rows: a mask of eight bytes follows, then the chunk.
pub(super) const SPARSE: u8 = 7;
/// Most rows of a segment: a column's mask is a `u64`.
pub(crate) const SEGMENT_ROWS_MAX: usize = 64;

/// Where a segment's bytes lie in the files of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Number of the file.
    pub(crate) file: u64,
    /// First byte.
    pub(crate) at: u64,
    /// Bytes.
    pub(crate) size: u32,
}

/// The segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first_t: TimestampMs,
    pub(crate) last_t: TimestampMs,
    pub(crate) rows: u32,
    /// References by column; `NONE` where there is no series.
    pub(crate) members: Arc<[u32]>,
    /// Where each column ends in `data`; the timestamps stand before the first.
    pub(crate) ends: Box<[u32]>,
    /// Where the first column starts.
    pub(crate) columns_at: u32,
    pub(crate) data: Box<[u8]>,
    pub(crate) stored: OnceLock<Stored>,
}

impl Segment {
    /// The timestamps of the rows; `None` when the bytes are damaged.
    pub(crate) fn timestamps(&self, out: &mut Vec<TimestampMs>) -> Option<()> {
        decode_ints(&self.data, self.rows as usize, out).map(|_| ())
    }

    fn column_bytes(&self, column: u32) -> Option<&[u8]> {
        let column = column as usize;
        let end = *self.ends.get(column)? as usize;
        let start = if column == 0 { self.columns_at } else { self.ends[column - 1] } as usize;
        // The bytes behind help the decoder to load eight at a time.
        (start < end).then(|| self.data.get(start..)).flatten()
    }

    /// Which rows the column of `reference` has; appends their values. `None` when damaged.
    pub(crate) fn read(&self, column: u32, reference: u32, out: &mut Vec<f64>) -> Option<u64> {
        if self.members.get(column as usize) != Some(&reference) {
            return Some(0);
        }
        let Some(bytes) = self.column_bytes(column) else { return Some(0) };
        let all = u64::MAX >> (64 - self.rows.clamp(1, 64));
        if bytes[0] != SPARSE {
            decode_values(bytes, self.rows as usize, out)?;
            return Some(all);
        }
        let mask = u64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?) & all;
        decode_values(&bytes[9..], mask.count_ones() as usize, out)?;
        Some(mask)
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.ends.len() * 4 + size_of::<Self>() + 32
    }
}
