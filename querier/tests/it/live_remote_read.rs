//! Remote read against a real Prometheus: one reads from us and answers as one that holds the samples does, and both
//! answer a read of samples alike.
//!
//! Runs when `PROMETHEUS_BIN` names a Prometheus 3.14 binary with `promtool` beside it.

use std::path::Path;
use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, stale_nan};
use prost::Message;
use proto::prometheus::histogram::{Count, ZeroCount};
use proto::prometheus::label_matcher::Type;
use proto::prometheus::{Histogram, LabelMatcher, Query, ReadRequest, ReadResponse};
use runtime::Runtime;

use crate::prometheus::Prometheus;
use crate::store::{Series, Store};
use crate::world::{Setup, World, histogram, series};

const MINUTE: i64 = 60_000;

/// Floats that jump and stop, counters with resets, gauges, changing buckets, custom buckets, floats that become
/// histograms.
fn data(now: i64) -> Vec<Series> {
    let from = now - 200 * MINUTE;
    let times = |count: i64| (0..count).map(move |i| from + i * 15_000 + i % 7);
    let floats = |name: &str, value: &dyn Fn(i64) -> f64| {
        let samples: Vec<(i64, f64)> = (0..).zip(times(790)).map(|(i, t)| (t, value(i))).collect();
        series(&[("__name__", "float"), ("kind", name)], &samples)
    };
    let native = |name: &str, value: &dyn Fn(i64) -> FloatHistogram| Series {
        histograms: (0..).zip(times(700)).map(|(i, t)| (t, Arc::new(value(i)))).collect(),
        ..series(&[("__name__", "native"), ("kind", name)], &[])
    };
    let counter = |i: i64, scale: f64| {
        let n = (i % 300) as f64 * scale;
        FloatHistogram {
            count: 4.0 * n,
            zero_count: n,
            sum: n * 1.25,
            positive_buckets: vec![n, 2.0 * n],
            ..histogram()
        }
    };
    let mut all = vec![
        floats("line", &|i| i as f64),
        floats("root", &|i| (i as f64).sqrt()),
        floats("jump", &|i| if i % 50 == 0 { f64::INFINITY } else { (i % 50) as f64 }),
        floats("stale", &|i| if i % 100 > 80 { stale_nan() } else { 1e300 / i as f64 }),
        native("counter", &|i| counter(i, 1.0)),
        native("fractions", &|i| counter(i, 0.3)),
        native("gauge", &|i| FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            ..counter(i * 17 % 100, 1.0)
        }),
        native("changing", &|i| FloatHistogram {
            schema: if i % 400 > 200 { 1 } else { 0 },
            positive_spans: vec![Span { offset: (i / 100) as i32, length: 2 }],
            negative_spans: vec![Span { offset: -3, length: 1 }],
            negative_buckets: vec![i as f64],
            count: 4.0 * (i % 300) as f64 + i as f64,
            ..counter(i, 1.0)
        }),
        native("custom", &|i| FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 3.0 * i as f64,
            custom_values: Arc::from([0.001, 0.5, 1.0, 1e7]),
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![i as f64, 2.0 * i as f64],
            ..histogram()
        }),
        native("stale", &|i| match i % 50 {
            40..50 => FloatHistogram { sum: stale_nan(), count: 0.0, ..counter(0, 1.0) },
            _ => counter(i, 1.0),
        }),
    ];
    let mut both = native("becomes", &|i| counter(i, 1.0));
    let last = both.histograms.last().unwrap().0;
    both.floats = (1..40).map(|i| (last + i * 15_000, i as f64)).collect();
    all.push(both);
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn escaped(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// A server on a port, for as long as the process lives.
#[expect(clippy::disallowed_methods, reason = "serves while the test waits for another program")]
fn listen(world: &World) -> u16 {
    let router = world.router();
    let (told, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async move {
            let listener = runtime::net::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            told.send(listener.local_addr().unwrap().port()).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    port.recv().unwrap()
}

#[test]
fn a_prometheus_that_reads_from_us_answers_as_one_that_holds_the_samples() {
    let Some(binary) = std::env::var_os("PROMETHEUS_BIN") else {
        println!("skipped: PROMETHEUS_BIN does not name a Prometheus");
        return;
    };
    let (binary, runtime) = (Path::new(&binary), Runtime::real());
    let now = runtime.now_ms() / MINUTE * MINUTE;
    let data = data(now);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let judge = Prometheus::start(binary, folder.path(), &[]);
    // piece by piece, for it takes nothing that is much older than its newest sample, or than what the series has
    for piece in 0..8 {
        for floats in [false, true] {
            let from = now - (200 - piece * 30) * MINUTE;
            let inside = |t: i64| (from..from + 30 * MINUTE).contains(&t);
            let mut part = data.clone();
            for series in &mut part {
                series.floats.retain(|(t, _)| floats && inside(*t));
                series.histograms.retain(|(t, _)| !floats && inside(*t));
            }
            part.retain(|s| !s.floats.is_empty() || !s.histograms.is_empty());
            judge.write(&part);
        }
    }
    // two parts that overlap, so that reads merge
    let part = |keep: &dyn Fn(i64) -> bool| {
        let mut part = data.clone();
        for series in &mut part {
            series.floats.retain(|(t, _)| keep(*t));
            series.histograms.retain(|(t, _)| keep(*t));
        }
        part.reverse();
        Store { tenants: [("anonymous".to_owned(), part)].into(), ..Store::default() }
    };
    let middle = now - 100 * MINUTE;
    let (new, old) = (part(&|t| t > middle), part(&|t| t < middle + 10 * MINUTE));
    let world = World::on(runtime, Setup { store: new, other_store: Some(old), ..Setup::default() });
    let port = listen(&world);
    let config = format!("remote_read: [{{url: 'http://127.0.0.1:{port}/api/v1/read', read_recent: true}}]");
    let reader = Prometheus::start_with(binary, other.path(), &[], &config);
    let mut compared = 0;
    for query in [
        "float",
        "rate(float[5m])",
        "sum_over_time(float{kind!=\"jump\"}[10m])",
        "last_over_time({kind=~\".+\"}[7m])",
        "float offset 40m",
        "native",
        "rate(native[5m])",
        "increase(native{kind!=\"gauge\"}[20m])",
        "resets(native[30m])",
        "histogram_quantile(0.7, native)",
        "sum by (kind) (rate(native{kind=~\"c.*\"}[10m]))",
        "histogram_count(native)",
        "avg_over_time(native{kind=\"gauge\"}[10m])",
        "{__name__=~\"native|float\",kind=\"stale\"}",
        "none",
    ] {
        for times in [
            format!("query?time={}", now as f64 / 1000.0 - 3600.0),
            format!("query_range?start={}&end={}&step=61", (now - 190 * MINUTE) / 1000, now / 1000),
            format!(
                "query_range?start={}&end={}&step=15",
                (now - 110 * MINUTE) / 1000,
                (now - 80 * MINUTE) / 1000
            ),
        ] {
            let path = format!("/api/v1/{times}&query={}", escaped(query));
            let (theirs, ours) = (judge.get(&path), reader.get(&path));
            assert!(theirs.0 == 200 && (query == "none" || theirs.1.len() > 100), "{path} {}", theirs.1);
            let parsed = |text: &str| {
                let mut answer: serde_json::Value = serde_json::from_str(text).unwrap();
                // the order of a vector is left to chance
                answer["data"]["result"].as_array_mut().unwrap().sort_by_key(|s| s["metric"].to_string());
                answer
            };
            let (theirs, ours) = (parsed(&theirs.1), parsed(&ours.1));
            assert_eq!(ours["data"], theirs["data"], "{query} {times}");
            compared += 1;
        }
    }
    assert_eq!(compared, 45);
    for path in ["series?match[]=float", "labels?", "label/kind/values?"] {
        let path = format!("/api/v1/{path}&start={}&end={}", (now - 100 * MINUTE) / 1000, now / 1000);
        // names and values are not asked for over remote read
        let theirs = if path.contains("series") { judge.get(&path).1 } else { reader.get(&path).1 };
        assert_eq!(reader.get(&path).1, theirs);
    }

    let matcher =
        LabelMatcher { r#type: Type::Re as i32, name: "__name__".into(), value: "float|native".into() };
    let query = Query {
        start_timestamp_ms: now - 150 * MINUTE,
        end_timestamp_ms: now - 50 * MINUTE,
        matchers: vec![matcher],
        hints: None,
    };
    let request = ReadRequest { queries: vec![query.clone(), query], accepted_response_types: vec![] };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
    let theirs = judge.post("/api/v1/read", &body);
    let request = http::Request::post("/api/v1/read").body(axum::body::Body::from(body)).unwrap();
    let (status, _, ours) = world.exchange(request);
    assert_eq!((status, theirs.0), (200, 200));
    let (ours, theirs) = (decoded(&ours), decoded(&theirs.1));
    assert_eq!(ours.results.len(), 2);
    for (ours, theirs) in ours.results.iter().zip(&theirs.results) {
        assert_eq!(ours.timeseries.len(), theirs.timeseries.len());
        for (ours, theirs) in ours.timeseries.iter().zip(&theirs.timeseries) {
            assert_eq!(ours.labels, theirs.labels);
            let bits = |s: &[proto::prometheus::Sample]| -> Vec<(i64, u64)> {
                s.iter().map(|s| (s.timestamp, s.value.to_bits())).collect()
            };
            assert_eq!(bits(&ours.samples), bits(&theirs.samples), "{:?}", ours.labels);
            assert_eq!(ours.histograms.len(), theirs.histograms.len());
            for (ours, theirs) in ours.histograms.iter().zip(&theirs.histograms) {
                assert_eq!(in_floats(ours), in_floats(theirs), "{:?}", theirs);
            }
        }
    }
}

fn decoded(body: &[u8]) -> ReadResponse {
    let body = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let mut answer = ReadResponse::decode(&body[..]).unwrap();
    for result in &mut answer.results {
        result.timeseries.sort_by_key(|s| format!("{:?}", s.labels));
    }
    answer
}

/// The numbers of a histogram, whichever form it has; nothing but the time of a stale one. What is known of resets
/// depends on where chunks begin.
fn in_floats(h: &Histogram) -> String {
    if model::is_stale(h.sum) {
        return format!("stale at {}", h.timestamp);
    }
    let sums = |deltas: &[i64]| {
        let sum = |so_far: &mut i64, delta: &i64| {
            *so_far += delta;
            Some(*so_far as f64)
        };
        deltas.iter().scan(0, sum).collect::<Vec<f64>>()
    };
    let count = match h.count {
        Some(Count::CountInt(n)) => n as f64,
        Some(Count::CountFloat(n)) => n,
        None => 0.0,
    };
    let zero_count = match h.zero_count {
        Some(ZeroCount::ZeroCountInt(n)) => n as f64,
        Some(ZeroCount::ZeroCountFloat(n)) => n,
        None => 0.0,
    };
    let positive = [h.positive_counts.clone(), sums(&h.positive_deltas)].concat();
    let negative = [h.negative_counts.clone(), sums(&h.negative_deltas)].concat();
    format!(
        "{} {} {} {count} {} {zero_count} {:?} {positive:?} {:?} {negative:?} {:?} {}",
        h.timestamp,
        h.schema,
        h.sum,
        h.zero_threshold,
        h.positive_spans,
        h.negative_spans,
        h.custom_values,
        h.reset_hint == 3
    )
}
