//! The state of `stddev_over_time` and `stdvar_over_time`.
//!
//! Mean and squared distances from it, joined as Chan, Golub and LeVeque do: errors stay relative to the deviation,
//! whatever the mean.

use super::floats::FloatState;
use super::wire::{Reader, StateError, Writer};
use crate::kahan::{Double, two_sum};

/// Mean and sum of squared distances from it.
#[derive(Debug, Clone)]
pub(super) struct Variance {
    count: u64,
    mean: Double,
    squares: Double,
    /// Whether a value is infinite or NaN: there is no variance then.
    is_odd: bool,
}

impl Variance {
    pub(super) fn of(vs: &[f64]) -> Self {
        let count = vs.len() as u64;
        let n = vs.len() as f64;
        let mut mean = vs.iter().fold(Double::default(), |sum, v| sum.plus(*v)).over(n);
        if mean.rounded().is_nan() {
            // the sum left the range
            mean = vs.iter().fold(Double::default(), |mean, v| mean.plus(v / n));
        }
        let mut squares = Double::default();
        for v in vs {
            let distance = distance(*v, mean);
            squares = squares.plus_product(distance, distance);
        }
        Variance { count, mean, squares, is_odd: vs.iter().any(|v| !v.is_finite()) }
    }

    pub(super) fn variance(&self) -> f64 {
        let squares = self.squares.rounded();
        match squares.is_finite() {
            _ if self.is_odd => f64::NAN,
            true => squares / self.count as f64,
            // squares of large values left the range
            false => f64::INFINITY,
        }
    }
}

fn distance(v: f64, mean: Double) -> f64 {
    let (high, low) = mean.parts();
    let (distance, error) = two_sum(v, -high);
    distance + (error - low)
}

impl FloatState for Variance {
    fn merge(&mut self, next: &Self) {
        let (a, b) = (self.count as f64, next.count as f64);
        let n = a + b;
        let apart = next.mean.less(self.mean);
        let distance = apart.rounded();
        self.mean = self.mean.join(apart.times(b / n));
        self.squares = self
            .squares
            .join(next.squares)
            .join(Double::default().plus_product(distance, distance).times(a * b / n));
        self.count += next.count;
        self.is_odd |= next.is_odd;
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.number(self.count);
        out.byte(u8::from(self.is_odd));
        out.double(self.mean);
        out.double(self.squares);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = from.samples()?;
        let is_odd = from.flag()?;
        Ok(Variance { count, mean: from.double()?, squares: from.double()?, is_odd })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::over_time::variance_floats;
    use super::*;

    #[test]
    fn squares_of_large_values_are_infinite_however_they_are_cut() {
        let values = [1.0, 1e300, 3.0, -1e300, 5.0, 6.0];
        assert_eq!(variance_floats(&values), f64::INFINITY);
        for cut in 1..values.len() {
            let mut state = Variance::of(&values[..cut]);
            values[cut..].iter().for_each(|v| state.merge(&Variance::of(&[*v])));
            assert_eq!(state.variance(), f64::INFINITY, "cut at {cut}");
        }
        let mut state = Variance::of(&[1e300]);
        state.merge(&Variance::of(&[f64::INFINITY]));
        assert!(state.variance().is_nan());
    }
}
