//! The φ-quantile of a set of values.

/// Orders values as Prometheus sorts them for quantiles: NaN first.
#[inline(always)]
fn key(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    let ordered = bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed();
    if value.is_nan() { i64::MIN } else { ordered }
}

/// The φ-quantile by linear interpolation; reorders `values`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = last.min(lower + 1.0);
    let weight = rank - rank.floor();
    // only two neighbours of the sorted values are looked at
    let (_, at_lower, above) = values.select_nth_unstable_by_key(lower as usize, |v| key(*v));
    let at_lower = *at_lower;
    let at_upper = if upper > lower { above.iter().copied().min_by_key(|v| key(*v)) } else { None };
    at_lower * (1.0 - weight) + at_upper.unwrap_or(at_lower) * weight
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `key` orders, told otherwise.
    fn compare_nan_first(a: &f64, b: &f64) -> std::cmp::Ordering {
        match (a.is_nan(), b.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
        }
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(quantile(1.0, &mut [4.0, 1.0]), 4.0);
        assert_eq!(quantile(-0.1, &mut [4.0]), f64::NEG_INFINITY);
        assert!(quantile(0.0, &mut [4.0, f64::NAN]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
    }

    proptest! {
        #[test]
        fn neighbours_are_those_of_the_sorted_values(values in proptest::collection::vec(value(), 1..40), q in 0.0..=1.0f64) {
            let mut sorted = values.clone();
            sorted.sort_by(compare_nan_first);
            let rank = q * (sorted.len() - 1) as f64;
            let weight = rank - rank.floor();
            let upper = sorted[(rank as usize + 1).min(sorted.len() - 1)];
            let expected = sorted[rank as usize] * (1.0 - weight) + upper * weight;
            let found = quantile(q, &mut values.clone());
            prop_assert!(found == expected || (found.is_nan() && expected.is_nan()), "{found} {expected}");
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![8 => -9i32..9, 1 => Just(i32::MAX)].prop_map(|v| match v {
            i32::MAX => f64::NAN,
            -9 => f64::NEG_INFINITY,
            v => f64::from(v) / 2.0,
        })
    }
}
