//! The scanner's states for the values of a series description, native histograms included.

use crate::ast::{BinaryOp, go_quote};

use super::lexer::{HistogramState, Lexer, State, is_alpha, is_space, quote_char};
use super::token::{Tok, histogram_key, keyword, reset_hint};

impl Lexer<'_> {
    pub(super) fn values(&mut self) -> State {
        if self.histogram != HistogramState::None {
            return State::Histogram;
        }
        let Some(c) = self.next() else { return State::Statements };
        match c {
            '{' if self.peek() == Some('{') => {
                self.histogram = HistogramState::Open;
                self.next();
                self.emit(Tok::OpenHistogram);
                return State::Histogram;
            }
            c if is_space(c) => {
                self.emit(Tok::Space);
                self.skip_spaces();
            }
            '+' => self.emit(Tok::Op(BinaryOp::Add)),
            '-' => self.emit(Tok::Op(BinaryOp::Sub)),
            'x' => self.emit(Tok::Times),
            '_' => self.emit(Tok::Blank),
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit())) => {
                self.backup();
                if self.number() == State::Done {
                    return State::Done;
                }
            }
            c if is_alpha(c) => return self.word_or_keyword(),
            c => {
                return self
                    .fail(format!("unexpected character in series sequence: {}", quote_char(Some(c))));
            }
        }
        State::Values
    }

    pub(super) fn histogram_state(&mut self) -> State {
        let after = match self.histogram {
            HistogramState::Times => Some(Tok::Times),
            HistogramState::Add => Some(Tok::Op(BinaryOp::Add)),
            HistogramState::Sub => Some(Tok::Op(BinaryOp::Sub)),
            HistogramState::None | HistogramState::Open => None,
        };
        if let Some(kind) = after {
            self.histogram = HistogramState::None;
            self.next();
            self.emit(kind);
            return State::Values;
        }
        if self.bracket_open {
            return State::HistogramBuckets;
        }
        match self.next() {
            Some(c) if is_space(c) => {
                self.emit(Tok::Space);
                self.space()
            }
            Some(c) if is_alpha(c) => self.histogram_word(),
            Some(':') => {
                self.emit(Tok::Colon);
                State::Histogram
            }
            Some('-') => {
                self.emit(Tok::Op(BinaryOp::Sub));
                State::Histogram
            }
            Some(c) if c.is_ascii_digit() => {
                self.backup();
                self.number()
            }
            Some('[') => {
                self.bracket_open = true;
                self.emit(Tok::LeftBracket);
                State::HistogramBuckets
            }
            Some('}') if self.peek() == Some('}') => {
                self.next();
                self.emit(Tok::CloseHistogram);
                self.histogram = match self.peek() {
                    Some('x') => HistogramState::Times,
                    Some('+') => HistogramState::Add,
                    Some('-') => HistogramState::Sub,
                    _ => HistogramState::None,
                };
                State::Values
            }
            c => self.fail(format!("histogram description incomplete unexpected: {}", quote_char(c))),
        }
    }

    fn histogram_word(&mut self) -> State {
        while self.peek().is_some_and(is_alpha) {
            self.next();
        }
        let word = self.word();
        if let Some(key) = histogram_key(word) {
            if self.peek() != Some(':') {
                return self.fail("missing `:` for histogram descriptor".to_owned());
            }
            self.emit(Tok::HistogramKey(key));
        } else if keyword(word) == Some(Tok::Number) {
            self.emit(Tok::Number);
        } else if let Some(hint) = reset_hint(word) {
            self.emit(Tok::ResetHint(hint));
        } else {
            return self.fail(format!("bad histogram descriptor found: {}", go_quote(word)));
        }
        State::Histogram
    }

    pub(super) fn histogram_buckets(&mut self) -> State {
        match self.next() {
            Some(c) if is_space(c) => {
                self.emit(Tok::Space);
                self.space()
            }
            Some('-') => {
                self.emit(Tok::Op(BinaryOp::Sub));
                State::HistogramNumber
            }
            Some(c) if c.is_ascii_digit() => {
                self.backup();
                self.number()
            }
            Some(']') => {
                self.bracket_open = false;
                self.emit(Tok::RightBracket);
                State::Histogram
            }
            // `Inf` and `NaN`, letter by letter.
            Some(c) if is_alpha(c) => {
                if keyword(self.word()) == Some(Tok::Number) {
                    self.emit(Tok::Number);
                }
                State::HistogramBuckets
            }
            c => self.fail(format!("invalid character in buckets description: {}", quote_char(c))),
        }
    }
}
