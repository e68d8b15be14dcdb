//! What literals in templates stand for.

use super::node::Arg;

/// A number; the error is Go's.
pub(super) fn number(text: &str) -> Result<Arg, String> {
    if let Some(imaginary) = text.strip_suffix('i') {
        let why = || format!("illegal number syntax: {}", model::go_quote(text));
        return match float(imaginary).ok_or_else(why)? {
            0.0 => Ok(Arg::Int(0, text.to_owned())),
            _ => Err(format!("complex numbers are not supported: {}", model::go_quote(text))),
        };
    }
    if let Some(whole) = integer(text) {
        return match i64::try_from(whole) {
            Ok(whole) => Ok(Arg::Int(whole, text.to_owned())),
            Err(_) => Ok(Arg::Unsigned(text.to_owned())),
        };
    }
    match float(text) {
        Some(_) if !text.contains(['.', 'e', 'E', 'p', 'P']) => {
            Err(format!("integer overflow: {}", model::go_quote(text)))
        }
        Some(value) => Ok(Arg::Float(value, text.to_owned())),
        None => Err(format!("illegal number syntax: {}", model::go_quote(text))),
    }
}

/// Whether every `_` stands between digits, or behind the prefix of a radix.
fn underscores_fit(digits: &str, behind_prefix: bool) -> bool {
    let text = if behind_prefix { format!("0{digits}") } else { digits.to_owned() };
    !text.starts_with('_') && !text.ends_with('_') && !text.contains("__")
}

/// An integer as Go reads it, in any radix its prefix names.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let named =
        [("0x", 16), ("0b", 2), ("0o", 8)].iter().find_map(|(p, r)| Some((lower.strip_prefix(p)?, *r)));
    let (figures, radix, behind_prefix) = match named {
        Some((figures, radix)) => (figures, radix, true),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8, true),
        None => (lower.as_str(), 10, false),
    };
    if figures.starts_with(['+', '-']) || !underscores_fit(figures, behind_prefix) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(&figures.replace('_', ""), radix).ok()?);
    let value = if negative { -value } else { value };
    // a sign makes it one that has one
    (value >= i128::from(i64::MIN) && (value <= i128::from(i64::MAX) || digits == text)).then_some(value)
}

/// A float as Go reads it, hexadecimal ones too; too large ones are none.
pub(super) fn float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return hexadecimal(hex).map(|v| sign * v);
    }
    if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') || lower.contains('_') {
        return None;
    }
    let value: f64 = lower.parse().ok()?;
    value.is_finite().then_some(sign * value)
}

/// `1.8p3`
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()).filter(|c| *c != '_') {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let scaled = value * 2f64.powi(exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?);
    scaled.is_finite().then_some(scaled)
}

/// The character of `'a'`; the error is Go's.
pub(super) fn character(text: &str) -> Result<i64, String> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let malformed = || format!("malformed character constant: {text}");
    if inner.is_empty() || (inner.contains('"') && inner.contains('\\') && inner.contains("\\\"")) {
        return Err("invalid syntax".to_owned());
    }
    let value = unescape(&inner.replace("\\'", "'")).ok_or_else(|| "invalid syntax".to_owned())?;
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(i64::from(u32::from(c))),
        _ => Err(malformed()),
    }
}

/// The text of a quoted or raw string.
pub(super) fn unquote(text: &str) -> Result<String, String> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if text.starts_with('`') {
        return Ok(inner.replace('\r', ""));
    }
    if inner.contains("\\'") {
        return Err("invalid syntax".to_owned());
    }
    unescape(inner).ok_or_else(|| "invalid syntax".to_owned())
}

/// Resolves Go's escapes.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let digits = |chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32| {
        (0..count)
            .try_fold(first, |value, _| Some(value.checked_mul(radix)? + chars.next()?.to_digit(radix)?))
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let c = match chars.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            c @ ('\\' | '\'' | '"') => c,
            'x' => {
                out.push(u8::try_from(digits(&mut chars, 2, 16, 0)?).ok()?);
                continue;
            }
            'u' => char::from_u32(digits(&mut chars, 4, 16, 0)?)?,
            'U' => char::from_u32(digits(&mut chars, 8, 16, 0)?)?,
            c => {
                out.push(u8::try_from(digits(&mut chars, 2, 8, c.to_digit(8)?)?).ok()?);
                continue;
            }
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
