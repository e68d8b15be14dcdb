//! A server's API over a [`Store`], and a client for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use model::{CounterResetHint, Exemplar, FloatHistogram, Labels, Metadata, MetricType, Span, TenantId};
use promql::{Engine, EngineOptions};
use proto::{Source, SourceError};
use querier::{
    Api, ApiConfig, ApiLimits, BuildInfo, MergedSource, NameCount, RuntimeInfo, StatusSource, TsdbStatus,
    routes,
};
use runtime::Runtime;
use tower::ServiceExt;

use crate::store::{Series, Store};

/// What an endpoint answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// Status numbers that tell tenants apart.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) not_ready: AtomicBool,
}

#[async_trait]
impl StatusSource for Status {
    fn ready(&self) -> bool {
        !self.not_ready.load(Ordering::Relaxed)
    }

    async fn tsdb(&self, tenant: &TenantId, limit: usize) -> Result<TsdbStatus, SourceError> {
        let entries = |n: usize| {
            (0..n.min(limit + 1))
                .map(|i| NameCount { name: format!("{tenant}_{i}"), value: 9 - i as u64 })
                .collect()
        };
        Ok(TsdbStatus {
            series: 3,
            label_pairs: 4,
            chunks: 5,
            min_time: 1000,
            max_time: 2000,
            series_by_metric: entries(3),
            values_by_label: entries(1),
            bytes_by_label: entries(1),
            series_by_pair: entries(0),
        })
    }

    fn flags(&self) -> Vec<(String, String)> {
        vec![("http.listen".into(), "0.0.0.0:9009".into()), ("data.dir".into(), "./data".into())]
    }

    fn config_yaml(&self) -> String {
        "limits: {}\n".into()
    }

    fn build_info(&self) -> BuildInfo {
        BuildInfo { version: "3.14.0".into(), go_version: "rust".into(), ..BuildInfo::default() }
    }

    fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo { start_ms: 1500, reload_config_success: true, ..RuntimeInfo::default() }
    }
}

/// How a world differs from the usual one.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) store: Store,
    /// Holds more samples of the same series, read together with `store`.
    pub(crate) other_store: Option<Store>,
    pub(crate) limits: ApiLimits,
    pub(crate) multi_tenancy: bool,
    pub(crate) engine: EngineOptions,
}

pub(crate) struct World {
    pub(crate) api: Arc<Api>,
    pub(crate) status: Arc<Status>,
    router: Router,
    runtime: Runtime,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let runtime = Runtime::simulated(1);
        Self::on(runtime, setup)
    }

    /// With one tenant and [`sample_store`].
    pub(crate) fn usual() -> Self {
        Self::new(Setup { store: sample_store(), ..Setup::default() })
    }

    pub(crate) fn on(runtime: Runtime, setup: Setup) -> Self {
        let status = Arc::new(Status::default());
        let stores = [Some(setup.store), setup.other_store].into_iter().flatten();
        let stores: Vec<Arc<dyn Source>> = stores.map(|s| Arc::new(s) as Arc<dyn Source>).collect();
        let source = Arc::new(MergedSource::new(stores));
        let multi_tenancy = setup.multi_tenancy;
        let api = Api::new(ApiConfig {
            runtime: runtime.clone(),
            engine: Engine::new(runtime.clone(), setup.engine),
            source: Box::new(move |_| Arc::clone(&source) as Arc<dyn Source>),
            tenant: Box::new(move |headers| {
                if !multi_tenancy {
                    return Ok(TenantId::anonymous());
                }
                let id = headers
                    .get("x-scope-orgid")
                    .ok_or((StatusCode::UNAUTHORIZED, "no org id".to_owned()))?
                    .to_str()
                    .unwrap_or("");
                TenantId::new(id).map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))
            }),
            status: Arc::clone(&status) as Arc<dyn StatusSource>,
            limits: setup.limits,
        });
        let router = routes(Arc::clone(&api));
        World { api, status, router, runtime }
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Answer {
        let (status, headers, bytes) = self.exchange(request);
        Answer { status, headers, body: String::from_utf8(bytes).unwrap() }
    }

    /// Status and body of `GET path`, in the form that is asked for.
    pub(crate) fn get_accepting(&self, accept: &str, path: &str) -> (u16, Vec<u8>) {
        let request = Request::get(uri(path)).header("accept", accept).body(Body::empty()).unwrap();
        let (status, _, bytes) = self.exchange(request);
        (status, bytes)
    }

    pub(crate) fn exchange(&self, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
        let router = self.router.clone();
        self.runtime.block_on(async move {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            (parts.status.as_u16(), parts.headers, bytes.to_vec())
        })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.runtime.now_ms()
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Request::get(uri(path)).body(Body::empty()).unwrap())
    }

    pub(crate) fn get_as(&self, tenant: &str, path: &str) -> Answer {
        self.send(Request::get(uri(path)).header("X-Scope-OrgID", tenant).body(Body::empty()).unwrap())
    }

    pub(crate) fn post(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(uri(path))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(uri(form)))
            .unwrap();
        self.send(request)
    }

    /// The body of `GET path`, which succeeds.
    pub(crate) fn ok(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}

/// Escapes what a URL cannot hold, so that tests stay readable.
pub(crate) fn uri(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/?&=%+:,".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

pub(crate) fn series(pairs: &[(&str, &str)], floats: &[(i64, f64)]) -> Series {
    Series { labels: labels(pairs), floats: floats.to_vec(), histograms: vec![], exemplars: vec![] }
}

pub(crate) fn histogram() -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 4.0,
        sum: 5.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        positive_buckets: vec![1.0, 2.0],
        negative_buckets: vec![],
        custom_values: Arc::from([]),
    }
}

/// Minutes 0 to 10 of `up` for three jobs, a histogram, an exemplar, metadata.
pub(crate) fn sample_store() -> Store {
    let minutes = |value: f64| (0..=10).map(|m| (m * 60_000, value)).collect::<Vec<_>>();
    let mut all = vec![
        series(&[("__name__", "up"), ("job", "b")], &minutes(0.0)),
        series(&[("__name__", "up"), ("job", "a")], &minutes(1.0)),
        series(&[("__name__", "up"), ("job", "c<d>")], &minutes(1.5)),
        series(&[("__name__", "other.name"), ("k\"ey", "v")], &minutes(1e21)),
    ];
    all.push(Series {
        histograms: (0..=10).map(|m| (m * 60_000, Arc::new(histogram()))).collect(),
        exemplars: vec![Exemplar { labels: labels(&[("trace_id", "x1")]), value: 6.0, t: 1_500 }],
        ..series(&[("__name__", "latency"), ("job", "a")], &[])
    });
    let about = |metric_type, help: &str| Metadata { metric_type, help: help.into(), unit: String::new() };
    let metadata = vec![
        ("latency".to_owned(), about(MetricType::Histogram, "How long it took <s>.")),
        ("up".to_owned(), about(MetricType::Gauge, "Whether it answers.")),
        ("up".to_owned(), about(MetricType::Unknown, "")),
    ];
    Store {
        tenants: [("anonymous".to_owned(), all)].into(),
        metadata: [("anonymous".to_owned(), metadata)].into(),
        ..Store::default()
    }
}
