//! Start, write, read, restart, flush, read from blocks, stop: the path of the README.

use std::process::Command;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::process::{Server, binary};
use crate::write::{named, push};

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn data_survives_restarts_and_reads_the_same_from_heads_and_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let start = now_ms() - 3 * 3_600_000;
    let mut server = Server::start(dir.path(), &[]);
    for step in 0..600 {
        let t = start + step * 15_000;
        let series: Vec<_> =
            (0..20).map(|i| named("m", i, vec![(t, (i as i64 * step) as f64 / 10.0)])).collect();
        push(&server, &series);
    }
    let end = start + 599 * 15_000;
    let ask = |server: &Server| {
        ["sum(m)", "sum(rate(m[5m]))", "m{i=\"3\"}[10h]", "count(count_over_time(m[10h]))"]
            .map(|expr| server.query(expr, end).to_string())
    };
    let before = ask(&server);
    assert!(before[3].contains("\"20\""), "{}", before[3]);
    server.kill();
    let mut server = Server::start(dir.path(), &[]);
    assert_eq!(ask(&server), before, "after kill -9");
    assert_eq!(server.request("POST", "/ingester/flush", &[], b"").status, 204);
    assert_eq!(ask(&server), before, "head and blocks");
    assert_eq!(server.request("POST", "/ingester/flush?drop=true", &[], b"").status, 204);
    assert_eq!(ask(&server), before, "blocks alone");
    push(&server, &[named("m", 3, vec![(end + 15_000, 1.0)])]);
    assert!(server.terminate(), "clean end:\n{}", server.log());
    let server = Server::start(dir.path(), &[]);
    assert_eq!(ask(&server), before, "after a clean restart");

    let data = dir.path().display().to_string();
    for action in ["ls", "verify"] {
        let output = Command::new(binary()).args(["blocks", action, "--data.dir", &data]).output().unwrap();
        assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("anonymous"), "{action} names the tenant");
    }
}

#[test]
fn series_that_come_and_go_keep_every_sample_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let start = now_ms() - 3 * 3_600_000;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut random = StdRng::seed_from_u64(11);
    // Eight series that are there for a while, are marked stale, and come back; thirty that stay.
    let mut present = [false; 8];
    let mut expected: Vec<Vec<(i64, f64)>> = vec![Vec::new(); 8];
    for step in 0..700i64 {
        let t = start + step * 1000 + i64::from(random.random_range(0..20u8));
        let mut series: Vec<_> = (0..30).map(|i| named("stays", i, vec![(t, step as f64)])).collect();
        for i in 0..8 {
            let was = std::mem::replace(&mut present[i], random.random_bool([0.02, 0.1, 0.5, 0.9][i % 4]));
            if present[i] {
                expected[i].push((t, step as f64 + i as f64 / 8.0));
                series.push(named("comes", i, vec![(t, step as f64 + i as f64 / 8.0)]));
            } else if was {
                series.push(named("comes", i, vec![(t, stale)]));
            }
        }
        push(&server, &series);
    }
    let end = start + 800_000;
    for drop in [None, Some(false), Some(true)] {
        if let Some(drop) = drop {
            let path = format!("/ingester/flush?drop={drop}");
            assert_eq!(server.request("POST", &path, &[], b"").status, 204);
        }
        for (i, expected) in expected.iter().enumerate() {
            let result = server.query(&format!("comes{{i=\"{i}\"}}[1h]"), end);
            let values = result[0]["values"].as_array().unwrap();
            let found: Vec<(i64, f64)> = values
                .iter()
                .map(|v| {
                    (
                        (v[0].as_f64().unwrap() * 1000.0).round() as i64,
                        v[1].as_str().unwrap().parse().unwrap(),
                    )
                })
                .collect();
            assert_eq!(&found, expected, "series {i}, flush {drop:?}");
        }
        assert_eq!(
            server.query("sum(count_over_time(stays[1h]))", end)[0]["value"][1],
            (700 * 30).to_string()
        );
    }
}

#[test]
fn a_fresh_server_shows_its_own_metrics_and_says_what_to_paste() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--self-scrape.interval=1s"]);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("remote_write:") && page.text().contains("/api/v1/push"));
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.get("/ready").status, 200);
    server.wait_for("own metrics stored");
    let up = server.query("up{job=\"epimetheus\"}", now_ms() + 1000);
    assert_eq!(up[0]["value"][1], "1", "{up}");
    let metrics = server.get("/metrics");
    assert!(metrics.text().ends_with("# EOF\n") && metrics.text().contains("epimetheus_build_info"));
}

#[test]
fn a_query_from_the_command_line_prints_as_promtool_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let output =
        Command::new(binary()).args(["query", "instant", &server.url(""), "1 + 1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("scalar: 2 @["));
    let wrong = Command::new(binary()).args(["query", "instant", &server.url(""), "sum("]).output().unwrap();
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("parse error"));
}

#[test]
fn a_wrong_configuration_is_named_and_the_server_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("e.yml");
    std::fs::write(&file, "storage:\n  retention: 15 days\n").unwrap();
    let output = Command::new(binary()).arg("--config.file").arg(&file).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("e.yml:2:") && text.contains("`storage.retention`") && text.contains("expected"),
        "{text}"
    );
}
