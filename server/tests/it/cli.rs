//! The command line, as a user calls it: what it prints and its exit codes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Server, binary};
use crate::write::{named, push};

/// Standard output, standard error and exit code.
fn run_in(dir: &Path, args: &[&str], input: &str) -> (String, String, i32) {
    let mut child = Command::new(binary())
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn run(args: &[&str]) -> (String, String, i32) {
    run_in(Path::new("."), args, "")
}

#[track_caller]
fn prints(args: &[&str], out: &str) {
    assert_eq!(run(args), (out.to_owned(), String::new(), 0), "{args:?}");
}

#[track_caller]
fn fails(args: &[&str], err: &str) {
    let (out, found, code) = run(args);
    assert_eq!((out.as_str(), code), ("", 1), "{args:?}: {found}");
    assert!(found.contains(err), "{args:?}: {found}");
}

#[test]
fn expressions_are_laid_out_and_changed() {
    prints(&["promql", "format", "sum(up)by(job)"], "sum by (job) (up)\n");
    let (out, _, code) = run_in(Path::new("."), &["promql", "format", "-"], "up   +  1");
    assert_eq!((out.as_str(), code), ("up + 1\n", 0));
    fails(&["promql", "format", "sum("], "1:5: parse error: unclosed left parenthesis");
    fails(&["promql", "format", "limitk(1, up)"], "parse error");
    prints(
        &["promql", "format", "--enable-feature=promql-experimental-functions", "limitk(1, up)"],
        "limitk(1, up)\n",
    );
    let matchers = ["promql", "label-matchers"];
    prints(
        &[&matchers[..], &["set", "up / sum(x)", "job", "a"]].concat(),
        "up{job=\"a\"} / sum(x{job=\"a\"})\n",
    );
    prints(
        &[&matchers[..], &["set", "-t", "!~", "rate(up{job=\"b\"}[5m])", "job", "a|b"]].concat(),
        "rate(up{job!~\"a|b\"}[5m])\n",
    );
    prints(&[&matchers[..], &["delete", "up{job=\"a\", b=\"c\"}", "job"]].concat(), "up{b=\"c\"}\n");
    assert_eq!(run(&[&matchers[..], &["set", "-t", "==", "up", "a", "b"]].concat()).2, 2);
}

#[test]
fn a_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("queries.log");
    let mut server = Server::start(dir.path(), &[&format!("--query.log-file={}", log.display())]);
    push(&server, &[named("m", 0, vec![(1_000, 1.5), (31_000, 2.0)]), named("m", 1, vec![(1_000, 3.0)])]);
    let url = server.url("");
    let ask = |kind: &str, args: &[&str]| run(&[&["query", kind], args].concat());
    let labels = |i: usize| {
        let (out, ..) = ask("series", &[&url, "--match=m", "--start=0", "--end=60"]);
        out.lines().nth(i).unwrap().to_owned()
    };
    assert!(labels(0).starts_with("{__name__=\"m\", "), "{}", labels(0));

    let (out, err, code) = ask("instant", &[&url, "sum(m)", "--time=1"]);
    assert_eq!((out.as_str(), err.as_str(), code), ("{} => 4.5 @[1]\n", "", 0));
    let (out, ..) = ask("instant", &[&url, "-o", "json", "vector(1)", "--time=1970-01-01T00:00:01Z"]);
    assert_eq!(out, "[{\"metric\":{},\"value\":[1,\"1\"]}]\n");
    let (out, _, code) = ask("range", &[&url, "sum(m)", "--start=1", "--end=31", "--step=30s"]);
    assert_eq!((out.as_str(), code), ("{} =>\n4.5 @[1]\n5 @[31]\n", 0));
    let (out, _, code) = ask("labels", &[&url, "__name__", "--start=0", "--end=60", "--match=m"]);
    assert_eq!((out.as_str(), code), ("m\n", 0));
    let (out, _, code) = ask("explain", &[&url, "sum(m)", "--time=1"]);
    assert_eq!(code, 0);
    assert!(out.contains("sum"), "{out}");
    let (_, _, code) = ask("instant", &[&url, "m", "--header", "X-Test=1", "--time=1"]);
    assert_eq!(code, 0);

    for (kind, args, wanted) in [
        (
            "instant",
            vec![url.as_str(), "sum("],
            "query error: bad_data: invalid parameter \"query\": 1:5: parse error",
        ),
        (
            "instant",
            vec![&url, "m", "--time=x"],
            "error parsing evaluation time: cannot parse \"x\" to a valid timestamp",
        ),
        ("range", vec![&url, "m", "--start=2", "--end=2"], "start time is not before end time"),
        (
            "range",
            vec![&url, "m", "--start=y"],
            "error parsing start time: cannot parse \"y\" to a valid timestamp",
        ),
        ("range", vec![&url, "m", "--step=y"], "time: invalid duration \"y\""),
        ("series", vec![&url, "--match=m{"], "query error: bad_data"),
        ("instant", vec!["http://127.0.0.1:1", "m"], "query error: "),
    ] {
        let (out, err, code) = ask(kind, &args);
        assert_eq!((out.as_str(), code), ("", 1), "{args:?}");
        assert!(err.contains(wanted), "{args:?}: {err}");
    }

    // what was asked last is logged, too
    for _ in 0..50 {
        server.query("m", 1_000);
    }
    let logged = || std::fs::read_to_string(&log).unwrap().lines().count();
    // four that were evaluated before; explanations and texts that are no expressions are not logged
    let asked = 50 + 4;
    assert!(server.terminate());
    assert_eq!(logged(), asked);
}

const RULES: &str = "groups:
- name: g
  rules:
  - {record: r, expr: 2 * m}
  - {alert: A, expr: m > 1, annotations: {x: '{{ $value }}'}}
";

#[test]
fn rules_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("good.yml", RULES);
    write("bad.yml", "groups: [{name: g, rules: [{record: r, expr: 'm =='}]}]");
    let twice = "groups: [{name: g, rules: [{record: r, expr: m}, {record: r, expr: m}]}]";
    write("twice.yml", twice);
    let check = |args: &[&str], input: &str| run_in(dir.path(), &[&["check", "rules"], args].concat(), input);

    let (out, err, code) = check(&["good.yml"], "");
    assert_eq!((err.as_str(), code), ("", 0));
    assert_eq!(out, "Checking good.yml\n  SUCCESS: 2 rules found\n\n");
    let (_, err, code) = check(&["good.yml", "bad.yml"], "");
    assert_eq!(code, 1);
    assert!(err.contains("bad.yml: 1:46: group \"g\", rule 1, \"r\": could not parse expression"), "{err}");
    assert_eq!(check(&["twice.yml"], "").2, 0);
    assert_eq!(check(&["--lint-fatal", "twice.yml"], "").2, 3);
    assert_eq!(check(&["--lint-fatal", "--lint=none", "twice.yml"], "").2, 0);
    assert_eq!(check(&["--lint-fatal"], twice).2, 3);
    let (_, err, code) = check(&["good.yml", "none.yml"], "");
    assert_eq!(code, 1);
    assert!(err.contains("path 'none.yml' does not exist"), "{err}");
}

#[test]
fn rules_are_tested() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("rules.yml", RULES);
    let tests = "rule_files: [r*.yml]
tests:
- name: good
  input_series: [{series: m, values: 1 1}]
  promql_expr_test: [{expr: r, eval_time: 1m, exp_samples: [{labels: r, value: 2}]}]
- name: bad
  input_series: [{series: m, values: 2}]
  alert_rule_test: [{eval_time: 0, alertname: A, exp_alerts: [{exp_annotations: {x: '3'}}]}]
";
    write("tests.yml", tests);
    let test = |args: &[&str]| run_in(dir.path(), &[&["test", "rules"], args].concat(), "");

    let (out, err, code) = test(&["--run=good", "tests.yml"]);
    assert_eq!((out.as_str(), err.as_str(), code), ("  SUCCESS\n\n", "", 0));
    let (out, err, code) = test(&["--junit=report.xml", "tests.yml"]);
    assert_eq!((out.as_str(), code), ("\n\n", 1));
    assert!(err.contains("    name: bad,\n    alertname: A, time: 0s, \n        exp:["), "{err}");
    let report = std::fs::read_to_string(dir.path().join("report.xml")).unwrap();
    assert!(
        report.starts_with("<testsuites><testsuite name=\"tests.yml\" tests=\"2\" failures=\"1\""),
        "{report}"
    );
    let (_, err, _) = test(&["--diff", "tests.yml"]);
    assert!(err.contains("\"x\": \u{1b}[0;33m\"3\" => \"2\"\u{1b}[0m"), "{err}");
    let (_, err, code) = test(&["--debug", "--run=good", "tests.yml"]);
    assert_eq!(code, 0);
    assert!(err.starts_with("DEBUG: Starting test good\nDEBUG: Dump of all data"), "{err}");
    assert!(err.contains("{__name__=\"r\"} =>\n2 @[60000]\n"), "{err}");
    assert_eq!(test(&["none.yml"]).2, 1);
    assert_eq!(test(&[]).2, 2);
}
