//! The front over series in memory that change.

mod equality;
mod kept;
mod sharing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{Histogram, Labels, Metadata, TenantId, TimeRange, TimestampMs};
use parking_lot::Mutex;
use promql::{EngineOptions, Features, MemorySource, QueryProgress};
use proto::{
    ChangeLog, DataChanges, DataVersion, MetadataRequest, SelectRequest, Selection, SeriesExemplars,
    SourceError,
};

use super::*;
use crate::admission::Bounds;

/// Series in memory that tells what changed, as heads and blocks do.
#[derive(Default)]
pub(super) struct Changing {
    series: MemorySource,
    log: Mutex<ChangeLog>,
    cannot_tell: AtomicBool,
    selects: AtomicU64,
    /// While held, selections wait.
    gate: tokio::sync::Mutex<()>,
}

impl Changing {
    fn write(&self, labels: &Labels, t: TimestampMs, v: f64) {
        self.series.add_floats(labels, &[(t, v, 0)]);
        self.log.lock().note_at(t);
    }

    fn write_histogram(&self, labels: &Labels, t: TimestampMs, histogram: Histogram) {
        self.series.add_histograms(labels, &[(t, histogram, 0)]);
        self.log.lock().note(TimeRange::new(t, TimestampMs::MAX));
    }

    fn selects(&self) -> u64 {
        self.selects.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Source for Changing {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.selects.fetch_add(1, Ordering::Relaxed);
        let _open = self.gate.lock().await;
        self.series.select(request).await
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.series.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.series.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.series.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.series.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.series.exemplars(request).await
    }

    async fn changes(&self, _tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        (!self.cannot_tell.load(Ordering::Relaxed)).then(|| self.log.lock().changes(since))
    }
}

pub(super) struct World {
    runtime: Runtime,
    engine: Engine,
    source: Arc<Changing>,
    front: Arc<Front>,
}

impl World {
    fn new(cache_bytes: u64, running_max: usize) -> Self {
        let runtime = Runtime::simulated(1);
        let features =
            Features { delayed_name_removal: false, type_and_unit_labels: false, ..Features::all() };
        let options = EngineOptions { features, partitions: 1, ..EngineOptions::default() };
        let engine = Engine::new(runtime.clone(), options);
        let queries = Admission::new(Bounds {
            what: "queries",
            running_max,
            tenant_running_max: 0,
            waiting_max: 100,
            tenant_waiting_max: 0,
            settings: None,
        });
        let front = Front::new(runtime.clone(), engine.clone(), queries, cache_bytes);
        World { runtime, engine, source: Arc::default(), front }
    }

    fn usual() -> Self {
        World::new(64 << 20, 4)
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source) as Arc<dyn Source>
    }

    async fn ask(&self, asked: &Asked) -> Result<Arc<Answered>, ApiError> {
        self.front.answer(self.source(), asked.clone(), &|_| {}).await
    }

    /// What the engine answers.
    async fn evaluated(&self, asked: &Asked) -> Result<Answered, ApiError> {
        let request = asked.request(asked.timeout, &QueryProgress::default());
        let answer = match asked.times {
            Times::Instant(t) => self.engine.instant(self.source(), request, t).await?,
            Times::Range { start, end, step } => {
                self.engine.range(self.source(), request, start, end, step).await?
            }
        };
        let texts = (answer.warnings, answer.infos);
        Ok(Answered::new(Arc::new(answer.value), texts, answer.stats, Duration::ZERO, answer.memory))
    }
}

pub(super) fn range(expr: &str, start: i64, end: i64, step: i64) -> Asked {
    Asked {
        tenant: TenantId::anonymous(),
        expr: Arc::from(expr),
        times: Times::Range { start, end, step },
        lookback_ms: None,
        timeout: Duration::from_secs(60),
        series_max: 0,
        per_step_stats: false,
        may_keep: true,
    }
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}
