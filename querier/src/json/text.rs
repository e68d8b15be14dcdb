//! Strings, lists of strings and label sets.
//!
//! Two dialects, as Prometheus has them: label sets are escaped as little as JSON allows, everything else
//! also hides `<`, `>`, `&` and the two line separators that JavaScript does not take.

use model::Labels;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes `text` in quotes, escaped for HTML too.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    escape(out, text, true);
}

/// Writes a list of strings.
pub(crate) fn write_strings<T: AsRef<str>>(out: &mut Vec<u8>, texts: &[T]) {
    out.push(b'[');
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, text.as_ref());
    }
    out.push(b']');
}

/// Writes a label set as an object.
pub(crate) fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        escape(out, name, false);
        out.push(b':');
        escape(out, value, false);
    }
    out.push(b'}');
}

/// Whether none of eight bytes may need escaping.
#[inline]
fn is_plain(eight: u64, html: bool) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let below = |limit: u8, word: u64| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |byte: u8| below(1, eight ^ (ONES * u64::from(byte)));
    let mut found = below(0x20, eight) | is(b'"') | is(b'\\');
    if html {
        found |= is(b'<') | is(b'>') | is(b'&') | is(0xe2);
    }
    found == 0
}

fn escape(out: &mut Vec<u8>, text: &str, html: bool) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(eight) = bytes.get(at..at + 8).and_then(|eight| eight.first_chunk())
            && is_plain(u64::from_le_bytes(*eight), html)
        {
            at += 8;
            continue;
        }
        let byte = bytes[at];
        let plain = match byte {
            b'"' | b'\\' | 0..0x20 => false,
            b'<' | b'>' | b'&' => !html,
            // U+2028 and U+2029 are e2 80 a8 and e2 80 a9
            0xe2 => !(html && bytes[at + 1] == 0x80 && matches!(bytes[at + 2], 0xa8 | 0xa9)),
            _ => true,
        };
        if plain {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        at += 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => {
                out.extend_from_slice(if bytes[at + 1] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                at += 2;
            }
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[(byte >> 4) as usize],
                HEX[(byte & 15) as usize],
            ]),
        }
        start = at;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_two_dialects() {
        let text = "<&>\"\\\n\t\r\u{2028}é\u{1}\u{7f}";
        let mut out = Vec::new();
        write_string(&mut out, text);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\t\\r\\u2028é\\u0001\u{7f}\""
        );
        let mut out = Vec::new();
        write_labels(&mut out, &Labels::new([("a", text)]).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":\"<&>\\\"\\\\\\n\\t\\r\u{2028}é\\u0001\u{7f}\"}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "\\PC*|[\\x00-\\x7f\u{2020}-\u{2030}<&>]*") {
            let mut out = Vec::new();
            write_strings(&mut out, &[&text, ""]);
            let back: Vec<String> = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(back, vec![text.clone(), String::new()]);
            let mut out = Vec::new();
            escape(&mut out, &text, false);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
