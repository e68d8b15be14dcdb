//! What the write door counts; read as one snapshot.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proto::remote_write::WriteVersion;

use crate::lane::LookupCounts;
use crate::report::{REASONS, Report};

/// Statuses that are counted; others count as the last.
const STATUSES: [u16; 8] = [204, 400, 413, 415, 429, 503, 499, 500];
const VERSIONS: [&str; 3] = ["1.0", "2.0", "unknown"];

/// Requests of one version that were answered by one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// "1.0", "2.0" or "unknown".
    pub version: &'static str,
    /// HTTP status; 499 when the client went away.
    pub status: u16,
    /// How many.
    pub count: u64,
}

/// The counters at one moment; all but the gauges only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Answered requests, those that happened.
    pub requests: Vec<RequestCount>,
    /// Float samples written.
    pub samples: u64,
    /// Histograms written.
    pub histograms: u64,
    /// Exemplars written.
    pub exemplars: u64,
    /// Refused items by reason (the id without its prefix), those that happened.
    pub rejections: Vec<(&'static str, u64)>,
    /// Bytes of bodies as sent.
    pub received_bytes: u64,
    /// Bytes of bodies decompressed.
    pub decoded_bytes: u64,
    /// Series whose place was guessed from the series before.
    pub lane_guesses: u64,
    /// Series found by look-up.
    pub lane_hits: u64,
    /// Series whose labels had to be read.
    pub lane_misses: u64,
    /// Series sent again with labels because their reference went stale.
    pub stale_references: u64,
    /// Gauge: series remembered.
    pub lane_series: usize,
    /// Gauge: bytes that takes.
    pub lane_bytes: usize,
    /// Gauge: requests in work.
    pub inflight_requests: usize,
    /// Gauge: bytes of requests in work.
    pub inflight_bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: [[AtomicU64; STATUSES.len()]; VERSIONS.len()],
    pub(crate) samples: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) exemplars: AtomicU64,
    rejections: [AtomicU64; REASONS.len()],
    pub(crate) received_bytes: AtomicU64,
    pub(crate) decoded_bytes: AtomicU64,
    lane_guesses: AtomicU64,
    lane_hits: AtomicU64,
    lane_misses: AtomicU64,
    pub(crate) stale_references: AtomicU64,
    pub(crate) inflight_requests: AtomicUsize,
    pub(crate) inflight_bytes: AtomicUsize,
}

impl Counters {
    pub(crate) fn request(&self, version: Option<WriteVersion>, status: u16) {
        let version = match version {
            Some(WriteVersion::V1) => 0,
            Some(WriteVersion::V2) => 1,
            None => 2,
        };
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.requests[version][status].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lookups(&self, counts: LookupCounts) {
        self.lane_guesses.fetch_add(counts.guessed, Ordering::Relaxed);
        self.lane_hits.fetch_add(counts.found, Ordering::Relaxed);
        self.lane_misses.fetch_add(counts.missed, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, report: &Report) {
        for (reason, count) in report.counts() {
            if let Some(at) = REASONS.iter().position(|known| *known == reason) {
                self.rejections[at].fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn snapshot(&self, lane_series: usize, lane_bytes: usize) -> MetricsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut requests = Vec::new();
        for (version, counts) in VERSIONS.iter().zip(&self.requests) {
            for (status, count) in STATUSES.iter().zip(counts) {
                requests.push(RequestCount { version, status: *status, count: read(count) });
            }
        }
        requests.retain(|request| request.count > 0);
        let mut rejections: Vec<_> =
            REASONS.iter().zip(&self.rejections).map(|(reason, count)| (reason.id(), read(count))).collect();
        rejections.retain(|(_, count)| *count > 0);
        MetricsSnapshot {
            requests,
            samples: read(&self.samples),
            histograms: read(&self.histograms),
            exemplars: read(&self.exemplars),
            rejections,
            received_bytes: read(&self.received_bytes),
            decoded_bytes: read(&self.decoded_bytes),
            lane_guesses: read(&self.lane_guesses),
            lane_hits: read(&self.lane_hits),
            lane_misses: read(&self.lane_misses),
            stale_references: read(&self.stale_references),
            lane_series,
            lane_bytes,
            inflight_requests: self.inflight_requests.load(Ordering::Relaxed),
            inflight_bytes: self.inflight_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Counters {
    pub(crate) fn decoded(&self, bytes: usize) {
        self.decoded_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, written: crate::commit::Written) {
        self.samples.fetch_add(written.samples, Ordering::Relaxed);
        self.histograms.fetch_add(written.histograms, Ordering::Relaxed);
        self.exemplars.fetch_add(written.exemplars, Ordering::Relaxed);
    }
}
