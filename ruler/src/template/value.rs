//! What templates work with.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::FloatHistogram;

use super::AlertData;
use super::format::{format_float, format_time};

/// A sample as templates see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, the name among them.
    pub labels: BTreeMap<String, String>,
    /// A float or a histogram.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A text that is HTML.
    Html(String),
    /// Labels.
    Labels(Arc<BTreeMap<String, String>>),
    /// The arguments of a template.
    Args(Arc<BTreeMap<String, Value>>),
    /// The answer of a query.
    Vector(Vec<Arc<Sample>>),
    /// One sample of it.
    Sample(Arc<Sample>),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
    /// Nanoseconds since the epoch.
    Time(i128),
    /// Nanoseconds.
    Duration(i64),
    /// All there is.
    Root(Arc<AlertData>),
}

impl Value {
    /// Whether it is more than nothing.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) | Value::Html(text) => !text.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Args(args) => !args.is_empty(),
            Value::Vector(samples) => !samples.is_empty(),
            Value::Sample(_) | Value::Histogram(_) | Value::Time(_) | Value::Duration(_) | Value::Root(_) => {
                true
            }
        }
    }

    /// Its type as Go calls it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Labels(_) => "map[string]string",
            Value::Args(_) => "map[string]interface {}",
            Value::Vector(_) => "template.queryResult",
            Value::Sample(_) => "*template.sample",
            Value::Histogram(_) => "*histogram.FloatHistogram",
            Value::Time(_) => "*time.Time",
            Value::Duration(_) => "*time.Duration",
            Value::Root(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
        }
    }

    /// As `{{ . }}` prints it.
    pub(super) fn show(&self) -> String {
        match self {
            Value::Nil => "<no value>".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format_float(*value),
            Value::Text(text) | Value::Html(text) => text.clone(),
            Value::Labels(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}:{v}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
            Value::Args(args) => {
                let shown = |value: &Value| match value {
                    Value::Nil => "<nil>".to_owned(),
                    value => value.show(),
                };
                let pairs: Vec<String> = args.iter().map(|(n, v)| format!("{n}:{}", shown(v))).collect();
                format!("map[{}]", pairs.join(" "))
            }
            Value::Vector(samples) => {
                let all: Vec<String> = samples.iter().map(|s| Value::Sample(Arc::clone(s)).show()).collect();
                format!("[{}]", all.join(" "))
            }
            Value::Sample(sample) => {
                format!(
                    "{{{} {}}}",
                    Value::Labels(Arc::new(sample.labels.clone())).show(),
                    sample.value.show()
                )
            }
            Value::Histogram(h) => promql::histogram_text(h),
            Value::Time(nanos) => format_time(*nanos),
            Value::Duration(nanos) => super::format::format_duration(*nanos),
            Value::Root(data) => {
                let labels =
                    |labels: &BTreeMap<String, String>| Value::Labels(Arc::new(labels.clone())).show();
                format!(
                    "{{{} {} {} {}}}",
                    labels(&data.labels),
                    labels(&data.external_labels),
                    data.external_url,
                    data.value.show()
                )
            }
        }
    }
}
