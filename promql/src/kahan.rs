//! Compensated summation (Kahan with Neumaier's improvement), step by step as Prometheus sums.

/// Adds `value` to a sum and its compensation; an infinite sum has none.
#[inline(always)]
pub(crate) fn add(value: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + value;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= value.abs() {
        *compensation += (*sum - total) + value;
    } else {
        *compensation += (value - total) + *sum;
    }
    *sum = total;
}

/// Adds each value to its sum, as `add` does. `absent` are the bits of values that are none, and of sums that have
/// none yet, whose compensation is 0.
pub(crate) fn add_all(values: &[f64], sums: &mut [f64], compensations: &mut [f64], absent: u64) {
    let is_any_nan =
        sums.iter().zip(values).fold(false, |any, (sum, value)| any | (sum.is_nan() | value.is_nan()));
    let all = values.iter().zip(sums).zip(compensations);
    if !is_any_nan {
        for ((value, sum), compensation) in all {
            (*sum, *compensation) = added(*value, *sum, *compensation);
        }
        return;
    }
    for ((value, sum), compensation) in all {
        // computed for all and then chosen, so that many can be done at a time
        let (total, next) = added(*value, *sum, *compensation);
        let is_none = value.to_bits() == absent;
        let is_first = sum.to_bits() == absent;
        *compensation = if is_none | is_first { *compensation } else { next };
        let total = if is_first { *value } else { total };
        *sum = if is_none { *sum } else { total };
    }
}

/// As `add`, without a branch.
#[inline(always)]
fn added(value: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + value;
    let is_sum_larger = sum.abs() >= value.abs();
    let (large, small) = if is_sum_larger { (sum, value) } else { (value, sum) };
    let next = compensation + ((large - total) + small);
    (total, if total.abs() == f64::INFINITY { 0.0 } else { next })
}

/// The sum of two floats and its rounding error.
#[inline(always)]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// A number of twice the precision: prefix sums whose differences lose nothing that matters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Double {
    high: f64,
    low: f64,
}

impl Double {
    /// `self + value`
    #[inline(always)]
    pub(crate) fn plus(self, value: f64) -> Self {
        let (sum, error) = two_sum(self.high, value);
        let low = self.low + error;
        let high = sum + low;
        Double { high, low: low - (high - sum) }
    }

    /// `self - other`, rounded.
    #[inline(always)]
    pub(crate) fn minus(self, other: Double) -> f64 {
        self.less(other).rounded()
    }

    /// `self - other`
    #[inline(always)]
    pub(crate) fn less(self, other: Double) -> Self {
        let (difference, error) = two_sum(self.high, -other.high);
        Double { high: difference, low: error + (self.low - other.low) }
    }

    /// `self + a * b`, the product exact.
    #[inline(always)]
    pub(crate) fn plus_product(self, a: f64, b: f64) -> Self {
        let product = a * b;
        self.plus(product).plus(a.mul_add(b, -product))
    }

    /// `self + other`
    #[inline(always)]
    pub(crate) fn join(self, other: Double) -> Self {
        self.plus(other.high).plus(other.low)
    }

    /// `self / by`, to twice the precision.
    #[inline(always)]
    pub(crate) fn over(self, by: f64) -> Self {
        let high = self.high / by;
        let rest = (-high).mul_add(by, self.high) + self.low;
        let (high, low) = two_sum(high, rest / by);
        Double { high, low }
    }

    /// Both parts: the rounded number and what is missing to it.
    pub(crate) fn parts(self) -> (f64, f64) {
        (self.high, self.low)
    }

    /// From its parts.
    pub(crate) fn of(high: f64, low: f64) -> Self {
        Double { high, low }
    }

    /// `self * factor`
    #[inline(always)]
    pub(crate) fn times(self, factor: f64) -> Self {
        Double::default().plus_product(self.high, factor).plus(self.low * factor)
    }

    /// The nearest float.
    #[inline(always)]
    pub(crate) fn rounded(self) -> f64 {
        self.high + self.low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cancels_is_not_lost() {
        let (mut sum, mut compensation) = (0.0, 0.0);
        for v in [1.0, 1e100, 1.0, -1e100] {
            add(v, &mut sum, &mut compensation);
        }
        assert_eq!(sum + compensation, 2.0);
        let prefix = Double::default().plus(1e16).plus(1.0).plus(1.0);
        assert_eq!(prefix.minus(Double::default().plus(1e16)), 2.0);
    }

    proptest! {
        #[test]
        fn many_are_added_as_one_by_one(rows in proptest::collection::vec(proptest::collection::vec(value(), 5), 1..9)) {
            let absent = f64::from_bits(ABSENT);
            let (mut sums, mut compensations) = ([absent; 5], [0.0; 5]);
            let (mut expected, mut expected_compensations) = ([absent; 5], [0.0; 5]);
            for row in &rows {
                add_all(row, &mut sums, &mut compensations, ABSENT);
                for ((v, sum), compensation) in row.iter().zip(&mut expected).zip(&mut expected_compensations) {
                    if v.to_bits() == ABSENT {
                        continue;
                    }
                    if sum.to_bits() == ABSENT {
                        *sum = *v;
                    } else {
                        add(*v, sum, compensation);
                    }
                }
                prop_assert_eq!(sums.map(|v| v.to_bits() == ABSENT), expected.map(|v| v.to_bits() == ABSENT));
                // an infinity less itself is NaN, of whatever sign
                let bits = |all: &[f64; 5]| all.map(|v| if v.is_nan() { f64::NAN } else { v }.to_bits());
                prop_assert_eq!(bits(&sums), bits(&expected));
                prop_assert_eq!(bits(&compensations), bits(&expected_compensations));
            }
        }
    }

    const ABSENT: u64 = model::STALE_NAN_BITS;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            3 => Just(f64::from_bits(ABSENT)),
            20 => -1e3f64..1e3,
            5 => any::<f64>().prop_filter("a number", |v| !v.is_nan()),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
        ]
    }
}
