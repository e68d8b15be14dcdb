//! Tests of reading and running scripts, against canned answers.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Labels, TimestampMs};

use super::*;
use crate::annotations::Annotations;
use crate::engine::{Answer, AnswerMemory, MatrixSeries, QueryStats, SampleValue, Value, VectorSample};

type Canned = Box<dyn FnMut(&str, TimestampMs, bool) -> Result<Answer, String> + Send>;

/// Answers from a function, remembers what it was asked.
struct Fake {
    answer: Canned,
    log: Vec<String>,
}

#[async_trait]
impl ScriptTarget for Fake {
    async fn load(&mut self, series: &[LoadedSeries]) -> Result<(), String> {
        self.log.push(format!("load {}", series.len()));
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), String> {
        self.log.push("clear".to_owned());
        Ok(())
    }

    async fn instant(&mut self, query: &str, time_ms: TimestampMs) -> Result<Answer, String> {
        self.log.push(format!("{query} at {time_ms}"));
        (self.answer)(query, time_ms, false)
    }

    async fn range(&mut self, query: &str, start: i64, end: i64, step: i64) -> Result<Answer, String> {
        self.log.push(format!("{query} from {start} to {end} step {step}"));
        (self.answer)(query, start, true)
    }
}

fn run(
    text: &str,
    answer: impl FnMut(&str, TimestampMs, bool) -> Result<Answer, String> + Send + 'static,
) -> (Report, Vec<String>) {
    let script = parse_script("s.test", text).unwrap_or_else(|e| panic!("{e}"));
    let mut fake = Fake { answer: Box::new(answer), log: Vec::new() };
    let report = futures::executor::block_on(run_script(&script, &mut fake));
    (report, fake.log)
}

fn answer(value: Value) -> Result<Answer, String> {
    Ok(Answer {
        value,
        warnings: vec![],
        infos: vec![],
        annotations: Annotations::default(),
        stats: QueryStats::default(),
        memory: AnswerMemory::default(),
    })
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

/// One series of value `v`, as a vector or as a matrix around the middle of the minute before and after.
fn one(pairs: &[(&str, &str)], v: f64, t: TimestampMs, range: bool) -> Result<Answer, String> {
    let labels = labels(pairs);
    answer(if range {
        let floats = (0..3).map(|i| (t + i * 60_000, v)).collect();
        Value::Matrix(vec![MatrixSeries { labels, floats, histograms: vec![] }])
    } else {
        Value::Vector(vec![VectorSample { labels, t, value: SampleValue::Float(v) }])
    })
}

#[test]
fn instants_are_run_as_ranges_and_pinned() {
    let script = "load 5m\n  x{a=\"b\"} 1 2\n\n# a comment\nclear\n\neval instant at 50s x\n  x{a=\"b\"} 7\n";
    let (report, log) = run(script, |_, t, range| one(&[("__name__", "x"), ("a", "b")], 7.0, t, range));
    assert_eq!((report.passed, report.failures), (1, vec![]));
    let asked: Vec<&str> = log.iter().map(String::as_str).collect();
    assert_eq!(
        asked[..7],
        [
            "clear",
            "load 1",
            "clear",
            "x at 50000",
            "x from -10000 to 110000 step 60000",
            "x @ 50.000 at -500000",
            "x @ 50.000 from -560000 to -440000 step 60000",
        ]
    );
    assert_eq!(asked.len(), 3 + 2 * 6);
}

#[test]
fn differences_are_reported_with_place_and_reason() {
    let script = "\neval instant at 0 x\n  {} 1\n\neval instant at 0 y\n";
    let (report, _) = run(script, |query, t, range| {
        if query.contains('y') { Err("no such thing".to_owned()) } else { one(&[], 2.0, t, range) }
    });
    let shown: Vec<String> = report.failures.iter().map(Failure::to_string).collect();
    assert_eq!(
        shown,
        ["s.test:2: x: expected 1 for {} but got 2", "s.test:5: y: error evaluating y: no such thing"]
    );
}

#[test]
fn failures_and_annotations_are_matched() {
    let script = r#"
eval instant at 0 a
  expect fail msg: bad luck

eval_fail instant at 0 a
  expected_fail_regexp b.d

eval instant at 0 a
  expect fail regex: good

eval instant at 0 w
  expect warn msg: w one
  expect warn regex: two$
  expect no_info
  {} 1

eval instant at 0 w
  expect warn msg: w one
  {} 1

eval instant at 0 w
  expect no_warn
  {} 1

eval_info instant at 0 w
  {} 1
"#;
    let (report, _) = run(script, |query, t, range| {
        if query.starts_with('a') {
            return Err("bad luck".to_owned());
        }
        one(&[], 1.0, t, range).map(|a| Answer { warnings: vec!["w one".into(), "w two".into()], ..a })
    });
    assert_eq!(report.passed, 3);
    let reasons: Vec<&str> = report.failures.iter().map(|f| f.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "expected failure matching pattern \"good\", but got: bad luck",
            "unexpected warn annotation \"w two\"",
            "unexpected warnings: [\"w one\", \"w two\"]",
            "expected info annotations but got none",
        ]
    );
}

#[test]
fn ranges_scalars_strings_and_order_are_compared() {
    let matrix = "eval range from 0 to 2m step 1m x\n  {} 1 _ 3\n";
    let points = |floats: Vec<(i64, f64)>| {
        let histograms = vec![];
        Value::Matrix(vec![MatrixSeries { labels: Labels::empty(), floats, histograms }])
    };
    let good = points(vec![(0, 1.0), (120_000, 3.0)]);
    assert_eq!(run(matrix, move |_, _, _| answer(good.clone())).0.passed, 1);
    let late = points(vec![(0, 1.0), (60_000, 3.0)]);
    assert_eq!(run(matrix, move |_, _, _| answer(late.clone())).0.passed, 0);

    let scalar = "eval instant at 0 1+1\n  2\n";
    let two = |_: &str, t: i64, range: bool| {
        if range { one(&[], 2.0, t, true) } else { answer(Value::Scalar { t, v: 2.0 }) }
    };
    assert_eq!(run(scalar, two).0.passed, 1);
    assert_eq!(run("eval instant at 0 1+1\n  -2\n", two).0.passed, 0);

    let string = "eval instant at 0 \"Foo\"\n  expect string `Foo`\n";
    assert_eq!(run(string, |_, t, _| answer(Value::String { t, s: "Foo".into() })).0.passed, 1);

    let vector = |order: [&'static str; 2]| {
        let sample = |l| VectorSample { labels: labels(&[("l", l)]), t: 0, value: SampleValue::Float(1.0) };
        Value::Vector(order.map(sample).to_vec())
    };
    let ordered = "eval instant at 0 sort(x)\n  expect ordered\n  {l=\"b\"} 1\n  {l=\"a\"} 1\n";
    let (ba, ab) = (vector(["b", "a"]), vector(["a", "b"]));
    assert_eq!(run(ordered, move |_, _, _| answer(ba.clone())).0.passed, 1);
    assert_eq!(run(ordered, move |_, _, _| answer(ab.clone())).0.passed, 0);

    let range_vector = "eval instant at 1m x[1m]\n  expect range vector from 10s to 1m step 50s\n  {} 4 5\n";
    let window = points(vec![(10_000, 4.0), (60_000, 5.0)]);
    let (report, log) = run(range_vector, move |_, _, _| answer(window.clone()));
    assert_eq!((report.passed, report.failures), (1, vec![]));
    assert!(log.iter().all(|l| !l.contains("step")) && log[2] == "x[1m] @ 60.000 at -600000");
}

#[test]
fn loads_have_times_start_times_and_custom_buckets() {
    let text = "load_with_nhcb 1m\n  h_bucket{le=\"1\"} 1 2\n  h_bucket{le=\"+Inf\"} 1 5\n  h_sum 3 9\n  \
                c@st _ -30s\n  c 1 stale\n";
    let script = parse_script("s", text).unwrap();
    let Command::Load(series) = &script.commands[0].1 else { panic!() };
    assert_eq!(series.len(), 5);
    assert_eq!(series[3].samples[1].start_t, Some(30_000));
    assert_eq!((series[3].samples[0].t, series[3].samples[0].start_t), (0, None));
    let SampleValue::Histogram(h) = &series[4].samples[1].value else { panic!() };
    assert_eq!(series[4].labels.to_string(), "h");
    assert_eq!((h.count, h.sum, &h.positive_buckets[..]), (5.0, 9.0, &[2.0, 3.0][..]));
    assert_eq!(h.custom_values, Arc::from([1.0]));
}

#[test]
fn unreadable_scripts_are_named_by_line() {
    for (text, line, message) in [
        ("\nfoo", 2, "invalid command \"foo\""),
        ("load x", 1, "invalid step definition \"x\": not a valid duration string: \"x\""),
        ("load 5m\n  x 1\n  y 1,2", 3, "1:4: parse error: unexpected character in series sequence: ','"),
        ("eval instant x", 1, "invalid evaluation command."),
        ("eval instant at 5m x\n  expect nothing", 2, "invalid expect statement"),
        ("eval instant at 5m x\n  x 1 2", 2, "expecting multiple values in instant evaluation"),
        ("eval range from 5m to 1m step 1m x", 1, "end timestamp (1m) is before start timestamp (5m)"),
        ("eval instant at 0 x\n expect warn\n expect no_warn", 3, "invalid expect lines, warn and no_warn"),
        ("load 1m\n  x@st _\n  y 1", 3, "@st metric does not match"),
    ] {
        let error = parse_script("s", text).expect_err(text);
        assert!(error.line == line && error.message.starts_with(message), "{text}: {error}");
    }
}

/// Prometheus's own scripts can be read.
#[test]
fn every_script_is_read() {
    let Some(dir) = std::env::var_os("PROMQLTEST_DIR") else {
        println!("PROMQLTEST_DIR is not set: skipped");
        return;
    };
    let mut evaluations = 0;
    for entry in std::fs::read_dir(&dir).expect("PROMQLTEST_DIR is a folder") {
        let path = entry.expect("readable folder").path();
        if path.extension().is_some_and(|e| e == "test") {
            let text = std::fs::read_to_string(&path).expect("readable script");
            let script = parse_script(&path.display().to_string(), &text).unwrap_or_else(|e| panic!("{e}"));
            evaluations += script.evaluations();
        }
    }
    println!("{evaluations} evaluations read");
    assert!(evaluations > 2_000);
}

proptest::proptest! {
    #[test]
    fn mangled_scripts_never_panic(
        lines in proptest::collection::vec(
            "(load|load_with_nhcb|eval|eval_fail|expect|clear| )( instant at| range from| warn| fail msg:| string)?( 5m| 0| x| to| step| \"a\"| _x3| 1\\+2x3|@st| h_bucket\\{le=\"1\"\\} 1| \\{\\{sum:1\\}\\}){0,5}",
            0..8,
        )
    ) {
        fuzz_script(lines.join("\n").as_bytes());
    }
}
