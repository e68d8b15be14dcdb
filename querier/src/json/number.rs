//! Numbers: floats as Go's `strconv` formats them, times in seconds.

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
        let mut buffer = zmij::Buffer::new();
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
        write_positional(out, v);
    }
}

/// Plain decimal of a finite float. The digits are zmij's: the standard library rounds ties up, Go to even.
fn write_positional(out: &mut Vec<u8>, v: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(positive) => {
            out.push(b'-');
            positive
        }
        None => mantissa,
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let rest = if rest == "0" { "" } else { rest };
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(first.as_bytes());
        out.extend_from_slice(rest.as_bytes());
        return;
    }
    let exponent = exponent as usize;
    out.extend_from_slice(first.as_bytes());
    if rest.len() <= exponent {
        out.extend_from_slice(rest.as_bytes());
        out.resize(out.len() + exponent - rest.len(), b'0');
    } else {
        out.extend_from_slice(&rest.as_bytes()[..exponent]);
        out.push(b'.');
        out.extend_from_slice(&rest.as_bytes()[exponent..]);
    }
}

/// As Go's `%g`: with an exponent below 1e-4 and from 1e6, as many digits as needed.
pub(crate) fn write_float_general(out: &mut Vec<u8>, v: f64) {
    if v == 0.0 || !v.is_finite() || (1e-4..1e6).contains(&v.abs()) {
        write_float_plain(out, v);
    } else {
        write_exponent(out, v);
    }
}

/// `d.ddde±dd`, with at least two digits of exponent; of finite floats but zero.
fn write_exponent(out: &mut Vec<u8>, v: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v);
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
        None => (text, 0i32),
    };
    if v < 0.0 {
        out.push(b'-');
    }
    // digits and the place of the point, whatever form they came in
    let mantissa = mantissa.trim_start_matches('-');
    let point = mantissa.find('.').unwrap_or(mantissa.len()) as i32;
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let leading = digits.iter().take_while(|d| **d == b'0').count();
    let digits = &digits[leading..];
    let trailing = digits.iter().rev().take_while(|d| **d == b'0').count();
    let digits = &digits[..digits.len() - trailing];
    let exponent = exponent + point - 1 - leading as i32;
    if let Some((first, rest)) = digits.split_first() {
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
    }
    out.extend_from_slice(&[b'e', if exponent < 0 { b'-' } else { b'+' }]);
    if exponent.unsigned_abs() < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
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

    /// The digits of an integer, zeros after those that matter.
    fn padded(mantissa: &str, exponent: &str) -> String {
        let sign = if mantissa.starts_with('-') { "-" } else { "" };
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let width = exponent.parse::<usize>().unwrap() + 1;
        format!("{sign}{digits:0<width$}")
    }

    /// The same by the standard library's exact digits, without any shortcut.
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
        // as few digits as read back equal, rounded exactly, ties to even
        let text = (0..17).map(|digits| format!("{v:.digits$e}")).find(|t| t.parse() == Ok(v)).unwrap();
        let magnitude = v.abs();
        let (mantissa, exponent) = text.split_once('e').unwrap();
        if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
            let decimals = mantissa.split_once('.').map_or(0, |(_, d)| d.len() as i32);
            let places = (decimals - exponent.parse::<i32>().unwrap()).max(0) as usize;
            // exact up to here, so that this rounds as the digits above did
            let digits = format!("{v:.places$}");
            return if places > 0 || decimals <= 0 && magnitude < 1e15 {
                digits
            } else {
                padded(mantissa, exponent)
            };
        }
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
            // a tie between the last digits 2 and 3
            (5_355_712_719_992_597.0 / 4.0, "1338928179998149.2"),
        ];
        for (v, text) in cases {
            assert_eq!(float(v), text);
        }
    }

    #[test]
    fn plain_floats_have_no_exponent() {
        let plain = |v: f64| {
            let mut out = Vec::new();
            write_float_plain(&mut out, v);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(plain(-1.25e-10), "-0.000000000125");
        assert_eq!(plain(1e30), format!("1{}", "0".repeat(30)));
        assert_eq!(plain(-1.5e21), "-1500000000000000000000");
        assert_eq!(plain(5e-324), format!("0.{}5", "0".repeat(323)));
        assert_eq!((plain(-0.0), plain(1.0), plain(0.1)), ("-0".into(), "1".into(), "0.1".into()));
        for power in -300..300 {
            let v = 1.2345678901234567 * 10f64.powi(power);
            assert_eq!(plain(v).parse::<f64>(), Ok(v));
            assert!(!plain(v).contains('e'));
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
