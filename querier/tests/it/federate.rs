//! `/federate`: what another Prometheus would scrape.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, stale_nan};
use prost::Message;
use proto::exposition::{MetricFamily, MetricType};

use crate::store::{Series, Store};
use crate::tenants::two_tenants;
use crate::world::{Setup, World, histogram, series};

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn world(all: Vec<Series>) -> World {
    let runtime = runtime::Runtime::simulated(1);
    // samples are told by their age: the store is filled from now on back
    let now = runtime.now_ms();
    let moved = |mut s: Series| {
        s.floats.iter_mut().for_each(|p| p.0 += now);
        s.histograms.iter_mut().for_each(|p| p.0 += now);
        s
    };
    let all = all.into_iter().map(moved).collect();
    let store = Store { tenants: [("anonymous".to_owned(), all)].into(), ..Store::default() };
    World::on(runtime, Setup { store, ..Setup::default() })
}

/// The text, times as milliseconds before now.
fn text(world: &World, path: &str) -> String {
    let now = world.now_ms();
    let body = world.ok(path);
    let line = |line: &str| match line.rsplit_once(' ').and_then(|(l, t)| Some((l, t.parse::<i64>().ok()?))) {
        Some((rest, t)) if !line.starts_with('#') => format!("{rest} {}\n", t - now),
        _ => format!("{line}\n"),
    };
    body.lines().map(line).collect()
}

fn histograms(name: &str, h: FloatHistogram) -> Series {
    Series { histograms: vec![(-2000, Arc::new(h))], ..series(&[("__name__", name)], &[]) }
}

#[test]
fn the_newest_sample_is_told_sorted_by_name() {
    let world = world(vec![
        series(&[("A", "1"), ("__name__", "up"), ("instance", "x")], &[(-60_000, 1.0), (-1000, 2.5)]),
        series(&[("__name__", "up"), ("job", "b")], &[(-300_000, 1e9)]),
        series(&[("__name__", "up"), ("job", "old")], &[(-300_001, 1.0)]),
        series(&[("__name__", "up"), ("job", "gone")], &[(-60_000, 1.0), (-1000, stale_nan())]),
        series(&[("__name__", "a.b")], &[(0, f64::NAN)]),
        series(&[("job", "nameless")], &[(0, 1.0)]),
    ]);
    let up = "# TYPE up untyped\nup{A=\"1\",instance=\"x\"} 2.5 -1000\nup{job=\"b\",instance=\"\"} 1e+09 -300000\n";
    for path in ["/federate", "/prometheus/federate"] {
        assert_eq!(text(&world, &format!("{path}?match[]=up")), up);
        let twice = format!("{path}?match[]={{__name__=\"a.b\"}}&match[]={{job=\"b\"}}&match[]=up");
        let both = format!("# TYPE a_b untyped\na_b{{instance=\"\"}} NaN 0\n{up}");
        assert_eq!(text(&world, &twice), both);
        assert_eq!(text(&world, &format!("{path}?match[]={{none=\"\"}}")), both);
        assert_eq!(world.ok(&format!("{path}?match[]={{}}")), "");
        assert_eq!(world.ok(path), "");
    }
    let answer = world.get("/federate?match[]=up");
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
}

#[test]
fn native_histograms_are_told_in_protobuf_only() {
    let gauge = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..histogram() };
    let custom = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        custom_values: Arc::from([0.5, 1.0, 2.0]),
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0, 1.0],
        ..histogram()
    };
    let world = world(vec![
        histograms("h", histogram()),
        series(&[("__name__", "h"), ("job", "b")], &[(-1000, 1.0)]),
        Series {
            histograms: vec![(-2000, Arc::new(gauge))],
            ..series(&[("__name__", "h"), ("job", "a")], &[])
        },
        histograms("custom", custom),
    ]);
    assert_eq!(
        text(&world, "/federate?match[]={__name__=~\"h|custom\"}"),
        "# TYPE custom histogram\ncustom_bucket{instance=\"\",le=\"0.5\"} 1 -2000\n\
         custom_bucket{instance=\"\",le=\"1\"} 1 -2000\ncustom_bucket{instance=\"\",le=\"2\"} 3 -2000\n\
         custom_bucket{instance=\"\",le=\"+Inf\"} 4 -2000\ncustom_sum{instance=\"\"} 5.5 -2000\n\
         custom_count{instance=\"\"} 4 -2000\n# TYPE h untyped\nh{job=\"b\",instance=\"\"} 1 -1000\n"
    );
    let (status, bytes) = world.get_accepting(PROTOBUF, "/federate?match[]={__name__=~\"h|custom\"}");
    assert_eq!(status, 200);
    let mut rest = &bytes[..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    let kinds: Vec<(&str, MetricType)> = families.iter().map(|f| (f.name(), f.r#type())).collect();
    assert_eq!(
        kinds,
        [
            ("custom", MetricType::Histogram),
            ("h", MetricType::Histogram),
            ("h", MetricType::GaugeHistogram),
            ("h", MetricType::Untyped)
        ]
    );
    let native = families[1].metric[0].histogram.as_ref().unwrap();
    assert_eq!((native.sample_count_float(), native.schema(), native.zero_count_float()), (4.0, 0, 1.0));
    assert_eq!(native.positive_count, [1.0, 2.0]);
    assert_eq!(families[0].metric[0].histogram.as_ref().unwrap().bucket.len(), 3);
}

#[test]
fn errors_are_plain_text() {
    let world = World::usual();
    let wrong = world.get("/federate?match[]=up{");
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.body, "1:4: parse error: unexpected end of input inside braces\n");
    assert_eq!(wrong.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(world.post("/federate", "match[]=up").status, 405);
    let world = two_tenants();
    let missing = world.get("/federate?match[]=up");
    assert_eq!((missing.status, &*missing.body), (401, "no org id\n"));
    assert!(missing.headers.contains_key("www-authenticate"));
}
