//! Prometheus's test scripts for the language: reading them, and running them against anything that answers queries.
//!
//! A script loads series, evaluates queries and says what must come out. The runner does with each evaluation what
//! Prometheus's does: an instant query is also run as the middle step of a range query, and again with every selector
//! pinned by `@` at other evaluation times.

mod at_variants;
mod classic;
mod compare;
mod expect;
mod read;
mod run;
mod script;
mod start_times;

#[cfg(test)]
mod tests;

pub use read::{ScriptError, parse_script};
pub use run::{Failure, Report, ScriptTarget, run_script};
pub use script::{
    Command, Eval, EvalTime, Expectation, Expected, ExpectedSeries, LoadedSample, LoadedSeries, Script,
    TextMatch,
};

/// Reads bytes as a script; must not panic. For fuzz targets.
pub fn fuzz_script(data: &[u8]) {
    let _ = parse_script("fuzz", &String::from_utf8_lossy(data));
}
