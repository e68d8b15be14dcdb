//! One test: series, how rules see them, and what must come out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::TimestampMs;
use promql::parse::{SequenceValue, parse_metric, parse_series_desc};
use promql::{SampleValue, VectorSample};
use runtime::Runtime;

use super::UnitTestOptions;
use super::file::Pairs;
use super::input::load_series;
use super::show;
use super::test_storage::TestStorage;
use crate::alerting_rule::Origin;
use crate::yaml::{Decoder, Node};
use crate::{AlertState, Group, RuleFile, RuleStorage, Span};

/// Alerts that must fire at a time.
#[derive(Debug, Clone, PartialEq, Default)]
struct AlertCheck {
    eval_time: Span,
    name: String,
    alerts: Vec<show::LabelsAndAnnotations>,
}

/// An expression and its value at a time.
#[derive(Debug, Clone, PartialEq, Default)]
struct ExprCheck {
    expr: String,
    eval_time: Span,
    samples: Vec<ExpectedSample>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct ExpectedSample {
    labels: String,
    value: f64,
    /// Not empty: the value does not matter.
    histogram: String,
}

/// A test of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TestCase {
    pub(super) name: String,
    /// Between the values of a series.
    pub(super) interval: Span,
    /// (series, values)
    series: Vec<(String, String)>,
    alert_checks: Vec<AlertCheck>,
    expr_checks: Vec<ExprCheck>,
    external_labels: Pairs,
    external_url: String,
    start: TimestampMs,
}

impl TestCase {
    pub(super) fn decode(decoder: &mut Decoder, node: &Node) -> Option<TestCase> {
        const NAME: &str = "main.testGroup";
        let mut test = TestCase::default();
        for (name, key, value) in decoder.fields(node, NAME)? {
            match name.as_str() {
                "interval" => test.interval = decoder.span(&value).unwrap_or_default(),
                "name" => test.name = decoder.text(&value).unwrap_or_default(),
                "external_url" => test.external_url = decoder.text(&value).unwrap_or_default(),
                "external_labels" => test.external_labels = decoder.texts(&value).unwrap_or_default(),
                "start_timestamp" => test.start = start(decoder, &value),
                "input_series" => test.series = each(decoder, &value, "[]main.series", series),
                "alert_rule_test" => {
                    test.alert_checks = each(decoder, &value, "[]main.alertTestCase", AlertCheck::decode);
                }
                "promql_expr_test" => {
                    test.expr_checks = each(decoder, &value, "[]main.promqlTestCase", ExprCheck::decode);
                }
                _ => decoder.unknown(&name, &key, NAME),
            }
        }
        Some(test)
    }

    /// Runs it; gives what went wrong.
    pub(super) async fn run(
        &self,
        rules: &Result<Vec<RuleFile>, Vec<String>>,
        order: &HashMap<&str, usize>,
        evaluation_interval: Span,
        fuzzy: bool,
        runtime: &Runtime,
        options: &UnitTestOptions,
    ) -> Vec<String> {
        let mut series = match load_series(&self.interval.to_string(), &self.series) {
            Ok(series) => series,
            Err(why) => return vec![why],
        };
        let files = match rules {
            Ok(files) => files,
            Err(faults) => return faults.clone(),
        };
        let mut groups = match self.groups(files, order, options) {
            Ok(groups) => groups,
            Err(why) => return vec![why],
        };
        if let Some(check) = self.alert_checks.iter().find(|check| check.name.is_empty()) {
            let of = match self.name.as_str() {
                "" => String::new(),
                name => format!(" (in TestGroup {name})"),
            };
            return vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {}{of}",
                check.eval_time
            )];
        }
        let storage = TestStorage::new(runtime, options, evaluation_interval);
        let times: BTreeSet<Span> = self.alert_checks.iter().map(|check| check.eval_time).collect();
        let mut times = times.into_iter().peekable();
        let mut failures = Vec::new();
        let mut now = self.start;
        while now <= self.start.saturating_add(self.last_time().0) {
            storage.load(&mut series, self.start, now);
            let known = failures.len();
            for group in &mut groups {
                let failed = group.evaluate(&storage, now).await;
                failures.extend(failed.into_iter().map(|(rule, error)| {
                    let time = crate::template::format_duration(now.saturating_mul(1_000_000));
                    format!("    rule: {rule}, time: {time}, err: {error}")
                }));
            }
            if failures.len() > known {
                return failures;
            }
            let next = now.saturating_add(evaluation_interval.0);
            while let Some(time) = times.next_if(|time| self.start.saturating_add(time.0) < next) {
                self.check_alerts(time, &groups, &mut failures);
            }
            now = next;
        }
        for check in &self.expr_checks {
            failures.extend(check.failure(&storage, self.start, fuzzy, options).await);
        }
        failures
    }

    /// The groups of all files, those that are to come first in front.
    fn groups(
        &self,
        files: &[RuleFile],
        order: &HashMap<&str, usize>,
        options: &UnitTestOptions,
    ) -> Result<Vec<Group>, String> {
        let origin = Arc::new(Origin {
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
        });
        let all = files.iter().flat_map(|file| &file.groups);
        let groups: Result<Vec<Group>, String> =
            all.map(|group| Group::new(group, &options.language, &origin)).collect();
        let mut groups = groups?;
        groups.sort_by_key(|group| order.get(group.name()).copied().unwrap_or_default());
        Ok(groups)
    }

    fn last_time(&self) -> Span {
        let alerts = self.alert_checks.iter().map(|check| check.eval_time);
        alerts.chain(self.expr_checks.iter().map(|check| check.eval_time)).max().unwrap_or_default()
    }

    fn check_alerts(&self, time: Span, groups: &[Group], failures: &mut Vec<String>) {
        let mut firing: BTreeMap<&str, Vec<show::LabelsAndAnnotations>> = BTreeMap::new();
        for rule in groups.iter().flat_map(Group::alerting_rules) {
            for alert in rule.alerts().filter(|alert| alert.state == AlertState::Firing) {
                let labels = alert.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                firing.entry(rule.name()).or_default().push((labels, alert.annotations.clone()));
            }
        }
        for check in self.alert_checks.iter().filter(|check| check.eval_time == time) {
            let mut got = firing.get(check.name.as_str()).cloned().unwrap_or_default();
            let mut expected = check.alerts.clone();
            for (labels, _) in &mut expected {
                labels.insert("alertname".to_owned(), check.name.clone());
            }
            got.sort();
            expected.sort();
            if got == expected {
                continue;
            }
            let test = match self.name.as_str() {
                "" => String::new(),
                name => format!("    name: {name},\n"),
            };
            let by = " ".repeat(12);
            failures.push(format!(
                "{test}    alertname: {}, time: {time}, \n        exp:{}, \n        got:{}",
                check.name,
                show::indent(&show::alerts(&expected), &by),
                show::indent(&show::alerts(&got), &by)
            ));
        }
    }
}

/// The items of a list.
fn each<T>(
    decoder: &mut Decoder,
    node: &Node,
    wanted: &str,
    read: impl Fn(&mut Decoder, &Node) -> Option<T>,
) -> Vec<T> {
    let items = decoder.list(node, wanted);
    items.iter().filter_map(|item| read(decoder, item)).collect()
}

fn series(decoder: &mut Decoder, node: &Node) -> Option<(String, String)> {
    const NAME: &str = "main.series";
    let mut series = (String::new(), String::new());
    for (name, key, value) in decoder.fields(node, NAME)? {
        match name.as_str() {
            "series" => series.0 = decoder.text(&value).unwrap_or_default(),
            "values" => series.1 = decoder.text(&value).unwrap_or_default(),
            _ => decoder.unknown(&name, &key, NAME),
        }
    }
    Some(series)
}

/// Seconds since the epoch, or a date.
fn start(decoder: &mut Decoder, node: &Node) -> TimestampMs {
    let Some(text) = decoder.text(node) else { return 0 };
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
        return (seconds * 1000.0) as TimestampMs;
    }
    match chrono::DateTime::parse_from_rfc3339(&text) {
        Ok(time) => time.timestamp_millis(),
        Err(_) => {
            decoder.stop(format!("cannot parse {} to a valid timestamp", promql::go_quote(&text)));
            0
        }
    }
}

impl AlertCheck {
    fn decode(decoder: &mut Decoder, node: &Node) -> Option<AlertCheck> {
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
    fn decode(decoder: &mut Decoder, node: &Node) -> Option<ExprCheck> {
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

    async fn failure(
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
            [SequenceValue::Float(v)] => {
                Err(about(format!("expected histogram, got {}", crate::template::format_float(*v))))
            }
            [SequenceValue::Omitted] => Err(about("expected histogram, got _".to_owned())),
            values => Err(about(format!("expected 1 value, got {}", values.len()))),
        }
    }
}
