//! Unit tests of rules: Prometheus's file format and its messages.

mod case;
mod checks;
mod diff;
mod file;
mod input;
mod report;
mod show;
mod test_storage;
#[cfg(test)]
mod tests;

pub use file::{UnitTestFile, UnitTestOptions, fuzz_unit_test_file};
pub use input::RuleSource;
pub use report::{CaseReport, UnitTestReport, junit_xml};
