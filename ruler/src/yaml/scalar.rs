//! What a scalar is: nothing, a truth, a number or a text.

use super::decoder::Dialect;

/// A scalar's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Timestamp,
    Text,
}

impl Scalar {
    /// What an unquoted scalar stands for.
    pub(super) fn of(value: &str, dialect: Dialect) -> Self {
        match value {
            "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
            "true" | "True" | "TRUE" => return Scalar::Bool(true),
            "false" | "False" | "FALSE" => return Scalar::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
            _ => {}
        }
        if dialect == Dialect::V2
            && let Some(truth) = old_truth(value)
        {
            return Scalar::Bool(truth);
        }
        if !value.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
            return Scalar::Text;
        }
        if is_timestamp(value) {
            return Scalar::Timestamp;
        }
        let plain: String = value.chars().filter(|c| *c != '_').collect();
        match integer(&plain) {
            Some(number) => Scalar::Int(number),
            None if is_float(&plain) => plain.parse().map_or(Scalar::Text, Scalar::Float),
            None => Scalar::Text,
        }
    }

    pub(super) fn tag(self) -> &'static str {
        match self {
            Scalar::Null => "!!null",
            Scalar::Bool(_) => "!!bool",
            Scalar::Int(_) => "!!int",
            Scalar::Float(_) => "!!float",
            Scalar::Timestamp => "!!timestamp",
            Scalar::Text => "!!str",
        }
    }
}

/// The words for truths of YAML 1.1.
pub(super) fn old_truth(value: &str) -> Option<bool> {
    match value {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn is_timestamp(value: &str) -> bool {
    let date = value.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let figures = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    matches!(parts[..], [y, m, d] if y.len() == 4 && figures(y, 4) && figures(m, 2) && figures(d, 2))
        && (date.len() == value.len() || value[date.len() + 1..].contains(':'))
}

fn integer(plain: &str) -> Option<i128> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let (digits, radix) = match prefixes.iter().find_map(|(p, r)| Some((lower.strip_prefix(p)?, *r))) {
        Some(found) => found,
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = u64::from_str_radix(digits, radix).ok().map(i128::from)?;
    let number = if negative { -number } else { number };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(plain: &str) -> bool {
    let rest = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let figures = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && figures(fraction),
        Some((whole, fraction)) => figures(whole) && figures(fraction),
        None => !mantissa.is_empty() && figures(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && figures(digits)
    });
    whole && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_go_takes_them_for() {
        let of = |value| Scalar::of(value, Dialect::V3);
        assert_eq!(of("12"), Scalar::Int(12));
        assert_eq!(of("-0x1f"), Scalar::Int(-31));
        assert_eq!(of("0o17"), Scalar::Int(15));
        assert_eq!(of("017"), Scalar::Int(15));
        assert_eq!(of("1_000"), Scalar::Int(1_000));
        assert_eq!(of("1e3"), Scalar::Float(1_000.0));
        assert_eq!(of(".5"), Scalar::Float(0.5));
        assert_eq!(of("-.inf"), Scalar::Float(f64::NEG_INFINITY));
        assert_eq!(of("5m"), Scalar::Text);
        assert_eq!(of("-"), Scalar::Text);
        assert_eq!(of("2020-01-02"), Scalar::Timestamp);
        assert_eq!(of("~"), Scalar::Null);
        assert_eq!(of("yes"), Scalar::Text);
        assert_eq!(Scalar::of("yes", Dialect::V2), Scalar::Bool(true));
    }
}
