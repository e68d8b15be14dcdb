//! Rules: their files, templates, evaluation, and unit tests of them.

pub mod template;
pub mod unit_test;

mod alert;
mod alerting_rule;
mod group;
mod recording_rule;
mod rule;
mod rule_error;
mod rule_file;
mod rule_storage;
mod span;
mod yaml;

pub use alert::{Alert, AlertState};
pub use alerting_rule::{AlertingRule, Origin};
pub use group::Group;
pub use recording_rule::RecordingRule;
pub use rule::Rule;
pub use rule_error::RuleError;
pub use rule_file::{RuleFile, RuleFileError, RuleFileOptions, RuleGroup, fuzz_rule_file};
pub use rule_storage::RuleStorage;
pub use span::Span;
