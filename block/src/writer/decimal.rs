//! Decides how the values of one series are stored: as integers with one multiplier and one divisor, or
//! as they are.
//!
//! A value fits when `(mantissa * mul) as f64 / den` has the same 64 bits. Values that do not fit inside a
//! series that mostly does (staleness markers, other NaNs, infinities, -0.0) are exceptions.

/// Integers stay below 2^53, where doubles hold every one.
const INTEGER_LIMIT: f64 = 9_007_199_254_740_992.0;
/// Largest power of ten tried as divisor.
const EXPONENT_MAX: usize = 15;
/// More exceptions than a quarter of the values, and the series is stored as it is.
const EXCEPTIONS_SHARE: usize = 4;

const POWERS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Marks an exception among mantissas.
pub(crate) const EXCEPTION: i64 = i64::MIN;

/// How a series' mantissas become values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) mul: i64,
    pub(crate) den: f64,
    pub(crate) exceptions: usize,
}

#[inline]
fn fit_integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    let same = (integer as f64).to_bits() == value.to_bits() && value.abs() < INTEGER_LIMIT;
    same.then_some(integer)
}

#[inline]
fn fit_scaled(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    // false for NaN as well
    let small = scaled.abs() < INTEGER_LIMIT - 1.0;
    let cut = scaled as i64;
    let rest = scaled - cut as f64;
    let integer = cut.wrapping_add(i64::from(rest >= 0.5)).wrapping_sub(i64::from(rest <= -0.5));
    let same = (integer as f64 / power).to_bits() == value.to_bits();
    (small && same).then_some(integer)
}

fn fit(value: f64, exponent: usize) -> Option<i64> {
    if exponent == 0 { fit_integer(value) } else { fit_scaled(value, POWERS[exponent]) }
}

/// The smallest exponent by which the values fit, exceptions aside; `None` when too many never do.
fn find_exponent(values: &[f64], allowed: usize) -> Option<usize> {
    let mut exponent = 0;
    let mut misfits = 0;
    let mut previous = f64::NAN;
    for &value in values {
        // many series repeat themselves
        if value.to_bits() == previous.to_bits() {
            continue;
        }
        if fit(value, exponent).is_some() {
            previous = value;
            continue;
        }
        let higher = (exponent + 1..=EXPONENT_MAX)
            .take_while(|e| (value * POWERS[*e]).abs() < INTEGER_LIMIT)
            .find(|e| fit_scaled(value, POWERS[*e]).is_some());
        match higher {
            Some(e) => {
                exponent = e;
                previous = value;
            }
            None => {
                misfits += 1;
                if misfits > allowed {
                    return None;
                }
            }
        }
    }
    Some(exponent)
}

/// Fills `mantissas`, [`EXCEPTION`] where a value does not fit; returns how many do not.
fn scale_by(values: &[f64], exponent: usize, mantissas: &mut Vec<i64>) -> usize {
    mantissas.clear();
    if exponent == 0 {
        mantissas.extend(values.iter().map(|v| fit_integer(*v).unwrap_or(EXCEPTION)));
    } else {
        let power = POWERS[exponent];
        mantissas.extend(values.iter().map(|v| fit_scaled(*v, power).unwrap_or(EXCEPTION)));
    }
    mantissas.iter().filter(|m| **m == EXCEPTION).count()
}

/// The greatest divisor all mantissas share; 1 when they are all zero.
fn common_divisor(mantissas: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for &mantissa in mantissas {
        if mantissa == EXCEPTION || mantissa == 0 {
            continue;
        }
        let mut a = mantissa.unsigned_abs();
        if divisor.is_power_of_two() && a & (divisor - 1) == 0 {
            if divisor == 1 {
                return 1;
            }
            continue;
        }
        let mut b = divisor;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
    }
    divisor.max(1).cast_signed()
}

/// Decides for one series. `Some`: `mantissas` is filled, one per value. `None`: stored as it is.
pub(crate) fn classify(values: &[f64], mantissas: &mut Vec<i64>) -> Option<Scale> {
    if values.is_empty() {
        return None;
    }
    let allowed = values.len() / EXCEPTIONS_SHARE;
    let mut exponent = find_exponent(values, allowed)?;
    let mut exceptions = scale_by(values, exponent, mantissas);
    if exceptions > allowed && exponent > 0 {
        // one odd decimal among large integers
        exponent = 0;
        exceptions = scale_by(values, 0, mantissas);
    }
    if exceptions > allowed {
        return None;
    }
    let mut mul = common_divisor(mantissas);
    if mul > 1 {
        let shift = mul.trailing_zeros();
        if mul.count_ones() == 1 {
            mantissas.iter_mut().filter(|m| **m != EXCEPTION).for_each(|m| *m >>= shift);
        } else {
            mantissas.iter_mut().filter(|m| **m != EXCEPTION).for_each(|m| *m /= mul);
        }
    }
    while exponent > 0 && mul % 10 == 0 {
        mul /= 10;
        exponent -= 1;
    }
    Some(Scale { mul, den: POWERS[exponent], exceptions })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f64]) -> Option<Scale> {
        let mut mantissas = Vec::new();
        let scale = classify(values, &mut mantissas)?;
        let mut exceptions = 0;
        for (mantissa, value) in mantissas.iter().zip(values) {
            if *mantissa == EXCEPTION {
                exceptions += 1;
                continue;
            }
            let product = mantissa.checked_mul(scale.mul).expect("small");
            assert!(product.unsigned_abs() < 1 << 53);
            assert_eq!((product as f64 / scale.den).to_bits(), value.to_bits());
        }
        assert_eq!(exceptions, scale.exceptions);
        assert!(exceptions <= values.len() / 4);
        Some(scale)
    }

    #[test]
    fn integers_decimals_and_multiples_are_found() {
        let scale = check(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((scale.mul, scale.den), (1, 1.0));
        let scale = check(&[4096.0, 8192.0, 40960.0, f64::NAN]).unwrap();
        assert_eq!((scale.mul, scale.den, scale.exceptions), (4096, 1.0, 1));
        let scale = check(&[0.25, 0.5, 12.75, 100.1]).unwrap();
        assert_eq!((scale.mul, scale.den), (5, 100.0));
        assert_eq!(check(&[2.0 / 3.0, 0.1 + 0.2]), None);
        assert_eq!(check(&[f64::NAN; 3]), None);
        assert_eq!(check(&[-0.0]), None);
        assert!(check(&[0.0, -0.0, 0.0, 0.0]).is_some());
        assert!(check(&[9_007_199_254_740_991.0, -9_007_199_254_740_991.0]).is_some());
        assert_eq!(check(&[9_007_199_254_740_992.0]), None);
    }

    proptest! {
        #[test]
        fn every_value_that_is_said_to_fit_has_its_bits(
            values in proptest::collection::vec(prop_oneof![
                any::<f64>(),
                any::<u64>().prop_map(f64::from_bits),
                (-1_000_000i64..1_000_000).prop_map(|i| i as f64),
                (-1_000_000i64..1_000_000, 0usize..16).prop_map(|(i, k)| i as f64 / POWERS[k]),
                ((1i64 << 53) - 3..(1i64 << 53) + 3).prop_map(|i| i as f64),
            ], 1..60),
        ) {
            check(&values);
        }

        #[test]
        fn decimals_of_one_scale_always_fit(k in 0usize..12, integers in proptest::collection::vec(-100_000i64..100_000, 1..50)) {
            let values: Vec<f64> = integers.iter().map(|i| *i as f64 / POWERS[k]).collect();
            if values.iter().all(|v| v.to_bits() != (-0.0f64).to_bits()) {
                prop_assert!(check(&values).is_some());
            }
        }
    }
}
