use proptest::prelude::*;

use super::*;
use crate::exec::{ABSENT, is_absent};

const SLIDING: [WindowFunction; 24] = [
    WindowFunction::TsOfMin,
    WindowFunction::TsOfMax,
    WindowFunction::Deriv,
    WindowFunction::PredictLinear,
    WindowFunction::Rate,
    WindowFunction::Increase,
    WindowFunction::Delta,
    WindowFunction::Irate,
    WindowFunction::Idelta,
    WindowFunction::Changes,
    WindowFunction::Resets,
    WindowFunction::Avg,
    WindowFunction::Min,
    WindowFunction::Max,
    WindowFunction::Sum,
    WindowFunction::Count,
    WindowFunction::Last,
    WindowFunction::First,
    WindowFunction::Present,
    WindowFunction::Stddev,
    WindowFunction::Stdvar,
    WindowFunction::TsOfFirst,
    WindowFunction::TsOfLast,
    WindowFunction::Absent,
];

/// Every step by itself.
fn direct(function: WindowFunction, ts: &[i64], vs: &[f64], ends: &[i64], range: i64) -> Vec<f64> {
    let one = |end: i64| {
        let from = ts.partition_point(|t| *t <= end - range);
        let to = ts.partition_point(|t| *t <= end);
        if from >= to {
            return ABSENT;
        }
        let w = Window {
            ts: &ts[from..to],
            vs: &vs[from..to],
            histograms: &[],
            float_starts: None,
            histogram_starts: false,
            eval_t: end,
            start: end - range,
            end,
            extended: Extended::No,
            params: [60.0, 0.0],
        };
        let mut notes = Notes { metric: "m", pos: PosRange::default(), noted: Vec::new() };
        match evaluate(function, &w, &mut notes).unwrap() {
            WindowValue::Float(v) => v,
            _ => ABSENT,
        }
    };
    ends.iter().map(|end| one(*end)).collect()
}

fn slid(function: WindowFunction, ts: &[i64], vs: &[f64], ends: &[i64], range: i64) -> Vec<f64> {
    let first = ends.first().copied().unwrap_or(0);
    let distance = ends.get(1).map_or(0, |second| second - first);
    let ends = Ends { first, distance, count: ends.len() };
    let mut bounds = Bounds::default();
    bounds.compute(ts, ends, range);
    if needs_list(function) {
        bounds.list();
    }
    let mut terms = RateTerms::default();
    terms.compute(ts, &bounds, ends, range, function == WindowFunction::Rate);
    let plan = SlidePlan {
        bounds: &bounds,
        terms: &terms,
        range_seconds: range as f64 / 1000.0,
        work: bounds.work(),
        eval: (first, distance.max(1)),
        ends,
        range,
        params: &[vec![60.0; ends.count]],
        is_ascending: vs.windows(2).all(|pair| pair[0] <= pair[1]),
    };
    let mut out = vec![ABSENT; ends.count];
    slide(function, ts, vs, &plan, &mut SlideScratch::default(), &mut out);
    out
}

/// Below this, differences do not matter: trends are differences of sums of products.
fn scale(function: WindowFunction) -> f64 {
    match function {
        WindowFunction::Deriv | WindowFunction::PredictLinear => 1e6,
        _ => 1e-6,
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0u32..1000).prop_map(f64::from),
        3 => -1e3..1e3f64,
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ]
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![6 => (0u32..1000).prop_map(f64::from), 3 => 1.0..1e3f64]
}

fn check(values: Vec<f64>, gaps: Vec<i64>, range: i64, step: i64) -> Result<(), TestCaseError> {
    let mut t = 0;
    let ts: Vec<i64> = values
        .iter()
        .zip(gaps)
        .map(|(_, gap)| {
            t += gap;
            t
        })
        .collect();
    let ends: Vec<i64> = (0..40).map(|i| i * step).collect();
    for function in SLIDING {
        let (a, b) =
            (direct(function, &ts, &values, &ends, range), slid(function, &ts, &values, &ends, range));
        for (i, (x, y)) in a.iter().zip(&b).enumerate() {
            let same = is_absent(*x) == is_absent(*y)
                && (x == y
                    || (x.is_nan() && y.is_nan())
                    || (x - y).abs() <= 1e-9 * x.abs().max(scale(function)));
            prop_assert!(same, "{:?} at step {}: direct {} slid {}", function, i, x, y);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn sliding_gives_what_each_window_gives(
        values in proptest::collection::vec(value(), 0..80),
        gaps in proptest::collection::vec(1i64..40, 80),
        range in 1i64..400,
        step in 1i64..60,
    ) {
        check(values, gaps, range, step)?;
    }

    #[test]
    fn regular_series_give_the_same(
        growth in proptest::collection::vec(prop_oneof![9 => 0u32..9, 1 => 0u32..100_000], 2..80),
        gap in 100i64..4000,
        range in 1i64..40_000,
        stride in 1i64..4,
    ) {
        let sums = growth.iter().scan(0.0, |sum, v| { *sum += f64::from(*v); Some(*sum) });
        let gaps = vec![gap; growth.len()];
        check(sums.collect(), gaps.clone(), range, gap * stride)?;
        check(growth.iter().map(|v| f64::from(*v)).collect(), gaps, range, gap * stride)?;
    }

    #[test]
    fn many_resets_give_the_same(
        values in proptest::collection::vec(1.0..100.0f64, 80),
        range in 200i64..400,
    ) {
        check(values, vec![3; 80], range, 5)?;
    }

    #[test]
    fn resets_of_any_size_give_the_same(
        mut values in proptest::collection::vec(1.0..100.0f64, 80),
        at in 0usize..80,
        large in prop_oneof![Just(1e300), Just(1e17), Just(1e12), Just(1e6)],
        range in 200i64..400,
    ) {
        values[at] = large;
        let ts: Vec<i64> = (1..=80).map(|i| i * 3).collect();
        let ends: Vec<i64> = (0..60).map(|i| i * 5).collect();
        for function in [WindowFunction::Increase, WindowFunction::Rate] {
            let (a, b) = (direct(function, &ts, &values, &ends, range), slid(function, &ts, &values, &ends, range));
            for (x, y) in a.iter().zip(&b) {
                prop_assert!(x.to_bits() == y.to_bits() || (x - y).abs() <= 1e-12 * x.abs(), "direct {x} slid {y}");
            }
        }
    }

    #[test]
    fn what_has_no_formula_gives_the_same_where_windows_overlap_much(
        values in proptest::collection::vec(value(), 0..80),
        gaps in proptest::collection::vec(1i64..4, 80),
        range in 150i64..400,
        step in 1i64..4,
    ) {
        check(values, gaps, range, step)?;
    }

    #[test]
    fn what_nearly_cancels_gives_the_same_where_windows_overlap_much(
        values in proptest::collection::vec(0.0..1.0f64, 80),
        range in 100i64..200,
    ) {
        // a first value far from all others, and many small distances
        let values: Vec<f64> = values.iter().enumerate().map(|(i, v)| 1e4 * f64::from(i > 0) + v).collect();
        check(values, vec![3; 80], range, 3)?;
    }

    #[test]
    fn windows_that_overlap_much_give_the_same(
        values in proptest::collection::vec(finite(), 0..80),
        gaps in proptest::collection::vec(1i64..8, 80),
        range in 100i64..400,
    ) {
        check(values, gaps, range, 5)?;
    }
}
