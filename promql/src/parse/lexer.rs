//! The scanner: bytes to tokens, one on demand.
//!
//! What a character means depends on where it stands (in braces, in brackets, in a series description), so the scanner
//! is a machine whose states are functions over the input; each call of `next_token` runs states until one token is out.
//! After an error it gives `Eof` for ever. Messages and places of errors are Prometheus's.

use crate::ast::BinaryOp;

use super::token::{Keyword, Tok, Token, duration_keyword, keyword};

/// Which state function runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Statements,
    Braces,
    Brackets,
    Values,
    Histogram,
    HistogramBuckets,
    HistogramNumber,
    Done,
}

/// What follows a histogram's closing braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistogramState {
    None,
    Open,
    Times,
    Add,
    Sub,
}

/// The scanner over one input.
pub(super) struct Lexer<'a> {
    pub(super) input: &'a str,
    pub(super) pos: usize,
    /// Where the current token starts.
    pub(super) start: usize,
    width: usize,
    pub(super) state: State,
    out: Option<Token>,
    /// The message of the last `Tok::Error`.
    pub(super) error: String,
    paren_depth: i64,
    brace_open: bool,
    pub(super) bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    /// Series descriptions have values after the labels.
    pub(super) series_desc: bool,
    pub(super) histogram: HistogramState,
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(super) fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

/// A character in single quotes, as Go's `%q` prints it; the end of the input shows as U+FFFD.
pub(super) fn quote_char(c: Option<char>) -> String {
    match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
        '\'' => "'\\''".to_owned(),
        c @ ('"' | char::REPLACEMENT_CHARACTER) => format!("'{c}'"),
        c => {
            let quoted = crate::ast::go_quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", quoted.get(1..quoted.len() - 1).unwrap_or_default())
        }
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a str, series_desc: bool) -> Self {
        Lexer {
            input,
            pos: 0,
            start: 0,
            width: 0,
            state: State::Statements,
            out: None,
            error: String::new(),
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            series_desc,
            histogram: HistogramState::None,
        }
    }

    /// The next token; comments are tokens too.
    pub(super) fn next_token(&mut self) -> Token {
        self.out = None;
        loop {
            if let Some(token) = self.out {
                return token;
            }
            self.state = match self.state {
                State::Statements => self.statements(),
                State::Braces => self.braces(),
                State::Brackets => self.brackets(),
                State::Values => self.values(),
                State::Histogram => self.histogram_state(),
                State::HistogramBuckets => self.histogram_buckets(),
                State::HistogramNumber => self.number(),
                State::Done => {
                    self.emit(Tok::Eof);
                    State::Done
                }
            };
        }
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.input.get(self.pos..).and_then(|rest| rest.chars().next());
        self.width = c.map_or(0, char::len_utf8);
        self.pos += self.width;
        c
    }

    /// Steps back over what `next` took; once per `next`.
    pub(super) fn backup(&mut self) {
        self.pos -= self.width;
        self.width = 0;
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.input.get(self.pos..).and_then(|rest| rest.chars().next())
    }

    pub(super) fn peek_is(&self, test: impl Fn(char) -> bool) -> bool {
        self.peek().is_some_and(test)
    }

    pub(super) fn accept(&mut self, test: impl Fn(char) -> bool) -> bool {
        let taken = self.peek_is(test);
        if taken {
            self.next();
        }
        taken
    }

    pub(super) fn emit(&mut self, kind: Tok) {
        self.out = Some(Token { kind, start: self.start, end: self.pos });
        self.start = self.pos;
    }

    pub(super) fn fail(&mut self, message: String) -> State {
        self.out = Some(Token { kind: Tok::Error, start: self.start, end: self.input.len() });
        self.error = message;
        State::Done
    }

    /// The text of the token so far.
    pub(super) fn word(&self) -> &'a str {
        self.input.get(self.start..self.pos).unwrap_or_default()
    }

    fn statements(&mut self) -> State {
        if self.histogram != HistogramState::None {
            return State::Histogram;
        }
        if self.brace_open {
            return State::Braces;
        }
        let Some(c) = self.next() else {
            if self.paren_depth != 0 {
                return self.fail("unclosed left parenthesis".to_owned());
            }
            if self.bracket_open {
                return self.fail("unclosed left bracket".to_owned());
            }
            self.emit(Tok::Eof);
            return State::Done;
        };
        match c {
            '#' => return self.comment(),
            c if is_space(c) => return self.space(),
            '=' => match self.peek() {
                Some('=') => {
                    self.next();
                    self.emit(Tok::Op(BinaryOp::Equal));
                }
                Some('~') => return self.fail("unexpected character after '=': '~'".to_owned()),
                _ => self.emit(Tok::Equal),
            },
            '!' => {
                let next = self.next();
                if next != Some('=') {
                    return self.fail(format!("unexpected character after '!': {}", quote_char(next)));
                }
                self.emit(Tok::Op(BinaryOp::NotEqual));
            }
            '<' => self.two(&[('=', BinaryOp::LessEqual), ('/', BinaryOp::TrimUpper)], BinaryOp::Less),
            '>' => self.two(&[('=', BinaryOp::GreaterEqual), ('/', BinaryOp::TrimLower)], BinaryOp::Greater),
            c if c.is_ascii_digit() || (c == '.' && self.peek_is(|c| c.is_ascii_digit())) => {
                self.backup();
                return self.number_or_duration();
            }
            '"' | '\'' | '`' => return self.string(c),
            c if is_alpha(c) || c == ':' => {
                if self.bracket_open {
                    return self.word_in_brackets(c);
                }
                return self.word_or_keyword();
            }
            '(' => {
                self.emit(Tok::LeftParen);
                self.paren_depth += 1;
            }
            ')' => return self.right_paren(State::Statements),
            '{' => {
                self.emit(Tok::LeftBrace);
                self.brace_open = true;
                return State::Braces;
            }
            '[' => {
                if self.bracket_open {
                    return self.fail("unexpected left bracket '['".to_owned());
                }
                self.got_colon = false;
                self.emit(Tok::LeftBracket);
                self.skip_spaces();
                self.bracket_open = true;
                return State::Brackets;
            }
            ']' => {
                if !self.bracket_open {
                    return self.fail("unexpected right bracket ']'".to_owned());
                }
                self.emit(Tok::RightBracket);
                self.bracket_open = false;
            }
            '@' => self.emit(Tok::At),
            ',' => self.emit(Tok::Comma),
            c => match arithmetic(c) {
                Some(op) => self.emit(Tok::Op(op)),
                None => return self.fail(format!("unexpected character: {}", quote_char(Some(c)))),
            },
        }
        State::Statements
    }

    fn two(&mut self, longer: &[(char, BinaryOp)], shorter: BinaryOp) {
        for &(second, op) in longer {
            if self.peek() == Some(second) {
                self.next();
                self.emit(Tok::Op(op));
                return;
            }
        }
        self.emit(Tok::Op(shorter));
    }

    fn right_paren(&mut self, then: State) -> State {
        self.emit(Tok::RightParen);
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            return self.fail("unexpected right parenthesis ')'".to_owned());
        }
        then
    }

    /// After a duration in brackets only a colon or a duration's keyword may begin a word.
    fn word_in_brackets(&mut self, first: char) -> State {
        if first == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'".to_owned());
            }
            self.emit(Tok::Colon);
            self.got_colon = true;
            return State::Statements;
        }
        if starts_duration_keyword(first) && self.duration_word() {
            return State::Statements;
        }
        self.fail(format!("unexpected character: {}, expected ':'", quote_char(Some(first))))
    }

    fn duration_word(&mut self) -> bool {
        while self.accept(is_alpha) {}
        let Some(kind) = duration_keyword(self.word()) else { return false };
        self.emit(kind);
        true
    }

    fn brackets(&mut self) -> State {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input in duration expression".to_owned());
        };
        match c {
            ']' => {
                self.emit(Tok::RightBracket);
                self.bracket_open = false;
                self.got_colon = false;
                State::Statements
            }
            ':' => {
                self.emit(Tok::Colon);
                if !self.got_duration {
                    return self.fail("unexpected colon before duration in duration expression".to_owned());
                }
                if self.got_colon {
                    return self.fail("unexpected repeated colon in duration expression".to_owned());
                }
                self.got_colon = true;
                State::Brackets
            }
            '(' => {
                self.emit(Tok::LeftParen);
                self.paren_depth += 1;
                State::Brackets
            }
            ')' => self.right_paren(State::Brackets),
            c if is_space(c) => {
                self.skip_spaces();
                State::Brackets
            }
            ',' => {
                self.emit(Tok::Comma);
                State::Brackets
            }
            c if starts_duration_keyword(c) => {
                if self.duration_word() {
                    return State::Brackets;
                }
                self.fail(format!("unexpected character in duration expression: {}", quote_char(Some(c))))
            }
            c if c.is_ascii_digit() || (c == '.' && self.peek_is(|c| c.is_ascii_digit())) => {
                self.backup();
                self.got_duration = true;
                self.number_or_duration()
            }
            c => match arithmetic(c) {
                Some(op) => {
                    self.emit(Tok::Op(op));
                    State::Brackets
                }
                None => {
                    self.fail(format!("unexpected character in duration expression: {}", quote_char(Some(c))))
                }
            },
        }
    }

    fn braces(&mut self) -> State {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input inside braces".to_owned());
        };
        match c {
            '#' => return self.comment(),
            c if is_space(c) => return self.space(),
            c if is_alpha(c) => {
                while self.accept(is_alphanumeric) {}
                self.emit(Tok::Identifier);
                return State::Statements;
            }
            ',' => self.emit(Tok::Comma),
            '"' | '\'' | '`' => return self.string(c),
            '=' => {
                let kind = if self.accept(|c| c == '~') { Tok::EqualRegex } else { Tok::Equal };
                self.emit(kind);
            }
            '!' => match self.next() {
                Some('~') => self.emit(Tok::NotEqualRegex),
                Some('=') => self.emit(Tok::Op(BinaryOp::NotEqual)),
                other => {
                    return self.fail(format!(
                        "unexpected character after '!' inside braces: {}",
                        quote_char(other)
                    ));
                }
            },
            '{' => return self.fail("unexpected left brace '{'".to_owned()),
            '}' => {
                self.emit(Tok::RightBrace);
                self.brace_open = false;
                return if self.series_desc { State::Values } else { State::Statements };
            }
            c => return self.fail(format!("unexpected character inside braces: {}", quote_char(Some(c)))),
        }
        State::Braces
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.accept(is_space) {}
        self.start = self.pos;
    }

    pub(super) fn space(&mut self) -> State {
        self.skip_spaces();
        State::Statements
    }

    fn comment(&mut self) -> State {
        while self.accept(|c| c != '\n' && c != '\r') {}
        self.emit(Tok::Comment);
        State::Statements
    }

    pub(super) fn word_or_keyword(&mut self) -> State {
        while self.accept(|c| is_alphanumeric(c) || c == ':') {}
        let word = self.word();
        let kind = match keyword(word) {
            // Young keywords, which may be names of metrics: only before a parenthesis.
            Some(Tok::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.before_paren() =>
            {
                Tok::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Tok::MetricIdentifier,
            None => Tok::Identifier,
        };
        self.emit(kind);
        if self.series_desc && self.peek() != Some('{') { State::Values } else { State::Statements }
    }

    fn before_paren(&self) -> bool {
        self.input.get(self.pos..).is_some_and(|rest| rest.trim_start_matches(is_space).starts_with('('))
    }
}

fn starts_duration_keyword(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 's' | 'r' | 'm')
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}
