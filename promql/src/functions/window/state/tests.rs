//! States against `evaluate`: any split, any grouping, any bytes.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use proptest::prelude::*;

use super::*;
use crate::annotations::Annotations;
use crate::ast::PosRange;
use crate::functions::window::{Window, evaluate};

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

/// A series on its way into a test.
#[derive(Debug, Clone, Default)]
struct Samples {
    ts: Vec<i64>,
    vs: Vec<f64>,
    starts: Vec<i64>,
    histograms: Vec<HistogramPoint>,
    uses_starts: bool,
}

impl Samples {
    fn run(&self) -> Run<'_> {
        Run {
            ts: &self.ts,
            vs: &self.vs,
            float_starts: self.uses_starts.then_some(&self.starts[..]),
            histograms: &self.histograms,
            histogram_starts: self.uses_starts,
        }
    }

    fn end(&self) -> i64 {
        let float = self.ts.last().copied().unwrap_or(0);
        float.max(self.histograms.last().map_or(0, |p| p.t))
    }

    /// Those up to `to`, after `from`.
    fn between(&self, from: i64, to: i64) -> Run<'_> {
        let float = |t: i64| self.ts.partition_point(|at| *at <= t);
        let histogram = |t: i64| self.histograms.partition_point(|p| p.t <= t);
        self.run().part(float(from)..float(to), histogram(from)..histogram(to))
    }
}

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

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => (0u32..1000).prop_map(f64::from),
        6 => -1e3..1e3f64,
        2 => 1e9..1.0001e9f64,
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

fn hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        8 => Just(CounterResetHint::Unknown),
        3 => Just(CounterResetHint::NotReset),
        1 => Just(CounterResetHint::Reset),
        1 => Just(CounterResetHint::Gauge),
    ]
}

/// What histograms of one series have in common.
#[derive(Debug, Clone, Copy)]
enum Layouts {
    /// One resolution, any zero threshold.
    OneSchema(i32),
    /// Any resolution; thresholds that are bounds in all of them.
    Schemas,
    /// Custom buckets, three sets of bounds.
    Custom,
    /// Exponential and custom ones.
    Any,
}

fn exponential(schema: i32, threshold: f64, zero: f64, counts: &[(i32, u32)]) -> FloatHistogram {
    // buckets lie around 2^-112, where thresholds are
    let mut side: std::collections::BTreeMap<i32, f64> = std::collections::BTreeMap::new();
    for (place, count) in counts {
        let (exponent, part) = (place / 8 - 118, place % 8);
        let index = if schema >= 0 {
            (exponent << schema) + (part >> (3 - schema.min(3)))
        } else {
            exponent >> -schema
        };
        let step = f64::from(1 - schema).exp2() / 2.0;
        let lower = (f64::from(index - 1) * step).exp2();
        if lower >= threshold {
            *side.entry(index).or_default() += f64::from(*count);
        }
    }
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in side.keys() {
        spans.push(Span { offset: index - next, length: 1 });
        next = index + 1;
    }
    let zero = if threshold > 0.0 { zero } else { 0.0 };
    let total = side.values().sum::<f64>() + zero;
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: threshold,
        zero_count: zero,
        count: total,
        sum: total * 0.37,
        positive_spans: spans.clone(),
        negative_spans: spans,
        positive_buckets: side.values().copied().collect(),
        negative_buckets: side.values().copied().collect(),
        custom_values: Arc::from([]),
    }
}

fn custom(bounds: usize, counts: &[(i32, u32)]) -> FloatHistogram {
    let bounds: &[f64] = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0, 5.0, 7.5], &[2.0, 5.0]][bounds % 3];
    let mut buckets = vec![0.0; bounds.len() + 1];
    for (place, count) in counts {
        let at = *place as usize % buckets.len();
        buckets[at] += f64::from(*count);
    }
    let total: f64 = buckets.iter().sum();
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: total,
        sum: total * 1.7,
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        negative_spans: Vec::new(),
        positive_buckets: buckets,
        negative_buckets: Vec::new(),
        custom_values: Arc::from(bounds),
        ..exponential(0, 0.0, 0.0, &[])
    }
}

/// One sample's ingredients: gap, float or histogram, value, growth of buckets, choices.
type Ingredient = (i64, u8, f64, Vec<(i32, u32)>, (u8, u8, u8), CounterResetHint);

fn ingredient() -> impl Strategy<Value = Ingredient> {
    (
        1i64..60,
        0u8..100,
        value(),
        proptest::collection::vec((0i32..200, 0u32..9), 0..4),
        (any::<u8>(), any::<u8>(), any::<u8>()),
        hint(),
    )
}

fn layouts() -> impl Strategy<Value = Layouts> {
    prop_oneof![
        3 => (-2i32..4).prop_map(Layouts::OneSchema),
        3 => Just(Layouts::Schemas),
        2 => Just(Layouts::Custom),
        1 => Just(Layouts::Any),
    ]
}

fn histogram(layouts: Layouts, grown: &[(i32, u32)], choices: (u8, u8, u8)) -> FloatHistogram {
    let zero = f64::from(grown.iter().map(|(_, count)| count).sum::<u32>());
    // 2^-112 and 2^-96 are bounds at any resolution
    let thresholds = [0.0, f64::from(-128).exp2(), f64::from(-112).exp2(), f64::from(-96).exp2()];
    let odd = [0.0, 1.3e-34, 2.7e-34, f64::from(-110).exp2()];
    let (schema, threshold) = ((choices.0 / 8) % 6, usize::from(choices.1 / 64));
    // most keep the layout of those before
    let (schema, threshold) = if choices.2 < 150 { (1, 1) } else { (schema, threshold) };
    match layouts {
        Layouts::OneSchema(schema) => exponential(schema, odd[threshold], zero, grown),
        Layouts::Schemas => exponential(i32::from(schema) - 2, thresholds[threshold], zero, grown),
        Layouts::Custom => custom(usize::from(schema), grown),
        Layouts::Any if choices.2 > 230 => custom(0, grown),
        Layouts::Any => exponential(i32::from(schema) - 2, thresholds[threshold], zero, grown),
    }
}

/// `mix` of 0: floats, 1: histograms, 2: mostly histograms, 3: either.
fn build(
    ingredients: Vec<Ingredient>,
    layouts: Layouts,
    mix: u8,
    uses_starts: bool,
    is_rising: bool,
) -> Samples {
    let mut samples = Samples { uses_starts, ..Samples::default() };
    let mut t = 1000;
    let mut grown: Vec<(i32, u32)> = Vec::new();
    let mut level = 0.0;
    for (gap, kind, value, growth, choices, hint) in ingredients {
        let before = t;
        t += gap;
        let start = match choices.0 % 6 {
            0 => 0,
            1 => before,
            2 => before + gap / 2,
            3 => before - 1,
            _ => 990,
        };
        let is_float = match mix {
            0 => true,
            1 => false,
            2 => kind < 5,
            _ => kind < 50,
        };
        if is_float {
            // a reset now and then
            level = if kind % 16 == 0 { value.abs() } else { level + value.abs() };
            samples.ts.push(t);
            samples.vs.push(if is_rising && level.is_finite() { level } else { value });
            samples.starts.push(start);
            continue;
        }
        if kind % 8 == 0 {
            grown.clear();
        }
        grown.extend(growth);
        let mut h = histogram(layouts, &grown, choices);
        h.counter_reset_hint = hint;
        samples.histograms.push(HistogramPoint { t, h: Arc::new(h), start_t: start });
    }
    samples
}

prop_compose! {
    fn samples()(
        ingredients in proptest::collection::vec(ingredient(), 1..40),
        layouts in layouts(),
        mix in 0u8..4,
        uses_starts in any::<bool>(),
        is_rising in any::<bool>(),
    ) -> Samples {
        build(ingredients, layouts, mix, uses_starts, is_rising)
    }
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

fn encoded(state: &WindowState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
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

    #[test]
    fn what_is_written_is_read_and_goes_on_as_before(
        samples in samples(),
        cut in 0i64..100_000,
    ) {
        let edges = edges(&samples, 20, 20, 0);
        let cut = 1000 + cut % (samples.end() - 998);
        for function in MERGEABLE {
            let family = algebra(function);
            let (a, b) = (samples.between(i64::MIN, cut), samples.between(cut, i64::MAX));
            let sent = |run: &Run<'_>| {
                WindowState::of(family, run).map(|state| {
                    let mut bytes = encoded(&state);
                    let length = bytes.len();
                    bytes.extend_from_slice(b"next");
                    let mut rest = &bytes[..];
                    let read = WindowState::decode(family, &mut rest).unwrap();
                    assert_eq!(rest, b"next");
                    assert_eq!(encoded(&read), bytes[..length]);
                    for short in 0..length {
                        assert!(WindowState::decode(family, &mut &bytes[..short]).is_err());
                    }
                    read
                })
            };
            let state = WindowState::merge_any(sent(&a), sent(&b));
            check(function, &samples.run(), &edges, state.as_ref())?;
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_window_state(&bytes);
    }

    #[test]
    fn damaged_states_are_read_without_harm(
        samples in samples(),
        family in 0usize..24,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
    ) {
        let state = WindowState::of(algebra(MERGEABLE[family]), &samples.run()).unwrap();
        let mut bytes = encoded(&state);
        for (at, with) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = with;
        }
        fuzz_window_state(&bytes);
        bytes.extend_from_slice(&bytes.clone());
        fuzz_window_state(&bytes);
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

#[test]
fn small_states_are_small_on_the_wire() {
    let samples = Samples {
        ts: (0..20).map(|i| 1_700_000_000_000 + 15_000 * i).collect(),
        vs: (0..20).map(|i| f64::from(i) * 3.0).collect(),
        ..Samples::default()
    };
    let size = |function: WindowFunction| {
        encoded(&WindowState::of(algebra(function), &samples.run()).unwrap()).len()
    };
    assert!(size(WindowFunction::Count) <= 2);
    assert!(size(WindowFunction::Sum) <= 8);
    assert!(size(WindowFunction::Rate) <= 20);
}
