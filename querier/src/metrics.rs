//! What was asked and how it went: counters that the server exposes as its own metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use promql::QueryLimit;

/// Upper bounds in seconds of the buckets of `EndpointMetrics::buckets`; one more bucket is above all.
pub const SECONDS_BOUNDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Times of one kind: requests of one endpoint that ended with one status, or waits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointMetrics {
    /// How many.
    pub count: u64,
    /// Their time in seconds, summed.
    pub seconds: f64,
    /// How many took up to `SECONDS_BOUNDS[i]` but more than the bound before; not cumulative.
    pub buckets: [u64; SECONDS_BOUNDS.len() + 1],
}

impl EndpointMetrics {
    fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = SECONDS_BOUNDS.iter().position(|b| seconds <= *b).unwrap_or(SECONDS_BOUNDS.len());
        self.count += 1;
        self.seconds += seconds;
        self.buckets[bucket] += 1;
    }
}

/// All counters at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryMetrics {
    /// By endpoint (`query`, `query_range`, `series`, …) and HTTP status; 499: the client went away.
    pub requests: BTreeMap<(&'static str, u16), EndpointMetrics>,
    /// Samples that queries looked at.
    pub samples: u64,
    /// Series that queries read.
    pub series: u64,
    /// Bytes of answers.
    pub answer_bytes: u64,
    /// Memory of queries.
    pub memory: promql::MemoryUsage,
    /// Requests that a limit ended, by limit; all limits are in it.
    pub limited: BTreeMap<QueryLimit, u64>,
    /// Queries ended by somebody who was asked to.
    pub killed: u64,
    /// Lines of the query log that were written.
    pub logged: u64,
    /// Lines of it that could not be.
    pub log_lost: u64,
    /// Queries under way.
    pub active: usize,
    /// Queries that wait.
    pub waiting: usize,
    /// How long queries waited before they ran.
    pub waited: EndpointMetrics,
    /// Queries turned away because too many waited: `overall`, or of their `tenant`.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Gathers the counters.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<QueryMetrics>);

impl Recorder {
    pub(crate) fn request(&self, endpoint: &'static str, status: u16, took: Duration) {
        self.0.lock().requests.entry((endpoint, status)).or_default().add(took);
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.0.lock().waited.add(time);
    }

    pub(crate) fn answer(&self, samples: u64, series: u64) {
        let mut metrics = self.0.lock();
        metrics.samples += samples;
        metrics.series += series;
    }

    pub(crate) fn limited(&self, limit: QueryLimit) {
        *self.0.lock().limited.entry(limit).or_default() += 1;
    }

    pub(crate) fn killed(&self) {
        self.0.lock().killed += 1;
    }

    pub(crate) fn bytes(&self, bytes: usize) {
        self.0.lock().answer_bytes += bytes as u64;
    }

    pub(crate) fn snapshot(&self) -> QueryMetrics {
        self.0.lock().clone()
    }
}
