//! Reading literals: numbers, durations, quoted strings, with Go's rules.

use crate::ast::go_quote;

/// Reads a number: an integer with Go's prefixes and underscores, else a float.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(n) = parse_int(text) {
        return Ok(n as f64);
    }
    let fail = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", go_quote(text));
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let hex = text.starts_with("0x") || text.starts_with("0X");
    // A hexadecimal float needs an exponent, which the scanner does not let through.
    if hex || !underscores_ok(text, false) {
        return Err(fail("invalid syntax"));
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    if !plain.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return Err(fail("invalid syntax"));
    }
    let value: f64 = plain.parse().map_err(|_| fail("invalid syntax"))?;
    if value.is_infinite() { Err(fail("value out of range")) } else { Ok(value) }
}

/// A Go integer literal that fits 64 bits.
fn parse_int(text: &str) -> Option<i64> {
    let prefix = text.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, text.get(2..)?),
        "0o" => (8, text.get(2..)?),
        "0b" => (2, text.get(2..)?),
        _ if text.starts_with('0') && text.len() > 1 => (8, text.get(1..)?),
        _ => (10, text),
    };
    if !underscores_ok(text, radix == 16) {
        return None;
    }
    let plain: String = digits.chars().filter(|&c| c != '_').collect();
    if !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(&plain, radix).ok()
}

/// Underscores only between digits, or between a base prefix and a digit.
fn underscores_ok(text: &str, hex: bool) -> bool {
    if !text.contains('_') {
        return true;
    }
    let digits = if hex { text.get(2..).unwrap_or_default() } else { text };
    let mut last = if hex { '0' } else { '^' };
    for c in digits.chars() {
        let is_digit = c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
        if (c == '_' && last != '0') || (c != '_' && !is_digit && last == '_') {
            return false;
        }
        last = if is_digit {
            '0'
        } else if c == '_' {
            '_'
        } else {
            '!'
        };
    }
    last != '_'
}

/// A duration in seconds, as a query's number.
pub(super) fn parse_duration_seconds(text: &str) -> Result<f64, String> {
    let ns = model::parse_duration_ns(text).map_err(|error| error.to_string())?;
    Ok((ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9)
}

/// Takes quotes and escapes off. Bytes that are no UTF-8 become U+FFFD. `None` when it is no quoted string.
pub fn unquote(quoted: &str) -> Option<String> {
    unquote_bytes(quoted).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// As `unquote`, bytes as they are.
pub(super) fn unquote_bytes(quoted: &str) -> Option<Vec<u8>> {
    let quote = quoted.chars().next()?;
    let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
    match quote {
        '`' => return (!inner.contains('`')).then(|| inner.as_bytes().to_vec()),
        '"' | '\'' => {}
        _ => return None,
    }
    if inner.contains('\n') {
        return None;
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.next()?;
        let simple = match escape {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '\'' | '"' if escape == quote => escape as u8,
            'x' => u8::try_from(digits(&mut rest, 2, 16)?).ok()?,
            'u' | 'U' => {
                let code = digits(&mut rest, if escape == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            '0'..='7' => {
                let high = escape.to_digit(8)?;
                u8::try_from(high * 64 + digits(&mut rest, 2, 8)?).ok()?
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    Some(bytes)
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0u32, |code, _| {
        let digit = rest.next()?.to_digit(radix)?;
        code.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("010", 8.0),
            ("08", 8.0),
            ("1_000_000", 1e6),
            ("1_2.5e1_0", 12.5e10),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1e3),
            ("iNf", f64::INFINITY),
            ("99999999999999999999", 1e20),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").unwrap().is_nan());
        assert_eq!(parse_number("0x"), Err("strconv.ParseFloat: parsing \"0x\": invalid syntax".to_owned()));
        assert_eq!(
            parse_number("1e999"),
            Err("strconv.ParseFloat: parsing \"1e999\": value out of range".to_owned())
        );
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(parse_duration_seconds("1s500ms"), Ok(1.5));
        assert_eq!(parse_duration_seconds("5m1h"), Err("not a valid duration string: \"5m1h\"".to_owned()));
    }

    #[test]
    fn strings_lose_their_quotes() {
        assert_eq!(unquote(r#""a\"b\n\x41\101é\U0001F600""#).as_deref(), Some("a\"b\nAAé😀"));
        assert_eq!(unquote("'it\\'s'").as_deref(), Some("it's"));
        assert_eq!(unquote(r"`a\b`").as_deref(), Some(r"a\b"));
        assert_eq!(unquote_bytes(r#""\xff\377""#), Some(vec![255, 255]));
        assert_eq!(unquote(r#""\'""#), None);
        assert_eq!(unquote("\""), None);
    }
}
