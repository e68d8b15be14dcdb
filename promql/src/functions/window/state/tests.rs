//! States against `evaluate`: any split, any grouping.

mod samples;
mod wire;

use model::{CounterResetHint, Span};
use proptest::prelude::*;

use super::*;
use crate::annotations::Annotations;
use crate::ast::PosRange;
use crate::functions::window::{Window, evaluate};
use samples::{Layouts, Samples, build, samples};

const MERGEABLE: [WindowFunction; 24] = [
    WindowFunction::Rate,
    WindowFunction::Increase,
    WindowFunction::Delta,
    WindowFunction::Irate,
    WindowFunction::Idelta,
    WindowFunction::Changes,
    WindowFunction::Resets,
    WindowFunction::Deriv,
    WindowFunction::PredictLinear,
    WindowFunction::Avg,
    WindowFunction::Min,
    WindowFunction::Max,
    WindowFunction::Sum,
    WindowFunction::Count,
    WindowFunction::Last,
    WindowFunction::First,
    WindowFunction::Present,
    WindowFunction::Absent,
    WindowFunction::Stddev,
    WindowFunction::Stdvar,
    WindowFunction::TsOfFirst,
    WindowFunction::TsOfLast,
    WindowFunction::TsOfMax,
    WindowFunction::TsOfMin,
];

fn algebra(function: WindowFunction) -> Family {
    match function.algebra(Extended::No) {
        Algebra::Mergeable(family) => family,
        Algebra::Raw => panic!("{function:?} does not merge"),
    }
}

fn notes() -> Notes<'static> {
    Notes { metric: "m", pos: PosRange::default(), noted: Vec::new() }
}

fn texts(notes: Notes<'_>) -> (Vec<String>, Vec<String>) {
    let mut all = Annotations::default();
    notes.noted.into_iter().for_each(|note| all.add(note));
    all.to_text("")
}

fn direct(function: WindowFunction, run: &Run<'_>, edges: &Edges, notes: &mut Notes<'_>) -> WindowValue {
    if run.vs.is_empty() && run.histograms.is_empty() {
        return WindowValue::None;
    }
    let window = Window {
        ts: run.ts,
        vs: run.vs,
        histograms: run.histograms,
        float_starts: run.float_starts,
        histogram_starts: run.histogram_starts,
        eval_t: edges.eval_t,
        start: edges.start,
        end: edges.end,
        extended: Extended::No,
        params: edges.params,
    };
    evaluate(function, &window, notes).unwrap()
}

/// How far a value may be from that of `evaluate`. `UNIT` is half a last bit.
const UNIT: f64 = f64::EPSILON / 2.0;

fn tolerance(function: WindowFunction, run: &Run<'_>, edges: &Edges, value: f64) -> f64 {
    let n = run.vs.len() as f64;
    let largest = run.vs.iter().filter(|v| v.is_finite()).fold(0.0f64, |a, b| a.max(b.abs()));
    let relative = 1e-12 * value.abs();
    match function {
        // compensated sums lose nothing but what is far below the last bit of the largest value
        WindowFunction::Sum => relative + n * n * UNIT * UNIT * largest,
        // once a sum overflows, each mean of leading values is rounded
        WindowFunction::Avg if n * largest > 1e307 => relative + 4.0 * n * UNIT * largest,
        WindowFunction::Avg => relative + n * UNIT * UNIT * largest,
        // what is lost at resets is added without compensation; extrapolation at most triples it
        WindowFunction::Rate => relative + 4.0 * n * UNIT * largest / edges.range_seconds(),
        WindowFunction::Increase | WindowFunction::Delta => relative + 4.0 * n * UNIT * largest,
        // each distance from the mean is rounded beside the mean
        WindowFunction::Stdvar => {
            relative + 16.0 * UNIT * largest * value.sqrt() + n * (8.0 * UNIT * largest).powi(2)
        }
        WindowFunction::Stddev => relative + 16.0 * n.sqrt() * UNIT * largest,
        WindowFunction::Deriv | WindowFunction::PredictLinear => relative + trend_error(function, run, edges),
        _ => 0.0,
    }
}

/// What rounding does to the formula of the least-squares line with plain floats.
fn trend_error(function: WindowFunction, run: &Run<'_>, edges: &Edges) -> f64 {
    let is_deriv = function == WindowFunction::Deriv;
    let at = if is_deriv { run.ts[0] } else { edges.eval_t };
    let n = run.ts.len() as f64;
    let finite = |v: &f64| if v.is_finite() { *v } else { 0.0 };
    let (mut x, mut y, mut xy, mut x2) = (0.0, 0.0, 0.0, 0.0);
    for (t, v) in run.ts.iter().zip(run.vs) {
        let at = (t - at) as f64 / 1e3;
        x += at.abs();
        y += finite(v).abs();
        xy += (at * finite(v)).abs();
        x2 += at * at;
    }
    let mean = run.ts.iter().map(|t| (t - at) as f64 / 1e3).sum::<f64>() / n;
    let spread: f64 = run.ts.iter().map(|t| ((t - at) as f64 / 1e3 - mean).powi(2)).sum();
    let slope_bound = (xy + x * y / n) / spread;
    let slope_error = 8.0 * UNIT * slope_bound * (1.0 + (x2 + x * x / n) / spread);
    let params = if is_deriv { 1.0 } else { edges.params[0].abs() + x / n };
    slope_error * params + 8.0 * UNIT * (y / n + slope_bound * x / n)
}

fn same_float(a: f64, b: f64, tolerance: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance
}

/// Empty buckets are none.
fn buckets(spans: &[Span], counts: &[f64]) -> Vec<(i64, f64)> {
    let mut at = 0i64;
    let mut indexes = Vec::new();
    for span in spans {
        at += i64::from(span.offset);
        indexes.extend(at..at + i64::from(span.length));
        at += i64::from(span.length);
    }
    indexes.into_iter().zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
}

fn same_histogram(a: &FloatHistogram, b: &FloatHistogram, largest: f64) -> bool {
    let near = |a: f64, b: f64| same_float(a, b, 1e-12 * a.abs().max(largest));
    let side = |a: (&[Span], &[f64]), b: (&[Span], &[f64])| {
        let (a, b) = (buckets(a.0, a.1), buckets(b.0, b.1));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
    };
    a.counter_reset_hint == b.counter_reset_hint
        && a.schema == b.schema
        && a.custom_values == b.custom_values
        && a.zero_threshold == b.zero_threshold
        && near(a.zero_count, b.zero_count)
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && side((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets))
        && side((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets))
}

/// Whether a function's value and notes from a state are those of `evaluate`.
fn check(
    function: WindowFunction,
    run: &Run<'_>,
    edges: &Edges,
    state: Option<&WindowState>,
) -> Result<(), TestCaseError> {
    let (mut ours, mut wanted) = (notes(), notes());
    let value = state.map_or(WindowValue::None, |state| state.finish(function, edges, &mut ours));
    let expected = direct(function, run, edges, &mut wanted);
    let same = match (&value, &expected) {
        (WindowValue::None, WindowValue::None) => true,
        (WindowValue::Float(a), WindowValue::Float(b)) => {
            same_float(*a, *b, tolerance(function, run, edges, *b))
        }
        (WindowValue::Histogram(a), WindowValue::Histogram(b)) => {
            let largest = run.histograms.iter().fold(0.0f64, |m, p| m.max(p.h.count).max(p.h.sum.abs()));
            same_histogram(a, b, largest)
        }
        _ => false,
    };
    prop_assert!(same, "{:?}: {:?} from states, {:?} directly, over {:?}", function, value, expected, run);
    prop_assert_eq!(texts(ours), texts(wanted), "{:?} over {:?}", function, run);
    Ok(())
}

/// Cuts the samples into runs and merges neighbours in the order that `choices` tell.
fn in_pieces(family: Family, samples: &Samples, cuts: &[i64], choices: &[u16]) -> Option<WindowState> {
    let mut times: Vec<i64> = cuts.iter().map(|cut| 1000 + cut % (samples.end() - 998)).collect();
    times.push(i64::MAX);
    times.sort_unstable();
    let mut from = i64::MIN;
    let mut states: Vec<Option<WindowState>> = Vec::new();
    for to in times {
        states.push(WindowState::of(family, &samples.between(from, to)));
        from = to;
    }
    let mut choices = choices.iter().cycle();
    while states.len() > 1 {
        let at = usize::from(*choices.next().unwrap()) % (states.len() - 1);
        let next = states.remove(at + 1);
        let this = states[at].take();
        states[at] = WindowState::merge_any(this, next);
    }
    states.pop().flatten()
}

fn edges(samples: &Samples, before: i64, after: i64, late: i64) -> Edges {
    let first = samples.ts.first().copied().unwrap_or(i64::MAX);
    let first = first.min(samples.histograms.first().map_or(i64::MAX, |p| p.t));
    Edges {
        start: first - before,
        end: samples.end() + after,
        eval_t: samples.end() + late,
        params: [60.0, 0.0],
    }
}

proptest! {
    #[test]
    fn any_split_in_any_grouping_gives_what_the_whole_gives(
        samples in samples(),
        cuts in proptest::collection::vec(0i64..100_000, 0..12),
        choices in proptest::collection::vec(any::<u16>(), 12),
        (before, after, late) in (1i64..80, 0i64..80, -900i64..200),
    ) {
        let edges = edges(&samples, before, after, late);
        for function in MERGEABLE {
            let state = in_pieces(algebra(function), &samples, &cuts, &choices);
            check(function, &samples.run(), &edges, state.as_ref())?;
        }
    }

    #[test]
    fn one_sample_at_a_time_gives_what_the_whole_gives(samples in samples()) {
        let edges = edges(&samples, 20, 20, 0);
        let every: Vec<i64> = (0..=samples.end()).collect();
        for function in MERGEABLE {
            let state = in_pieces(algebra(function), &samples, &every, &[0]);
            check(function, &samples.run(), &edges, state.as_ref())?;
        }
    }

    #[test]
    fn values_near_the_end_of_the_range_overflow_where_the_whole_does(
        values in proptest::collection::vec(
            prop_oneof![
                4 => Just(1e308), 2 => Just(-1e308), 2 => 0.0..1e290f64, 1 => -1.0..1.0f64,
                1 => Just(f64::INFINITY),
            ],
            1..12,
        ),
        cuts in proptest::collection::vec(0i64..100_000, 0..6),
        choices in proptest::collection::vec(any::<u16>(), 12),
    ) {
        let ts: Vec<i64> = (0..values.len()).map(|i| 1010 + 10 * i as i64).collect();
        let mut sum = 0.0f64;
        let (mut high, mut low) = (0.0f64, 0.0f64);
        for v in values.iter().filter(|v| v.is_finite()) {
            sum += v / 16.0;
            (high, low) = (high.max(sum), low.min(sum));
        }
        // which end of the range comes first is not kept
        prop_assume!(high < f64::MAX / 16.0 || low > f64::MIN / 16.0);
        prop_assume!(!values.contains(&f64::INFINITY) || low > f64::MIN / 16.0);
        let starts = vec![0; ts.len()];
        let samples = Samples { ts, vs: values, starts, ..Samples::default() };
        let edges = edges(&samples, 20, 20, 0);
        for function in [WindowFunction::Sum, WindowFunction::Avg] {
            let state = in_pieces(algebra(function), &samples, &cuts, &choices);
            check(function, &samples.run(), &edges, state.as_ref())?;
        }
    }

    #[test]
    fn parts_of_time_merge_to_the_windows(
        samples in samples(),
        (range, step, offset) in (1i64..500, 1i64..150, -200i64..200),
        cuts in proptest::collection::vec(900i64..3000, 0..4),
    ) {
        let ends = (0..30).map(|i| 1000 + offset + i * step);
        let mut cuts = cuts;
        cuts.push(i64::MAX);
        cuts.sort_unstable();
        for function in MERGEABLE {
            let mut all: Vec<Option<WindowState>> = vec![None; 30];
            let mut from = i64::MIN;
            for to in &cuts {
                let part = samples.between(from, *to);
                each_state(algebra(function), &part, ends.clone(), range, |step, state| {
                    all[step] = WindowState::merge_any(all[step].take(), state.cloned());
                });
                from = *to;
            }
            for (end, state) in ends.clone().zip(&all) {
                let edges = Edges { start: end - range, end, eval_t: end + 7, params: [60.0, 0.0] };
                check(function, &samples.between(end - range, end), &edges, state.as_ref())?;
            }
        }
    }
}

#[test]
fn a_reset_at_the_cut_counts_once() {
    let samples = build(
        vec![
            (10, 1, 5.0, vec![(3, 5)], (4, 0, 0), CounterResetHint::Unknown),
            (10, 1, 7.0, vec![(3, 2)], (4, 0, 0), CounterResetHint::Unknown),
            (10, 8, 2.0, vec![(3, 1)], (4, 0, 0), CounterResetHint::Unknown),
        ],
        Layouts::OneSchema(0),
        1,
        false,
        false,
    );
    let edges = edges(&samples, 10, 0, 0);
    for cut in [1010, 1020] {
        let (a, b) = (samples.between(i64::MIN, cut), samples.between(cut, i64::MAX));
        let states = [a, b].map(|run| WindowState::of(Family::Counter, &run));
        let [a, b] = states;
        let state = WindowState::merge_any(a, b).unwrap();
        let WindowValue::Histogram(h) = state.finish(WindowFunction::Increase, &edges, &mut notes()) else {
            panic!("no histogram")
        };
        // from 5 to 7, then anew to 1: three more over two gaps, extended by one to the window's start
        assert_eq!(h.count, 3.0 * 1.5, "cut at {cut}");
    }
}

#[test]
fn functions_without_states_say_so() {
    for function in
        [WindowFunction::Quantile, WindowFunction::Mad, WindowFunction::DoubleExponentialSmoothing]
    {
        assert_eq!(function.algebra(Extended::No), Algebra::Raw);
    }
    for function in MERGEABLE {
        assert_ne!(function.algebra(Extended::No), Algebra::Raw);
        assert_eq!(function.algebra(Extended::Anchored), Algebra::Raw);
        assert_eq!(function.algebra(Extended::Smoothed), Algebra::Raw);
    }
}
