//! The parser: query text to tree.
//!
//! The scanner and the rules are written by hand; the language, its feature switches, messages and places of errors are
//! those of Prometheus 3.14. Input is bounded in bytes and trees in depth, so that no query can exhaust the stack.

mod check;
mod duration;
mod error;
mod expr;
mod histogram_desc;
mod lexer;
mod lexer_literal;
mod lexer_series;
mod literal;
mod modifiers;
mod parser;
mod selector;
mod series_desc;
mod token;

#[cfg(test)]
mod tests;

use model::{Labels, Matcher};

use crate::ast::{Expr, PosRange};

pub use error::{ParseError, ParseErrors};
pub use literal::unquote;
pub use series_desc::{SequenceValue, SeriesDescription, parse_series_desc};

pub(crate) use histogram_desc::indexed as indexed_buckets;
pub(crate) use literal::parse_number;

use parser::{Parsed, Parser, Stop};
use token::Tok;

/// Which parts of the language are on, and how much text is read. The default is Prometheus's: experiments are off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations that Prometheus calls experimental (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right` (`promql-binop-fill-modifiers`).
    pub binop_fill_modifiers: bool,
    /// Longer inputs are refused.
    pub max_bytes: usize,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions {
            experimental_functions: false,
            extended_range_selectors: false,
            binop_fill_modifiers: false,
            max_bytes: 1 << 20,
        }
    }
}

impl ParseOptions {
    /// Everything on.
    pub fn all() -> Self {
        ParseOptions {
            experimental_functions: true,
            extended_range_selectors: true,
            binop_fill_modifiers: true,
            ..ParseOptions::default()
        }
    }
}

/// Parses a query and checks its types.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    run(query, options, false, |p| {
        if p.peek() == Tok::Eof {
            p.error(PosRange::default(), "no expression found in input");
            return Err(Stop::Reported);
        }
        let mut expr = p.expr(0)?.expr;
        p.expect(Tok::Eof)?;
        // Types are of no interest while the text is wrong.
        if p.errors.is_empty() {
            p.check(&mut expr);
        }
        Ok(expr)
    })
}

/// Parses a selector alone, as `match[]` parameters hold it: `name{a="b"}`. Whether it selects everything is not
/// looked at.
pub fn parse_metric_selector(text: &str, options: &ParseOptions) -> Result<Vec<Matcher>, ParseErrors> {
    run(text, options, false, |p| p.whole_selector())
}

/// Parses the labels of one series: `name{a="b"}`.
pub fn parse_metric(text: &str, options: &ParseOptions) -> Result<Labels, ParseErrors> {
    run(text, options, false, |p| {
        let labels = p.metric()?;
        p.expect(Tok::Eof)?;
        Ok(labels.build())
    })
}

/// Runs a start rule; a token that fits nowhere is reported without context.
fn run<T>(
    text: &str,
    options: &ParseOptions,
    series_desc: bool,
    rule: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, ParseErrors> {
    let mut parser = Parser::new(text, options, series_desc);
    if text.len() > options.max_bytes {
        let message =
            format!("input is {} bytes long, more than the {} allowed", text.len(), options.max_bytes);
        parser.error(PosRange::default(), message);
        return Err(ParseErrors::new(text.get(..1).unwrap_or_default(), parser.errors));
    }
    match parser.within("", "", rule) {
        Ok(value) if parser.errors.is_empty() => Ok(value),
        _ => Err(ParseErrors::new(text, parser.errors)),
    }
}

/// Feeds bytes to every entry point and prints and re-reads what parses; must not panic. For fuzz targets.
pub fn fuzz_parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for options in [ParseOptions::all(), ParseOptions::default()] {
        if let Ok(expr) = parse(&text, &options) {
            let shown = expr.to_string();
            let _ = expr.prettify();
            let _ = parse(&shown, &options).map(|again| again.to_string());
        }
    }
    let _ = parse_metric_selector(&text, &ParseOptions::all());
    let _ = parse_metric(&text, &ParseOptions::all());
    let _ = parse_series_desc(&text);
}
