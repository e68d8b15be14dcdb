use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};
use proptest::prelude::*;

use super::*;

fn histogram(schema: i32, zero: (f64, f64), first: i32, counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        count: counts.iter().sum::<f64>() + zero.1,
        sum: counts.iter().sum(),
        positive_spans: vec![Span { offset: first, length: counts.len() as u32 }],
        negative_spans: Vec::new(),
        positive_buckets: counts.to_vec(),
        negative_buckets: Vec::new(),
        custom_values: Arc::from([]),
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: Arc::from(bounds),
        ..histogram(0, (0.0, 0.0), 0, counts)
    }
}

fn total(h: &FloatHistogram) -> f64 {
    h.zero_count + h.positive_buckets.iter().sum::<f64>() + h.negative_buckets.iter().sum::<f64>()
}

fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    (0i32..4, 0usize..3, 0i32..6, proptest::collection::vec(0u32..50, 1..12), 0u32..9).prop_map(
        |(schema, threshold, first, counts, zero)| {
            let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
            let threshold = [0.0, 0.001, 0.5][threshold];
            let zero = if threshold == 0.0 { 0.0 } else { f64::from(zero) };
            histogram(schema, (threshold, zero), first, &counts)
        },
    )
}

#[test]
fn custom_bounds_meet_at_those_they_share() {
    let mut a = custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0]);
    let merge = add(&mut a, &custom(&[2.0, 5.0, 10.0], &[10.0, 20.0, 30.0, 40.0])).unwrap();
    assert!(merge.reconciled);
    assert_eq!(&*a.custom_values, &[2.0, 5.0]);
    assert_eq!(a.positive_buckets, vec![13.0, 23.0, 74.0]);
}

#[test]
fn schemas_of_different_kind_do_not_add() {
    let mut a = custom(&[1.0], &[1.0, 2.0]);
    assert_eq!(add(&mut a, &histogram(0, (0.0, 0.0), 0, &[1.0])), Err(Incompatible));
}

#[test]
fn bounds_are_powers_of_two() {
    assert_eq!(buckets::exponential_bound(0, 0), 1.0);
    assert_eq!(buckets::exponential_bound(3, 0), 8.0);
    assert_eq!(buckets::exponential_bound(-1, -2), 0.0625);
    assert_eq!(buckets::exponential_bound(8, 3), 2.0);
    assert_eq!(buckets::exponential_bound(1024, 0), f64::MAX);
}

proptest! {
    #[test]
    fn adding_keeps_every_observation(a in any_histogram(), b in any_histogram()) {
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        prop_assert!((total(&sum) - total(&a) - total(&b)).abs() < 1e-9);
        prop_assert_eq!(sum.count, a.count + b.count);
    }

    #[test]
    fn a_sum_is_no_reset(a in any_histogram(), b in any_histogram()) {
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        prop_assert!(!detect_reset(&sum, &a));
        if b.count > 0.0 {
            prop_assert!(detect_reset(&a, &sum) || a.count >= sum.count);
        }
    }

    #[test]
    fn partial_sums_merge(all in proptest::collection::vec(any_histogram(), 2..8), cut in 1usize..7, is_mean: bool) {
        let cut = cut.min(all.len() - 1);
        let fold = |part: &[FloatHistogram]| {
            let mut state = MeanState::new(&part[0], is_mean);
            for h in &part[1..] {
                state.add(h).unwrap();
            }
            state
        };
        let mut left = fold(&all[..cut]);
        left.merge(&fold(&all[cut..])).unwrap();
        let (mut merged, mut whole) = (left.finish().unwrap(), fold(&all).finish().unwrap());
        compact(&mut merged);
        compact(&mut whole);
        prop_assert_eq!(merged.schema, whole.schema);
        prop_assert!((merged.count - whole.count).abs() < 1e-9);
        prop_assert!((total(&merged) - total(&whole)).abs() < 1e-9);
        prop_assert_eq!(merged.positive_spans, whole.positive_spans);
    }
}

#[test]
fn means_beyond_the_largest_number_keep_what_cancels() {
    let of = |count: f64, sum: f64| FloatHistogram { count, sum, ..histogram(0, (0.0, 0.0), 0, &[]) };
    let state = |a: &FloatHistogram, b: &FloatHistogram| {
        let mut state = MeanState::new(a, true);
        state.add(b).unwrap();
        state
    };
    let mut all = state(&of(f64::MAX, 5.3), &of(1e308, 1e100));
    all.merge(&state(&of(1e-6, 1.0), &of(1e-6, -1e100))).unwrap();
    let mean = all.finish().unwrap();
    assert!((mean.sum - 6.3 / 4.0).abs() < 1e-12, "{}", mean.sum);
    assert!((mean.count / 6.99423283715579e307 - 1.0).abs() < 1e-12, "{}", mean.count);
}
