//! The parser's state: one token of lookahead, the faults found so far.
//!
//! Faults of meaning (an unknown function, a bad duration) are noted and parsing goes on; a token that fits nowhere ends
//! it. Which message such a token gets depends on the innermost construct that has words for it, so rules return
//! `Stop::Unexpected` until one of their callers reports.

use crate::ast::{Expr, PosRange};

use super::ParseOptions;
use super::error::ParseError;
use super::lexer::Lexer;
use super::literal;
use super::token::{Tok, Token};

/// Deeper trees are refused: parsing, printing and planning recurse.
pub(super) const MAX_DEPTH: usize = 400;

/// Why parsing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The lookahead fits nowhere; nobody has said so yet.
    Unexpected,
    /// The fault is noted.
    Reported,
}

pub(super) type Parsed<T> = Result<T, Stop>;

/// An expression on its way up.
pub(super) struct Node {
    pub(super) expr: Expr,
    /// Levels of tree below and including this one.
    pub(super) depth: usize,
    /// A range over something that is no selector: reported once, and again by each modifier.
    pub(super) broken_range: bool,
}

impl Node {
    pub(super) fn leaf(expr: Expr) -> Self {
        Node { expr, depth: 1, broken_range: false }
    }
}

pub(super) struct Parser<'a> {
    pub(super) input: &'a str,
    pub(super) lexer: Lexer<'a>,
    lookahead: Option<Token>,
    /// The last token scanned, whether taken or not.
    pub(super) last: Token,
    /// End of the last scanned token that may close an expression.
    pub(super) last_closing: usize,
    pub(super) errors: Vec<ParseError>,
    pub(super) options: &'a ParseOptions,
    nesting: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a str, options: &'a ParseOptions, series_desc: bool) -> Self {
        let start = Token { kind: Tok::Eof, start: 0, end: 0 };
        Parser {
            input,
            lexer: Lexer::new(input, series_desc),
            lookahead: None,
            last: start,
            last_closing: 0,
            errors: Vec::new(),
            options,
            nesting: 0,
        }
    }

    /// The lookahead, scanned when it is first asked for.
    pub(super) fn peek(&mut self) -> Tok {
        self.peek_token().kind
    }

    pub(super) fn peek_token(&mut self) -> Token {
        if let Some(token) = self.lookahead {
            return token;
        }
        let mut token = self.lexer.next_token();
        while token.kind == Tok::Comment {
            token = self.lexer.next_token();
        }
        match token.kind {
            Tok::Error => {
                let message = self.lexer.error.clone();
                self.error(token.pos(), message);
            }
            Tok::RightBrace | Tok::RightParen | Tok::RightBracket | Tok::Duration | Tok::Number => {
                self.last_closing = token.end;
            }
            _ => {}
        }
        self.last = token;
        self.lookahead = Some(token);
        token
    }

    /// Takes the lookahead.
    pub(super) fn take(&mut self) -> Token {
        let token = self.peek_token();
        self.lookahead = None;
        token
    }

    pub(super) fn take_if(&mut self, kind: Tok) -> Option<Token> {
        (self.peek() == kind).then(|| self.take())
    }

    pub(super) fn expect(&mut self, kind: Tok) -> Parsed<Token> {
        self.take_if(kind).ok_or(Stop::Unexpected)
    }

    pub(super) fn error(&mut self, pos: PosRange, message: impl Into<String>) {
        self.errors.push(ParseError { pos, message: message.into() });
    }

    /// Notes that the last scanned token does not fit.
    pub(super) fn unexpected(&mut self, context: &str, expected: &str) {
        // The scanner has spoken already.
        if self.last.kind == Tok::Error {
            return;
        }
        let mut message = format!("unexpected {}", self.last.describe(self.input));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(self.last.pos(), message);
    }

    /// Runs `rule`; a token that fits nowhere in it is reported with these words.
    pub(super) fn within<T>(
        &mut self,
        context: &str,
        expected: &str,
        rule: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        rule(self).map_err(|stop| {
            if stop == Stop::Unexpected {
                self.unexpected(context, expected);
            }
            Stop::Reported
        })
    }

    /// Runs `rule` one level deeper.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.check_depth(self.nesting + 1)?;
        self.nesting += 1;
        let result = rule(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn check_depth(&mut self, depth: usize) -> Parsed<()> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        let pos = self.last.pos();
        self.error(pos, format!("expression is nested more than {MAX_DEPTH} levels deep"));
        Err(Stop::Reported)
    }

    /// The value of a number or duration token.
    pub(super) fn number_value(&mut self, token: Token) -> f64 {
        let text = token.text(self.input);
        let (value, message) = if token.kind == Tok::Duration {
            match literal::parse_duration_seconds(text) {
                Ok(value) => return value,
                Err(why) => (0.0, why),
            }
        } else {
            match literal::parse_number(text) {
                Ok(value) => return value,
                Err(why) => (0.0, format!("error parsing number: {why}")),
            }
        };
        self.error(token.pos(), message);
        value
    }

    /// The text of a string token.
    pub(super) fn string_value(&mut self, token: Token) -> String {
        String::from_utf8_lossy(&self.string_bytes(token)).into_owned()
    }

    /// The bytes of a string token, which escapes can make anything.
    pub(super) fn string_bytes(&mut self, token: Token) -> Vec<u8> {
        let quoted = token.text(self.input);
        literal::unquote_bytes(quoted).unwrap_or_else(|| {
            let message = format!("error unquoting string {}: invalid syntax", crate::ast::go_quote(quoted));
            let pos = self.last.pos();
            self.error(pos, message);
            Vec::new()
        })
    }
}
