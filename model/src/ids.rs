//! Identifiers that are numbers, and ranges of them.

use std::fmt;

/// Slots that a tenant's series are spread over; fixed for ever, for blocks record ranges of them.
const SLOT_BITS: u32 = 12;

/// The stable identity of a series within a tenant: xxh3-64 of its length-prefixed sorted label pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);

impl SeriesId {
    /// The slot (0..4096) the series falls into: the top 12 bits.
    pub fn slot(self) -> u16 {
        (self.0 >> (64 - SLOT_BITS)) as u16
    }
}

/// One replicated group: one Raft group, one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group that holds members, placement, catalog committers; never samples.
    pub const META: GroupId = GroupId(0);
    /// The first data group.
    pub const FIRST_DATA: GroupId = GroupId(1);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One process of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in a group's log. Ordered by index; the term tells which leader wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct LogPosition {
    /// Index of the entry, from 1; 0 is "before everything".
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

/// A range of slots, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotRange {
    /// First slot.
    pub first: u16,
    /// Last slot.
    pub last: u16,
}

impl SlotRange {
    /// All 4,096 slots.
    pub const ALL: SlotRange = SlotRange { first: 0, last: (1 << SLOT_BITS) - 1 };

    /// Whether `slot` lies inside.
    pub fn contains(&self, slot: u16) -> bool {
        self.first <= slot && slot <= self.last
    }
}

/// The name of one attempt at a block: a ULID, sortable by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl BlockId {
    /// A ULID of the given time and 80 random bits.
    pub fn new(now_ms: u64, random: u128) -> Self {
        BlockId((u128::from(now_ms & 0xffff_ffff_ffff) << 80) | (random & ((1 << 80) - 1)))
    }

    /// Reads the 26 characters that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 {
            return None;
        }
        let mut value: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase())?;
            if i == 0 && digit > 7 {
                return None;
            }
            value = (value << 5) | digit as u128;
        }
        Some(BlockId(value))
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in (0..26).rev() {
            let digit = ((self.0 >> (5 * i)) & 31) as usize;
            write!(f, "{}", CROCKFORD[digit] as char)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ids_read_back_and_sort_by_time() {
        let a = BlockId::new(1_700_000_000_000, 7);
        let b = BlockId::new(1_700_000_000_001, 3);
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(BlockId::parse(&a.to_string()), Some(a));
        assert_eq!(BlockId::parse("Z0000000000000000000000000"), None);
    }
}
