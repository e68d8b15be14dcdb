//! What is wrong with a query, and where.

use std::fmt;

use model::ErrorKind;

use crate::ast::PosRange;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What it is about.
    pub pos: PosRange,
    /// What is wrong, in Prometheus's words.
    pub message: String,
}

/// All faults found in one query, in the order found; never empty. Printed, it is the first one with its place:
/// `1:5: parse error: unexpected …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors {
    query: String,
    errors: Vec<ParseError>,
}

impl ParseErrors {
    pub(super) fn new(query: &str, mut errors: Vec<ParseError>) -> Self {
        if errors.is_empty() {
            errors.push(ParseError { pos: PosRange::default(), message: "unexpected error".to_owned() });
        }
        ParseErrors { query: query.to_owned(), errors }
    }

    /// Every fault.
    pub fn errors(&self) -> &[ParseError] {
        &self.errors
    }

    /// What the receiver should do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.first() {
            Some(first) => write!(f, "{}: parse error: {}", first.pos.line_col(&self.query), first.message),
            None => f.write_str("unexpected error"),
        }
    }
}

impl std::error::Error for ParseErrors {}
