//! The door: takes requests, answers them.
//!
//! Success is answered only after every sample that was accepted is committed; what was refused is told,
//! never dropped in silence.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use model::TenantId;
use parking_lot::RwLock;
use proto::AppendSamples;
use proto::remote_write::WriteVersion;
use runtime::Runtime;

use crate::commit::{self, Written};
use crate::decode::{self, Pool};
use crate::lanes::Lanes;
use crate::limits::Limits;
use crate::media::{self, Encoding};
use crate::metrics::{Counters, MetricsSnapshot};
use crate::prepare;
use crate::rate::Rates;
use crate::refusal::Refusal;
use crate::self_scrape::Targets;

/// Bodies up to this size are read on the caller's task, larger ones on the pool for CPU work.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// A remote write request, whatever server it came through. The tenant was identified before.
#[derive(Debug, Clone)]
pub struct PushRequest<'a> {
    /// Who writes.
    pub tenant: TenantId,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// The body as it came. The server must not read (much) more than `Limits::request_bytes_max`.
    pub body: Bytes,
}

/// The answer to a remote write request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers besides those every server sends.
    pub headers: Vec<(&'static str, String)>,
    /// Text; empty on success.
    pub body: String,
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) store: Arc<dyn AppendSamples>,
    limits: RwLock<Arc<Limits>>,
    pub(crate) lanes: Lanes,
    pub(crate) pool: Pool,
    pub(crate) rates: Rates,
    pub(crate) counters: Counters,
    pub(crate) targets: Targets,
}

/// Accepts writes; cheap to clone.
#[derive(Clone)]
pub struct Distributor {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Distributor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Distributor").field("lanes", &self.inner.lanes).finish_non_exhaustive()
    }
}

/// The bytes of a request in work.
struct Inflight<'a> {
    counters: &'a Counters,
    bytes: usize,
}

impl<'a> Inflight<'a> {
    fn enter(counters: &'a Counters, bytes: usize, max: usize) -> Result<Self, Refusal> {
        let before = counters.inflight_bytes.fetch_add(bytes, Ordering::Relaxed);
        // a request alone is always let in: the caps on its size bound it
        if before > 0 && before + bytes > max {
            counters.inflight_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Refusal::Overloaded { inflight: before, max });
        }
        Ok(Inflight { counters, bytes })
    }
}

impl Drop for Inflight<'_> {
    fn drop(&mut self) {
        self.counters.inflight_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Counts a request, also one whose client goes away before the answer.
struct Answering<'a> {
    counters: &'a Counters,
    version: Option<WriteVersion>,
    status: u16,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.counters.inflight_requests.fetch_sub(1, Ordering::Relaxed);
        self.counters.request(self.version, self.status);
    }
}

/// What became of a request that was not refused as a whole.
struct Taken {
    written: Written,
    /// One line per reason; empty when everything was written.
    refused: String,
}

impl Distributor {
    /// A door that hands what it accepts to `store`.
    pub fn new(runtime: Runtime, store: Arc<dyn AppendSamples>, limits: Limits) -> Self {
        let inner = Inner {
            lanes: Lanes::new(&runtime, limits.lane_bytes_max),
            runtime,
            store,
            limits: RwLock::new(Arc::new(limits)),
            pool: Pool::default(),
            rates: Rates::default(),
            counters: Counters::default(),
            targets: Targets::default(),
        };
        Distributor { inner: Arc::new(inner) }
    }

    /// The limits in force.
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.inner.limits.read())
    }

    /// Changes the limits for requests from now on (not `lane_bytes_max`).
    pub fn set_limits(&self, limits: Limits) {
        *self.inner.limits.write() = Arc::new(limits);
    }

    /// What was counted so far.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.counters.snapshot(self.inner.lanes.series(), self.inner.lanes.bytes())
    }

    /// The answer to a request that can be refused before its body is read: a message or compression nobody
    /// here reads, more bytes announced (or read so far) than are taken, too much in work already.
    pub fn refuse_early(
        &self,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body_bytes: Option<usize>,
    ) -> Option<PushAnswer> {
        let version = media::version(content_type);
        let limits = self.limits();
        let checked = version.clone().and_then(|_| {
            media::encoding(content_encoding)?;
            let size = body_bytes.unwrap_or(0);
            if size > limits.request_bytes_max {
                return Err(Refusal::TooLarge { size, max: limits.request_bytes_max });
            }
            let inflight = self.inner.counters.inflight_bytes.load(Ordering::Relaxed);
            if inflight > 0 && inflight + size > limits.inflight_bytes_max {
                return Err(Refusal::Overloaded { inflight, max: limits.inflight_bytes_max });
            }
            Ok(())
        });
        let refusal = checked.err()?;
        self.inner.counters.request(version.clone().ok(), refusal.status());
        Some(refuse(&refusal, version.ok()))
    }

    /// Takes a remote write request. Dropping the future leaves written what was written by then.
    pub async fn push(&self, request: PushRequest<'_>) -> PushAnswer {
        let counters = &self.inner.counters;
        counters.inflight_requests.fetch_add(1, Ordering::Relaxed);
        counters.received_bytes.fetch_add(request.body.len() as u64, Ordering::Relaxed);
        let mut answering = Answering { counters, version: None, status: 499 };
        let version = match media::version(request.content_type) {
            Ok(version) => version,
            Err(refusal) => {
                answering.status = refusal.status();
                return refuse(&refusal, None);
            }
        };
        answering.version = Some(version);
        let answer = match self.take(version, request).await {
            Ok(taken) => accept(&taken, version),
            Err(refusal) => refuse(&refusal, Some(version)),
        };
        answering.status = answer.status;
        answer
    }

    async fn take(&self, version: WriteVersion, request: PushRequest<'_>) -> Result<Taken, Refusal> {
        let inner = &self.inner;
        let encoding = media::encoding(request.content_encoding)?;
        let limits = self.limits();
        let (tenant, body) = (request.tenant, request.body);
        if body.len() > limits.request_bytes_max {
            return Err(Refusal::TooLarge { size: body.len(), max: limits.request_bytes_max });
        }
        let bytes = body.len() + decode::decoded_bytes_guess(encoding, &body, &limits);
        let _inflight = Inflight::enter(&inner.counters, bytes, limits.inflight_bytes_max)?;
        let mut prepared = self.prepare(&tenant, version, encoding, body, &limits).await?;
        let written = commit::commit(inner, &tenant, &mut prepared, &limits).await;
        inner.counters.refused(&prepared.report);
        let refused = prepared.report.text(&limits);
        inner.pool.give_back(prepared.intake.scratch);
        let written = written?;
        inner.counters.wrote(written);
        Ok(Taken { written, refused })
    }

    async fn prepare(
        &self,
        tenant: &TenantId,
        version: WriteVersion,
        encoding: Encoding,
        body: Bytes,
        limits: &Arc<Limits>,
    ) -> Result<prepare::Prepared, Refusal> {
        if body.len() <= INLINE_BYTES_MAX {
            return prepare::wire(&self.inner, tenant, version, encoding, &body, limits);
        }
        let (inner, tenant, limits) = (Arc::clone(&self.inner), tenant.clone(), Arc::clone(limits));
        let work = move || prepare::wire(&inner, &tenant, version, encoding, &body, &limits);
        self.inner.runtime.cpu(work).await
    }
}

/// The counts a 2.0 sender checks; a 1.0 sender would take them for an error.
fn counts(version: Option<WriteVersion>, written: Written) -> Vec<(&'static str, String)> {
    if version != Some(WriteVersion::V2) {
        return Vec::new();
    }
    vec![
        ("X-Prometheus-Remote-Write-Samples-Written", written.samples.to_string()),
        ("X-Prometheus-Remote-Write-Histograms-Written", written.histograms.to_string()),
        ("X-Prometheus-Remote-Write-Exemplars-Written", written.exemplars.to_string()),
    ]
}

fn accept(taken: &Taken, version: WriteVersion) -> PushAnswer {
    let mut headers = counts(Some(version), taken.written);
    let status = if taken.refused.is_empty() { 204 } else { 400 };
    if status == 400 {
        headers.push(("Content-Type", "text/plain; charset=utf-8".into()));
    }
    PushAnswer { status, headers, body: taken.refused.clone() }
}

fn refuse(refusal: &Refusal, version: Option<WriteVersion>) -> PushAnswer {
    let mut headers = counts(version, Written::default());
    headers.push(("Content-Type", "text/plain; charset=utf-8".into()));
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.push(("Retry-After", seconds.to_string()));
    }
    PushAnswer { status: refusal.status(), headers, body: format!("{refusal}\n") }
}
