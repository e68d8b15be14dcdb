//! Character classes: `[…]`, `\d` and its kin, `[:alpha:]`, `\p{…}`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::parse::{Cursor, Failure};
use super::unicode;

fn ranges(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)))
}

/// With the other cases of its characters.
pub(super) fn folded(mut class: ClassUnicode, fold: bool) -> ClassUnicode {
    if fold {
        class.case_fold_simple();
    }
    class
}

fn negated(mut class: ClassUnicode, negate: bool) -> ClassUnicode {
    if negate {
        class.negate();
    }
    class
}

/// `\d`, `\s`, `\w` and what they exclude, at the cursor. ASCII only.
pub(super) fn perl(at: &mut Cursor<'_>, fold: bool) -> Option<ClassUnicode> {
    let mut chars = at.rest().strip_prefix('\\')?.chars();
    let letter = chars.next()?;
    let class = match letter.to_ascii_lowercase() {
        'd' => ranges(&[('0', '9')]),
        's' => ranges(&[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')]),
        'w' => ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => return None,
    };
    at.skip(2);
    Some(negated(folded(class, fold), letter.is_ascii_uppercase()))
}

/// `\pL`, `\p{Greek}`, `\P…`, `\p{^…}`, at the cursor.
pub(super) fn unicode(at: &mut Cursor<'_>, fold: bool) -> Result<Option<ClassUnicode>, Failure> {
    let rest = at.rest();
    if !rest.starts_with(r"\p") && !rest.starts_with(r"\P") {
        return Ok(None);
    }
    let invalid = |text: &str| Failure::new("invalid character class range", text);
    let text = match rest[2..].chars().next() {
        // Go reads on where there is nothing and finds no more than an odd end
        None => return Err(Failure::new("invalid character class range", rest)),
        Some('{') => &rest[..=rest.find('}').ok_or_else(|| invalid(rest))?],
        Some(c) => &rest[..2 + c.len_utf8()],
    };
    let name = text[2..].strip_prefix('{').map_or(&text[2..], |name| &name[..name.len() - 1]);
    let (name, turned) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let class = unicode::class(name).ok_or_else(|| invalid(text))?;
    at.skip(text.len());
    Ok(Some(negated(folded(class, fold), text.starts_with(r"\P") != turned)))
}

/// `[:alpha:]`, `[:^alpha:]`, at the cursor; `None` when it is no such thing.
fn posix(at: &mut Cursor<'_>, fold: bool) -> Result<Option<ClassUnicode>, Failure> {
    let rest = at.rest();
    if rest.len() <= 2 || !rest.starts_with("[:") {
        return Ok(None);
    }
    let Some(end) = rest[2..].find(":]") else { return Ok(None) };
    let text = &rest[..end + 4];
    let name = &text[2..end + 2];
    let (name, turned) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let class: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7F')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1F'), ('\x7F', '\x7F')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err(Failure::new("invalid character class range", text)),
    };
    at.skip(text.len());
    Ok(Some(negated(folded(ranges(class), fold), turned)))
}

/// `[…]`, at the cursor. There are no operations on sets and no classes within but those by name.
pub(super) fn bracketed(at: &mut Cursor<'_>, fold: bool) -> Result<ClassUnicode, Failure> {
    let whole = at.rest();
    at.skip(1);
    let negate = at.take('^');
    let mut class = ClassUnicode::empty();
    let mut is_first = true;
    while is_first || !at.rest().starts_with(']') {
        is_first = false;
        let named = match posix(at, fold)? {
            Some(named) => Some(named),
            None => match unicode(at, fold)? {
                Some(named) => Some(named),
                None => perl(at, fold),
            },
        };
        if let Some(named) = named {
            class.union(&named);
            continue;
        }
        let from = at.rest();
        let low = member(at, whole)?;
        let mut high = low;
        let rest = at.rest();
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            at.skip(1);
            high = member(at, whole)?;
            if high < low {
                let text = &from[..from.len() - at.rest().len()];
                return Err(Failure::new("invalid character class range", text));
            }
        }
        class.union(&folded(ranges(&[(low, high)]), fold));
    }
    at.skip(1);
    Ok(negated(class, negate))
}

fn member(at: &mut Cursor<'_>, whole: &str) -> Result<char, Failure> {
    if at.rest().starts_with('\\') {
        return escaped(at);
    }
    at.next().ok_or_else(|| Failure::new("missing closing ]", whole))
}

/// A single character behind a backslash, at the cursor.
pub(super) fn escaped(at: &mut Cursor<'_>) -> Result<char, Failure> {
    let from = at.rest();
    at.skip(1);
    let Some(c) = at.next() else { return Err(Failure::new("trailing backslash at end of expression", "")) };
    let found = match c {
        'a' => Some('\x07'),
        'f' => Some('\x0C'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0B'),
        'x' => hexadecimal(at),
        '0'..='7' => octal(at, c),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    };
    found.ok_or_else(|| Failure::new("invalid escape sequence", &from[..from.len() - at.rest().len()]))
}

/// Up to three digits; a single one that is not zero would be a reference to a group.
fn octal(at: &mut Cursor<'_>, first: char) -> Option<char> {
    let is_digit = |c: char| ('0'..='7').contains(&c);
    if first != '0' && !at.rest().starts_with(is_digit) {
        return None;
    }
    let mut value = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = at.rest().chars().next().filter(|c| is_digit(*c)) else { break };
        value = value * 8 + digit.to_digit(8)?;
        at.skip(1);
    }
    char::from_u32(value)
}

/// Two digits, or any number in braces.
fn hexadecimal(at: &mut Cursor<'_>) -> Option<char> {
    let first = at.next()?;
    if first != '{' {
        // both are read before either is looked at
        let second = at.next();
        return char::from_u32(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut value = 0u32;
    let mut digits = 0;
    loop {
        let c = at.next()?;
        if c == '}' {
            break;
        }
        value = value * 16 + c.to_digit(16)?;
        if value > char::MAX as u32 {
            return None;
        }
        digits += 1;
    }
    if digits == 0 { None } else { char::from_u32(value) }
}
