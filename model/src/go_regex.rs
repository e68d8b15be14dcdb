//! Regular expressions as Go's `regexp` reads them, on top of the `regex` crate.
//!
//! Both are linear-time; their syntax differs. The pattern is read once in Go's syntax and written again in
//! Rust's: quoting by `\Q…\E`, braces that are no repetition, octal escapes, classes without set operators,
//! ASCII-only `\d \w \s \b`. What only Rust knows is refused. Error texts are Go's.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Largest repetition count Go accepts.
const REPEAT_MAX: u32 = 1000;
/// Longest list of literals that replaces an expression.
const LITERALS_MAX: usize = 1024;
/// Largest compiled program in bytes.
const PROGRAM_BYTES_MAX: usize = 10 << 20;

/// An expression, as simple as it can be had.
pub(crate) enum Compiled {
    /// `.*`
    Anything,
    /// `.+`
    NotEmpty,
    /// Exactly one of these.
    OneOf(Vec<String>),
    /// A literal, then anything.
    Prefix(String),
    /// All else, anchored.
    Regex(Regex),
}

/// Reads `pattern` in Go's syntax, anchored at both ends, dot matching newlines.
pub(crate) fn compile(pattern: &str) -> Result<Compiled, String> {
    let translated = Translator::new(pattern).run()?;
    let anchored = format!("^(?s:{translated})$");
    let hir = regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .parse(&translated)
        .map_err(|_| format!("invalid or unsupported syntax: `{pattern}`"))?;
    if let Some(values) = literals(&hir) {
        return Ok(Compiled::OneOf(values));
    }
    if let Some(minimum) = any_repeat(&hir) {
        return Ok(if minimum == 0 { Compiled::Anything } else { Compiled::NotEmpty });
    }
    if let HirKind::Concat(parts) = hir.kind()
        && let [first, second] = &parts[..]
        && let HirKind::Literal(literal) = first.kind()
        && any_repeat(second) == Some(0)
        && let Ok(prefix) = std::str::from_utf8(&literal.0)
    {
        return Ok(Compiled::Prefix(prefix.to_owned()));
    }
    RegexBuilder::new(&anchored)
        .size_limit(PROGRAM_BYTES_MAX)
        .build()
        .map(Compiled::Regex)
        .map_err(|_| format!("expression nests too deeply or is too large: `{pattern}`"))
}

/// Reads `pattern` in Go's syntax, anchored at both ends, keeping its capture groups.
pub(crate) fn compile_with_captures(pattern: &str) -> Result<Regex, String> {
    let translated = Translator::new(pattern).run()?;
    RegexBuilder::new(&format!("^(?s:{translated})$"))
        .size_limit(PROGRAM_BYTES_MAX)
        .build()
        .map_err(|_| format!("invalid or unsupported syntax: `{pattern}`"))
}

/// The strings an expression matches, when they are few and it has no anchors.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let mut out = Vec::new();
            for range in class.ranges() {
                if (range.end() as u32) - (range.start() as u32) > 64 || out.len() > 64 {
                    return None;
                }
                out.extend((range.start()..=range.end()).map(String::from));
            }
            Some(out)
        }
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Alternation(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.extend(literals(part)?);
                if out.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(out)
        }
        HirKind::Concat(parts) => {
            let mut out = vec![String::new()];
            for part in parts {
                let tails = literals(part)?;
                if out.len() * tails.len() > LITERALS_MAX {
                    return None;
                }
                out = out.iter().flat_map(|head| tails.iter().map(move |t| format!("{head}{t}"))).collect();
            }
            Some(out)
        }
        _ => None,
    }
}

/// `Some(minimum)` when the expression is `.*` (0) or `.+` (1) over every character.
fn any_repeat(hir: &Hir) -> Option<u32> {
    let repetition = match hir.kind() {
        HirKind::Capture(capture) => return any_repeat(&capture.sub),
        HirKind::Repetition(repetition) => repetition,
        _ => return None,
    };
    if repetition.max.is_some() || repetition.min > 1 {
        return None;
    }
    match repetition.sub.kind() {
        HirKind::Class(Class::Unicode(class))
            if class.ranges().first().is_some_and(|r| r.start() == '\0')
                && class.ranges().iter().map(|r| r.len()).sum::<usize>() >= 0x10_f800 =>
        {
            Some(repetition.min)
        }
        _ => None,
    }
}

struct Translator<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
    depth: usize,
    /// Whether something stands before that a repetition can apply to.
    repeatable: bool,
    /// Whether what stands before is itself a repetition.
    repeated: Option<usize>,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        let out = String::with_capacity(pattern.len() + 16);
        Translator { pattern, at: 0, out, depth: 0, repeatable: false, repeated: None }
    }

    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex_syntax::escape(c.encode_utf8(&mut [0; 4])));
        self.repeatable = true;
        self.repeated = None;
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.peek() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    if self.depth == 0 {
                        return Err(format!("unexpected ): `{}`", self.pattern));
                    }
                    self.depth -= 1;
                    self.push(c, true);
                }
                '|' => self.push(c, false),
                '^' | '$' | '.' => self.push(c, true),
                '*' | '+' | '?' => self.repeat(c.len_utf8())?,
                '{' => match repetition_length(self.rest()) {
                    Some((length, count_max)) if count_max <= REPEAT_MAX => self.repeat(length)?,
                    Some((length, _)) => {
                        return Err(format!("invalid repeat count: `{}`", &self.rest()[..length]));
                    }
                    None => {
                        self.at += 1;
                        self.literal('{');
                    }
                },
                _ => {
                    self.at += c.len_utf8();
                    self.literal(c);
                }
            }
        }
        if self.depth > 0 {
            return Err(format!("missing closing ): `{}`", self.pattern));
        }
        Ok(self.out)
    }

    fn push(&mut self, c: char, repeatable: bool) {
        self.out.push(c);
        self.at += c.len_utf8();
        self.repeatable = repeatable;
        self.repeated = None;
    }

    fn repeat(&mut self, length: usize) -> Result<(), String> {
        let start = self.at;
        let mut operator = &self.rest()[..length];
        if self.rest()[length..].starts_with('?') {
            operator = &self.rest()[..length + 1];
        }
        if !self.repeatable {
            return Err(format!("missing argument to repetition operator: `{}`", &self.rest()[..length]));
        }
        if let Some(before) = self.repeated {
            return Err(format!(
                "invalid nested repetition operator: `{}`",
                &self.pattern[before..start + operator.len()]
            ));
        }
        self.out.push_str(operator);
        self.at += operator.len();
        self.repeated = Some(start);
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.repeatable = false;
        self.repeated = None;
        let rest = self.rest();
        if !rest.starts_with("(?") {
            self.out.push('(');
            self.at += 1;
            return Ok(());
        }
        if rest.starts_with("(?P<") || rest.starts_with("(?<") {
            let end = rest.find('>').ok_or_else(|| format!("invalid named capture: `{rest}`"))?;
            self.out.push_str(&rest[..=end]);
            self.at += end + 1;
            return Ok(());
        }
        let end = rest.find([':', ')']).ok_or_else(|| format!("missing closing ): `{}`", self.pattern))?;
        let flags = &rest[2..end];
        if !flags.chars().all(|c| "imsU-".contains(c)) || flags.matches('-').count() > 1 {
            return Err(format!(
                "invalid or unsupported Perl syntax: `{}`",
                &rest[..(end + 1).min(rest.len())]
            ));
        }
        self.out.push_str(&rest[..=end]);
        self.at += end + 1;
        if rest.as_bytes()[end] == b')' {
            self.depth -= 1;
        }
        Ok(())
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (text, skip) = match quoted.find("\\E") {
                Some(end) => (&quoted[..end], end + 2),
                None => (quoted, quoted.len()),
            };
            for c in text.chars() {
                self.literal(c);
            }
            self.at += 2 + skip;
            return Ok(());
        }
        let c = rest[1..].chars().next().ok_or("trailing backslash at end of expression: ``")?;
        let class = match c {
            'A' => Some("\\A"),
            'z' => Some("\\z"),
            'b' => Some("(?-u:\\b)"),
            'B' => Some("\\B"),
            'C' => Some("(?s:.)"),
            'd' => Some("[0-9]"),
            'D' => Some("[^0-9]"),
            'w' => Some("[0-9A-Za-z_]"),
            'W' => Some("[^0-9A-Za-z_]"),
            's' => Some("[\\t\\n\\x0C\\r ]"),
            'S' => Some("[^\\t\\n\\x0C\\r ]"),
            _ => None,
        };
        if let Some(class) = class {
            self.out.push_str(class);
            self.at += 2;
            self.repeatable = true;
            self.repeated = None;
            return Ok(());
        }
        if c == 'p' || c == 'P' {
            let text = unicode_class(rest)?;
            self.out.push_str(text);
            self.at += text.len();
            self.repeatable = true;
            self.repeated = None;
            return Ok(());
        }
        let (literal, length) = escaped_char(rest)?;
        self.at += length;
        self.literal(literal);
        Ok(())
    }

    /// A class: members are copied one by one, so that nothing of Rust's set syntax comes alive.
    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        let missing = |s: &Self| format!("missing closing ]: `{}`", &s.pattern[start..]);
        self.out.push('[');
        self.at += 1;
        if self.peek() == Some('^') {
            self.out.push('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let c = self.peek().ok_or_else(|| missing(self))?;
            if c == ']' && !first {
                self.out.push(']');
                self.at += 1;
                break;
            }
            first = false;
            let rest = self.rest();
            if rest.starts_with("[:")
                && let Some(end) = rest.find(":]")
            {
                self.out.push_str(&rest[..end + 2]);
                self.at += end + 2;
                continue;
            }
            if c == '\\' {
                let next = rest[1..].chars().next().ok_or_else(|| missing(self))?;
                let class = match next {
                    'd' => Some("0-9"),
                    'w' => Some("0-9A-Za-z_"),
                    's' => Some("\\t\\n\\x0C\\r "),
                    'D' => Some("[^0-9]"),
                    'W' => Some("[^0-9A-Za-z_]"),
                    'S' => Some("[^\\t\\n\\x0C\\r ]"),
                    _ => None,
                };
                if let Some(class) = class {
                    self.out.push_str(class);
                    self.at += 2;
                    continue;
                }
                if next == 'p' || next == 'P' {
                    let text = unicode_class(rest)?;
                    self.out.push_str(text);
                    self.at += text.len();
                    continue;
                }
            }
            let low = self.class_char()?;
            let range =
                self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest().len() > 1;
            push_class_char(&mut self.out, low);
            if range {
                self.at += 1;
                let from = self.at;
                let high = self.class_char()?;
                if high < low {
                    return Err(format!(
                        "invalid character class range: `{}-{}`",
                        low,
                        &self.pattern[from..self.at]
                    ));
                }
                self.out.push('-');
                push_class_char(&mut self.out, high);
            }
        }
        self.repeatable = true;
        self.repeated = None;
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, String> {
        let rest = self.rest();
        let c = rest.chars().next().ok_or_else(|| format!("missing closing ]: `{}`", self.pattern))?;
        if c == '\\' {
            let (literal, length) = escaped_char(rest)?;
            self.at += length;
            return Ok(literal);
        }
        self.at += c.len_utf8();
        Ok(c)
    }
}

fn push_class_char(out: &mut String, c: char) {
    // `\<` and `\>` would be assertions.
    if c.is_ascii_punctuation() && c != '<' && c != '>' {
        out.push('\\');
    }
    out.push(c);
}

/// `\pL` or `\p{Greek}`, as it stands.
fn unicode_class(rest: &str) -> Result<&str, String> {
    let invalid = || format!("invalid character class range: `{rest}`");
    match rest[2..].chars().next() {
        Some('{') => rest.find('}').map(|end| &rest[..=end]).ok_or_else(invalid),
        Some(c) => Ok(&rest[..2 + c.len_utf8()]),
        None => Err(invalid()),
    }
}

/// A single escaped character and the length of its escape.
fn escaped_char(rest: &str) -> Result<(char, usize), String> {
    let invalid = |length: usize| {
        let end =
            (length.min(rest.len())..=rest.len()).find(|i| rest.is_char_boundary(*i)).unwrap_or(rest.len());
        format!("invalid escape sequence: `{}`", &rest[..end])
    };
    let c = rest[1..].chars().next().ok_or("trailing backslash at end of expression: ``")?;
    let simple = match c {
        'a' => Some('\x07'),
        'f' => Some('\x0C'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0B'),
        c if c.is_ascii_punctuation() && c != '<' && c != '>' => Some(c),
        _ => None,
    };
    if let Some(c) = simple {
        return Ok((c, 2));
    }
    let digits = &rest[1..];
    match c {
        '0'..='7' => {
            let octal: String = digits.chars().take(3).take_while(|d| ('0'..='7').contains(d)).collect();
            if c != '0' && octal.len() < 2 {
                return Err(invalid(2));
            }
            let value = u32::from_str_radix(&octal, 8).map_err(|_| invalid(2))?;
            Ok((char::from_u32(value).ok_or_else(|| invalid(2))?, 1 + octal.len()))
        }
        'x' => {
            let body = &digits[1..];
            let (hex, length) = if let Some(braced) = body.strip_prefix('{') {
                let end = braced.find('}').ok_or_else(|| invalid(3))?;
                (&braced[..end], end + 4)
            } else {
                (body.get(..2).ok_or_else(|| invalid(2))?, 4)
            };
            let value = u32::from_str_radix(hex, 16).map_err(|_| invalid(length))?;
            Ok((char::from_u32(value).ok_or_else(|| invalid(length))?, length))
        }
        c => Err(invalid(1 + c.len_utf8())),
    }
}

/// `{n}`, `{n,}`, `{n,m}` at the start of `rest`: its length and its largest number.
fn repetition_length(rest: &str) -> Option<(usize, u32)> {
    let end = rest.find('}')?;
    let inner = &rest[1..end];
    let (low, high) = match inner.split_once(',') {
        Some((low, high)) => (low, Some(high)),
        None => (inner, None),
    };
    let number = |text: &str| -> Option<u32> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(text.parse().unwrap_or(u32::MAX))
    };
    let low = number(low)?;
    let high = match high {
        None | Some("") => low,
        Some(text) => number(text)?,
    };
    Some((end + 1, if high < low { u32::MAX } else { high }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_are_gos() {
        let error = |pattern: &str| compile(pattern).err().unwrap_or_default();
        assert_eq!(error("a("), "missing closing ): `a(`");
        assert_eq!(error("a)"), "unexpected ): `a)`");
        assert_eq!(error("*a"), "missing argument to repetition operator: `*`");
        assert_eq!(error("a**"), "invalid nested repetition operator: `**`");
        assert_eq!(error("[a"), "missing closing ]: `[a`");
        assert_eq!(error("x{1001}"), "invalid repeat count: `{1001}`");
        assert_eq!(error(r"\y"), r"invalid escape sequence: `\y`");
        assert!(compile("[0-<]").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(pattern in "[\\x00-\\x7fä]{0,24}") {
            let _ = compile(&pattern);
        }

        #[test]
        fn a_quoted_text_matches_itself_alone(text in ".{0,12}") {
            let pattern = regex_syntax::escape(&text);
            if let Ok(Compiled::OneOf(values)) = compile(&pattern) {
                prop_assert_eq!(values, vec![text]);
            }
        }
    }
}
