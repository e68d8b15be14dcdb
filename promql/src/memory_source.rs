//! Series in memory as a source of queries: for tests and for running scripts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use model::{
    CounterResetHint, FloatHistogram, Histogram, HistogramPoint, Labels, LabelsIter, Matcher, Metadata,
    SampleBatch, SeriesSamples, TenantId, TimeRange, TimestampMs,
};
use parking_lot::RwLock;
use proto::{
    LabelsWanted, MetadataRequest, SelectRequest, SelectedSeries, Selection, SeriesExemplars, Source,
    SourceError,
};

use crate::histogram::detect_reset;

/// The samples of one series.
#[derive(Debug, Clone, Default)]
struct Series {
    /// (time, value, start time)
    floats: Vec<(TimestampMs, f64, TimestampMs)>,
    /// As written.
    histograms: Vec<HistogramPoint>,
    /// The same with the hints that reading gives.
    read: Vec<HistogramPoint>,
}

impl Series {
    /// Works out counter reset hints as Prometheus's storage does: the first histogram of a run that could share a
    /// chunk has none, the others say "no reset"; gauges stay gauges.
    fn hint(&mut self) {
        let mut previous: Option<&HistogramPoint> = None;
        let mut read = Vec::with_capacity(self.histograms.len());
        for point in &self.histograms {
            let float_between = |p: &HistogramPoint| {
                let next = self.floats.partition_point(|(t, _, _)| *t <= p.t);
                self.floats.get(next).is_some_and(|(t, _, _)| *t < point.t)
            };
            let continues = previous.is_some_and(|p| !float_between(p) && continues_counter(&p.h, &point.h));
            let hint = match point.h.counter_reset_hint {
                CounterResetHint::Gauge => CounterResetHint::Gauge,
                _ if continues => CounterResetHint::NotReset,
                _ => CounterResetHint::Unknown,
            };
            let mut point_read = point.clone();
            Arc::make_mut(&mut point_read.h).counter_reset_hint = hint;
            read.push(point_read);
            previous = Some(point);
        }
        self.read = read;
    }
}

/// Whether a counter goes on without a reset or a change of its buckets' layout.
fn continues_counter(previous: &FloatHistogram, h: &FloatHistogram) -> bool {
    if previous.counter_reset_hint == CounterResetHint::Gauge
        || h.counter_reset_hint == CounterResetHint::Reset
    {
        return false;
    }
    if h.is_stale() || previous.is_stale() {
        return h.is_stale();
    }
    let same_layout = h.schema == previous.schema
        && h.zero_threshold == previous.zero_threshold
        && h.custom_values == previous.custom_values;
    let unhinted = FloatHistogram { counter_reset_hint: CounterResetHint::Unknown, ..h.clone() };
    same_layout && !detect_reset(&unhinted, previous)
}

/// Series in memory. Tenants are not told apart.
#[derive(Debug, Default)]
pub struct MemorySource {
    series: RwLock<BTreeMap<Labels, Arc<Series>>>,
}

impl MemorySource {
    /// Without series.
    pub fn new() -> Self {
        MemorySource::default()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.series.write().clear();
    }

    fn with_series(&self, labels: &Labels, change: impl FnOnce(&mut Series)) {
        let mut all = self.series.write();
        let series = all.entry(labels.clone()).or_default();
        change(Arc::make_mut(series));
    }

    /// Adds floats: (time, value, start time or 0). Times that are there already keep their value.
    pub fn add_floats(&self, labels: &Labels, samples: &[(TimestampMs, f64, TimestampMs)]) {
        self.with_series(labels, |series| {
            series.floats.extend_from_slice(samples);
            series.floats.sort_by_key(|(t, _, _)| *t);
            series.floats.dedup_by_key(|(t, _, _)| *t);
            series.hint();
        });
    }

    /// Adds histograms: (time, histogram, start time or 0).
    pub fn add_histograms(&self, labels: &Labels, samples: &[(TimestampMs, Histogram, TimestampMs)]) {
        self.with_series(labels, |series| {
            for (t, h, start_t) in samples {
                let h = Arc::new(h.to_float());
                series.histograms.push(HistogramPoint { t: *t, h, start_t: *start_t });
            }
            series.histograms.sort_by_key(|p| p.t);
            series.histograms.dedup_by_key(|p| p.t);
            series.hint();
        });
    }

    fn matching(&self, matchers: &[Vec<Matcher>]) -> Vec<Labels> {
        let all = self.series.read();
        let matches = |labels: &Labels| {
            matchers.is_empty() || matchers.iter().any(|set| Matcher::all_match(set, labels))
        };
        all.keys().filter(|labels| matches(labels)).cloned().collect()
    }
}

/// What a request matched.
struct MemorySelection {
    selected: Vec<SelectedSeries>,
    samples: Vec<Arc<Series>>,
    range: TimeRange,
}

#[async_trait]
impl Selection for MemorySelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.selected
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let mut batch = SampleBatch::default();
        let mut times: Vec<TimestampMs> = Vec::new();
        for series in &self.samples[range] {
            let floats = &series.floats;
            let from = floats.partition_point(|(t, _, _)| *t < self.range.start);
            let to = floats.partition_point(|(t, _, _)| *t < self.range.end);
            let inside = &floats[from.min(to)..to];
            let histograms: Vec<HistogramPoint> =
                series.read.iter().filter(|p| self.range.contains(p.t)).cloned().collect();
            let values = batch.values.len()..batch.values.len() + inside.len();
            batch.values.extend(inside.iter().map(|(_, v, _)| *v));
            times.clear();
            times.extend(inside.iter().map(|(t, _, _)| *t));
            // series of one scrape share their times
            if batch.vectors.last().is_none_or(|last| last[..] != times[..]) {
                batch.vectors.push(Arc::from(times.as_slice()));
            }
            let first_histogram = batch.histograms.len();
            batch.histograms.extend(histograms);
            let has_starts = inside.iter().any(|(_, _, start)| *start != 0);
            batch.series.push(SeriesSamples {
                values,
                vector: batch.vectors.len() - 1,
                vector_offset: 0,
                histograms: first_histogram..batch.histograms.len(),
                start_ts: has_starts.then(|| inside.iter().map(|(_, _, start)| *start).collect()),
            });
        }
        Ok(batch)
    }
}

fn project(labels: &Labels, wanted: &LabelsWanted) -> Labels {
    match wanted {
        LabelsWanted::All => labels.clone(),
        other => labels.filter(|name| other.wants(name)),
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let all = self.series.read();
        let mut selected = Vec::new();
        let mut samples = Vec::new();
        for (labels, series) in all.iter() {
            if Matcher::all_match(&request.matchers, labels) {
                selected.push(SelectedSeries {
                    id: labels.series_id(),
                    labels: project(labels, &request.labels),
                });
                samples.push(Arc::clone(series));
            }
        }
        if request.series_max > 0 && selected.len() > request.series_max {
            return Err(SourceError::too_many_series(request.series_max));
        }
        Ok(Arc::new(MemorySelection { selected, samples, range: request.range }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let mut names: Vec<String> = Vec::new();
        for labels in self.matching(&request.matchers) {
            names.extend(LabelsIter::over(labels.as_bytes()).map(|(n, _)| n.to_owned()));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let mut values: Vec<String> = self
            .matching(&request.matchers)
            .iter()
            .filter_map(|labels| labels.get(name).map(str::to_owned))
            .collect();
        values.sort();
        values.dedup();
        Ok(values)
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        Ok(self.matching(&request.matchers))
    }

    async fn metadata(
        &self,
        _tenant: &TenantId,
        _metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        Ok(Vec::new())
    }

    async fn exemplars(&self, _request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        Ok(Vec::new())
    }
}
