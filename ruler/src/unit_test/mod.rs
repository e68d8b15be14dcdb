//! Unit tests of rules: Prometheus's file format and its messages.

mod case;
mod file;
mod input;
mod show;
mod test_storage;
#[cfg(test)]
mod tests;

pub use file::{UnitTestFile, UnitTestOptions, fuzz_unit_test_file};
pub use input::RuleSource;
