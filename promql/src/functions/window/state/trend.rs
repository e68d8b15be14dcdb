//! The state of `deriv` and `predict_linear`: the sums of a least-squares line.
//!
//! Times count in milliseconds from the run's first sample and are exact; sums of values have twice the precision.
//! Values are made smaller by a power of two, which is exact, so that products with times stay in range.
//! Of infinite values only their times are kept: they decide which of the line's parts are infinite or NaN.

use super::floats::FloatState;
use super::wire::{Reader, StateError, Writer};
use crate::functions::window::regression::LineSums;

/// First and last time of infinite values of one sign.
type Times = Option<(i64, i64)>;

/// What values are multiplied by: 2^-80.
const SCALE: f64 = 1.0 / (1u128 << 80) as f64;

/// The sums of a run.
#[derive(Debug, Clone)]
pub(super) struct Trend {
    /// Of scaled values.
    sums: LineSums,
    first_t: i64,
    first: f64,
    /// Whether all values are the same.
    is_constant: bool,
    has_nan: bool,
    infinite: Option<Box<[Times; 2]>>,
}

impl Trend {
    pub(super) fn of(ts: &[i64], vs: &[f64]) -> Option<Self> {
        let (first_t, first) = (*ts.first()?, *vs.first()?);
        let mut trend = Trend {
            sums: LineSums::default(),
            first_t,
            first,
            is_constant: true,
            has_nan: false,
            infinite: None,
        };
        for (t, v) in ts.iter().zip(vs) {
            trend.is_constant &= *v == first;
            let finite = if v.is_finite() { *v } else { 0.0 };
            trend.sums.push(t - first_t, finite * SCALE);
            if v.is_nan() {
                trend.has_nan = true;
            } else if v.is_infinite() {
                let times = trend.infinite.get_or_insert_default();
                join(&mut times[usize::from(*v > 0.0)], Some((*t, *t)));
            }
        }
        Some(trend)
    }

    /// When the first sample was.
    pub(super) fn first_t(&self) -> i64 {
        self.first_t
    }

    /// Slope per second and value at `at`; `None` for less than two samples.
    pub(super) fn line(&self, at: i64) -> Option<(f64, f64)> {
        if self.sums.count < 2 {
            return None;
        }
        if self.is_constant {
            let odd = self.first.is_infinite();
            return Some(if odd { (f64::NAN, f64::NAN) } else { (0.0, self.first) });
        }
        Some(match &self.infinite {
            _ if self.has_nan => (f64::NAN, f64::NAN),
            Some(times) => self.infinite_line(times, at),
            None => {
                let (slope, value) = self.sums.line(self.first_t - at);
                (slope / SCALE, value / SCALE)
            }
        })
    }

    /// What becomes of the formula when sums are infinite.
    fn infinite_line(&self, times: &[Times; 2], at: i64) -> (f64, f64) {
        let (mut sum_y, mut sum_xy) = (0.0f64, 0.0f64);
        for (times, infinity) in times.iter().zip([f64::NEG_INFINITY, f64::INFINITY]) {
            if let Some((from, to)) = times {
                sum_y += infinity;
                // an infinite value at the origin makes NaN; those on both its sides do too
                sum_xy += (from - at) as f64 * infinity + (to - at) as f64 * infinity;
            }
        }
        let n = self.sums.count as f64;
        let (sum_x, variance) = self.sums.times(self.first_t - at);
        let slope = (sum_xy - sum_x * sum_y / n) / variance;
        (slope, sum_y / n - slope * sum_x / n)
    }
}

fn join(times: &mut Times, more: Times) {
    *times = match (*times, more) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
}

impl FloatState for Trend {
    fn merge(&mut self, next: &Self) {
        self.sums.merge(&next.sums, next.first_t - self.first_t);
        self.is_constant &= next.is_constant && self.first == next.first;
        self.has_nan |= next.has_nan;
        if let Some(theirs) = &next.infinite {
            let mine = self.infinite.get_or_insert_default();
            join(&mut mine[0], theirs[0]);
            join(&mut mine[1], theirs[1]);
        }
    }

    fn encode(&self, out: &mut Writer<'_>) {
        let flags = [self.is_constant, self.has_nan, self.infinite.is_some()];
        out.byte(flags.iter().enumerate().map(|(i, set)| u8::from(*set) << i).sum());
        out.number(self.sums.count);
        out.signed(self.first_t);
        out.float(self.first);
        out.wide(self.sums.x);
        out.wide(self.sums.x2);
        out.double(self.sums.y);
        out.double(self.sums.xy);
        for times in self.infinite.iter().flat_map(|times| times.iter()) {
            out.byte(u8::from(times.is_some()));
            if let Some((from, to)) = times {
                out.signed(*from);
                out.signed(*to);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let flags = from.byte()?;
        if flags > 7 {
            return Err(StateError::Invalid("marks of a trend"));
        }
        let count = from.samples()?;
        let first_t = from.time()?;
        let first = from.float()?;
        let (x, x2) = (from.wide()?, from.wide()?);
        let sums = LineSums { count, x, x2, y: from.double()?, xy: from.double()? };
        let mut infinite = None;
        if flags & 4 != 0 {
            let mut both = Box::new([None; 2]);
            for times in &mut *both {
                if from.flag()? {
                    *times = Some((from.time()?, from.time()?));
                }
            }
            infinite = Some(both);
        }
        Ok(Trend { sums, first_t, first, is_constant: flags & 1 != 0, has_nan: flags & 2 != 0, infinite })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::regression;
    use super::*;

    #[test]
    fn lines_of_very_large_values_stay_in_range_however_they_are_cut() {
        let ts: Vec<i64> = (0..240).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let vs: Vec<f64> = ts.iter().map(|t| if t % 7 == 0 { 1e300 } else { 3.0 }).collect();
        let expected = regression::line(&ts, &vs, ts[0]);
        assert!(expected.0.is_finite() && expected.0 != 0.0);
        for cut in [1, 100, 239] {
            let mut trend = Trend::of(&ts[..cut], &vs[..cut]).unwrap();
            trend.merge(&Trend::of(&ts[cut..], &vs[cut..]).unwrap());
            let (slope, value) = trend.line(ts[0]).unwrap();
            assert!((slope / expected.0 - 1.0).abs() < 1e-9, "{slope} {}", expected.0);
            assert!((value / expected.1 - 1.0).abs() < 1e-9, "{value} {}", expected.1);
        }
    }
}
