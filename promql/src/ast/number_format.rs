//! Numbers and names in the form Prometheus prints them.

/// The shortest text that reads back to `value`, never with an exponent: `NaN`, `+Inf`, `-Inf`, `0.1`.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value}")
    }
}

/// As `format_float`, with an exponent below 1e-4 and from 1e6 on (Go's `%v`).
pub(crate) fn format_float_short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-4..1e6).contains(&size) {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: may be written without quotes.
pub(crate) fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_does() {
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float(f64::INFINITY), "+Inf");
        assert_eq!(format_float(-0.5), "-0.5");
        assert_eq!(format_float_short(4_234_000_000.0), "4.234e+09");
        assert_eq!(format_float_short(0.00001234), "1.234e-05");
        assert_eq!(format_float_short(123_456.5), "123456.5");
    }
}
