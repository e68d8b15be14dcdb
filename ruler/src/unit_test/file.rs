//! The file of a unit test.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use promql::parse::ParseOptions;
use runtime::Runtime;

use super::case::TestCase;
use super::input::{RuleSource, load_rules};
use super::report::{CaseReport, UnitTestReport};
use crate::Span;
use crate::yaml::{Decoder, Dialect, Document, Node};

/// How unit tests are run.
#[derive(Debug, Clone)]
pub struct UnitTestOptions {
    /// The language of expressions.
    pub language: ParseOptions,
    /// `promql-delayed-name-removal`
    pub delayed_name_removal: bool,
    /// Unknown fields in rule files are let pass.
    pub ignore_unknown_fields: bool,
    /// What alerts should be and what they are is shown as one coloured text.
    pub diff: bool,
}

/// Tests of rules, as one file states them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnitTestFile {
    /// Patterns of the rule files' paths.
    pub rule_files: Vec<String>,
    /// How often rules are evaluated.
    evaluation_interval: Span,
    group_eval_order: Vec<String>,
    tests: Vec<TestCase>,
    fuzzy_compare: bool,
}

impl UnitTestFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, as Prometheus words it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut file = UnitTestFile::default();
        let mut decoder = Decoder::new(Dialect::V2, true);
        if let Some(root) = Document::parse(text)?.root {
            file.decode(&mut decoder, &root);
        }
        decoder.finish()?;
        if file.evaluation_interval == Span(0) {
            file.evaluation_interval = Span(60_000);
        }
        for test in &mut file.tests {
            if test.interval == Span(0) {
                test.interval = file.evaluation_interval;
            }
        }
        Ok(file)
    }

    fn decode(&mut self, decoder: &mut Decoder, root: &Node) {
        const NAME: &str = "main.unitTestFile";
        for (name, key, value) in decoder.fields(root, NAME).unwrap_or_default() {
            match name.as_str() {
                "rule_files" => self.rule_files = texts(decoder, &value),
                "evaluation_interval" => self.evaluation_interval = decoder.span(&value).unwrap_or_default(),
                "group_eval_order" => self.group_eval_order = texts(decoder, &value),
                "fuzzy_compare" => self.fuzzy_compare = decoder.truth(&value).unwrap_or_default(),
                "tests" => {
                    let items = decoder.list(&value, "[]main.testGroup");
                    self.tests = items.iter().filter_map(|node| TestCase::decode(decoder, node)).collect();
                }
                _ => decoder.unknown(&name, &key, NAME),
            }
        }
    }

    /// Runs the tests whose names `wanted` takes, over the rules of `sources`. `debug` is told what goes on.
    pub async fn run(
        &self,
        sources: &[RuleSource],
        runtime: &Runtime,
        options: &UnitTestOptions,
        wanted: impl Fn(&str) -> bool,
        debug: Option<&(dyn Fn(&str) + Sync)>,
    ) -> UnitTestReport {
        let mut report = UnitTestReport { started: Some(runtime.now_ms()), ..UnitTestReport::default() };
        let mut order = HashMap::new();
        for (name, at) in self.group_eval_order.iter().zip(0..) {
            if order.insert(name.as_str(), at).is_some() {
                report.aborted = Some(format!("group name repeated in evaluation order: {name}"));
                return report;
            }
        }
        let rules = load_rules(sources, options);
        for (i, test) in self.tests.iter().enumerate().filter(|(_, test)| wanted(&test.name)) {
            let name = if test.name.is_empty() { format!("unnamed#{i}") } else { test.name.clone() };
            let begin = runtime.monotonic();
            let tell = |text: &str| debug.into_iter().for_each(|debug| debug(text));
            tell(&format!("Starting test {name}"));
            let ran = test.run(
                &rules,
                &order,
                self.evaluation_interval,
                self.fuzzy_compare,
                runtime,
                options,
                debug,
            );
            let failures = Box::pin(ran).await;
            let took = i64::try_from((runtime.monotonic() - begin).as_nanos()).unwrap_or(i64::MAX);
            tell(&format!("Test {name} finished, took {}", crate::template::format_duration(took)));
            report.cases.push(CaseReport { name, failures });
        }
        report
    }
}

/// A list of texts.
pub(super) fn texts(decoder: &mut Decoder, node: &Node) -> Vec<String> {
    let items: Vec<Arc<Node>> = decoder.list(node, "[]string");
    items.iter().filter_map(|item| decoder.text(item)).collect()
}

/// Labels by name, as they are written.
pub(super) type Pairs = BTreeMap<String, String>;

/// Reads bytes as a unit test's file; must not panic. For fuzz targets.
pub fn fuzz_unit_test_file(data: &[u8]) {
    let _refused = UnitTestFile::parse(&String::from_utf8_lossy(data));
}
