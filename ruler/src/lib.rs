//! Rules: their files and their templates.

pub mod template;

mod duration;
mod rule;
mod rule_file;
mod yaml;

pub use duration::Span;
pub use rule::Rule;
pub use rule_file::{RuleFile, RuleFileError, RuleFileOptions, RuleGroup, fuzz_rule_file};
