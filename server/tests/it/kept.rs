//! Kept answers over the whole of it: writes, late samples, blocks.

use serde_json::Value;

use crate::process::{Server, escape};
use crate::write::{named, push};

const MINUTE: i64 = 60_000;

/// The matrix of a range query, and how many have been answered from what was kept.
fn ask(server: &Server, expr: &str, (start, end): (i64, i64), more: &str) -> Value {
    let path = format!(
        "/api/v1/query_range?query={}&start={}&end={}&step=60{more}",
        escape(expr),
        start / 1000,
        end / 1000
    );
    let answer = server.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"]["result"].clone()
}

fn count(server: &Server, kept: &str) -> u64 {
    let text = server.get("/metrics").text();
    let wanted = format!("result_cache_queries_total{{kept=\"{kept}\"}} ");
    let line = text.lines().find_map(|line| line.split_once(&wanted)).unwrap_or_else(|| panic!("{text}"));
    line.1.trim().trim_end_matches(".0").parse().unwrap()
}

#[test]
fn kept_answers_follow_what_is_written_and_moved() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let start = now / MINUTE * MINUTE - 300 * MINUTE;
    let end = start + 300 * MINUTE;
    let samples: Vec<_> = (0..=280).map(|i| (start + i * MINUTE, i as f64)).collect();
    push(&server, &[named("kept", 0, samples)]);
    let check = |expr: &str, times: (i64, i64)| {
        let found = ask(&server, expr, times, "");
        assert_eq!(found, ask(&server, expr, times, "&nocache=1"), "{expr}");
        found
    };
    let expr = "sum_over_time(kept[5m])";
    let first = check(expr, (start, end));
    assert_eq!(check(expr, (start, end)), first);
    assert_eq!((count(&server, "all"), count(&server, "some"), count(&server, "none")), (1, 0, 1));

    // the end moves, then something comes late
    push(&server, &[named("kept", 0, (281..=285).map(|i| (start + i * MINUTE, 7.0)).collect())]);
    let longer = check(expr, (start, end));
    assert_ne!(longer, first);
    assert_eq!((count(&server, "some"), count(&server, "none")), (1, 1));
    push(&server, &[named("kept", 0, vec![(start + 30 * MINUTE + 1, 1000.0)])]);
    let late = check(expr, (start, end));
    assert_ne!(late, longer);
    assert_eq!((count(&server, "some"), count(&server, "none")), (2, 1));

    // into blocks, out of the heads: other places, the same samples
    for path in ["/ingester/flush", "/ingester/flush?drop=true"] {
        let flushed = server.request("POST", path, &[], b"");
        assert!(flushed.status < 300, "{}", flushed.text());
        assert_eq!(check(expr, (start, end)), late, "{path}");
    }
    assert_eq!(check(expr, (start, end)), late);
    assert_eq!(count(&server, "all"), 2);
}
