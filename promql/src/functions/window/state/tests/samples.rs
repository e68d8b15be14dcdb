//! Random samples: floats and histograms of all layouts, with resets, hints and start timestamps.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use proptest::prelude::*;

use super::super::*;

/// A series on its way into a test.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    pub(super) ts: Vec<i64>,
    pub(super) vs: Vec<f64>,
    pub(super) starts: Vec<i64>,
    pub(super) histograms: Vec<HistogramPoint>,
    pub(super) uses_starts: bool,
}

impl Samples {
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            ts: &self.ts,
            vs: &self.vs,
            float_starts: self.uses_starts.then_some(&self.starts[..]),
            histograms: &self.histograms,
            histogram_starts: self.uses_starts,
        }
    }

    pub(super) fn end(&self) -> i64 {
        let float = self.ts.last().copied().unwrap_or(0);
        float.max(self.histograms.last().map_or(0, |p| p.t))
    }

    /// Those up to `to`, after `from`.
    pub(super) fn between(&self, from: i64, to: i64) -> Run<'_> {
        let float = |t: i64| self.ts.partition_point(|at| *at <= t);
        let histogram = |t: i64| self.histograms.partition_point(|p| p.t <= t);
        self.run().part(float(from)..float(to), histogram(from)..histogram(to))
    }
}

pub(super) fn value() -> impl Strategy<Value = f64> {
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

pub(super) fn hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        8 => Just(CounterResetHint::Unknown),
        3 => Just(CounterResetHint::NotReset),
        1 => Just(CounterResetHint::Reset),
        1 => Just(CounterResetHint::Gauge),
    ]
}

/// What histograms of one series have in common.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layouts {
    /// One resolution, any zero threshold.
    OneSchema(i32),
    /// Any resolution; thresholds that are bounds in all of them.
    Schemas,
    /// Custom buckets, three sets of bounds.
    Custom,
    /// Exponential and custom ones.
    Any,
}

pub(super) fn exponential(schema: i32, threshold: f64, zero: f64, counts: &[(i32, u32)]) -> FloatHistogram {
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

pub(super) fn custom(bounds: usize, counts: &[(i32, u32)]) -> FloatHistogram {
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
pub(super) type Ingredient = (i64, u8, f64, Vec<(i32, u32)>, (u8, u8, u8), CounterResetHint);

pub(super) fn ingredient() -> impl Strategy<Value = Ingredient> {
    (
        1i64..60,
        0u8..100,
        value(),
        proptest::collection::vec((0i32..200, 0u32..9), 0..4),
        (any::<u8>(), any::<u8>(), any::<u8>()),
        hint(),
    )
}

pub(super) fn layouts() -> impl Strategy<Value = Layouts> {
    prop_oneof![
        3 => (-2i32..4).prop_map(Layouts::OneSchema),
        3 => Just(Layouts::Schemas),
        2 => Just(Layouts::Custom),
        1 => Just(Layouts::Any),
    ]
}

pub(super) fn histogram(layouts: Layouts, grown: &[(i32, u32)], choices: (u8, u8, u8)) -> FloatHistogram {
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
pub(super) fn build(
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
    pub(super) fn samples()(
        ingredients in proptest::collection::vec(ingredient(), 1..40),
        layouts in layouts(),
        mix in 0u8..4,
        uses_starts in any::<bool>(),
        is_rising in any::<bool>(),
    ) -> Samples {
        build(ingredients, layouts, mix, uses_starts, is_rising)
    }
}
