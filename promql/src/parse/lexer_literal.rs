//! The scanner's states for numbers, durations and quoted strings.

use crate::ast::go_quote;

use super::lexer::{Lexer, State, is_alphanumeric};
use super::token::Tok;

/// A character as Go's `%#U` prints it.
fn unicode_char(c: Option<char>) -> String {
    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
    let quoted = go_quote(c.encode_utf8(&mut [0; 4]));
    let code = format!("U+{:04X}", u32::from(c));
    if quoted.starts_with("\"\\") && c != '"' && c != '\\' { code } else { format!("{code} '{c}'") }
}

impl Lexer<'_> {
    /// The opening quote has been taken.
    pub(super) fn string(&mut self, quote: char) -> State {
        loop {
            match self.next() {
                Some('\\') if quote != '`' => {
                    if let Some(message) = self.escape(quote) {
                        return self.fail(message);
                    }
                }
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune".to_owned()),
                None if quote == '`' => return self.fail("unterminated raw string".to_owned()),
                None => return self.fail("unterminated quoted string".to_owned()),
                Some('\n') if quote != '`' => return self.fail("unterminated quoted string".to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(Tok::String);
        State::Statements
    }

    /// The backslash has been taken. Answers what is wrong.
    fn escape(&mut self, quote: char) -> Option<String> {
        let first = self.next();
        let (digits, base, max, mut c) = match first {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return None,
            Some(c) if c == quote => return None,
            Some('0'..='7') => (3, 8, 255, first),
            Some('x') => (2, 16, 255, self.next()),
            Some('u') => (4, 16, u64::from(u32::from(char::MAX)), self.next()),
            Some('U') => (8, 16, u64::from(u32::from(char::MAX)), self.next()),
            None => return Some("escape sequence not terminated".to_owned()),
            other => return Some(format!("unknown escape sequence {}", unicode_char(other))),
        };
        let mut code = 0u64;
        for left in (0..digits).rev() {
            let Some(digit) = c.and_then(|c| c.to_digit(base)) else {
                return Some(match c {
                    None => "escape sequence not terminated".to_owned(),
                    c => format!("illegal character {} in escape sequence", unicode_char(c)),
                });
            };
            code = code * u64::from(base) + u64::from(digit);
            if left > 0 {
                c = self.next();
            }
        }
        if code > max || (0xD800..0xE000).contains(&code) {
            return Some("escape sequence is an invalid Unicode code point".to_owned());
        }
        None
    }

    pub(super) fn number(&mut self) -> State {
        if !self.scan_number() {
            let message = format!("bad number syntax: {}", go_quote(self.word()));
            return self.fail(message);
        }
        self.emit(Tok::Number);
        State::Statements
    }

    pub(super) fn number_or_duration(&mut self) -> State {
        if self.scan_number() {
            self.emit(Tok::Number);
            return State::Statements;
        }
        if self.rest_of_duration() {
            self.emit(Tok::Duration);
            return State::Statements;
        }
        let message = format!("bad number or duration syntax: {}", go_quote(self.word()));
        self.fail(message)
    }

    /// The first digits have been taken. Bad units and orders are found when the duration is read.
    fn rest_of_duration(&mut self) -> bool {
        if !self.accept(|c| "smhdwy".contains(c)) {
            return false;
        }
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            while self.accept(|c| c.is_ascii_digit()) {}
            if !self.accept(|c| "smhdw".contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        let next = self.next();
        if next.is_some_and(is_alphanumeric) {
            return false;
        }
        self.backup();
        true
    }

    /// Takes what looks like a number; whether it is one is found when it is read.
    fn scan_number(&mut self) -> bool {
        let from = self.pos;
        let mut hex = false;
        // Hexadecimal clashes with the `x` of repetitions.
        if !self.series_desc && self.accept(|c| c == '0') && self.accept(|c| c == 'x' || c == 'X') {
            self.accept(|c| c == '_');
            hex = true;
        }
        let digit = move |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let exponent = |c: char| c == 'e' || c == 'E';
        let never_after = |c: char| matches!(c, '.' | '_' | 'e' | 'E');
        self.accept(|c| c == '.');
        self.accept(digit);
        let (mut dot, mut exp) = (false, false);
        while self.peek_is(|c| digit(c) || c == '.' || c == '_' || exponent(c)) {
            if self.peek() == Some('.') {
                if dot {
                    self.next();
                    return false;
                }
                self.next();
                dot = true;
                if self.accept(|c| c == '_' || c == '.') || hex {
                    return false;
                }
            } else if self.peek_is(exponent) {
                if exp {
                    self.next();
                    return false;
                }
                self.next();
                exp = true;
                self.accept(|c| c == '+' || c == '-');
                if self.accept(never_after) || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(|c| c == '_') {
                if self.accept(never_after) || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digit) {}
            }
        }
        if self.pos == from {
            return false;
        }
        match self.peek() {
            Some('x') if self.series_desc => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }
}
