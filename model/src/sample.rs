//! A float sample and the staleness marker.

use crate::TimestampMs;

/// Bits of the NaN by which Prometheus marks a series as gone. Compared bit by bit, kept bit by bit.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a float.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker (and not any other NaN).
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One float value at one time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When.
    pub t: TimestampMs,
    /// What; every bit counts, NaN payloads included.
    pub v: f64,
}

impl PartialEq for Sample {
    /// Bitwise: a NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        self.t == other.t && self.v.to_bits() == other.v.to_bits()
    }
}
