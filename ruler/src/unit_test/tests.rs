use parking_lot::Mutex;
use proptest::prelude::*;
use runtime::Runtime;

use super::*;

const RULES: &str = "groups:
- name: second
  rules:
  - record: job:up:twice
    expr: 2 * job:up:sum
- name: first
  labels: {zone: a}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 2m
    keep_firing_for: 1m
    labels: {severity: page, was: '{{ $value }}'}
    annotations:
      summary: '{{ $labels.instance }} of {{ $labels.job }} is down ({{ query \"count(up)\" | first | value }} there)'
";

const TESTS: &str = "rule_files: [rules.yml]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
- name: one
  input_series:
  - {series: 'up{job=\"api\", instance=\"a\"}', values: '1 0 0 0 1 1 1'}
  - {series: 'up{job=\"api\", instance=\"b\"}', values: '1x6'}
  alert_rule_test:
  - {eval_time: 2m, alertname: Down}
  - eval_time: 3m
    alertname: Down
    exp_alerts:
    - exp_labels: {severity: page, zone: a, was: '0', job: api, instance: a}
      exp_annotations: {summary: 'a of api is down (2 there)'}
  - {eval_time: 5m, alertname: Down}
  promql_expr_test:
  - expr: job:up:twice
    eval_time: 3m
    exp_samples: [{labels: 'job:up:twice{job=\"api\", zone=\"a\"}', value: 2}]
  - expr: ALERTS
    eval_time: 2m
    exp_samples:
    - {labels: 'ALERTS{alertname=\"Down\", alertstate=\"pending\", instance=\"a\", job=\"api\", severity=\"page\", was=\"0\", zone=\"a\"}', value: 1}
";

fn run(tests: &str, rules: &str) -> Vec<String> {
    run_with(tests, rules, false).0
}

/// What went wrong, and what was said meanwhile.
fn run_with(tests: &str, rules: &str, diff: bool) -> (Vec<String>, Vec<String>) {
    let file = match UnitTestFile::parse(tests) {
        Ok(file) => file,
        Err(why) => return (vec![why], Vec::new()),
    };
    let sources = [RuleSource { path: "rules.yml".to_owned(), text: Ok(rules.to_owned()) }];
    let options = UnitTestOptions {
        language: promql::parse::ParseOptions::default(),
        delayed_name_removal: false,
        ignore_unknown_fields: false,
        diff,
    };
    let said = Mutex::new(Vec::new());
    let debug = |text: &str| said.lock().push(text.to_owned());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = tokio.block_on(file.run(&sources, &Runtime::real(), &options, |_| true, Some(&debug)));
    let failures = report.failures().map(str::to_owned).collect();
    drop(report);
    (failures, said.into_inner())
}

#[test]
fn rules_that_do_what_a_test_expects_pass() {
    assert_eq!(run(TESTS, RULES), Vec::<String>::new());
}

#[test]
fn what_is_not_as_expected_is_shown() {
    let tests =
        TESTS.replace("was: '0'", "was: '1'").replace("value: 2}", "value: 3}").replace("- name: one", "-");
    assert_eq!(
        run(&tests, RULES),
        [
            "    alertname: Down, time: 3m, 
        exp:[
            0:
              Labels:{alertname=\"Down\", instance=\"a\", job=\"api\", severity=\"page\", was=\"1\", zone=\"a\"}
              Annotations:{summary=\"a of api is down (2 there)\"}
            ], 
        got:[
            0:
              Labels:{alertname=\"Down\", instance=\"a\", job=\"api\", severity=\"page\", was=\"0\", zone=\"a\"}
              Annotations:{summary=\"a of api is down (2 there)\"}
            ]",
            "    expr: \"job:up:twice\", time: 3m,
        exp: {__name__=\"job:up:twice\", job=\"api\", zone=\"a\"} 3E+00
        got: {__name__=\"job:up:twice\", job=\"api\", zone=\"a\"} 2E+00",
        ]
    );
}

#[test]
fn rules_that_fail_end_a_test() {
    let rules = "groups: [{name: a, rules: [{record: r, expr: 'sum(up) by (job) + on() group_left() up'}, {record: s, expr: 'label_replace(up, \"instance\", \"\", \"\", \"\")'}]}]";
    let tests = "tests: [{input_series: [{series: 'up{instance=\"a\"}', values: 1}, {series: 'up{instance=\"b\"}', values: 1}]}]";
    let failures = run(tests, rules);
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(
        failures[0].starts_with("    rule: r, time: 0s, err: found duplicate series for the match group"),
        "{failures:?}"
    );
    assert!(
        failures[1]
            .starts_with("    rule: s, time: 0s, err: vector cannot contain metrics with the same labelset"),
        "{failures:?}"
    );
}

#[test]
fn files_that_are_wrong_are_refused_in_prometheus_words() {
    assert_eq!(
        run("tests: [{foo: 1}]", ""),
        ["yaml: unmarshal errors:\n  line 1: field foo not found in type main.testGroup"]
    );
    assert_eq!(
        run("group_eval_order: [a, a]\ntests: []", ""),
        ["group name repeated in evaluation order: a"]
    );
    assert_eq!(run("tests: [{start_timestamp: x}]", ""), ["cannot parse \"x\" to a valid timestamp"]);
    assert_eq!(
        run("tests: [{name: t, alert_rule_test: [{eval_time: 1m}]}]", ""),
        [
            "an item under alert_rule_test misses required attribute alertname at eval_time 1m (in TestGroup t)"
        ]
    );
    assert_eq!(
        run("tests: [{input_series: [{series: 'up{a=0}', values: 1}]}]", ""),
        ["2:6: parse error: unexpected character inside braces: '0'"]
    );
    assert_eq!(
        run("tests: [{}]", "groups: [{name: a, rules: [{record: r, expr: 'up =='}]}]"),
        [
            "rules.yml: 1:46: group \"a\", rule 1, \"r\": could not parse expression: 1:6: parse error: unexpected end of input"
        ]
    );
}

#[test]
fn histograms_are_compared_in_the_notation_of_series() {
    let tests = "tests:
- input_series: [{series: h, values: '{{schema:1 count:3 sum:5 buckets:[1 2] offset:1}}'}]
  promql_expr_test:
  - {expr: h, eval_time: 0, exp_samples: [{labels: h, histogram: '{{schema:1 count:3 sum:5 buckets:[1 2] offset:1}}'}]}
  - {expr: 2 * h, eval_time: 0, exp_samples: [{labels: '{}', histogram: '{{schema:1 count:3 sum:5}}'}]}
";
    assert_eq!(
        run(tests, ""),
        ["    expr: \"2 * h\", time: 0s,
        exp: {} {{schema:1 count:3 sum:5}}
        got: {} {{schema:1 count:6 sum:10 offset:1 buckets:[2 4]}}"]
    );
}

#[test]
fn a_test_may_begin_at_any_time_and_numbers_may_be_near() {
    let tests = "fuzzy_compare: true
tests:
- start_timestamp: 2024-01-01T00:00:00Z
  input_series: [{series: a, values: '0.1 0.2'}]
  promql_expr_test:
  - {expr: time(), eval_time: 1m, exp_samples: [{labels: '{}', value: 1704067260}]}
  - {expr: a + 0.1, eval_time: 1m, exp_samples: [{labels: '{}', value: 0.3}]}
";
    assert_eq!(run(tests, ""), Vec::<String>::new());
    assert_eq!(run(&tests.replace("fuzzy_compare: true", ""), "").len(), 1);
}

#[test]
fn differences_are_coloured() {
    let tests = TESTS.replace("was: '0', job: api", "was: '1', jab: api");
    let (failures, _) = run_with(&tests, RULES, true);
    let text = [
        "    name: one,",
        "    alertname: Down, time: 3m, ",
        "        diff: [",
        "                {",
        "                    \"Annotations\": {",
        "                        \"summary\": \"a of api is down (2 there)\"",
        "                    },",
        "                    \"Labels\": {",
        "                        \"alertname\": \"Down\",",
        "                        \"instance\": \"a\",",
        "                        \u{1b}[0;31m\"jab\": \"api\"\u{1b}[0m,",
        "                        \u{1b}[0;32m\"job\": \"api\"\u{1b}[0m,",
        "                        \"severity\": \"page\",",
        "                        \"was\": \u{1b}[0;33m\"1\" => \"0\"\u{1b}[0m,",
        "                        \"zone\": \"a\"",
        "                    }",
        "                }",
        "            ]",
    ];
    assert_eq!(failures, [text.join("\n")]);
    let tests = TESTS.replace("alertname: Down}", "alertname: Down, exp_alerts: [{}]}");
    let (failures, _) = run_with(&tests, RULES, true);
    assert!(failures[0].contains("\u{1b}[0;31m\"alertname\": \"Down\"\u{1b}[0m"), "{}", failures[0]);
}

#[test]
fn debugging_shows_all_samples() {
    let (_, said) = run_with(TESTS, RULES, false);
    assert_eq!(said[0], "Starting test one");
    assert!(said[1].starts_with("Dump of all data (input_series and rules) at 5m1s:\n"), "{}", said[1]);
    assert!(
        said[1].contains("{__name__=\"job:up:sum\", job=\"api\", zone=\"a\"} =>\n1 @[60000]\n1 @[120000]\n"),
        "{}",
        said[1]
    );
    assert!(said[2].starts_with("Test one finished, took "), "{}", said[2]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data: Vec<u8>) {
        fuzz_unit_test_file(&data);
    }

    #[test]
    fn mutated_files_are_read_or_refused(at in 0..TESTS.len(), byte: u8, cut in 0..TESTS.len()) {
        let mut data = TESTS.as_bytes().to_vec();
        data[at] = byte;
        fuzz_unit_test_file(&data);
        fuzz_unit_test_file(&data[..cut]);
    }
}
