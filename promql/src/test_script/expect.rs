//! Checking failure texts and annotations.

use super::script::{Eval, Expectation, TextMatch};

impl Eval {
    pub(super) fn ordered(&self) -> bool {
        self.expectations.iter().any(|e| matches!(e, Expectation::Ordered))
    }

    /// The text a failure must have, when the query must fail.
    pub(super) fn failure(&self) -> Option<&TextMatch> {
        self.expectations.iter().find_map(|e| if let Expectation::Fail(text) = e { Some(text) } else { None })
    }

    /// Whether the failure of a query is the one expected.
    pub(super) fn check_failure(&self, query: &str, error: &str) -> Result<(), String> {
        match self.failure() {
            None => Err(format!("error evaluating {query}: {error}")),
            Some(text) if text.matches(error) => Ok(()),
            Some(text) => Err(format!("expected failure matching {text}, but got: {error}")),
        }
    }

    pub(super) fn check_annotations(&self, warnings: &[String], infos: &[String]) -> Result<(), String> {
        let mut wanted_warnings = Vec::new();
        let mut wanted_infos = Vec::new();
        for expectation in &self.expectations {
            match expectation {
                Expectation::Warn(text) => wanted_warnings.push(text),
                Expectation::Info(text) => wanted_infos.push(text),
                Expectation::AnyWarn if warnings.is_empty() => {
                    return Err("expected warnings but got none".to_owned());
                }
                Expectation::AnyInfo if infos.is_empty() => {
                    return Err("expected info annotations but got none".to_owned());
                }
                Expectation::NoWarn if !warnings.is_empty() => {
                    return Err(format!("unexpected warnings: {warnings:?}"));
                }
                Expectation::NoInfo if !infos.is_empty() => {
                    return Err(format!("unexpected info annotations: {infos:?}"));
                }
                _ => {}
            }
        }
        check_texts("warn", &wanted_warnings, warnings)?;
        check_texts("info", &wanted_infos, infos)
    }
}

/// Each expected text is there, and each text is expected; unless none is.
fn check_texts(kind: &str, wanted: &[&TextMatch], found: &[String]) -> Result<(), String> {
    if wanted.is_empty() {
        return Ok(());
    }
    if found.is_empty() {
        return Err(format!("expected {kind} annotations but none were found"));
    }
    if let Some(missing) = wanted.iter().find(|w| !found.iter().any(|f| w.matches(f))) {
        return Err(format!("expected {kind} annotation matching {missing}, found: {found:?}"));
    }
    match found.iter().find(|f| !wanted.iter().any(|w| w.matches(f))) {
        Some(extra) => Err(format!("unexpected {kind} annotation {extra:?}")),
        None => Ok(()),
    }
}
