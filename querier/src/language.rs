//! The parser, as the API uses it.

use model::Matcher;
use promql::ast::Expr;

/// Parses a query; the error is Prometheus's text with position.
pub(crate) fn parse(_text: &str, _features: promql::Features) -> Result<Expr, String> {
    Err("the parser is not there yet".to_owned())
}

/// Parses `name{…}`.
pub(crate) fn parse_selector(_text: &str) -> Result<Vec<Matcher>, String> {
    Err("the parser is not there yet".to_owned())
}
