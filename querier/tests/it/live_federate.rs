//! `/federate` of a real Prometheus and of us, over the same data: equal bytes.
//!
//! Of several histograms in one answer Prometheus may tell one as another (it reads them through one buffer), so
//! that every request here has one at most. Runs when `PROMETHEUS_BIN` names a Prometheus 3.14 binary with `promtool` beside it.

use std::path::Path;
use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, stale_nan};
use runtime::Runtime;

use crate::prometheus::Prometheus;
use crate::store::{Series, Store};
use crate::world::{Setup, World, histogram, series};

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn data(now: i64) -> Vec<Series> {
    let of = |name: &str, job: &str, h: FloatHistogram| Series {
        histograms: vec![(now - 30_000, Arc::new(h.clone())), (now - 15_000, Arc::new(h))],
        ..series(&[("__name__", name), ("job", job)], &[])
    };
    let gauge = FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..histogram() };
    let custom = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 5.0,
        custom_values: Arc::from([0.5, 1.0, 2e6]),
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.5, 1.5],
        ..histogram()
    };
    let negative = FloatHistogram {
        negative_spans: vec![Span { offset: -3, length: 2 }],
        negative_buckets: vec![0.5, 0.0],
        count: 4.5,
        ..histogram()
    };
    let mut all = vec![
        series(
            &[("A", "1"), ("__name__", "up"), ("instance", "x")],
            &[(now - 60_000, 1.0), (now - 5000, 2.5)],
        ),
        series(&[("__name__", "up"), ("job", "b\"\\\né")], &[(now - 250_000, 1e9)]),
        series(&[("__name__", "up"), ("job", "old")], &[(now - 400_000, 1.0)]),
        series(&[("__name__", "up"), ("job", "gone")], &[(now - 60_000, 1.0), (now - 1000, stale_nan())]),
        series(&[("__name__", "a.b_c"), ("lä.bel", "v")], &[(now - 10, f64::NAN)]),
        series(&[("__name__", "values"), ("n", "0")], &[(now - 10, -0.0)]),
        series(&[("__name__", "values"), ("n", "1")], &[(now - 10, f64::NEG_INFINITY)]),
        series(&[("__name__", "values"), ("n", "2")], &[(now - 10, 1e-5)]),
        series(&[("__name__", "values"), ("n", "3")], &[(now - 10, 1234567.0)]),
        series(&[("__name__", "mixed"), ("job", "b")], &[(now - 10, 1.0)]),
        of("mixed", "a", histogram()),
        of("mixed", "c", gauge),
        of("native", "a", histogram()),
        of("native", "b", negative),
        of("custom", "b", custom),
    ];
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

#[test]
fn prometheus_federates_the_same() {
    let Some(binary) = std::env::var_os("PROMETHEUS_BIN") else {
        println!("skipped: PROMETHEUS_BIN does not name a Prometheus");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let data = data(runtime.now_ms());
    let prometheus = Prometheus::start(Path::new(&binary), folder.path(), &[]);
    prometheus.write(&data);
    let store = Store { tenants: [("anonymous".to_owned(), data)].into(), ..Store::default() };
    let world = World::on(runtime, Setup { store, ..Setup::default() });
    for accept in [
        "*/*".to_owned(),
        "text/plain;escaping=allow-utf-8".to_owned(),
        "text/plain;escaping=dots".to_owned(),
        "text/plain;escaping=values".to_owned(),
        "application/openmetrics-text;version=1.0.0".to_owned(),
        PROTOBUF.to_owned(),
        format!("{PROTOBUF};escaping=allow-utf-8"),
        format!("{PROTOBUF};q=0.3,text/plain;q=0.5"),
    ] {
        for query in [
            "",
            "?match[]=up",
            "?match[]={}",
            "?match[]={none=\"\",__name__!~\"custom|native|mixed\"}",
            "?match[]=up&match[]={job!=\"a\",__name__=~\"a.*|u.*\"}&match[]=custom",
            "?match[]=native{job=\"a\"}",
            "?match[]=native{job=\"b\"}",
            "?match[]=mixed{job!=\"c\"}",
            "?match[]=mixed{job!=\"a\"}",
            "?match[]=none",
            "?match[]=up{",
            "?match[]={job=~\"(\"}",
        ] {
            let path = format!("/federate{query}");
            let theirs = prometheus.get_accepting(&accept, &path);
            let ours = world.get_accepting(&accept, &path);
            let shown = |a: &(u16, Vec<u8>)| format!("{} {}", a.0, String::from_utf8_lossy(&a.1));
            assert_eq!(shown(&ours), shown(&theirs), "{accept} {path}");
            assert_eq!(ours, theirs, "{accept} {path}");
        }
    }
}
