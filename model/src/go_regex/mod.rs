//! Regular expressions as Go's `regexp` reads them, on top of the `regex-automata` crate.
//!
//! Both are linear-time; their syntax differs. So the syntax is read here (`parse`), into the tree that crate builds
//! its automata from; error texts are Go's. What is really a set of literals, or literals with anything between them,
//! never becomes an automaton (`shape`). Always: an automaton has at most `PROGRAM_BYTES_MAX` bytes, an expression at
//! most `NESTING_MAX` levels (Go: 1,000).

mod class;
mod parse;
mod shape;
#[cfg(test)]
mod tests;
mod unicode;

use regex_automata::meta;
use regex_syntax::hir::{Hir, Look};

pub(crate) use shape::{Compiled, Folded, Wild};

/// Largest compiled program in bytes.
const PROGRAM_BYTES_MAX: usize = 10 << 20;
/// Deepest nesting of groups and repetitions.
const NESTING_MAX: u32 = 250;

/// Reads `pattern` in Go's syntax, anchored at both ends, dot matching newlines.
pub(crate) fn compile(pattern: &str) -> Result<Compiled, String> {
    let hir = parse::Parser::new(pattern, false).run()?.hir;
    match shape::simple(&hir) {
        Some(simple) => Ok(simple),
        None => {
            let prefix = shape::prefix(&hir);
            Ok(Compiled::Regex(build(hir, pattern)?, prefix))
        }
    }
}

/// An expression with its groups: the names of the named ones, by number.
pub(crate) struct WithCaptures {
    pub(crate) regex: meta::Regex,
    pub(crate) names: Vec<(String, usize)>,
}

/// Reads `pattern` in Go's syntax, anchored at both ends, keeping its capture groups.
pub(crate) fn compile_with_captures(pattern: &str) -> Result<WithCaptures, String> {
    let parsed = parse::Parser::new(pattern, true).run()?;
    Ok(WithCaptures { regex: build(parsed.hir, pattern)?, names: parsed.names })
}

/// Reads `pattern` in Go's syntax as it stands: found anywhere, dot not matching newlines.
pub(crate) fn compile_search(pattern: &str) -> Result<WithCaptures, String> {
    let parsed = parse::Parser::new(pattern, true).without_dot_newline().run()?;
    Ok(WithCaptures { regex: build_as_is(&parsed.hir, pattern)?, names: parsed.names })
}

fn build(hir: Hir, pattern: &str) -> Result<meta::Regex, String> {
    build_as_is(&Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]), pattern)
}

fn build_as_is(hir: &Hir, pattern: &str) -> Result<meta::Regex, String> {
    let config = meta::Config::new().nfa_size_limit(Some(PROGRAM_BYTES_MAX)).utf8_empty(false);
    meta::Regex::builder()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| format!("expression too large: `{pattern}`"))
}
