//! One test: series, how rules see them, and what must come out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::TimestampMs;
use runtime::Runtime;

use super::UnitTestOptions;
use super::checks::{AlertCheck, ExprCheck, each};
use super::file::Pairs;
use super::input::load_series;
use super::show;
use super::test_storage::TestStorage;
use crate::alerting_rule::Origin;
use crate::yaml::{Decoder, Node};
use crate::{AlertState, Group, RuleFile, Span};

/// Who is told what a test does, a text at a time.
pub(super) type Debug<'a> = &'a (dyn Fn(&str) + Sync);

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
        debug: Option<Debug<'_>>,
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
                self.check_alerts(time, &groups, options.diff, &mut failures);
            }
            now = next;
        }
        for check in &self.expr_checks {
            failures.extend(check.failure(&storage, self.start, fuzzy, options).await);
        }
        if let Some(debug) = debug {
            debug(&self.dump(&storage).await);
        }
        failures
    }

    /// All samples there are, for who looks for a fault.
    async fn dump(&self, storage: &TestStorage) -> String {
        // expressions have no fractions of seconds
        let span = Span((self.last_time().0 + 1_000) / 1_000 * 1_000);
        let span_text = crate::template::format_duration(span.0.saturating_mul(1_000_000));
        let expr = format!("{{__name__=~\".+\"}}[{span_text}]");
        match storage.matrix(&expr, self.start.saturating_add(span.0)).await {
            Ok(series) => {
                let all: Vec<String> = series.iter().map(show::series).collect();
                format!("Dump of all data (input_series and rules) at {span_text}:\n{}", all.join("\n"))
            }
            Err(why) => format!("Failed query exec, expr: {}, err: {why}", model::go_quote(&expr)),
        }
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

    fn check_alerts(&self, time: Span, groups: &[Group], diff: bool, failures: &mut Vec<String>) {
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
            if diff {
                let diff = show::indent(&super::diff::alerts(&expected, &got), &by);
                failures.push(format!(
                    "{test}    alertname: {}, time: {time}, \n        diff: {diff}",
                    check.name
                ));
                continue;
            }
            failures.push(format!(
                "{test}    alertname: {}, time: {time}, \n        exp:{}, \n        got:{}",
                check.name,
                show::indent(&show::alerts(&expected), &by),
                show::indent(&show::alerts(&got), &by)
            ));
        }
    }
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
