//! The parser, as the API uses it: the engine's features, errors as text.

use model::Matcher;
use promql::Features;
use promql::ast::Expr;
use promql::parse::{self, ParseOptions};

fn options(features: Features) -> ParseOptions {
    ParseOptions {
        experimental_functions: features.experimental_functions,
        extended_range_selectors: features.extended_range_selectors,
        binop_fill_modifiers: features.fill_modifiers,
        ..ParseOptions::default()
    }
}

/// Parses a query; the error is Prometheus's text with position.
pub(crate) fn parse(text: &str, features: Features) -> Result<Expr, String> {
    parse::parse(text, &options(features)).map_err(|e| e.to_string())
}

/// Parses `name{…}`.
pub(crate) fn parse_selector(text: &str) -> Result<Vec<Matcher>, String> {
    parse::parse_metric_selector(text, &ParseOptions::default()).map_err(|e| e.to_string())
}
