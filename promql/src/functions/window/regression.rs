//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::{Notes, Window, WindowValue};
use crate::engine::QueryError;
use crate::kahan::{self, Double};

/// Slope and value at `at` of the least-squares line.
pub(super) fn line(ts: &[i64], vs: &[f64], at: i64) -> (f64, f64) {
    let (mut sum_x, mut cx) = (0.0, 0.0);
    let (mut sum_y, mut cy) = (0.0, 0.0);
    let (mut sum_xy, mut cxy) = (0.0, 0.0);
    let (mut sum_x2, mut cx2) = (0.0, 0.0);
    let first = vs[0];
    let mut constant = true;
    for (t, y) in ts.iter().zip(vs) {
        constant &= *y == first;
        let x = (t - at) as f64 / 1e3;
        kahan::add(x, &mut sum_x, &mut cx);
        kahan::add(*y, &mut sum_y, &mut cy);
        kahan::add(x * y, &mut sum_xy, &mut cxy);
        kahan::add(x * x, &mut sum_x2, &mut cx2);
    }
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = vs.len() as f64;
    sum_x += cx;
    sum_y += cy;
    sum_xy += cxy;
    sum_x2 += cx2;
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

/// The sums of a least-squares line. Times are milliseconds from an origin, summed exactly.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineSums {
    pub count: u64,
    pub x: i128,
    pub x2: i128,
    pub y: Double,
    pub xy: Double,
}

impl LineSums {
    /// Adds a value.
    pub(super) fn push(&mut self, x: i64, y: f64) {
        self.count += 1;
        self.x += i128::from(x);
        self.x2 += i128::from(x) * i128::from(x);
        self.y = self.y.plus(y);
        self.xy = self.xy.plus_product(x as f64, y);
    }

    /// Adds sums whose origin lies `shift` after this one. Sums that were made up wrap.
    pub(super) fn merge(&mut self, next: &Self, shift: i64) {
        let wide = i128::from(shift);
        let n = i128::from(next.count);
        let twice = next.x.wrapping_mul(2 * wide);
        self.count += next.count;
        self.x2 = self.x2.wrapping_add(next.x2).wrapping_add(twice).wrapping_add(n.wrapping_mul(wide * wide));
        self.x = self.x.wrapping_add(next.x).wrapping_add(n.wrapping_mul(wide));
        self.xy = self.xy.join(next.xy).join(next.y.times(shift as f64));
        self.y = self.y.join(next.y);
    }

    /// n² times the variance of times, in ms².
    fn spread(&self) -> f64 {
        i128::from(self.count).wrapping_mul(self.x2).wrapping_sub(self.x.wrapping_mul(self.x)) as f64
    }

    /// Of times from a point `offset` ms before the origin, in seconds: their sum, and that of the squares of their
    /// distances from the mean.
    pub(super) fn times(&self, offset: i64) -> (f64, f64) {
        let n = i128::from(self.count);
        let sum = self.x.wrapping_add(n.wrapping_mul(i128::from(offset)));
        (sum as f64 / 1e3, self.spread() / n as f64 / 1e6)
    }

    /// Slope per second, and the value at a point `offset` ms before the origin.
    pub(super) fn line(&self, offset: i64) -> (f64, f64) {
        let n = self.count as f64;
        let high = self.x as f64;
        let low = self.x.wrapping_sub(high as i128) as f64;
        let product = self.y.times(high).join(self.y.times(low));
        let covariance = self.xy.times(n).less(product).rounded();
        let slope = covariance / self.spread() * 1000.0;
        let mean_x = (high / n + offset as f64) / 1000.0;
        (slope, self.y.rounded() / n - slope * mean_x)
    }
}

/// Running sums of integers and their times, all exact: cheaper than those of any floats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExactSums {
    x: i64,
    x2: i64,
    y: i64,
    xy: i128,
}

impl ExactSums {
    /// The sums before each sample, and after the last; times count from the first. False when a value is no integer
    /// or a sum could grow too large.
    pub(super) fn run(ts: &[i64], vs: &[f64], out: &mut Vec<Self>) -> bool {
        let Some((first, last)) = ts.first().zip(ts.last()) else { return false };
        let (n, span) = (vs.len() as i64, last - first);
        let squares = n.checked_mul(span).and_then(|n| n.checked_mul(span)).and_then(|n| n.checked_mul(4));
        if squares.is_none() {
            return false;
        }
        out.clear();
        out.reserve(vs.len() + 1);
        let mut sums = ExactSums::default();
        out.push(sums);
        let (mut is_integer, mut largest) = (true, 0);
        for (t, v) in ts.iter().zip(vs) {
            let y = *v as i64;
            is_integer &= y as f64 == *v;
            largest = largest.max(y.unsigned_abs());
            let x = t - first;
            sums.x += x;
            sums.x2 += x * x;
            sums.y = sums.y.wrapping_add(y);
            sums.xy += i128::from(x) * i128::from(y);
            out.push(sums);
        }
        // with these limits n² x y, of which a line is made, is within bounds as well
        is_integer && largest <= 1 << 53 && n.checked_mul(largest as i64).is_some()
    }

    /// Slope per second, and the value at a point `offset` ms before the first of `count` samples, which begin `first`
    /// ms after the run's first.
    pub(super) fn line(&self, after: &Self, count: usize, first: i64, offset: i64) -> (f64, f64) {
        let n = count as i64;
        let (x, y) = (after.x - self.x - n * first, after.y - self.y);
        let x2 = after.x2 - self.x2 - first * (2 * (after.x - self.x) - n * first);
        let xy = after.xy - self.xy - i128::from(first) * i128::from(y);
        let (wide_n, wide_x) = (i128::from(n), i128::from(x));
        let covariance = wide_n * xy - wide_x * i128::from(y);
        let spread = wide_n * i128::from(x2) - wide_x * wide_x;
        let slope = covariance as f64 / spread as f64 * 1000.0;
        let n = n as f64;
        let mean_x = (x as f64 / n + offset as f64) / 1000.0;
        (slope, y as f64 / n - slope * mean_x)
    }
}

/// Notes histograms that were passed over; false when there are too few floats.
fn enough(w: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    if !w.histograms.is_empty() && !w.vs.is_empty() {
        notes.ignored();
    }
    w.vs.len() >= 2
}

pub(super) fn deriv(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if !enough(w, notes) {
        return WindowValue::None;
    }
    WindowValue::Float(line(w.ts, w.vs, w.ts[0]).0)
}

pub(super) fn predict_linear(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if !enough(w, notes) {
        return WindowValue::None;
    }
    let (slope, intercept) = line(w.ts, w.vs, w.eval_t);
    WindowValue::Float(slope * w.params[0] + intercept)
}

pub(super) fn double_exponential_smoothing(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
) -> Result<WindowValue, QueryError> {
    let [smoothing, trend] = w.params;
    if smoothing <= 0.0 || smoothing >= 1.0 {
        return Err(QueryError::Execution(format!(
            "invalid smoothing factor. Expected: 0 < sf < 1, got: {}",
            crate::go_format::format_fixed(smoothing)
        )));
    }
    if trend <= 0.0 || trend >= 1.0 {
        return Err(QueryError::Execution(format!(
            "invalid trend factor. Expected: 0 < tf < 1, got: {}",
            crate::go_format::format_fixed(trend)
        )));
    }
    if !enough(w, notes) {
        return Ok(WindowValue::None);
    }
    let (mut before, mut smoothed) = (0.0, w.vs[0]);
    let mut slope = w.vs[1] - w.vs[0];
    for (i, v) in w.vs.iter().enumerate().skip(1) {
        let x = smoothing * v;
        if i > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let y = (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, x + y);
    }
    Ok(WindowValue::Float(smoothed))
}
