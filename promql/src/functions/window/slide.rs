//! All windows of a float series in one go.
//!
//! Prefix counts, queues of candidates for extremes and positions of resets slide. Each window is summed by itself, to
//! the last bit as Prometheus does, unless very many hold each sample: then prefix sums of twice the precision slide
//! (their difference is the window's sum), and where values are not finite or differ too much in size for that,
//! states are merged.

use std::collections::VecDeque;
use std::ops::Range;

use super::in_step;
use super::over_time::variance_floats;
use super::rate::{RateTerm, RateTerms};
use super::regression::{ExactSums, LineSums};
use super::state::{Algebra, Edges, Run, each_state};
use super::{Bounds, Ends, Even, Extended, Notes, WindowFunction, WindowValue};
use crate::ast::PosRange;
use crate::exec::ABSENT;
use crate::kahan::Double;

/// Memory that is used again for the next series.
#[derive(Debug, Default)]
pub(crate) struct SlideScratch {
    counts: Vec<u32>,
    sums: Vec<Double>,
    squares: Vec<Double>,
    resets: Vec<u32>,
    /// Sums of times and of their squares, in milliseconds from the first sample.
    times: Vec<(i128, i128)>,
    exact: Vec<ExactSums>,
    queue: VecDeque<u32>,
}

/// What is known of a series' windows before its values are seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlidePlan<'a> {
    pub bounds: &'a Bounds,
    pub terms: &'a RateTerms,
    pub range_seconds: f64,
    /// `bounds.work()`
    pub work: u64,
    /// When the expression is evaluated: first time, distance.
    pub eval: (i64, i64),
    /// When the windows end.
    pub ends: Ends,
    /// The windows' length.
    pub range: i64,
    /// Scalar arguments, each a value per step.
    pub params: &'a [Vec<f64>],
    /// No value is known to be below the one before.
    pub is_ascending: bool,
}

impl<'a> SlidePlan<'a> {
    /// The terms of steps that may have a value.
    fn touched_runs(&self) -> impl Iterator<Item = (Range<usize>, &'a RateTerm)> {
        let touched = self.bounds.touched.clone();
        let inside = move |steps: Range<usize>| {
            let start = steps.start.max(touched.start);
            start..steps.end.min(touched.end).max(start)
        };
        self.terms.runs().map(move |(steps, term)| (inside(steps), term))
    }
}

/// Whether `slide` knows the function.
pub(crate) fn slides(function: WindowFunction) -> bool {
    function.algebra(Extended::No) != Algebra::Raw
}

/// Calls `value` for every step that has a sample.
#[inline(always)]
fn each(bounds: &Bounds, out: &mut [f64], mut value: impl FnMut(usize, usize) -> f64) {
    for ((out, lo), hi) in out.iter_mut().zip(&bounds.lo).zip(&bounds.hi) {
        *out = if hi > lo { value(*lo as usize, *hi as usize) } else { ABSENT };
    }
}

/// Whether the function looks at windows one by one, so that their bounds have to be listed.
pub(crate) fn needs_list(function: WindowFunction) -> bool {
    !matches!(function, WindowFunction::Rate | WindowFunction::Increase | WindowFunction::Delta)
}

/// The function's value at every step of a series of floats without staleness markers. Steps that are not touched may
/// be left as they are in `out`.
pub(crate) fn slide(
    function: WindowFunction,
    ts: &[i64],
    vs: &[f64],
    plan: &SlidePlan<'_>,
    scratch: &mut SlideScratch,
    out: &mut [f64],
) {
    let bounds = plan.bounds;
    match function {
        WindowFunction::Rate | WindowFunction::Increase => {
            counter(vs, plan, function == WindowFunction::Rate, scratch, out);
        }
        WindowFunction::Delta => {
            for (steps, term) in plan.touched_runs() {
                for step in steps {
                    let (lo, hi) = bounds.at(step);
                    out[step] = if hi >= lo + 2 { (vs[hi - 1] - vs[lo]) * term.factor } else { ABSENT };
                }
            }
        }
        WindowFunction::Irate | WindowFunction::Idelta => {
            let is_rate = function == WindowFunction::Irate;
            each(bounds, out, |lo, hi| {
                if hi < lo + 2 || ts[hi - 1] == ts[hi - 2] {
                    return ABSENT;
                }
                let (a, b) = (vs[hi - 2], vs[hi - 1]);
                let value = if is_rate && b < a { b } else { b - a };
                if is_rate { value / ((ts[hi - 1] - ts[hi - 2]) as f64 / 1000.0) } else { value }
            });
        }
        WindowFunction::Count => each(bounds, out, |lo, hi| (hi - lo) as f64),
        WindowFunction::Present | WindowFunction::Absent => each(bounds, out, |_, _| 1.0),
        WindowFunction::Last => each(bounds, out, |_, hi| vs[hi - 1]),
        WindowFunction::First => each(bounds, out, |lo, _| vs[lo]),
        WindowFunction::TsOfFirst => each(bounds, out, |lo, _| ts[lo] as f64 / 1000.0),
        WindowFunction::TsOfLast => each(bounds, out, |_, hi| ts[hi - 1] as f64 / 1000.0),
        WindowFunction::Changes => {
            count_pairs(vs, &mut scratch.counts, |a, b| a != b && !(a.is_nan() && b.is_nan()));
            let counts = &scratch.counts;
            each(bounds, out, |lo, hi| f64::from(counts[hi - 1] - counts[lo]));
        }
        WindowFunction::Resets => {
            count_pairs(vs, &mut scratch.counts, |a, b| b < a);
            let counts = &scratch.counts;
            each(bounds, out, |lo, hi| f64::from(counts[hi - 1] - counts[lo]));
        }
        WindowFunction::Sum => {
            if !overlaps(vs, plan, IN_STEP_MAX) {
                in_step::sums(vs, bounds, out);
            } else if prefix_sums(vs, 0.0, &mut scratch.sums) {
                let sums = &scratch.sums;
                each(bounds, out, |lo, hi| sums[hi].minus(sums[lo]));
            } else {
                by_states(function, ts, vs, plan, out);
            }
        }
        WindowFunction::Avg => {
            if !overlaps(vs, plan, IN_STEP_MAX) {
                in_step::means(vs, bounds, out);
            } else if prefix_sums(vs, 0.0, &mut scratch.sums) {
                let sums = &scratch.sums;
                each(bounds, out, |lo, hi| sums[hi].minus(sums[lo]) / (hi - lo) as f64);
            } else {
                by_states(function, ts, vs, plan, out);
            }
        }
        WindowFunction::Stddev | WindowFunction::Stdvar => {
            if !variance(vs, plan, function == WindowFunction::Stddev, scratch, out) {
                by_states(function, ts, vs, plan, out);
            }
        }
        WindowFunction::Min => extreme(vs, bounds, &mut scratch.queue, out, |a, b| a < b, |i| vs[i]),
        WindowFunction::Max => extreme(vs, bounds, &mut scratch.queue, out, |a, b| a > b, |i| vs[i]),
        WindowFunction::TsOfMin => {
            extreme(vs, bounds, &mut scratch.queue, out, |a, b| a <= b, |i| ts[i] as f64 / 1000.0);
        }
        WindowFunction::TsOfMax => {
            extreme(vs, bounds, &mut scratch.queue, out, |a, b| a >= b, |i| ts[i] as f64 / 1000.0);
        }
        WindowFunction::Deriv | WindowFunction::PredictLinear => {
            if !trend(function, ts, vs, plan, scratch, out) {
                by_states(function, ts, vs, plan, out);
            }
        }
        WindowFunction::DoubleExponentialSmoothing | WindowFunction::Quantile | WindowFunction::Mad => {
            out.fill(ABSENT);
        }
    }
}

/// All windows from states that merge: where no formula holds, and windows are too large to go over each.
fn by_states(function: WindowFunction, ts: &[i64], vs: &[f64], plan: &SlidePlan<'_>, out: &mut [f64]) {
    out.fill(ABSENT);
    let Algebra::Mergeable(family) = function.algebra(Extended::No) else { return };
    let run = Run { ts, vs, float_starts: None, histograms: &[], histogram_starts: false };
    // floats without start timestamps give nothing to note
    let mut notes = Notes { metric: "", pos: PosRange::default(), noted: Vec::new() };
    each_state(family, &run, plan.ends.iter(), plan.range, |step, state| {
        let end = plan.ends.at(step);
        let eval_t = plan.eval.0 + plan.eval.1 * step as i64;
        let param = |i: usize| plan.params.get(i).map_or(0.0, |values| values[step]);
        let edges = Edges { start: end - plan.range, end, eval_t, params: [param(0), param(1)] };
        let value = state.map(|state| state.finish(function, &edges, &mut notes));
        if let Some(WindowValue::Float(value)) = value {
            out[step] = value;
        }
    });
}

/// So many windows may hold a sample and still each is summed by itself, as Prometheus does, to the last bit: that
/// takes about as long as reading the sample.
const IN_STEP_MAX: u64 = 32;
/// The same for deviations and trends, which take several sums for each window.
const SUMS_IN_STEP_MAX: u64 = 8;
/// So many windows may hold a reset and still those of each are added by themselves.
const RESETS_MAX: u64 = 16;

/// Whether more than `most` windows hold a sample, on average.
fn overlaps(vs: &[f64], plan: &SlidePlan<'_>, most: u64) -> bool {
    plan.work > most * vs.len() as u64
}

/// Prefix sums of `v - origin`; false when a value is not finite or so large that sums could overflow.
fn prefix_sums(vs: &[f64], origin: f64, sums: &mut Vec<Double>) -> bool {
    sums.clear();
    sums.reserve(vs.len() + 1);
    let mut sum = Double::default();
    sums.push(sum);
    let mut largest = 0.0f64;
    let mut smallest = f64::MAX;
    for v in vs {
        let v = v - origin;
        let size = v.abs();
        if size.is_nan() || size > 1e290 {
            return false;
        }
        largest = largest.max(size);
        if size > 0.0 {
            smallest = smallest.min(size);
        }
        sum = sum.plus(v);
        sums.push(sum);
    }
    // 2^-104 of the largest value times the number of values has to be nothing beside the smallest
    largest * (vs.len() as f64) < smallest * 1e14 || largest == 0.0
}

fn count_pairs(vs: &[f64], counts: &mut Vec<u32>, counted: impl Fn(f64, f64) -> bool) {
    counts.clear();
    counts.reserve(vs.len());
    let mut count = 0;
    for i in 0..vs.len() {
        if i > 0 && counted(vs[i - 1], vs[i]) {
            count += 1;
        }
        counts.push(count);
    }
}

/// Counters: difference, plus what resets inside the window took away.
fn counter(vs: &[f64], plan: &SlidePlan<'_>, per_second: bool, scratch: &mut SlideScratch, out: &mut [f64]) {
    let resets = &mut scratch.resets;
    resets.clear();
    if !plan.is_ascending && vs.windows(2).fold(false, |any, pair| any | (pair[1] < pair[0])) {
        resets.extend((1..vs.len()).filter(|i| vs[*i] < vs[i - 1]).map(|i| i as u32));
    }
    let bounds = plan.bounds;
    let value = |first: f64, result: f64, term: &RateTerm| {
        result * term.counter_factor(first, result, plan.range_seconds, per_second)
    };
    if resets.is_empty() {
        for (steps, term) in plan.touched_runs() {
            let even = bounds.even.as_ref().filter(|even| {
                steps.start <= even.steps.start && even.steps.end <= steps.end && even.hi >= even.lo + 2
            });
            let done = match even {
                Some(even) if grow_evenly(vs, even, term, out) => even.steps.clone(),
                _ => steps.end..steps.end,
            };
            for step in (steps.start..done.start).chain(done.end..steps.end) {
                let (lo, hi) = bounds.at(step);
                out[step] = if hi >= lo + 2 { value(vs[lo], vs[hi - 1] - vs[lo], term) } else { ABSENT };
            }
        }
        return;
    }
    // many resets in windows that overlap much: their sums slide too
    let many = overlaps(vs, plan, RESETS_MAX) && resets.len() > 32;
    let sums = &mut scratch.sums;
    let slides = many && {
        let lost: Vec<f64> = resets.iter().map(|at| vs[*at as usize - 1]).collect();
        prefix_sums(&lost, 0.0, sums)
    };
    let (mut from, mut to) = (0usize, 0usize);
    let steps = plan.touched_runs().flat_map(|(steps, term)| steps.map(move |step| (step, term)));
    for (step, term) in steps {
        let (lo, hi) = bounds.at(step);
        if hi < lo + 2 {
            out[step] = ABSENT;
            continue;
        }
        while from < resets.len() && (resets[from] as usize) <= lo {
            from += 1;
        }
        to = to.max(from);
        while to < resets.len() && (resets[to] as usize) < hi {
            to += 1;
        }
        let grown = vs[hi - 1] - vs[lo];
        let lost = if slides { sums[to].minus(sums[from]) } else { 0.0 };
        let mut result = grown + lost;
        // where nearly all cancels, the order of additions is most of the answer: Prometheus's, one by one
        if !slides || result.abs() * 1e3 < lost.abs() {
            result = resets[from..to].iter().fold(grown, |sum, at| sum + vs[*at as usize - 1]);
        }
        out[step] = value(vs[lo], result, term);
    }
}

/// Windows that are alike, of a counter without resets. False when single ones have to be looked at.
fn grow_evenly(vs: &[f64], even: &Even, term: &RateTerm, out: &mut [f64]) -> bool {
    let (firsts, lasts, out) = (&vs[even.lo..], &vs[even.hi - 1..], &mut out[even.steps.clone()]);
    match even.stride {
        0 => false,
        1 => term.grow(firsts.iter(), lasts.iter(), out),
        n => term.grow(firsts.iter().step_by(n), lasts.iter().step_by(n), out),
    }
}

/// False where prefix sums do not hold and going over each window would be too much work.
fn variance(
    vs: &[f64],
    plan: &SlidePlan<'_>,
    root: bool,
    scratch: &mut SlideScratch,
    out: &mut [f64],
) -> bool {
    let finish = |variance: f64| if root { variance.sqrt() } else { variance };
    let origin = vs.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
    if !overlaps(vs, plan, SUMS_IN_STEP_MAX) {
        in_step::variances(vs, plan.bounds, out, finish);
        return true;
    }
    if !prefix_sums(vs, origin, &mut scratch.sums) {
        return false;
    }
    scratch.squares.clear();
    let mut sum = Double::default();
    scratch.squares.push(sum);
    for v in vs {
        let d = v - origin;
        let square = d * d;
        sum = sum.plus(square).plus(d.mul_add(d, -square));
        scratch.squares.push(sum);
    }
    let (sums, squares) = (&scratch.sums, &scratch.squares);
    // samples of windows that had to be gone over
    let mut again = 0;
    for ((out, lo), hi) in out.iter_mut().zip(&plan.bounds.lo).zip(&plan.bounds.hi) {
        let (lo, hi) = (*lo as usize, *hi as usize);
        if lo >= hi {
            *out = ABSENT;
            continue;
        }
        let n = (hi - lo) as f64;
        let sum = sums[hi].minus(sums[lo]);
        let square = squares[hi].minus(squares[lo]);
        let variance = (square - sum * sum / n) / n;
        // what nearly cancels is computed by itself
        if variance.is_finite() && variance > 1e-3 * square / n {
            *out = finish(variance);
            continue;
        }
        again += hi - lo;
        if again > 16 * vs.len() {
            return false;
        }
        *out = finish(variance_floats(&vs[lo..hi]));
    }
    true
}

/// Values beyond this times counts and times in milliseconds overflow.
const TREND_STATES_MAX: f64 = 1e270;

/// `deriv`, `predict_linear`: the sums of the least-squares line slide; those of times alone are exact. False where
/// they do not and going over each window would be too much work.
fn trend(
    function: WindowFunction,
    ts: &[i64],
    vs: &[f64],
    plan: &SlidePlan<'_>,
    scratch: &mut SlideScratch,
    out: &mut [f64],
) -> bool {
    let is_deriv = function == WindowFunction::Deriv;
    let at = |step: usize, lo: usize| if is_deriv { ts[lo] } else { plan.eval.0 + plan.eval.1 * step as i64 };
    let finish = |step: usize, (slope, value): (f64, f64)| {
        if is_deriv { slope } else { slope * plan.params[0][step] + value }
    };
    // sums of products that could overflow are left to the line of each window
    let is_huge = || vs.iter().any(|v| v.abs() > TREND_STATES_MAX);
    let slides = overlaps(vs, plan, SUMS_IN_STEP_MAX);
    let is_exact = slides && ExactSums::run(ts, vs, &mut scratch.exact);
    if slides && !is_exact && !prefix_sums(vs, 0.0, &mut scratch.sums) && !is_huge() {
        return false;
    }
    if !slides || (!is_exact && is_huge()) {
        in_step::lines(ts, vs, plan.bounds, out, at, finish);
        return true;
    }
    count_pairs(vs, &mut scratch.counts, |a, b| a != b);
    if !is_exact {
        scratch.squares.clear();
        scratch.times.clear();
        let (mut products, mut times) = (Double::default(), (0i128, 0i128));
        scratch.squares.push(products);
        scratch.times.push(times);
        for (t, v) in ts.iter().zip(vs) {
            let x = t - ts[0];
            products = products.plus_product(x as f64, *v);
            times.0 += i128::from(x);
            times.1 += i128::from(x) * i128::from(x);
            scratch.squares.push(products);
            scratch.times.push(times);
        }
    }
    for (step, out) in out.iter_mut().enumerate() {
        let (lo, hi) = (plan.bounds.lo[step] as usize, plan.bounds.hi[step] as usize);
        if hi < lo + 2 {
            *out = ABSENT;
            continue;
        }
        let at = at(step, lo);
        let line = if scratch.counts[hi - 1] == scratch.counts[lo] {
            (0.0, vs[lo])
        } else if is_exact {
            let exact = &scratch.exact;
            exact[lo].line(&exact[hi], hi - lo, ts[lo] - ts[0], ts[lo] - at)
        } else {
            // x counts from the window's first sample, in milliseconds
            let first = i128::from(ts[lo] - ts[0]);
            let (a, b) = (scratch.times[lo], scratch.times[hi]);
            let n = (hi - lo) as i128;
            let y = scratch.sums[hi].less(scratch.sums[lo]);
            let sums = LineSums {
                count: (hi - lo) as u64,
                x: b.0 - a.0 - n * first,
                x2: b.1 - a.1 - 2 * first * (b.0 - a.0) + n * first * first,
                y,
                xy: scratch.squares[hi].less(scratch.squares[lo]).less(y.times(first as f64)),
            };
            sums.line(ts[lo] - at)
        };
        *out = finish(step, line);
    }
    true
}

/// The least or greatest value, or what `value` makes of its position: the queue holds the candidates of the window,
/// best first. NaN only when there is no other.
fn extreme(
    vs: &[f64],
    bounds: &Bounds,
    queue: &mut VecDeque<u32>,
    out: &mut [f64],
    beats: impl Fn(f64, f64) -> bool,
    value: impl Fn(usize) -> f64,
) {
    queue.clear();
    let mut next = 0usize;
    for ((out, lo), hi) in out.iter_mut().zip(&bounds.lo).zip(&bounds.hi) {
        let (lo, hi) = (*lo as usize, *hi as usize);
        next = next.max(lo);
        while queue.front().is_some_and(|at| (*at as usize) < lo) {
            queue.pop_front();
        }
        while next < hi {
            let v = vs[next];
            if !v.is_nan() {
                while queue.back().is_some_and(|at| beats(v, vs[*at as usize])) {
                    queue.pop_back();
                }
                queue.push_back(next as u32);
            }
            next += 1;
        }
        *out = match queue.front() {
            Some(at) => value(*at as usize),
            None if hi > lo => value(hi - 1),
            None => ABSENT,
        };
    }
}
