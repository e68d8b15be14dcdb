//! A dashboard that refreshes: a scrape of all series is written, then 20 panels ask for the last hour through the
//! HTTP API. Once with answers kept, once without; the time is that of the queries alone.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;

use ::promql::{Engine, EngineOptions};
use axum::Router;
use axum::body::{Body, to_bytes};
use benches::STEP_MS;
use criterion::{Criterion, Throughput};
use futures::future::join_all;
use http::Request;
use model::TenantId;
use proto::Source;
use querier::{Api, ApiConfig, ApiLimits, routes};
use runtime::Runtime;
use tower::ServiceExt;

use crate::folder;
use crate::head::{Node, SCRAPES, SERIES};
use crate::json::Ready;

const PANELS: [&str; 20] = [
    "sum(rate(http_requests_total[5m]))",
    "sum by (code) (rate(http_requests_total[5m]))",
    "sum by (namespace) (rate(http_requests_total[5m]))",
    "sum by (namespace) (rate(http_requests_total{code=\"500\"}[5m])) / sum by (namespace) (rate(http_requests_total[5m]))",
    "histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.99, sum by (le, namespace) (rate(http_request_duration_seconds_bucket[5m])))",
    "sum by (namespace) (rate(network_receive_bytes_total[5m]))",
    "sum by (namespace) (rate(network_transmit_bytes_total[5m]))",
    "sum by (namespace) (rate(cpu_seconds_total[5m]))",
    "avg by (namespace) (memory_working_set_bytes)",
    "max by (namespace) (memory_working_set_bytes)",
    "sum(memory_working_set_bytes)",
    "avg by (node) (temperature_celsius)",
    "max by (namespace) (max_over_time(temperature_celsius[10m]))",
    "avg by (namespace) (avg_over_time(memory_working_set_bytes[5m]))",
    "count(memory_working_set_bytes)",
    "quantile by (namespace) (0.9, temperature_celsius)",
    "sum by (namespace) (increase(http_requests_total{code=\"500\"}[15m]))",
    "temperature_celsius{namespace=\"team-07\"}",
];

fn router(runtime: &Runtime, node: &Node, result_cache_bytes: u64) -> Router {
    let source: Arc<dyn Source> = Arc::new(node.ingester.source());
    routes(Api::new(ApiConfig {
        runtime: runtime.clone(),
        engine: Engine::new(runtime.clone(), EngineOptions::default()),
        source: Box::new(move |_| Arc::clone(&source)),
        tenant: Box::new(|_| Ok(TenantId::anonymous())),
        status: Arc::new(Ready),
        limits: ApiLimits { result_cache_bytes, ..ApiLimits::default() },
    }))
}

async fn ask(router: Router, panel: &str, end: i64) {
    let query: String = panel
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let (end, hour) = (end / 1000, 3600);
    let uri = format!("/api/v1/query_range?query={query}&start={}&end={end}&step=15", end - hour);
    let request = Request::get(uri).body(Body::empty()).expect("a valid address");
    let answer = router.oneshot(request).await.expect("the router always answers");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("the body is in memory");
    assert!(status == 200 && body.len() > 1_000, "{panel}: {status}, {} bytes", body.len());
}

async fn refresh(router: &Router, end: i64) {
    join_all(PANELS.iter().map(|panel| ask(router.clone(), panel, end))).await;
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let folder = folder();
    let opened = OnceCell::new();
    let open = || {
        let path = folder.path().to_str().expect("the target directory's name is UTF-8");
        runtime.block_on(Box::pin(Node::open(&runtime, path)))
    };
    let scrape = Cell::new(SCRAPES);
    let mut group = criterion.benchmark_group("dashboard");
    group.sample_size(10);
    group.throughput(Throughput::Elements(PANELS.len() as u64));
    for (name, bytes) in [("kept", 128 << 20), ("evaluated", 0)] {
        let routed = OnceCell::new();
        group.bench_function(name, |bencher| {
            let node = opened.get_or_init(open);
            // one for all samples: what is kept is kept from one refresh to the next
            let router = routed.get_or_init(|| {
                let router = router(&runtime, node, bytes);
                runtime.block_on(Box::pin(refresh(&router, node.start + scrape.get() as i64 * STEP_MS)));
                router
            });
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    let number = scrape.replace(scrape.get() + 1);
                    runtime.block_on(Box::pin(node.append(node.batch(number, 0..SERIES))));
                    let began = runtime.monotonic();
                    runtime.block_on(Box::pin(refresh(router, node.start + number as i64 * STEP_MS)));
                    spent += began.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
    if let Some(node) = opened.into_inner() {
        runtime.block_on(async move {
            Box::pin(node.ingester.shutdown()).await;
            node.cluster.shutdown().await.expect("the log closes");
        });
    }
}
