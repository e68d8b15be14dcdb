//! Numbers: floats as Go's `strconv` formats them, times in seconds.

use std::io::Write;

/// Integers below this are exact in a float: their digits are those of the integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes `v` without quotes: plain decimal, with an exponent below 1e-6 and from 1e21.
pub(crate) fn write_float(out: &mut Vec<u8>, v: f64) {
    let magnitude = v.abs();
    if magnitude < EXACT && v.trunc() == v && (v != 0.0 || v.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(v as i64).as_bytes());
        return;
    }
    if (1e-5..1e16).contains(&magnitude) {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(v);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) && magnitude.is_finite() {
        write_exponent(out, v);
    } else {
        write_float_plain(out, v);
    }
}

/// Writes `v` without quotes and never with an exponent.
pub(crate) fn write_float_plain(out: &mut Vec<u8>, v: f64) {
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if v.is_infinite() {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        // the standard library never writes an exponent here, and as few digits as read back equal
        let _never_fails = write!(out, "{v}");
    }
}

/// `d.ddde±dd`, with at least two digits of exponent.
fn write_exponent(out: &mut Vec<u8>, v: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(v);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    out.extend_from_slice(mantissa.strip_suffix(".0").unwrap_or(mantissa).as_bytes());
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (b'-', digits),
        None => (b'+', exponent),
    };
    out.extend_from_slice(&[b'e', sign]);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}

/// Writes milliseconds as seconds; a fraction always has three digits.
pub(crate) fn write_timestamp(out: &mut Vec<u8>, t: i64) {
    let magnitude = t.unsigned_abs();
    if t < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / 1000).as_bytes());
    let fraction = (magnitude % 1000) as u16;
    if fraction != 0 {
        let digits = [
            b'.',
            b'0' + (fraction / 100) as u8,
            b'0' + (fraction / 10 % 10) as u8,
            b'0' + (fraction % 10) as u8,
        ];
        out.extend_from_slice(&digits);
    }
}

/// Writes milliseconds as seconds; a fraction has as many digits as it needs.
pub(crate) fn write_seconds(out: &mut Vec<u8>, t: i64) {
    write_timestamp(out, t);
    if t % 1000 != 0 {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float(v: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    fn time(t: i64) -> (String, String) {
        let (mut fixed, mut short) = (Vec::new(), Vec::new());
        write_timestamp(&mut fixed, t);
        write_seconds(&mut short, t);
        (String::from_utf8(fixed).unwrap(), String::from_utf8(short).unwrap())
    }

    /// The same by the standard library's digits, without any shortcut.
    fn slow(v: f64) -> String {
        if !v.is_finite() {
            return if v.is_nan() {
                "NaN"
            } else if v > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            }
            .to_string();
        }
        let magnitude = v.abs();
        if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
            return format!("{v}");
        }
        let text = format!("{v:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }

    #[test]
    fn floats_read_as_go_writes_them() {
        let cases = [
            (1e30, "1e+30"),
            (1e-7, "1e-07"),
            (-0.0, "-0"),
            (0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (123456789012345678.0, "123456789012345680"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.000001, "0.000001"),
            (0.0000012345, "0.0000012345"),
            (9007199254740993.0, "9007199254740992"),
            (-1.5e-10, "-1.5e-10"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (-2.5e17, "-250000000000000000"),
        ];
        for (v, text) in cases {
            assert_eq!(float(v), text);
        }
    }

    #[test]
    fn times_have_three_digits_or_as_many_as_needed() {
        assert_eq!(time(1_435_781_451_781), ("1435781451.781".into(), "1435781451.781".into()));
        assert_eq!(time(1_500), ("1.500".into(), "1.5".into()));
        assert_eq!(time(1_000), ("1".into(), "1".into()));
        assert_eq!(time(0), ("0".into(), "0".into()));
        assert_eq!(time(10_000), ("10".into(), "10".into()));
        assert_eq!(time(-1), ("-0.001".into(), "-0.001".into()));
        assert_eq!(time(-1_250), ("-1.250".into(), "-1.25".into()));
        assert_eq!(time(i64::MIN).0, "-9223372036854775.808");
    }

    proptest! {
        #[test]
        fn any_float_reads_as_by_the_slow_way(bits: u64) {
            prop_assert_eq!(float(f64::from_bits(bits)), slow(f64::from_bits(bits)));
        }

        #[test]
        fn everyday_floats_read_as_by_the_slow_way(mantissa in -10_000_000i64..10_000_000, scale in -30i32..30) {
            let v = mantissa as f64 * 10f64.powi(scale);
            prop_assert_eq!(float(v), slow(v));
        }
    }
}
