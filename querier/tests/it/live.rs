//! The same requests to a real Prometheus and to us, over the same data: equal status, equal bytes.
//!
//! Runs when `PROMETHEUS_BIN` names a Prometheus 3.14 binary with `promtool` beside it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use model::{FloatHistogram, Span};
use querier::{Format, render};

use crate::prometheus::Prometheus;
use crate::store::{Series, Store};
use crate::world::{Setup, World, histogram, series};

/// 2023-11-14, on a full hour.
const START: i64 = 1_700_002_800;

/// After all other samples.
const HISTOGRAMS_AT: i64 = START + 2400;

const FLOATS: [&str; 34] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "0.3",
    "1.5",
    "100",
    "123456789",
    "1e15",
    "1e16",
    "1e17",
    "123456789012345678",
    "1e20",
    "999999999999999900000",
    "1e21",
    "1.5e21",
    "1e22",
    "1e100",
    "1.7976931348623157e308",
    "1e-5",
    "1e-6",
    "0.0000012345",
    "9.99e-7",
    "1e-7",
    "1e-10",
    "2.2250738585072014e-308",
    "5e-324",
    "9007199254740993",
    "0.1+0.2",
    "1/3",
    "NaN",
    "Inf",
    "-Inf",
];

const QUERIES: [&str; 85] = [
    "1+1",
    "\"a<b>&\\u2028\"",
    "up",
    "up{job=\"a\"}",
    "up[2m]",
    "up[2m:30s]",
    "none",
    "sum(up)",
    "sum by (job) (up)",
    "rate(requests_total[5m])",
    "{\"other.name\"}",
    "up > 0",
    "-up",
    "up * 2",
    "sort(up)",
    "sort_desc(up)",
    "topk(1, up)",
    "label_replace(up, \"x\", \"<$1>\", \"job\", \"(.*)\")",
    "vector(time())",
    "time()",
    "scalar(up)",
    "absent(none)",
    "absent(none{a=\"b\"})",
    "count_values(\"v\", up)",
    "quantile(0.5, up)",
    "timestamp(up)",
    "up offset 1m",
    "up @ 1700002800",
    "up and on(job) up",
    "up + on(job) up",
    "increase(requests_total[3m])",
    "up == bool 1",
    "histogram_quantile(0.9, up)",
    "avg_over_time(up[3m])",
    "sum(",
    "up[5m",
    "foo(up)",
    "up{a=}",
    "sum(up) by",
    "1 +",
    "up{job=~\"(\"}",
    "rate(up)",
    "\"a\" + 1",
    "{}",
    "up up",
    "<",
    "up * on(job) group_left(code) requests_total",
    "requests_total / ignoring(code) group_left up{job=\"a\"}",
    "max_over_time(rate(requests_total[2m])[10m:1m] offset 5m)",
    "up @ start()",
    "sum without (job) (up @ end() offset -1m)",
    "round(up, 0.5)",
    "label_join(up, \"x\", \",\", \"job\")",
    "1e3 + 5m",
    "clamp(up, 0, 0.5)",
    "up or requests_total",
    "up unless none",
    "irate(requests_total[5m])",
    "stddev(requests_total)",
    "bottomk(1, requests_total)",
    "changes(up[10m])",
    "resets(up[10m])",
    "deriv(requests_total[5m])",
    "predict_linear(requests_total[5m], 60)",
    "quantile_over_time(0.5, up[5m])",
    "present_over_time(up[2m])",
    "day_of_week()",
    "pi()",
    "-(1 + 2) ^ 2 > bool 3",
    "{__name__=~\"up|none\", job!=\"\"}",
    "avg by (code) (rate(requests_total[5m]))",
    "absent_over_time(none[5m])",
    "delta(up[5m])",
    "idelta(up[5m])",
    "group(up)",
    "ceil(up)",
    "ln(up)",
    "hour(up)",
    "stdvar_over_time(up[5m])",
    "sort_by_label(up, \"job\")",
    "limitk(1, up)",
    "info(up)",
    "up fill(0) up",
    "holt_winters(up[5m], 0.5, 0.5)",
    "count(up) by (job) > 0",
];

fn data() -> Vec<Series> {
    let minutes =
        |f: &dyn Fn(i64) -> f64| (0..=30).map(|m| ((START + m * 60) * 1000, f(m))).collect::<Vec<_>>();
    let mut all = vec![
        series(&[("__name__", "up"), ("job", "a")], &minutes(&|_| 1.0)),
        series(&[("__name__", "up"), ("job", "b<&>\"\\\n\u{2028}é")], &minutes(&|m| (m % 2) as f64)),
        series(
            &[("__name__", "requests_total"), ("code", "200"), ("job", "a")],
            &minutes(&|m| m as f64 * 7.25),
        ),
        series(
            &[("__name__", "requests_total"), ("code", "500"), ("job", "a")],
            &minutes(&|m| m as f64 / 3.0),
        ),
        series(&[("__name__", "other.name"), ("la.bel", "x")], &minutes(&|m| 10f64.powi(m as i32 * 2 - 30))),
    ];
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

/// Native histograms of every schema, with buckets on both sides and bounds near the ends of the floats.
fn histograms() -> Vec<Series> {
    let of = |name: &str, h: FloatHistogram| Series {
        histograms: vec![
            (HISTOGRAMS_AT * 1000, Arc::new(h.clone())),
            ((HISTOGRAMS_AT + 15) * 1000, Arc::new(h)),
        ],
        ..series(&[("__name__", "native"), ("kind", name)], &[])
    };
    let spans = |offset| vec![Span { offset, length: 3 }, Span { offset: 2, length: 2 }];
    let mut all = Vec::new();
    for schema in -4..=8 {
        for offset in [-300, -7, 0, 200] {
            let h = FloatHistogram {
                schema,
                positive_spans: spans(if schema < 0 { offset / 100 } else { offset }),
                positive_buckets: vec![1.0, 0.0, 2.5, 3.0, 4.0],
                negative_spans: spans(if schema < 0 { offset / 150 } else { offset / 2 }),
                negative_buckets: vec![0.5, 1.0, 1.0, 0.0, 2.0],
                count: 16.0,
                ..histogram()
            };
            all.push(of(&format!("{schema} {offset:04}"), h));
        }
    }
    let custom = FloatHistogram {
        schema: model::CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        positive_spans: vec![Span { offset: 0, length: 4 }],
        positive_buckets: vec![1.0, 0.0, 2.0, 1.0],
        custom_values: Arc::from([-1.0, 0.25, 1e21]),
        ..histogram()
    };
    all.push(of("custom", custom));
    let empty = FloatHistogram {
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: vec![],
        positive_buckets: vec![],
        ..histogram()
    };
    all.push(of("empty", empty));
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn requests() -> Vec<String> {
    let (at, end) = (START + 600, START + 1200);
    let mut all = Vec::new();
    for query in QUERIES {
        let query = escaped(query);
        all.push(format!("query?query={query}&time={at}.5"));
        if !query.starts_with(&escaped("count_values")) {
            all.push(format!("query?query={query}&time={at}&limit=1"));
        }
        all.push(format!("query_range?query={query}&start={START}.25&end={end}&step=37.5"));
        all.push(format!("query_range?query={query}&start={START}&end={end}&step=5m&limit=1"));
        all.push(format!("format_query?query={query}"));
        all.push(format!("parse_query?query={query}"));
        all.push(format!("query_exemplars?query={query}"));
        all.push(format!("series?match[]={query}"));
        all.push(format!("labels?match[]={query}"));
    }
    for float in FLOATS {
        all.push(format!("query?query=vector({})&time=1.5", escaped(float)));
        all.push(format!("query?query={}&time=-1.25", escaped(float)));
        all.push(format!("query_range?query={}&start=0&end=1&step=250ms", escaped(float)));
    }
    let late = HISTOGRAMS_AT + 30;
    for query in
        ["native", "native[1m]", "native{kind=\"custom\"}*2", "histogram_count(native)", "up", "sum(native)"]
    {
        let query = escaped(query);
        all.push(format!("query?query={query}&time={late}"));
        all.push(format!("query_range?query={query}&start={HISTOGRAMS_AT}&end={late}&step=10"));
    }
    let parameters = [
        "query",
        "query?query=up&time=x",
        "query?query=up&time=",
        "query?query=1&time=2020-01-01T00:00:00.5Z",
        "query?query=1&time=2020-01-01t00:00:00z",
        "query?query=1&time=1_0",
        "query?query=1&time=0x10",
        "query?query=1&time=1.0005",
        "query?query=1&time=-0.0005",
        "query?query=up&time=1&timeout=x",
        "query?query=up&limit=x",
        "query?query=up&limit=-1",
        "query?query=up&limit=99999999999999999999",
        "query?query=up&lookback_delta=x",
        "query?query=up&time=1&lookback_delta=-1s",
        "query_range",
        "query_range?query=1&start=0",
        "query_range?query=1&start=0&end=1",
        "query_range?query=1&start=1&end=0&step=1",
        "query_range?query=1&start=0&end=1&step=0",
        "query_range?query=1&start=0&end=1&step=-1",
        "query_range?query=1&start=0&end=1&step=1e300",
        "query_range?query=1&start=0&end=1&step=NaN",
        "query_range?query=1&start=0&end=1&step=1m1m",
        "query_range?query=1&start=0&end=1&step=1h30m",
        "query_range?query=1&start=0&end=11000&step=1",
        "query_range?query=1&start=0&end=11001&step=1",
        "query_exemplars",
        "query_exemplars?query=up&start=5&end=4",
        "query_exemplars?query=up&start=x",
        "series",
        "series?match[]=",
        "series?match[]={}",
        "series?match[]=up&limit=1",
        "series?match[]=up&limit=x",
        "series?match[]=up&match[]=requests_total",
        "series?match[]={__name__!=\"\"}&limit=3",
        "series?match[]=up&start=1&end=2",
        "series?match[]=up&start=2&end=1",
        "labels",
        "labels?limit=2",
        "labels?start=x",
        "labels?end=1",
        "labels?match[]={a=~\".*\"}",
        "label/__name__/values",
        "label/__name__/values?limit=2",
        "label/job/values",
        "label/U__la_2e_bel/values",
        "label/U__la_2e/values",
        "label/none/values",
        "label/job/values?match[]=requests_total",
        "label/%FF/values",
        "label/a-b/values",
        "label/job/values?match[]=up&match[]=requests_total",
        "metadata",
        "metadata?limit=x",
        "metadata?limit_per_metric=x",
        "rules",
        "rules?type=x",
        "rules?type=alert",
        "rules?exclude_alerts=x",
        "rules?exclude_alerts=TRUE",
        "rules?group_limit=0",
        "rules?group_limit=x",
        "rules?group_next_token=x",
        "rules?group_limit=1&group_next_token=x",
        "rules?match[]={}",
        "alerts",
        "alertmanagers",
        "targets",
        "targets?state=active",
        "targets?state=dropped",
        "targets/metadata?limit=x",
        "targets/metadata",
        "status/tsdb?limit=0",
        "status/tsdb?limit=x",
        "status/tsdb?limit=10001",
        "status/walreplay",
        "notifications",
        "format_query",
        "nosuch",
    ];
    all.extend(parameters.iter().map(|p| p.to_string()));
    all
}

fn escaped(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// An answer without the order that Prometheus leaves to chance: of annotations, of `count_values`, and of the two series
/// that an error about many-to-many matching names (its scripts want them sorted, 3.14 does not sort them).
fn unordered(body: &str) -> Option<serde_json::Value> {
    let mut answer: serde_json::Value = serde_json::from_str(body).ok()?;
    for list in ["/warnings", "/infos"] {
        if let Some(list) = answer.pointer_mut(list).and_then(|list| list.as_array_mut()) {
            list.sort_by_key(ToString::to_string);
        }
    }
    if let Some(samples) = answer.pointer_mut("/data/result").and_then(|list| list.as_array_mut())
        && samples.iter().all(|sample| sample["metric"].get("v").is_some())
    {
        samples.sort_by_key(ToString::to_string);
    }
    if let Some(error) = answer["error"].as_str()
        && let Some((before, rest)) = error.split_once("hand-side of the operation: [")
        && let Some((pair, after)) = rest.split_once("];")
        && let Some((a, b)) = pair.split_once("}, {")
    {
        let mut pair = [format!("{a}}}"), format!("{{{b}")];
        pair.sort();
        answer["error"] = format!("{before}{pair:?}{after}").into();
    }
    Some(answer)
}

/// Whether two answers are the same but for the last digits of numbers: sums of trends are more exact here.
fn is_close(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_close(a, b)))
        }
        (Value::String(x), Value::String(y)) => match (x.parse::<f64>(), y.parse::<f64>()) {
            (Ok(x), Ok(y)) if x.is_finite() => (x - y).abs() <= 1e-12 * x.abs(),
            _ => a == b,
        },
        _ => a == b,
    }
}

#[test]
fn prometheus_answers_the_same() {
    let Some(binary) = std::env::var_os("PROMETHEUS_BIN") else {
        println!("skipped: PROMETHEUS_BIN does not name a Prometheus");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut data = data();
    let prometheus = Prometheus::start(Path::new(&binary), folder.path(), &data);
    let histograms = histograms();
    prometheus.write(&histograms);
    data.extend(histograms);
    data.sort_by(|a, b| a.labels.cmp(&b.labels));
    // as head and blocks hold them: old samples here, new ones there, some in both
    let part = |keep: &dyn Fn(i64) -> bool| {
        let mut part = data.clone();
        for series in &mut part {
            series.floats.retain(|(t, _)| keep(t / 1000));
            series.histograms.retain(|(t, _)| keep(t / 1000));
        }
        part.retain(|s| !s.floats.is_empty() || !s.histograms.is_empty());
        Store { tenants: [("anonymous".to_owned(), part)].into(), ..Store::default() }
    };
    let (head, blocks) = (part(&|t| t >= START + 500), part(&|t| t < START + 800));
    let world = World::new(Setup { store: head, other_store: Some(blocks), ..Setup::default() });
    let mut differences = String::new();
    for request in requests() {
        let path = format!("/api/v1/{request}");
        let theirs = prometheus.get(&path);
        let ours = world.get(&path);
        // a path that does not exist is the server's to answer
        let is_trend = ["deriv", "predict_linear"].iter().any(|name| path.contains(&escaped(name)));
        let is_same = |(theirs, ours): (serde_json::Value, serde_json::Value)| {
            theirs == ours || (is_trend && is_close(&theirs, &ours))
        };
        let equal = theirs.0 == ours.status
            && (theirs.1 == ours.body
                || theirs.1.starts_with("404 page")
                || unordered(&theirs.1).zip(unordered(&ours.body)).is_some_and(is_same));
        if !equal {
            writeln!(
                differences,
                "{path}\n  prometheus {} {}\n  ours       {} {}",
                theirs.0, theirs.1, ours.status, ours.body
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn promtool_prints_the_same() {
    let Some(binary) = std::env::var_os("PROMETHEUS_BIN") else {
        println!("skipped: PROMETHEUS_BIN does not name a Prometheus");
        return;
    };
    let binary = Path::new(&binary);
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(binary, folder.path(), &data());
    prometheus.write(&histograms());
    let queries = [
        "1e30",
        "up",
        "up[2m]",
        "{\"other.name\"}",
        "label_replace(up, \"x y\", \"<$1>\", \"job\", \"(.*)\")",
        "none",
        "none[1m]",
        "native",
        "native[1m]",
        "native * 1e9",
        "native * 0",
        "vector(NaN)",
        "vector(-Inf)",
        "vector(1e-9)",
        "sum(",
        "up * on() up",
    ];
    let late = HISTOGRAMS_AT + 15;
    for query in queries {
        let escaped = escaped(query);
        for format in [Format::Promql, Format::Json] {
            for at in [START + 90, late] {
                for range in [false, true] {
                    let (path, arguments) = if range {
                        (
                            format!("query_range?query={escaped}&start={START}&end={at}&step=30"),
                            vec![
                                "range".into(),
                                "-o".into(),
                                format!("--start={START}"),
                                format!("--end={at}"),
                                "--step=30s".into(),
                            ],
                        )
                    } else {
                        (
                            format!("query?query={escaped}&time={at}"),
                            vec!["instant".into(), "-o".into(), format!("--time={at}")],
                        )
                    };
                    let mut arguments: Vec<String> = arguments;
                    arguments[1] =
                        if format == Format::Json { "--format=json" } else { "--format=promql" }.into();
                    let theirs = prometheus.promtool(binary, &arguments, query);
                    let ours = match render(prometheus.get(&format!("/api/v1/{path}")).1.as_bytes(), format) {
                        Ok(rendered) => rendered.text,
                        Err(error) => format!("{error}\n"),
                    };
                    let lines = ours.trim_end().lines().zip(theirs.trim_end().lines());
                    for (ours, theirs) in lines {
                        assert_eq!(ours, theirs, "{path} {format:?}");
                    }
                    assert_eq!(ours.trim_end().len(), theirs.trim_end().len(), "{path} {format:?}");
                }
            }
        }
    }
}
