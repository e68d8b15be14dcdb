//! Queries that are too much: ended by their limits or by their clients, while others go on.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::process::{Server, binary, escape};
use crate::write::{named, push};

const MINUTE: i64 = 60_000;
/// 2023-11-14, on a full hour.
const START: i64 = 1_700_002_800_000;

/// A number of our own metrics.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn active(server: &Server) -> Vec<Value> {
    let answer = server.get("/api/v1/status/active_queries");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].as_array().unwrap().clone()
}

/// Looks until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

/// Series of the last day, a sample each four minutes.
fn write_day(server: &Server, count: usize) {
    for i in 0..count {
        let samples = (0..450).map(|n| (START + n * 4 * MINUTE, n as f64)).collect();
        push(server, &[named("m", i, samples)]);
    }
}

/// Each would take many minutes: where nothing stops it, the test does not end.
const HEAVY: &str = "quantile_over_time(0.5, m[1d:1s])";

fn heavy_path() -> String {
    let (start, end) = (START / 1000 + 90_000, START / 1000 + 101_000);
    format!("/api/v1/query_range?query={}&start={start}&end={end}&step=1&nocache=1", escape(HEAVY))
}

/// Nothing is left of the heavy query: no memory, no work.
fn assert_idle(server: &Server) {
    until(|| metric(server, "epimetheus_cpu_pool_running") == 0.0);
    until(|| metric(server, "epimetheus_querier_memory_bytes") == 0.0);
    assert!(active(server).is_empty());
    assert_eq!(server.query("count(m)", START).as_array().unwrap().len(), 1);
}

#[test]
fn who_closes_the_connection_ends_the_query() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--query.timeout=10h"]);
    write_day(&server, 64);
    let mut client = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", heavy_path());
    client.write_all(request.as_bytes()).unwrap();
    // it works by now: its windows are being gone over
    until(|| active(&server).iter().any(|query| query["memoryBytes"].as_u64() > Some(1 << 20)));
    until(|| metric(&server, "epimetheus_cpu_pool_running") > 0.0);
    assert_eq!(active(&server)[0]["query"], HEAVY);
    drop(client);
    until(|| active(&server).is_empty());
    assert_idle(&server);
    assert!(server.get("/metrics").text().contains("epimetheus_querier_responses_total{code=\"499\"} 1"));
}

#[test]
fn a_killed_query_stops_working_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--query.timeout=10h"]);
    write_day(&server, 64);
    let answer = std::thread::scope(|scope| {
        let waits = scope.spawn(|| server.get(&heavy_path()));
        until(|| active(&server).iter().any(|query| query["memoryBytes"].as_u64() > Some(1 << 20)));
        let id = &active(&server)[0]["id"];
        let killed = server.request("DELETE", &format!("/api/v1/status/active_queries/{id}"), &[], b"");
        assert_eq!(killed.status, 200, "{}", killed.text());
        waits.join().unwrap()
    });
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (
            499,
            r#"{"status":"error","errorType":"canceled","error":"query was canceled in expression evaluation"}"#
        )
    );
    assert_idle(&server);
    assert_eq!(metric(&server, "epimetheus_querier_killed_total"), 1.0);
}

/// Kilobytes of a line of `/proc/PID/status`.
fn status_kb(server: &Server, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_query_beyond_its_memory_ends_within_it_and_others_go_on() {
    const BUDGET: u64 = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--query.max-memory-bytes=67108864"]);
    let series: Vec<_> = (0..4000).map(|i| named("m", i, vec![(START, i as f64)])).collect();
    push(&server, &series);
    let range = |expr: &str| {
        let (start, end) = (START / 1000, START / 1000 + 10_000);
        format!("/api/v1/query_range?query={}&start={start}&end={end}&step=1&nocache=1", escape(expr))
    };
    let small = range("sum(last_over_time(m{i=~\"1.\"}[1d]))");
    let expected = server.get(&small).text();
    assert!(expected.contains("\"success\""), "{expected}");
    // 4000 series of 10,001 steps are 320 MB
    let large = range("last_over_time(m[1d]) + 1");
    let before = status_kb(&server, "VmHWM");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut answered = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(server.get(&small).text(), expected);
                answered += 1;
            }
            answered
        });
        for _ in 0..5 {
            let answer = server.get(&large);
            assert_eq!(answer.status, 422, "{}", answer.text());
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(
                error.contains("67108864 bytes") && error.contains("`query.max_memory_bytes`"),
                "{error}"
            );
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(others.join().unwrap() > 0);
    });
    // what the other query and the allocator take comes on top
    let grown = (status_kb(&server, "VmHWM") - before) * 1024;
    assert!(grown < BUDGET + (64 << 20), "the process grew by {grown} bytes");
    let peak = metric(&server, "epimetheus_querier_memory_peak_bytes");
    assert!(peak <= 2.0 * BUDGET as f64, "{peak} bytes were reserved");
    assert!(server.get("/metrics").text().contains("querier_limited_total{limit=\"query_memory\"} 5"));
    assert_eq!(server.get(&small).text(), expected);
}

#[test]
fn plans_are_explained_over_http_and_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let series: Vec<_> =
        (0..4).map(|i| named("m", i, (0..60).map(|n| (START + n * MINUTE, n as f64)).collect())).collect();
    push(&server, &series);
    assert!(server.request("POST", "/ingester/flush?drop=true", &[], b"").status < 300);
    let recent: Vec<_> = (0..4)
        .map(|i| named("m", i, vec![(START + 300 * MINUTE, 1.0), (START + 301 * MINUTE, 1.0)]))
        .collect();
    push(&server, &recent);

    let explain = |expr: &str, more: &str| {
        let path = format!("/api/v1/explain?query={}{more}", escape(expr));
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data"].clone()
    };
    let at = format!("&time={}", START / 1000 + 600);
    let plain = explain("sum by (i) (m)", &at);
    assert_eq!(plain["plan"]["operator"], "AggregateFinal", "{plain}");
    assert!(plain["plan"]["rows"].is_null() && plain["stats"].is_null(), "{plain}");
    let text = plain["text"].as_str().unwrap();
    assert!(text.contains("block ") && text.contains(" s (4 series)"), "{text}");
    let none = explain("sum(nothing)", &at);
    assert!(none["text"].as_str().unwrap().contains("(pruned, no series matches)"), "{none}");
    let spanning =
        format!("&start={}&end={}&step=60&analyze=true", START / 1000, (START + 301 * MINUTE) / 1000);
    let both = explain("sum by (i) (sum_over_time(m[5m]))", &spanning);
    assert_eq!(
        (&both["plan"]["rows"], &both["stats"]["series"]),
        (&Value::from(4), &both["stats"]["series"])
    );
    assert!(both["stats"]["samplesRead"].as_u64() >= Some(4 * 60), "{both}");
    let text = both["text"].as_str().unwrap();
    assert!(text.contains("[4 rows, ") && text.contains(" samples of "), "{text}");
    // one window over old and recent samples
    let last = START + 301 * MINUTE;
    let seam = explain("sum(sum_over_time(m[6h]))", &format!("&time={}&analyze=true", last / 1000));
    let text = seam["text"].as_str().unwrap();
    let wanted = "SeamWindows: Sum over 21600000 ms from states of blocks and heads, 4 series [4 rows, ";
    assert!(text.contains(wanted) && text.contains(" s (4 series)"), "{text}");
    let sum: f64 = 4.0 * ((0..60).map(f64::from).sum::<f64>() + 2.0);
    for expr in
        ["sum(sum_over_time(m[6h]))", "sum(sum_over_time(m[6h])) + 0 * sum(quantile_over_time(1, m[6h]))"]
    {
        let found = server.query(expr, last);
        assert_eq!(found[0]["value"][1], sum.to_string(), "{expr}: {found}");
    }
    let wrong = server.get("/api/v1/explain?query=sum(");
    assert_eq!((wrong.status, &wrong.json()["errorType"]), (400, &Value::from("bad_data")));

    let shown = std::process::Command::new(binary())
        .args(["query", "explain", &server.url(""), "sum by (i) (m)", "--analyze"])
        .arg(format!("--time={}", START / 1000 + 600))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.starts_with("AggregateFinal: sum"), "{text}");
    assert!(text.contains("[4 rows, ") && text.contains(" to evaluate"), "{text}");
}

#[test]
fn queries_are_logged_to_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("queries.log");
    let server = Server::start(dir.path(), &[&format!("--query.log-file={}", log.display())]);
    server.query("1 + 1", START);
    until(|| metric(&server, "epimetheus_querier_logged_total") == 1.0);
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!((&line["params"]["query"], &line["msg"]), (&"1 + 1".into(), &"promql query logged".into()));
    assert_eq!(line["httpRequest"]["clientIP"], "127.0.0.1");
}
