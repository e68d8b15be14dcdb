//! Text as Go quotes it: how Prometheus shows names, values and queries in its messages.

use std::fmt::Write as _;

/// In double quotes with Go's escapes.
pub fn go_quote(text: &str) -> String {
    go_quote_bytes(text.as_bytes())
}

/// In double quotes with Go's escapes; bytes that are no UTF-8 as `\xff`.
pub fn go_quote_bytes(bytes: &[u8]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_go_does() {
        assert_eq!(go_quote("a\"b\\c\n\u{1}é\u{feff}"), r#""a\"b\\c\n\x01é\ufeff""#);
        assert_eq!(go_quote("e\u{301}"), "\"e\u{301}\"");
        assert_eq!(go_quote_bytes(b"a\xc5z"), r#""a\xc5z""#);
    }
}
