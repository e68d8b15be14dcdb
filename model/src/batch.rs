//! Decoded samples of several series: what heads and blocks hand to the query engine.
//!
//! Values lie in one flat vector, series after series. Timestamps are vectors that several series share,
//! because series of one scrape have the same ones: what depends on timestamps alone (window bounds) can
//! then be computed once per vector instead of once per series.

use std::ops::Range;
use std::sync::Arc;

use crate::{FloatHistogram, TimestampMs};

/// One histogram sample.
#[derive(Debug, Clone)]
pub struct HistogramPoint {
    /// When.
    pub t: TimestampMs,
    /// What; stale when its sum is the staleness marker.
    pub h: Arc<FloatHistogram>,
    /// Start timestamp, 0 when not told.
    pub start_t: TimestampMs,
}

/// Where one series' samples lie in a batch. Ascending in time, no timestamp twice.
#[derive(Debug, Clone, Default)]
pub struct SeriesSamples {
    /// Range in `SampleBatch::values`.
    pub values: Range<usize>,
    /// Index into `SampleBatch::vectors`; meaningless when `values` is empty.
    pub vector: usize,
    /// Where in that vector the first value's timestamp is.
    pub vector_offset: usize,
    /// Range in `SampleBatch::histograms`.
    pub histograms: Range<usize>,
    /// Start timestamps of the float samples, one per value, 0 when not told; `None` when none has any.
    pub start_ts: Option<Arc<[TimestampMs]>>,
}

/// Samples of a run of series.
#[derive(Debug, Clone, Default)]
pub struct SampleBatch {
    /// One entry per requested series, in the order asked for; empty ranges when it has no samples.
    pub series: Vec<SeriesSamples>,
    /// Float values of all series, concatenated. Staleness markers are still there.
    pub values: Vec<f64>,
    /// The distinct timestamp vectors.
    pub vectors: Vec<Arc<[TimestampMs]>>,
    /// Histogram samples of all series, concatenated.
    pub histograms: Vec<HistogramPoint>,
}

impl SampleBatch {
    /// The values of series `i`.
    pub fn values_of(&self, i: usize) -> &[f64] {
        &self.values[self.series[i].values.clone()]
    }

    /// The timestamps of series `i`, one per value.
    pub fn timestamps_of(&self, i: usize) -> &[TimestampMs] {
        let s = &self.series[i];
        if s.values.is_empty() {
            return &[];
        }
        &self.vectors[s.vector][s.vector_offset..s.vector_offset + s.values.len()]
    }

    /// The histogram samples of series `i`.
    pub fn histograms_of(&self, i: usize) -> &[HistogramPoint] {
        &self.histograms[self.series[i].histograms.clone()]
    }

    /// Appends a series with timestamps of its own.
    pub fn push_series(&mut self, timestamps: &[TimestampMs], values: &[f64], histograms: &[HistogramPoint]) {
        debug_assert_eq!(timestamps.len(), values.len());
        let start = self.values.len();
        let first_histogram = self.histograms.len();
        self.values.extend_from_slice(values);
        self.histograms.extend_from_slice(histograms);
        let vector = self.vectors.len();
        if !values.is_empty() {
            self.vectors.push(Arc::from(timestamps));
        }
        self.series.push(SeriesSamples {
            values: start..self.values.len(),
            vector,
            vector_offset: 0,
            histograms: first_histogram..self.histograms.len(),
            start_ts: None,
        });
    }

    /// Bytes held, roughly: what a memory budget is charged.
    pub fn bytes(&self) -> usize {
        self.values.len() * 8
            + self.vectors.iter().map(|v| v.len() * 8).sum::<usize>()
            + self.histograms.iter().map(|p| p.h.bytes() + 32).sum::<usize>()
            + self.series.len() * size_of::<SeriesSamples>()
    }
}
