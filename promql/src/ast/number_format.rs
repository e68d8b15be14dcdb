//! Numbers, durations and strings in the form Prometheus prints them.

use std::fmt::Write as _;

/// A span of milliseconds as `1d2h`, `90d`, `0s`: years and weeks only when nothing remains.
pub fn format_duration_ms(ms: i64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if ms < 0 {
        text.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (unit, size, only_exact) in UNITS {
        if (only_exact && !rest.is_multiple_of(size)) || rest < size {
            continue;
        }
        let _ = write!(text, "{}{unit}", rest / size);
        rest %= size;
    }
    text
}

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

/// In double quotes with Go's escapes.
pub fn go_quote(text: &str) -> String {
    go_quote_bytes(text.as_bytes())
}

/// In double quotes with Go's escapes; bytes that are no UTF-8 as `\xff`.
pub(crate) fn go_quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut quoted, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, c: char) {
    match c {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        ' '..='~' => quoted.push(c),
        '\0'..='\x7f' => {
            let _ = write!(quoted, "\\x{:02x}", u32::from(c));
        }
        // As it is it would not be read back: the scanner takes it for bytes that are no text.
        char::REPLACEMENT_CHARACTER => quoted.push_str("\\ufffd"),
        c if is_print(c) => quoted.push(c),
        c if u32::from(c) < 0x1_0000 => {
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        }
        c => {
            let _ = write!(quoted, "\\U{:08x}", u32::from(c));
        }
    }
}

/// Whether `c` is shown as it is. Asked of the standard library through a string's debug form; a letter before `c`
/// keeps combining marks from being escaped.
fn is_print(c: char) -> bool {
    let mut pair = String::from("a");
    pair.push(c);
    pair.escape_debug().eq(pair.chars())
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
    fn durations_print_as_prometheus_does() {
        let day = 86_400_000;
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1s500ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (7 * day, "1w"),
            (90 * day, "90d"),
            (365 * day, "1y"),
            (372 * day, "372d"),
            (-90_000, "-1m30s"),
        ] {
            assert_eq!(format_duration_ms(ms), text);
        }
    }

    #[test]
    fn floats_print_as_go_does() {
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float(f64::INFINITY), "+Inf");
        assert_eq!(format_float(-0.5), "-0.5");
        assert_eq!(format_float_short(4_234_000_000.0), "4.234e+09");
        assert_eq!(format_float_short(0.00001234), "1.234e-05");
        assert_eq!(format_float_short(123_456.5), "123456.5");
    }

    #[test]
    fn strings_are_quoted_as_go_does() {
        assert_eq!(go_quote("a\"b\\c\n\u{1}é\u{feff}"), r#""a\"b\\c\n\x01é\ufeff""#);
        assert_eq!(go_quote("e\u{301}"), "\"e\u{301}\"");
        assert_eq!(go_quote_bytes(b"a\xc5z"), r#""a\xc5z""#);
    }
}
