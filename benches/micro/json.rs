//! The answer on its way out: a range query over plain selectors through the HTTP API, points per second. The
//! engine does next to nothing here; most of it is writing JSON.

use std::cell::LazyCell;
use std::sync::Arc;

use ::promql::{Engine, EngineOptions, MemorySource};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use benches::{Kind, SERIES_PER_POD, STEP_MS, kind, labels, time, value};
use criterion::{Criterion, Throughput};
use http::Request;
use model::TenantId;
use proto::{Source, SourceError};
use querier::{Api, ApiConfig, ApiLimits, BuildInfo, RuntimeInfo, StatusSource, TsdbStatus, routes};
use runtime::Runtime;
use tower::ServiceExt;

const PODS: usize = 200;
const POINTS: usize = 240;

pub(crate) struct Ready;

#[async_trait]
impl StatusSource for Ready {
    fn ready(&self) -> bool {
        true
    }

    async fn tsdb(&self, _tenant: &TenantId, _limit: usize) -> Result<TsdbStatus, SourceError> {
        Ok(TsdbStatus::default())
    }

    fn flags(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn config_yaml(&self) -> String {
        String::new()
    }

    fn build_info(&self) -> BuildInfo {
        BuildInfo::default()
    }

    fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo::default()
    }
}

fn router(runtime: &Runtime) -> Router {
    let source = MemorySource::new();
    for index in (0..PODS * SERIES_PER_POD).filter(|i| matches!(kind(*i), Kind::Memory | Kind::Temperature)) {
        let samples: Vec<_> = (0..POINTS).map(|scrape| (time(scrape), value(index, scrape), 0)).collect();
        source.add_floats(&labels(index), &samples);
    }
    let source: Arc<dyn Source> = Arc::new(source);
    routes(Api::new(ApiConfig {
        runtime: runtime.clone(),
        engine: Engine::new(runtime.clone(), EngineOptions::default()),
        source: Box::new(move |_| Arc::clone(&source)),
        tenant: Box::new(|_| Ok(TenantId::anonymous())),
        status: Arc::new(Ready),
        limits: ApiLimits::default(),
    }))
}

async fn get(router: Router, uri: String) -> usize {
    let request = Request::get(uri).body(Body::empty()).expect("a valid address");
    let answer = router.oneshot(request).await.expect("the router always answers");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("the body is in memory");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(body.len() > PODS * POINTS * 15, "only {} bytes", body.len());
    body.len()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let router = LazyCell::new(|| router(&runtime));
    let mut group = criterion.benchmark_group("json");
    group.sample_size(20);
    group.throughput(Throughput::Elements((PODS * POINTS) as u64));
    for (name, metric) in [("integers", "memory_working_set_bytes"), ("decimals", "temperature_celsius")] {
        let uri = format!(
            "/api/v1/query_range?query={metric}&start={}&end={}&step={}",
            time(0) / 1000,
            time(POINTS - 1) / 1000,
            STEP_MS / 1000
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(Box::pin(get(router.clone(), uri.clone()))));
        });
    }
    group.finish();
}
