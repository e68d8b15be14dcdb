//! A sum of floats that merges.
//!
//! Finite values are added at twice the precision, those near the end of the range scaled down, so that no
//! grouping overflows where the whole does not. What is not finite only leaves a mark. Always: the outcome is that of
//! adding one value after another with compensation, up to rounding of the last bits; where a running sum leaves the
//! range in both directions, the sign of the infinite outcome is that of the larger one.

use super::wire::{Reader, StateError, Writer};
use crate::kahan::Double;

/// Above this, values are added scaled.
const HUGE: f64 = 9.98e291; // about 2^970
/// 2^-100
const SCALE: f64 = 1.0 / (1u128 << 100) as f64;
/// 2^100
const UNSCALE: f64 = (1u128 << 100) as f64;
/// `f64::MAX`, scaled.
const SCALED_MAX: f64 = f64::MAX * SCALE;

const NAN: u8 = 1;
const PLUS: u8 = 2;
const MINUS: u8 = 4;

/// What only sums of enormous values need; scaled.
#[derive(Debug, Clone, Copy, Default)]
struct Scaled {
    sum: Double,
    /// The largest and the smallest sum of leading values.
    highest: f64,
    lowest: f64,
}

/// The sum of a run of floats; of none by default.
#[derive(Debug, Clone, Default)]
pub(super) struct FloatSum {
    sum: Double,
    marks: u8,
    scaled: Option<Box<Scaled>>,
}

impl FloatSum {
    /// Of these.
    pub(super) fn of(vs: &[f64]) -> Self {
        let mut sum = Self::default();
        for v in vs {
            sum.push(*v);
        }
        sum
    }

    /// Adds the next value.
    #[inline]
    pub(super) fn push(&mut self, v: f64) {
        if v.abs() <= HUGE {
            self.sum = self.sum.plus(v);
        } else {
            self.push_odd(v);
        }
    }

    fn push_odd(&mut self, v: f64) {
        if v.is_nan() {
            self.marks |= NAN;
        } else if v.is_infinite() {
            self.marks |= if v > 0.0 { PLUS } else { MINUS };
        } else {
            let plain = self.sum.rounded() * SCALE;
            let scaled = self.scaled.get_or_insert_default();
            scaled.sum = scaled.sum.plus(v * SCALE);
            let here = scaled.sum.rounded() + plain;
            scaled.highest = scaled.highest.max(here);
            scaled.lowest = scaled.lowest.min(here);
        }
    }

    /// Adds the sum of the values that follow.
    pub(super) fn merge(&mut self, next: &Self) {
        if let Some(theirs) = &next.scaled {
            let plain = self.sum.rounded() * SCALE;
            let scaled = self.scaled.get_or_insert_default();
            let before = scaled.sum.rounded() + plain;
            scaled.highest = scaled.highest.max(before + theirs.highest);
            scaled.lowest = scaled.lowest.min(before + theirs.lowest);
            scaled.sum = scaled.sum.join(theirs.sum);
        }
        self.sum = self.sum.join(next.sum);
        self.marks |= next.marks;
    }

    /// NaN or an infinity, when the values have such.
    fn odd(&self) -> Option<f64> {
        match self.marks {
            0 => None,
            PLUS => Some(f64::INFINITY),
            MINUS => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    /// The sum; infinite once a sum of leading values was.
    pub(super) fn total(&self) -> f64 {
        if let Some(odd) = self.odd() {
            return odd;
        }
        let Some(scaled) = &self.scaled else { return self.sum.rounded() };
        if scaled.highest > SCALED_MAX && scaled.highest >= -scaled.lowest {
            return f64::INFINITY;
        }
        if scaled.lowest < -SCALED_MAX {
            return f64::NEG_INFINITY;
        }
        let (high, low) = scaled.sum.parts();
        high * UNSCALE + (low * UNSCALE + self.sum.rounded())
    }

    /// The mean of `count` values.
    pub(super) fn mean(&self, count: u64) -> f64 {
        if let Some(odd) = self.odd() {
            return odd;
        }
        let count = count as f64;
        let (high, low) = self.sum.parts();
        let mean = high / count + low / count;
        match &self.scaled {
            None => mean,
            Some(scaled) => (scaled.sum.rounded() / count).mul_add(UNSCALE, mean),
        }
    }

    /// Appends its wire form.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.byte(self.marks | u8::from(self.scaled.is_some()) << 3);
        out.double(self.sum);
        if let Some(scaled) = &self.scaled {
            out.double(scaled.sum);
            out.float(scaled.highest);
            out.float(scaled.lowest);
        }
    }

    /// Reads its wire form.
    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let flags = from.byte()?;
        if flags > 15 {
            return Err(StateError::Invalid("marks of a sum"));
        }
        let sum = from.double()?;
        let scaled = if flags & 8 == 0 {
            None
        } else {
            Some(Box::new(Scaled { sum: from.double()?, highest: from.float()?, lowest: from.float()? }))
        };
        Ok(FloatSum { sum, marks: flags & 7, scaled })
    }
}
