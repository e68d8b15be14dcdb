//! The templates of alert labels and annotations: Go's template language as far as rules use it, with Prometheus's
//! functions.
//!
//! A template is text with actions in `{{…}}`. Expanding one is a pure function of its data; where it asks a query,
//! [`Expansion::Needs`] says which, and the caller expands again with the answer. Sizes, steps and depths are bounded.

mod compare;
mod exec;
mod fields;
mod format;
mod functions;
mod go_time;
mod lex;
mod literal;
mod node;
mod parse;
mod printf;
mod scalar_functions;
mod sequences;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimestampMs;

pub(crate) use format::format_duration;
pub use format::format_float;
pub use value::{Sample, Value};

/// Largest template in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// What every template of a rule begins with.
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Why a template cannot be used. The text is Go's, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

impl TemplateError {
    /// What the author should do: repair the template.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::Invalid
    }
}

/// What a template of an alert may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertData {
    /// Labels of the sample.
    pub labels: BTreeMap<String, String>,
    /// Labels of the server.
    pub external_labels: BTreeMap<String, String>,
    /// Address of the server.
    pub external_url: String,
    /// Value of the sample.
    pub value: Value,
    /// When the rule is evaluated.
    pub now: TimestampMs,
}

/// Answers to the queries that templates ask.
pub type Answers = BTreeMap<String, Result<Vec<Arc<Sample>>, String>>;

/// How far an expansion came.
#[derive(Debug, Clone, PartialEq)]
pub enum Expansion {
    /// The text.
    Done(String),
    /// This query must be answered first.
    Needs(String),
}

/// A template that was read.
#[derive(Debug, Clone)]
pub struct Template {
    tree: node::Tree,
}

impl Template {
    /// Reads a template of the alert `alert`.
    ///
    /// # Errors
    /// When it is no template.
    pub fn parse(alert: &str, text: &str) -> Result<Self, TemplateError> {
        let name = format!("__alert_{alert}");
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError(format!(
                "template: {name}: {} bytes are more than {TEXT_BYTES_MAX}",
                text.len()
            )));
        }
        Ok(Template { tree: parse::parse(&name, &format!("{VARIABLES}{text}"))? })
    }

    /// Expands it.
    ///
    /// # Errors
    /// When an action fails.
    pub fn expand(&self, data: &AlertData, answers: &Answers) -> Result<Expansion, TemplateError> {
        exec::execute(&self.tree, data, answers)
    }
}

/// Reads bytes as a template and expands it; must not panic. For fuzz targets.
pub fn fuzz_template(data: &[u8]) {
    let Ok(template) = Template::parse("fuzz", &String::from_utf8_lossy(data)) else { return };
    let data = AlertData {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        external_labels: BTreeMap::new(),
        external_url: "http://localhost:9009/prefix".to_owned(),
        value: Value::Float(1234.5),
        now: 1_000,
    };
    let answer = vec![Arc::new(Sample { labels: data.labels.clone(), value: Value::Float(2.0) })];
    let mut answers = Answers::new();
    for _ in 0..3 {
        match template.expand(&data, &answers) {
            Ok(Expansion::Needs(query)) => {
                answers.insert(query, Ok(answer.clone()));
            }
            _ => return,
        }
    }
}
