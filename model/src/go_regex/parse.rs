//! Reads Go's syntax (its flags `Perl` and `DotNL`) into a tree.
//!
//! Groups lie on a stack of ours, so that no expression makes it overflow. Always: a text that Go refuses is refused
//! with Go's words; one that Go takes is taken, but for the limits on size and nesting.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition};

use super::NESTING_MAX;
use super::class::{self, folded};

/// Largest repetition count, also of repetitions within each other.
const REPEAT_MAX: u32 = 1000;

/// Why a text is no expression: Go's words, and the part they are about.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    pub(super) fn new(what: &str, part: &str) -> Self {
        Failure(format!("{what}: `{part}`"))
    }
}

/// Moves through the pattern.
#[derive(Debug)]
pub(super) struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    /// Over so many bytes, which end with a character.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.0.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    pub(super) fn take(&mut self, c: char) -> bool {
        let found = self.0.starts_with(c);
        if found {
            self.skip(c.len_utf8());
        }
        found
    }
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    fold: bool,
    multi_line: bool,
    dot_newline: bool,
    non_greedy: bool,
}

/// A part of an expression.
#[derive(Debug)]
struct Item {
    hir: Hir,
    /// Levels of groups and repetitions.
    height: u32,
    /// How many copies counted repetitions make of its innermost part.
    copies: u32,
}

impl Item {
    fn new(hir: Hir) -> Self {
        Item { hir, height: 1, copies: 1 }
    }

    /// Joins parts.
    fn join(items: Vec<Item>, how: fn(Vec<Hir>) -> Hir) -> Self {
        let height = items.iter().map(|item| item.height).max().unwrap_or(1);
        let copies = items.iter().map(|item| item.copies).max().unwrap_or(1);
        Item { hir: how(items.into_iter().map(|item| item.hir).collect()), height, copies }
    }
}

/// A group that is open, or the whole.
#[derive(Debug)]
struct Frame {
    /// The flags that hold again behind it.
    flags: Flags,
    capture: Option<u32>,
    alternatives: Vec<Item>,
    /// The alternative being read.
    items: Vec<Item>,
}

impl Frame {
    fn new(flags: Flags, capture: Option<u32>) -> Self {
        Frame { flags, capture, alternatives: Vec::new(), items: Vec::new() }
    }

    fn end_alternative(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.alternatives.push(Item::join(items, Hir::concat));
    }

    fn finish(mut self) -> Item {
        self.end_alternative();
        let item = Item::join(self.alternatives, Hir::alternation);
        match self.capture {
            None => item,
            Some(index) => {
                let sub = Box::new(item.hir);
                Item {
                    hir: Hir::capture(Capture { index, name: None, sub }),
                    height: item.height + 1,
                    copies: item.copies,
                }
            }
        }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// Named groups and their numbers.
    pub(super) names: Vec<(String, usize)>,
}

/// The reader.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pattern: &'a str,
    at: Cursor<'a>,
    flags: Flags,
    frame: Frame,
    /// The groups around.
    outer: Vec<Frame>,
    with_captures: bool,
    groups: u32,
    names: Vec<(String, usize)>,
}

impl<'a> Parser<'a> {
    /// Of a pattern; without captures, groups leave no trace.
    pub(super) fn new(pattern: &'a str, with_captures: bool) -> Self {
        let flags = Flags { fold: false, multi_line: false, dot_newline: true, non_greedy: false };
        Parser {
            pattern,
            at: Cursor(pattern),
            flags,
            frame: Frame::new(flags, None),
            outer: Vec::new(),
            with_captures,
            groups: 0,
            names: Vec::new(),
        }
    }

    /// A dot matches no newline, unless the expression says so.
    pub(super) fn without_dot_newline(mut self) -> Self {
        self.flags.dot_newline = false;
        self
    }

    /// Reads all of it.
    pub(super) fn run(mut self) -> Result<Parsed, String> {
        self.read().map_err(|Failure(text)| text)?;
        Ok(Parsed { hir: self.frame.finish().hir, names: self.names })
    }

    fn read(&mut self) -> Result<(), Failure> {
        // where the repetition begins that was read last, when nothing stands behind it
        let mut repeated: Option<&'a str> = None;
        while let Some(c) = self.at.rest().chars().next() {
            let before = self.at.rest();
            let mut repeats = None;
            match c {
                '(' => self.open()?,
                '|' => {
                    self.at.skip(1);
                    self.frame.end_alternative();
                }
                ')' => self.close()?,
                '^' => self.look(1, if self.flags.multi_line { Look::StartLF } else { Look::Start }),
                '$' => self.look(1, if self.flags.multi_line { Look::EndLF } else { Look::End }),
                '.' => {
                    self.at.skip(1);
                    let dot = if self.flags.dot_newline { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                    self.push(Hir::dot(dot));
                }
                '[' => {
                    let class = class::bracketed(&mut self.at, self.flags.fold)?;
                    self.push(Hir::class(Class::Unicode(class)));
                }
                '*' | '+' | '?' => {
                    self.at.skip(1);
                    let max = if c == '?' { Some(1) } else { None };
                    self.repeat(u32::from(c == '+'), max, false, before, repeated)?;
                    repeats = Some(before);
                }
                '{' => match counts(before) {
                    None => {
                        self.at.skip(1);
                        self.literal('{');
                    }
                    Some((length, min, max)) => {
                        self.at.skip(length);
                        if min.max(max.unwrap_or(0)) > REPEAT_MAX || max.is_some_and(|max| max < min) {
                            return Err(Failure::new("invalid repeat count", &before[..length]));
                        }
                        self.repeat(min, max, true, before, repeated)?;
                        repeats = Some(before);
                    }
                },
                '\\' => self.escape()?,
                c => {
                    self.at.skip(c.len_utf8());
                    self.literal(c);
                }
            }
            repeated = repeats;
        }
        if self.outer.is_empty() { Ok(()) } else { Err(Failure::new("missing closing )", self.pattern)) }
    }

    fn push(&mut self, hir: Hir) {
        self.frame.items.push(Item::new(hir));
    }

    fn look(&mut self, length: usize, look: Look) {
        self.at.skip(length);
        self.push(Hir::look(look));
    }

    fn literal(&mut self, c: char) {
        if self.flags.fold {
            let one = ClassUnicodeRange::new(c, c);
            let class = folded(ClassUnicode::new([one]), true);
            self.push(Hir::class(Class::Unicode(class)));
        } else {
            self.push(Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
    }

    /// Repeats the part before; the cursor is behind the operator, which began at `before`.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        is_counted: bool,
        before: &'a str,
        repeated: Option<&'a str>,
    ) -> Result<(), Failure> {
        let turned = self.at.take('?');
        let until_here = |from: &'a str| &from[..from.len() - self.at.rest().len()];
        if let Some(from) = repeated {
            return Err(Failure::new("invalid nested repetition operator", until_here(from)));
        }
        let Some(item) = self.frame.items.pop() else {
            return Err(Failure::new("missing argument to repetition operator", until_here(before)));
        };
        let mut copies = item.copies;
        if is_counted {
            copies = if max == Some(0) { 0 } else { max.unwrap_or(min).max(1).saturating_mul(copies) };
            if min.max(max.unwrap_or(0)) >= 2 && copies > REPEAT_MAX {
                return Err(Failure::new("invalid repeat count", until_here(before)));
            }
        }
        let height = item.height + 1;
        self.check_height(height)?;
        let greedy = turned == self.flags.non_greedy;
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(item.hir) });
        self.frame.items.push(Item { hir, height, copies });
        Ok(())
    }

    fn check_height(&self, height: u32) -> Result<(), Failure> {
        if height > NESTING_MAX {
            return Err(Failure::new("expression nests too deeply", self.pattern));
        }
        Ok(())
    }

    fn enter(&mut self, flags_inside: Flags, captures: bool) -> Result<(), Failure> {
        if captures {
            self.groups += 1;
        }
        let capture = (captures && self.with_captures).then_some(self.groups);
        let frame = Frame::new(self.flags, capture);
        self.outer.push(std::mem::replace(&mut self.frame, frame));
        self.flags = flags_inside;
        self.check_height(u32::try_from(self.outer.len()).unwrap_or(u32::MAX))
    }

    fn close(&mut self) -> Result<(), Failure> {
        let Some(outer) = self.outer.pop() else { return Err(Failure::new("unexpected )", self.pattern)) };
        self.at.skip(1);
        let group = std::mem::replace(&mut self.frame, outer);
        self.flags = group.flags;
        let item = group.finish();
        self.check_height(item.height)?;
        self.frame.items.push(item);
        Ok(())
    }

    fn open(&mut self) -> Result<(), Failure> {
        let whole = self.at.rest();
        let Some(body) = whole.strip_prefix("(?") else {
            self.at.skip(1);
            return self.enter(self.flags, true);
        };
        let named = body.strip_prefix("P<").or_else(|| body.strip_prefix('<'));
        // a text that ends with the bracket is none
        let named = named.filter(|name| !name.is_empty());
        let Some(name) = named else { return self.open_flags() };
        let Some((name, _)) = name.split_once('>') else {
            return Err(Failure::new("invalid named capture", whole));
        };
        let length = whole.find('>').unwrap_or(0) + 1;
        if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
            return Err(Failure::new("invalid named capture", &whole[..length]));
        }
        self.at.skip(length);
        self.names.push((name.to_owned(), self.groups as usize + 1));
        self.enter(self.flags, true)
    }

    /// `(?flags)`, `(?flags:`: for the rest of the group around, or for a group.
    fn open_flags(&mut self) -> Result<(), Failure> {
        let whole = self.at.rest();
        self.at.skip(2);
        let mut flags = self.flags;
        let (mut on, mut seen) = (true, false);
        while let Some(c) = self.at.next() {
            let flag = match c {
                'i' => &mut flags.fold,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_newline,
                'U' => &mut flags.non_greedy,
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' if on || seen => return self.enter(flags, false),
                ')' if on || seen => {
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            };
            *flag = on;
            seen = true;
        }
        let read = &whole[..whole.len() - self.at.rest().len()];
        Err(Failure::new("invalid or unsupported Perl syntax", read))
    }

    /// A backslash outside a class.
    fn escape(&mut self) -> Result<(), Failure> {
        let rest = self.at.rest();
        match rest.as_bytes().get(1) {
            Some(b'A') => self.look(2, Look::Start),
            Some(b'z') => self.look(2, Look::End),
            Some(b'b') => self.look(2, Look::WordAscii),
            Some(b'B') => self.look(2, Look::WordAsciiNegate),
            Some(b'C') => return Err(Failure::new("invalid escape sequence", r"\C")),
            Some(b'Q') => {
                let quoted = &rest[2..];
                let (text, length) = match quoted.find(r"\E") {
                    Some(end) => (&quoted[..end], end + 2),
                    None => (quoted, quoted.len()),
                };
                self.at.skip(2 + length);
                text.chars().for_each(|c| self.literal(c));
            }
            _ => {
                let class = match class::unicode(&mut self.at, self.flags.fold)? {
                    Some(class) => Some(class),
                    None => class::perl(&mut self.at, self.flags.fold),
                };
                match class {
                    Some(class) => self.push(Hir::class(Class::Unicode(class))),
                    None => {
                        let c = class::escaped(&mut self.at)?;
                        self.literal(c);
                    }
                }
            }
        }
        Ok(())
    }
}

/// `{n}`, `{n,}`, `{n,m}` at the start of `rest`: length, least, most. `None`: the brace stands for itself.
fn counts(rest: &str) -> Option<(usize, u32, Option<u32>)> {
    let (inner, _) = rest[1..].split_once('}')?;
    let (low, high) = match inner.split_once(',') {
        Some((low, high)) => (low, Some(high)),
        None => (inner, None),
    };
    let number = |text: &str| -> Option<u32> {
        let is_number = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        is_number.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let low = number(low)?;
    let high = match high {
        None => Some(low),
        Some("") => None,
        Some(text) => Some(number(text)?),
    };
    Some((inner.len() + 2, low, high))
}
