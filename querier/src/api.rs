//! What the HTTP API works with: the engine, the sources, limits and counters. One per server.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use model::TenantId;
use promql::{Engine, QueryLimit};
use proto::Source;
use runtime::Runtime;

use crate::active::{ActiveQueries, ActiveQuery};
use crate::admission::{Admission, Bounds};
use crate::front::{Front, ResultCacheMetrics};
use crate::metrics::{QueryMetrics, Recorder};
use crate::query_log::QueryLog;
use crate::status::StatusSource;

/// What Prometheus allows.
pub(crate) const POINTS_MAX: usize = 11_000;

/// Finds out whose request it is; refuses with a status and a text.
pub type TenantOf = dyn Fn(&HeaderMap) -> Result<TenantId, (StatusCode, String)> + Send + Sync;
/// Gives what a tenant's queries read.
pub type SourceOf = dyn Fn(&TenantId) -> Arc<dyn Source> + Send + Sync;

/// Bounds of the API.
#[derive(Debug, Clone)]
pub struct ApiLimits {
    /// Queries evaluated at a time.
    pub queries_running_max: usize,
    /// Queries of one tenant evaluated at a time; 0: as many as of all.
    pub tenant_queries_running_max: usize,
    /// Queries that wait for that; one more is refused with 503.
    pub queries_waiting_max: usize,
    /// Queries of one tenant that wait; one more is refused with 429. 0: as many as of all.
    pub tenant_queries_waiting_max: usize,
    /// Listings (series, labels, values, metadata, exemplars) at a time.
    pub listings_running_max: usize,
    /// Listings that wait for that.
    pub listings_waiting_max: usize,
    /// Most entries a listing returns, whatever `limit` says; a warning tells when it cut.
    pub entries_max: usize,
    /// Largest form in bytes.
    pub form_bytes_max: usize,
    /// Most bytes of answers to range queries that are kept; 0: none are.
    pub result_cache_bytes: u64,
    /// Most series one selector of a query may match; 0: no limit.
    pub series_max: usize,
    /// Most points of one series of a range query's answer, the first not counted; 0: no limit.
    pub points_max: usize,
    /// Remote reads answered at a time.
    pub remote_reads_running_max: usize,
    /// Most samples one query of a remote read returns when it is not streamed; 0: no limit.
    pub remote_read_samples_max: usize,
    /// Bytes of one frame of a streamed remote read; a frame is larger by one chunk at most.
    pub remote_read_frame_bytes: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        ApiLimits {
            queries_running_max: 20,
            tenant_queries_running_max: 0,
            queries_waiting_max: 2_000,
            tenant_queries_waiting_max: 200,
            listings_running_max: 20,
            listings_waiting_max: 200,
            entries_max: 1_000_000,
            form_bytes_max: 10 << 20,
            result_cache_bytes: 128 << 20,
            series_max: 0,
            points_max: POINTS_MAX,
            remote_reads_running_max: 10,
            remote_read_samples_max: 50_000_000,
            remote_read_frame_bytes: 1 << 20,
        }
    }
}

/// What an [`Api`] is made of.
pub struct ApiConfig {
    /// Clock and CPU pool.
    pub runtime: Runtime,
    /// Evaluates queries.
    pub engine: Engine,
    /// What a tenant's queries read.
    pub source: Box<SourceOf>,
    /// Whose request it is.
    pub tenant: Box<TenantOf>,
    /// What the status endpoints show.
    pub status: Arc<dyn StatusSource>,
    /// Bounds.
    pub limits: ApiLimits,
}

/// The state behind the routes.
pub struct Api {
    pub(crate) runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) source: Box<SourceOf>,
    pub(crate) tenant: Box<TenantOf>,
    pub(crate) status: Arc<dyn StatusSource>,
    pub(crate) limits: ApiLimits,
    pub(crate) queries: Admission,
    pub(crate) front: Arc<Front>,
    pub(crate) listings: Admission,
    pub(crate) remote_reads: Admission,
    pub(crate) active: ActiveQueries,
    pub(crate) recorder: Recorder,
    pub(crate) query_log: OnceLock<QueryLog>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Api {
    /// Ready to be served by [`crate::routes`].
    pub fn new(config: ApiConfig) -> Arc<Self> {
        let ApiConfig { runtime, engine, source, tenant, status, limits } = config;
        let queries = Admission::new(Bounds {
            what: "queries",
            running_max: limits.queries_running_max,
            tenant_running_max: limits.tenant_queries_running_max,
            waiting_max: limits.queries_waiting_max,
            tenant_waiting_max: limits.tenant_queries_waiting_max,
            settings: Some(("query.max_waiting", "query.tenant_max_waiting")),
        });
        let listings = Admission::new(Bounds {
            what: "listings",
            running_max: limits.listings_running_max,
            tenant_running_max: 0,
            waiting_max: limits.listings_waiting_max,
            tenant_waiting_max: 0,
            settings: None,
        });
        let front = Front::new(runtime.clone(), engine.clone(), queries.clone(), limits.result_cache_bytes);
        let remote_reads = Admission::new(Bounds {
            what: "remote reads",
            running_max: limits.remote_reads_running_max,
            tenant_running_max: 0,
            waiting_max: limits.listings_waiting_max,
            tenant_waiting_max: 0,
            settings: None,
        });
        Arc::new(Api {
            queries,
            front,
            listings,
            remote_reads,
            runtime,
            engine,
            source,
            tenant,
            status,
            limits,
            active: ActiveQueries::default(),
            recorder: Recorder::default(),
            query_log: OnceLock::new(),
        })
    }

    /// Logs queries from now on; only the first log is used.
    pub fn log_queries(&self, log: QueryLog) {
        if self.query_log.set(log).is_err() {
            tracing::warn!("queries are logged already");
        }
    }

    /// Waits until all queries that have ended are logged, `limit` at most; gives whether they are.
    pub async fn flush_query_log(&self, limit: Duration) -> bool {
        match self.query_log.get() {
            Some(log) => log.flush(&self.runtime, limit).await,
            None => true,
        }
    }

    /// The counters now.
    pub fn metrics(&self) -> QueryMetrics {
        let mut metrics = self.recorder.snapshot();
        for limit in QueryLimit::ALL {
            metrics.limited.entry(limit).or_default();
        }
        metrics.memory = self.engine.memory();
        (metrics.logged, metrics.log_lost) = self.query_log.get().map_or((0, 0), QueryLog::counts);
        metrics.active = self.active.count();
        metrics.waiting = self.queries.waiting();
        let refused = self.queries.refused();
        metrics.refused = [("overall", refused.overall), ("tenant", refused.of_tenant)].into();
        metrics
    }

    /// What became of range queries that could be answered from kept answers.
    pub fn result_cache_metrics(&self) -> ResultCacheMetrics {
        self.front.metrics()
    }

    /// The queries under way, oldest first.
    pub fn active_queries(&self) -> Vec<ActiveQuery> {
        self.active.list(None)
    }
}
