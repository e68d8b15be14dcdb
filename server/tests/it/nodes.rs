//! A querier over two nodes answers as one node that holds everything.

use serde_json::Value;

use crate::process::{Answer, Server, binary, escape, free_port};
use crate::write::{Series, push_as};

const MINUTE: i64 = 60_000;
const TENANT: [(&str, &str); 1] = [("x-scope-orgid", "red")];

const EXPRESSIONS: [&str; 16] = [
    "g",
    "rate(c_total[5m])",
    "sum by (pod) (rate(c_total[5m]))",
    "sum(g)",
    "avg without (i) (g)",
    "count by (pod) (g > 5)",
    "max(c_total) by (pod) - min(c_total) by (pod)",
    "topk(3, c_total)",
    "quantile by (pod) (0.3, g)",
    "stddev(g)",
    "g / on (pod, i) c_total",
    "max_over_time(sum by (pod) (rate(c_total[5m]))[30m:5m])",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[10m])))",
    "histogram_quantile(0.9, rate(h_bucket[10m]))",
    // these are noted on
    "sum(rate(g[5m]))",
    "quantile_over_time(7, g[5m])",
];

/// Counters, gauges and classic histograms whose buckets are not quite in order.
fn series(start: i64, i: usize) -> Series<'static> {
    let name = ["c_total", "g", "h_bucket"][i % 3];
    let mut labels = vec![("__name__", name.to_owned()), ("i", i.to_string())];
    if name == "h_bucket" {
        labels = vec![("__name__", name.to_owned()), ("i", (i / 12).to_string())];
        labels.push(("le", ["0.1", "1", "10", "+Inf"][(i / 3) % 4].to_owned()));
    }
    labels.push(("pod", format!("p{}", i / 3 % 4)));
    let value = |minute: i64| match name {
        "g" => ((minute * 7 + i as i64 * 13) % 29) as f64 / 3.0,
        "c_total" => (minute % 90 * (i as i64 + 1)) as f64 + 0.01 * i as f64,
        _ => {
            (minute * (1 + (i as i64 / 3) % 4)) as f64
                + if i / 3 % 4 == 2 { -0.2 * minute as f64 } else { 0.0 }
        }
    };
    (labels, (0..240).map(|minute| (start + minute * MINUTE, value(minute))).collect())
}

fn push(server: &Server, series: &[Series<'_>]) {
    let answer = push_as(server, "red", series);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn ask(server: &Server, expr: &str, (start, end): (i64, i64)) -> Answer {
    let (expr, start, end) = (escape(expr), start / 1000, end / 1000);
    let path = format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step=120");
    server.request("GET", &path, &TENANT, b"")
}

/// Labels, and values by time.
type Row = (String, Vec<(i64, f64)>);

/// Rows by their labels, with values as numbers; warnings and infos.
fn rows(answer: &Answer) -> (Vec<Row>, Value, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let number = |pair: &Value| (pair[0].as_i64().unwrap(), pair[1].as_str().unwrap().parse().unwrap());
    let result = json["data"]["result"].as_array().unwrap();
    let mut rows: Vec<Row> = result
        .iter()
        .map(|row| {
            (row["metric"].to_string(), row["values"].as_array().unwrap().iter().map(number).collect())
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let sorted = |list: &Value| {
        let mut texts: Vec<String> = list.as_array().into_iter().flatten().map(ToString::to_string).collect();
        texts.sort();
        Value::from(texts)
    };
    (rows, sorted(&json["warnings"]), sorted(&json["infos"]))
}

fn assert_same(expr: &str, one: &Answer, spread: &Answer) -> (usize, usize) {
    let ((a, warnings_a, infos_a), (b, warnings_b, infos_b)) = (rows(one), rows(spread));
    assert_eq!((&warnings_a, &infos_a), (&warnings_b, &infos_b), "{expr}");
    assert_eq!(a.len(), b.len(), "{expr}");
    for ((labels, x), (other, y)) in a.iter().zip(&b) {
        assert_eq!((labels, x.len()), (other, y.len()), "{expr}");
        for ((t, v), (u, w)) in x.iter().zip(y) {
            let close = v == w || (v.is_nan() && w.is_nan()) || (v - w).abs() <= 1e-11 * v.abs().max(1.0);
            assert!(t == u && close, "{expr} {labels} at {t}: {v} {w}");
        }
    }
    let notes = warnings_a.as_array().unwrap().len() + infos_a.as_array().unwrap().len();
    (a.len(), notes)
}

/// The bytes received for a kind of ticket.
fn received(server: &Server, ticket: &str) -> u64 {
    let text = server.get("/metrics").text();
    let wanted = format!("epimetheus_flight_bytes_total{{direction=\"received\",ticket=\"{ticket}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap_or_else(|| panic!("{text}"));
    line.trim_end_matches(".0").parse().unwrap()
}

#[test]
fn a_querier_answers_as_one_node_that_holds_everything() {
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let ports = [free_port(), free_port()];
    let listen = ports.map(|port| format!("--grpc.listen=127.0.0.1:{port}"));
    let data = |i: usize| Server::start(folders[i].path(), &["--multi-tenancy", listen[i].as_str()]);
    let mut nodes = [data(0), data(1)];
    let all = Server::start(folders[2].path(), &["--multi-tenancy"]);
    let names = format!("--querier.nodes=127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let querier = Server::start(folders[3].path(), &["--target=querier", "--multi-tenancy", names.as_str()]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let start = now / MINUTE * MINUTE - 240 * MINUTE;
    let times = (start + 10 * MINUTE, start + 239 * MINUTE);
    let series: Vec<Series<'_>> = (0..48).map(|i| series(start, i)).collect();
    push(&all, &series);
    let (left, right): (Vec<_>, Vec<_>) = series.iter().cloned().enumerate().partition(|(i, _)| i % 5 < 2);
    for (node, part) in nodes.iter().zip([left, right]) {
        push(node, &part.into_iter().map(|(_, series)| series).collect::<Vec<_>>());
    }
    // from heads; then one node has blocks; then it has nothing else
    let (mut found, mut noted) = (0, 0);
    for flush in [None, Some("/ingester/flush"), Some("/ingester/flush?drop=true")] {
        if let Some(path) = flush {
            assert_eq!(nodes[0].request("POST", path, &[], b"").status, 204);
        }
        for expr in EXPRESSIONS {
            let (rows, notes) = assert_same(expr, &ask(&all, expr, times), &ask(&querier, expr, times));
            (found, noted) = (found + rows, noted + notes);
        }
    }
    assert!(found > 250 && noted >= 6, "{found} rows, {noted} notes");
    assert!(received(&querier, "fragment") > 0 && received(&querier, "changes") > 0);

    for path in ["/api/v1/labels", "/api/v1/label/pod/values", "/api/v1/series?match[]=g"] {
        let [one, spread] = [&all, &querier].map(|server| server.request("GET", path, &TENANT, b"").json());
        assert_eq!(one["data"], spread["data"], "{path}");
        assert!(!one["data"].as_array().unwrap().is_empty(), "{path}");
    }
    let others = querier.request("GET", "/api/v1/labels", &[("x-scope-orgid", "blue")], b"");
    assert_eq!(others.json()["data"], Value::from(Vec::<Value>::new()), "blue wrote nothing");

    // the nodes tell what they do
    let shown = std::process::Command::new(binary())
        .args(["query", "explain", &querier.url(""), "sum by (pod) (rate(c_total[5m]))", "--analyze"])
        .args(["--tenant=red".to_owned(), format!("--time={}", now / 1000)])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(text.matches("Remote: ").count(), 2, "{text}");
    assert_eq!(text.matches(" samples of ").count(), 2, "{text}{}", String::from_utf8_lossy(&shown.stderr));

    // it takes no samples, and says so to senders in a way that makes them try again
    assert_eq!(push_as(&querier, "red", &series[..1]).status, 503);
    // without one of its nodes it has no answer, not half of one
    nodes[1].kill();
    let broken = ask(&querier, "sum(g) + 1", times);
    let text = broken.text();
    assert_eq!(broken.status, 503, "{text}");
    assert!(text.contains(&format!("node `127.0.0.1:{}` cannot be reached", ports[1])), "{text}");
    nodes[1] = data(1);
    assert_same("sum(g)", &ask(&all, "sum(g)", times), &ask(&querier, "sum(g)", times));
}
