//! Points and ranges in time: Unix milliseconds.

/// Milliseconds since the Unix epoch. An alias, not a newtype: whole columns of them are stored and decoded.
pub type TimestampMs = i64;

/// A range of time, `[start, end)` in milliseconds. Empty when `end <= start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond inside.
    pub start: TimestampMs,
    /// First millisecond outside.
    pub end: TimestampMs,
}

impl TimeRange {
    /// The range `[start, end)`.
    pub fn new(start: TimestampMs, end: TimestampMs) -> Self {
        TimeRange { start, end }
    }

    /// The range that holds both ends: `[first, last]`.
    pub fn inclusive(first: TimestampMs, last: TimestampMs) -> Self {
        TimeRange { start: first, end: last.saturating_add(1) }
    }

    /// All of time.
    pub fn all() -> Self {
        TimeRange { start: i64::MIN, end: i64::MAX }
    }

    /// Whether `t` lies inside.
    pub fn contains(&self, t: TimestampMs) -> bool {
        self.start <= t && t < self.end
    }

    /// Whether nothing lies inside.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether the two share a millisecond.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both hold; possibly empty.
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}
