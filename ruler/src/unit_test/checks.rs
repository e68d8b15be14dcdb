//! What a test expects: alerts at a time, and values of expressions.

use model::TimestampMs;
use promql::parse::{SequenceValue, parse_metric, parse_series_desc};
use promql::{SampleValue, VectorSample};

use super::UnitTestOptions;
use super::file::Pairs;
use super::show;
use super::test_storage::TestStorage;
use crate::yaml::{Decoder, Node};
use crate::{RuleStorage, Span};

/// Alerts that must fire at a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AlertCheck {
    pub(super) eval_time: Span,
    pub(super) name: String,
    pub(super) alerts: Vec<show::LabelsAndAnnotations>,
}

/// An expression and its value at a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ExprCheck {
    expr: String,
    pub(super) eval_time: Span,
    samples: Vec<ExpectedSample>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct ExpectedSample {
    labels: String,
    value: f64,
    /// Not empty: the value does not matter.
    histogram: String,
}

/// The items of a list.
pub(super) fn each<T>(
    decoder: &mut Decoder,
    node: &Node,
    wanted: &str,
    read: impl Fn(&mut Decoder, &Node) -> Option<T>,
) -> Vec<T> {
    let items = decoder.list(node, wanted);
    items.iter().filter_map(|item| read(decoder, item)).collect()
}

impl AlertCheck {
    pub(super) fn decode(decoder: &mut Decoder, node: &Node) -> Option<AlertCheck> {
        const NAME: &str = "main.alertTestCase";
        let mut check = AlertCheck::default();
        for (name, key, value) in decoder.fields(node, NAME)? {
            match name.as_str() {
                "eval_time" => check.eval_time = decoder.span(&value).unwrap_or_default(),
                "alertname" => check.name = decoder.text(&value).unwrap_or_default(),
                "exp_alerts" => check.alerts = each(decoder, &value, "[]main.alert", alert),
                _ => decoder.unknown(&name, &key, NAME),
            }
        }
        Some(check)
    }
}

fn alert(decoder: &mut Decoder, node: &Node) -> Option<show::LabelsAndAnnotations> {
    const NAME: &str = "main.alert";
    let (mut labels, mut annotations) = (Pairs::new(), Pairs::new());
    // an item that is nothing is an alert without labels
    for (name, key, value) in decoder.fields(node, NAME).unwrap_or_default() {
        match name.as_str() {
            "exp_labels" => labels = decoder.texts(&value).unwrap_or_default(),
            "exp_annotations" => annotations = decoder.texts(&value).unwrap_or_default(),
            _ => decoder.unknown(&name, &key, NAME),
        }
    }
    Some((labels, annotations))
}

/// Labels and a value, compared.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    labels: Pairs,
    value: f64,
    /// In the notation of series; empty for floats.
    histogram: String,
}

impl Shown {
    fn of(sample: &VectorSample) -> Self {
        let labels = sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        match &sample.value {
            SampleValue::Float(v) => Shown { labels, value: *v, histogram: String::new() },
            SampleValue::Histogram(h) => Shown { labels, value: 0.0, histogram: show::histogram(h) },
        }
    }

    fn equals(&self, other: &Shown, fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        let near = fuzzy && (a.next_down() == b || a.next_up() == b);
        self.labels == other.labels && self.histogram == other.histogram && (a == b || near)
    }

    fn text(&self) -> String {
        let labels = show::labels(&self.labels);
        match self.histogram.as_str() {
            "" => format!("{labels} {}", show::float(self.value)),
            histogram => format!("{labels} {histogram}"),
        }
    }
}

fn texts_of(samples: &[Shown]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    samples.iter().map(Shown::text).collect::<Vec<_>>().join(", ")
}

impl ExprCheck {
    pub(super) fn decode(decoder: &mut Decoder, node: &Node) -> Option<ExprCheck> {
        const NAME: &str = "main.promqlTestCase";
        let mut check = ExprCheck::default();
        for (name, key, value) in decoder.fields(node, NAME)? {
            match name.as_str() {
                "expr" => check.expr = decoder.text(&value).unwrap_or_default(),
                "eval_time" => check.eval_time = decoder.span(&value).unwrap_or_default(),
                "exp_samples" => {
                    check.samples = each(decoder, &value, "[]main.sample", ExpectedSample::decode)
                }
                _ => decoder.unknown(&name, &key, NAME),
            }
        }
        Some(check)
    }

    pub(super) async fn failure(
        &self,
        storage: &TestStorage,
        start: TimestampMs,
        fuzzy: bool,
        options: &UnitTestOptions,
    ) -> Option<String> {
        let about = format!("    expr: {}, time: {},", promql::go_quote(&self.expr), self.eval_time);
        let got = match storage.query(&self.expr, start.saturating_add(self.eval_time.0)).await {
            Ok(got) => got,
            Err(why) => return Some(format!("{about} err: {why}")),
        };
        let mut got: Vec<Shown> = got.iter().map(Shown::of).collect();
        let expected: Result<Vec<Shown>, String> =
            self.samples.iter().map(|sample| sample.shown(options)).collect();
        let mut expected = match expected {
            Ok(expected) => expected,
            Err(why) => return Some(format!("{about} err: {why}")),
        };
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let same = got.len() == expected.len() && got.iter().zip(&expected).all(|(a, b)| a.equals(b, fuzzy));
        (!same).then(|| {
            format!("{about}\n        exp: {}\n        got: {}", texts_of(&expected), texts_of(&got))
        })
    }
}

impl ExpectedSample {
    fn decode(decoder: &mut Decoder, node: &Node) -> Option<ExpectedSample> {
        const NAME: &str = "main.sample";
        let mut sample = ExpectedSample::default();
        for (name, key, value) in decoder.fields(node, NAME).unwrap_or_default() {
            match name.as_str() {
                "labels" => sample.labels = decoder.text(&value).unwrap_or_default(),
                "value" => sample.value = decoder.float(&value).unwrap_or_default(),
                "histogram" => sample.histogram = decoder.text(&value).unwrap_or_default(),
                _ => decoder.unknown(&name, &key, NAME),
            }
        }
        Some(sample)
    }

    fn shown(&self, options: &UnitTestOptions) -> Result<Shown, String> {
        let about = |why: String| format!("labels {}: {why}", promql::go_quote(&self.labels));
        let labels = parse_metric(&self.labels, &options.language).map_err(|e| about(e.to_string()))?;
        let labels = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        if self.histogram.is_empty() {
            return Ok(Shown { labels, value: self.value, histogram: String::new() });
        }
        let described = parse_series_desc(&format!("{{}} {}", self.histogram));
        let values = described.map_err(|e| about(e.to_string()))?.values;
        match &values[..] {
            [SequenceValue::Histogram { histogram, .. }] => {
                Ok(Shown { labels, value: self.value, histogram: show::histogram(histogram) })
            }
            [SequenceValue::Float(v)] => Err(about(format!("expected histogram, got {v:.6}"))),
            [SequenceValue::Omitted] => Err(about("expected histogram, got _".to_owned())),
            values => Err(about(format!("expected 1 value, got {}", values.len()))),
        }
    }
}
