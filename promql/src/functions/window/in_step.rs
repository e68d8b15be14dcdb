//! Sums over windows, each as Prometheus adds it up, several windows at a time.
//!
//! Windows that follow each other are gone over in step, a lane each: the additions of one window wait for each
//! other, those of several do not. Every window's result is the same to the last bit as by itself.

use std::array::from_fn;

use super::Bounds;
use super::over_time::{mean_floats, sum_floats, variance_floats};
use super::regression::line;
use crate::exec::ABSENT;
use crate::kahan::{self, two_sum};

/// Windows gone over in step.
const LANES: usize = 8;

/// Compensated sums, a lane each.
#[derive(Clone, Copy)]
struct Sums {
    sum: [f64; LANES],
    compensation: [f64; LANES],
}

impl Sums {
    const ZERO: Sums = Sums { sum: [0.0; LANES], compensation: [0.0; LANES] };

    /// As `kahan::add` does; what is not finite makes the sum so, and that of no use.
    #[inline(always)]
    fn add(&mut self, values: &[f64; LANES]) {
        for ((sum, compensation), value) in self.sum.iter_mut().zip(&mut self.compensation).zip(values) {
            let (total, error) = two_sum(*sum, *value);
            *sum = total;
            *compensation += error;
        }
    }

    #[inline(always)]
    fn total(&self) -> [f64; LANES] {
        from_fn(|lane| self.sum[lane] + self.compensation[lane])
    }

    #[inline(always)]
    fn of(&self, lane: usize) -> (f64, f64) {
        (self.sum[lane], self.compensation[lane])
    }
}

/// Calls `lanes` with the beginnings and the common length of so many windows, `one` for each window that is left;
/// steps without samples get no value.
#[inline(always)]
fn each_lanes(
    bounds: &Bounds,
    out: &mut [f64],
    mut lanes: impl FnMut(usize, &[usize; LANES], usize, &mut [f64]),
    mut one: impl FnMut(usize, usize, usize) -> f64,
) {
    let steps = out.len();
    let mut step = 0;
    while step + LANES <= steps {
        let lo: [usize; LANES] = from_fn(|lane| bounds.lo[step + lane] as usize);
        let lengths: [usize; LANES] =
            from_fn(|lane| (bounds.hi[step + lane] as usize).saturating_sub(lo[lane]));
        let common = lengths.into_iter().min().unwrap_or(0);
        let longest = lengths.into_iter().max().unwrap_or(0);
        // what some lanes have more is added lane by lane
        if common == 0 || longest > 2 * common {
            break_into_ones(bounds, step..step + LANES, out, &mut one);
        } else {
            lanes(step, &lo, common, &mut out[step..step + LANES]);
        }
        step += LANES;
    }
    break_into_ones(bounds, step..steps, out, &mut one);
}

#[inline(always)]
fn break_into_ones(
    bounds: &Bounds,
    steps: std::ops::Range<usize>,
    out: &mut [f64],
    one: &mut impl FnMut(usize, usize, usize) -> f64,
) {
    for step in steps {
        let (lo, hi) = (bounds.lo[step] as usize, bounds.hi[step] as usize);
        out[step] = if hi > lo { one(step, lo, hi) } else { ABSENT };
    }
}

/// Calls `visit` with the values of all lanes at each place up to `count`.
#[inline(always)]
fn columns(vs: &[f64], lo: &[usize; LANES], count: usize, mut visit: impl FnMut(usize, &[f64; LANES])) {
    let neighbours = (1..LANES).all(|lane| lo[lane] == lo[0] + lane);
    if neighbours {
        let run = &vs[lo[0]..lo[0] + count + LANES - 1];
        for (at, values) in run.windows(LANES).enumerate() {
            visit(at, &from_fn(|lane| values[lane]));
        }
        return;
    }
    let rows: [&[f64]; LANES] = from_fn(|lane| &vs[lo[lane]..lo[lane] + count]);
    (0..count).for_each(|at| visit(at, &from_fn(|lane| rows[lane][at])));
}

/// `sum_over_time`
pub(super) fn sums(vs: &[f64], bounds: &Bounds, out: &mut [f64]) {
    let lanes = |step: usize, lo: &[usize; LANES], count: usize, out: &mut [f64]| {
        let mut sums = Sums::ZERO;
        columns(vs, lo, count, |_, values| sums.add(values));
        for (lane, out) in out.iter_mut().enumerate() {
            let (mut sum, mut compensation) = sums.of(lane);
            let hi = bounds.hi[step + lane] as usize;
            for v in &vs[lo[lane] + count..hi] {
                kahan::add(*v, &mut sum, &mut compensation);
            }
            *out = if sum.is_finite() { sum + compensation } else { sum_floats(&vs[lo[lane]..hi]) };
        }
    };
    each_lanes(bounds, out, lanes, |_, lo, hi| sum_floats(&vs[lo..hi]));
}

/// `avg_over_time`
pub(super) fn means(vs: &[f64], bounds: &Bounds, out: &mut [f64]) {
    let lanes = |step: usize, lo: &[usize; LANES], count: usize, out: &mut [f64]| {
        // the first value is the sum so far: of -0 alone it is -0
        let mut sums = Sums { sum: from_fn(|lane| vs[lo[lane]]), ..Sums::ZERO };
        columns(vs, &lo.map(|lo| lo + 1), count - 1, |_, values| sums.add(values));
        for (lane, out) in out.iter_mut().enumerate() {
            let (mut sum, mut compensation) = sums.of(lane);
            let hi = bounds.hi[step + lane] as usize;
            for v in &vs[lo[lane] + count..hi] {
                kahan::add(*v, &mut sum, &mut compensation);
            }
            let n = (hi - lo[lane]) as f64;
            *out = if sum.is_finite() { sum / n + compensation / n } else { mean_floats(&vs[lo[lane]..hi]) };
        }
    };
    each_lanes(bounds, out, lanes, |_, lo, hi| mean_floats(&vs[lo..hi]));
}

/// `stdvar_over_time`; `finish` makes the result of it.
pub(super) fn variances(vs: &[f64], bounds: &Bounds, out: &mut [f64], finish: impl Fn(f64) -> f64) {
    let lanes = |step: usize, lo: &[usize; LANES], count: usize, out: &mut [f64]| {
        let (mut mean, mut aux) = (Sums::ZERO, Sums::ZERO);
        columns(vs, lo, count, |at, values| {
            let count = at as f64 + 1.0;
            let before = mean.total();
            let delta: [f64; LANES] = from_fn(|lane| values[lane] - before[lane]);
            mean.add(&from_fn(|lane| delta[lane] / count));
            let after = mean.total();
            aux.add(&from_fn(|lane| delta[lane] * (values[lane] - after[lane])));
        });
        for (lane, out) in out.iter_mut().enumerate() {
            let ((mut mean, mut mean_c), (mut aux, mut aux_c)) = (mean.of(lane), aux.of(lane));
            let hi = bounds.hi[step + lane] as usize;
            let mut n = count as f64;
            for v in &vs[lo[lane] + count..hi] {
                n += 1.0;
                let delta = v - (mean + mean_c);
                kahan::add(delta / n, &mut mean, &mut mean_c);
                kahan::add(delta * (v - (mean + mean_c)), &mut aux, &mut aux_c);
            }
            let all = &vs[lo[lane]..hi];
            let is_finite = mean.is_finite() && aux.is_finite();
            *out = finish(if is_finite { (aux + aux_c) / n } else { variance_floats(all) });
        }
    };
    each_lanes(bounds, out, lanes, |_, lo, hi| finish(variance_floats(&vs[lo..hi])));
}

/// The least-squares lines: `at` is where a step's times count from, `finish` makes the step's result of slope and
/// value there. One sample has no line.
pub(super) fn lines(
    ts: &[i64],
    vs: &[f64],
    bounds: &Bounds,
    out: &mut [f64],
    at: impl Fn(usize, usize) -> i64,
    finish: impl Fn(usize, (f64, f64)) -> f64,
) {
    let one = |step: usize, lo: usize, hi: usize| {
        if hi < lo + 2 { ABSENT } else { finish(step, line(&ts[lo..hi], &vs[lo..hi], at(step, lo))) }
    };
    let lanes = |step: usize, lo: &[usize; LANES], count: usize, out: &mut [f64]| {
        let origins: [i64; LANES] = from_fn(|lane| at(step + lane, lo[lane]));
        let (mut x, mut y, mut xy, mut x2) = (Sums::ZERO, Sums::ZERO, Sums::ZERO, Sums::ZERO);
        let times: [&[i64]; LANES] = from_fn(|lane| &ts[lo[lane]..lo[lane] + count]);
        let first: [f64; LANES] = from_fn(|lane| vs[lo[lane]]);
        let mut varies = [false; LANES];
        columns(vs, lo, count, |i, ys| {
            let xs: [f64; LANES] = from_fn(|lane| (times[lane][i] - origins[lane]) as f64 / 1e3);
            varies = from_fn(|lane| varies[lane] | (ys[lane] != first[lane]));
            x.add(&xs);
            y.add(ys);
            xy.add(&from_fn(|lane| xs[lane] * ys[lane]));
            x2.add(&from_fn(|lane| xs[lane] * xs[lane]));
        });
        let (x, y, xy, x2) = (x.total(), y.total(), xy.total(), x2.total());
        for (lane, out) in out.iter_mut().enumerate() {
            let hi = bounds.hi[step + lane] as usize;
            let is_finite = xy[lane].is_finite() && y[lane].is_finite();
            if hi - lo[lane] != count || count < 2 || !varies[lane] || !is_finite {
                *out = one(step + lane, lo[lane], hi);
                continue;
            }
            let n = count as f64;
            let covariance = xy[lane] - x[lane] * y[lane] / n;
            let variance = x2[lane] - x[lane] * x[lane] / n;
            let slope = covariance / variance;
            *out = finish(step + lane, (slope, y[lane] / n - slope * x[lane] / n));
        }
    };
    each_lanes(bounds, out, lanes, one);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Ends;
    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            20 => -1e3..1e3f64,
            3 => Just(0.1),
            1 => Just(-0.0),
            1 => Just(1e16),
            1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(-f64::MAX)],
        ]
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| if v.is_nan() { f64::NAN } else { *v }.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn in_step_is_as_one_by_one(
            values in proptest::collection::vec(value(), 1..120),
            gaps in prop_oneof![
                Just(vec![15_000i64; 120]),
                proptest::collection::vec(1i64..40_000, 120),
            ],
            range in 1i64..600_000,
            distance in prop_oneof![Just(15_000i64), Just(30_000), 1i64..60_000],
        ) {
            let mut t = 0;
            let ts: Vec<i64> = values.iter().zip(gaps).map(|(_, gap)| { t += gap; t }).collect();
            let ends = Ends { first: 10_000, distance, count: 43 };
            let mut bounds = Bounds::default();
            bounds.compute(&ts, ends, range);
            bounds.list();
            let by_one = |one: &dyn Fn(usize, usize, usize) -> f64| -> Vec<f64> {
                let ranges = bounds.lo.iter().zip(&bounds.hi).enumerate();
                ranges.map(|(i, (lo, hi))| if hi > lo { one(i, *lo as usize, *hi as usize) } else { ABSENT }).collect()
            };
            let mut out = vec![0.0; ends.count];
            sums(&values, &bounds, &mut out);
            prop_assert_eq!(bits(&out), bits(&by_one(&|_, lo, hi| sum_floats(&values[lo..hi]))));
            means(&values, &bounds, &mut out);
            prop_assert_eq!(bits(&out), bits(&by_one(&|_, lo, hi| mean_floats(&values[lo..hi]))));
            variances(&values, &bounds, &mut out, f64::sqrt);
            prop_assert_eq!(bits(&out), bits(&by_one(&|_, lo, hi| variance_floats(&values[lo..hi]).sqrt())));
            let at = |step: usize, _: usize| ends.at(step);
            lines(&ts, &values, &bounds, &mut out, at, |_, (slope, value)| slope * 60.0 + value);
            let expected = by_one(&|step, lo, hi| {
                if hi < lo + 2 { return ABSENT; }
                let (slope, value) = line(&ts[lo..hi], &values[lo..hi], ends.at(step));
                slope * 60.0 + value
            });
            prop_assert_eq!(bits(&out), bits(&expected));
        }
    }
}
