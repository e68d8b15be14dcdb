//! Reading a selection: in chunks, split over partitions by ranges of series.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use futures::stream;
use model::{CounterResetHint, FloatHistogram, SampleBatch, TimeRange};
use proto::{SelectedSeries, Selection};

use super::batch::SeriesBatch;
use super::operator::{BatchStream, Inputs, compute, from_plan_error};
use crate::engine::QueryError;
use crate::histogram::detect_reset;

/// A series in a selection, beside its labels.
pub(crate) const SERIES_BYTES: usize = size_of::<SelectedSeries>() + 32;
/// Most values of one batch.
const VALUES_MAX: usize = 1 << 22;
/// Most bytes of samples that are read at a time; a large part of a small budget is less.
const CHUNK_BYTES_MAX: usize = 64 << 20;
const CHUNK_BYTES_MIN: usize = 1 << 20;
/// Up to so many bytes, what a chunk can hold is reserved without asking how much there is.
const UNASKED_BYTES: usize = 8 << 20;
/// How many floats are as much work as a histogram.
const HISTOGRAM_WEIGHT: usize = 16;
/// A sample while it is read: value, and timestamp where series do not share them.
const SAMPLE_BYTES: usize = 16;
/// Most bytes of window states in one batch, by what a state takes at most: columns of a batch end at 2 GiB.
const STATES_BYTES_MAX: usize = 1 << 30;

/// A selection and how it is split.
#[derive(Clone)]
pub(crate) struct Leaf {
    /// The series.
    pub selection: Arc<dyn Selection>,
    /// Series per read.
    pub chunk: usize,
    /// Partitions.
    pub partitions: usize,
    /// Steps that will be made of it.
    pub steps: usize,
    /// Whether only count and sum of histograms will be looked at.
    pub stats_only: bool,
    /// Bytes that the samples of one series take while they are read, as far as known.
    series_bytes: usize,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series", self.selection.series().len())
    }
}

impl Leaf {
    /// Splits a selection of samples in `range` for `steps` steps over at most `partitions_max` partitions, in
    /// chunks that fit into `memory_max` bytes.
    pub(crate) fn new(
        selection: Arc<dyn Selection>,
        steps: usize,
        range: TimeRange,
        partitions_max: usize,
        memory_max: usize,
        stats_only: bool,
    ) -> Self {
        // a batch holds a few million values at most
        let most = (VALUES_MAX / steps.max(1)).max(1);
        let chunk = if steps <= 32 { 1024 } else { 256 }.min(most);
        let series_bytes = series_bytes(&*selection, range, chunk);
        let chunk_bytes = (memory_max / 16).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let chunk = chunk.min(chunk_bytes / series_bytes.max(1)).max(1);
        let partitions = selection.series().len().div_ceil(chunk).clamp(1, partitions_max.max(1));
        Leaf { selection, chunk, partitions, steps, stats_only, series_bytes }
    }

    /// The chunks of one partition.
    fn ranges(&self, partition: usize) -> Vec<Range<usize>> {
        let count = self.selection.series().len();
        let per_partition = count.div_ceil(self.partitions);
        let from = (partition * per_partition).min(count);
        let to = (from + per_partition).min(count);
        (from..to).step_by(self.chunk).map(|start| start..(start + self.chunk).min(to)).collect()
    }

    /// The same for states that take about `bytes` each, in chunks whose states fit into one batch.
    pub(crate) fn for_states(self, bytes: usize) -> Self {
        let most = STATES_BYTES_MAX / bytes.max(1) / self.steps.max(1);
        Leaf { chunk: self.chunk.min(most).max(1), ..self }
    }

    /// Reads another selection, in one partition.
    pub(crate) fn of(self, selection: Arc<dyn Selection>) -> Self {
        Leaf { selection, partitions: 1, ..self }
    }

    /// Reads a partition chunk by chunk and makes a batch of each.
    pub(crate) fn stream<M, F>(self, inputs: Inputs, partition: usize, work: F) -> BatchStream
    where
        M: Made,
        F: Fn(&Leaf, Range<usize>, &SampleBatch) -> Result<M, QueryError> + Send + Sync + 'static,
    {
        let ranges = self.ranges(partition);
        let shared = Arc::new((self, inputs, work));
        stream::iter(ranges)
            .then(move |range| {
                let shared = Arc::clone(&shared);
                async move {
                    let (leaf, inputs, _) = &*shared;
                    let made = inputs.query.reserve(range.len() * leaf.steps * size_of::<f64>())?;
                    let worker = Arc::clone(&shared);
                    let work = move |range: Range<usize>, samples: SampleBatch, memory: MemoryReservation| {
                        let (leaf, inputs, work) = &*worker;
                        let batch = work(leaf, range, &samples)?;
                        made.try_resize(batch.bytes()).map_err(from_plan_error)?;
                        // the samples go before their memory is given back
                        drop((samples, memory));
                        batch.encode_holding(made, inputs)
                    };
                    leaf.chunk(inputs, range, work).await
                }
            })
            .boxed()
    }

    /// Reads a partition chunk by chunk and hands each over.
    pub(crate) async fn fold<F>(self, inputs: Inputs, partition: usize, work: F) -> Result<(), QueryError>
    where
        F: Fn(&Leaf, Range<usize>, &SampleBatch) -> Result<(), QueryError> + Send + Sync + 'static,
    {
        let ranges = self.ranges(partition);
        let shared = Arc::new((self, work));
        for range in ranges {
            let worker = Arc::clone(&shared);
            let work = move |range: Range<usize>, samples: SampleBatch, memory: MemoryReservation| {
                let (leaf, work) = &*worker;
                work(leaf, range, &samples)?;
                drop((samples, memory));
                Ok(())
            };
            shared.0.chunk(&inputs, range, work).await?;
        }
        Ok(())
    }

    /// Reads a chunk and works on it; `work` gets the memory that the samples hold.
    async fn chunk<T, F>(&self, inputs: &Inputs, range: Range<usize>, work: F) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: FnOnce(Range<usize>, SampleBatch, MemoryReservation) -> Result<T, QueryError> + Send + 'static,
    {
        let query = Arc::clone(&inputs.query);
        query.check_deadline()?;
        let memory = query.reserve(self.series_bytes * range.len())?;
        let mut samples = self.selection.read(range.clone()).await?;
        memory.try_resize(samples.bytes()).map_err(from_plan_error)?;
        if self.stats_only && !samples.histograms.is_empty() {
            strip_buckets(&mut samples);
        }
        let count = samples.values.len() + samples.histograms.len();
        query.samples.hold(count)?;
        inputs.note_read(count, samples.bytes());
        let weight =
            samples.values.len() + HISTOGRAM_WEIGHT * samples.histograms.len() + range.len() * self.steps;
        let done = compute(&query, weight, move || work(range, samples, memory)).await;
        query.samples.release(count);
        // lets timers and cancellation in between chunks
        tokio::task::yield_now().await;
        done
    }
}

/// What is made of a chunk.
pub(crate) trait Made: Send + 'static {
    /// Bytes held, roughly.
    fn bytes(&self) -> usize;

    /// As it travels, with the memory that was reserved for it.
    fn encode_holding(self, memory: MemoryReservation, inputs: &Inputs) -> Result<RecordBatch, QueryError>;
}

impl Made for SeriesBatch {
    fn bytes(&self) -> usize {
        SeriesBatch::bytes(self)
    }

    fn encode_holding(self, memory: MemoryReservation, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        SeriesBatch::encode_holding(self, memory, &inputs.schema, &inputs.query)
    }
}

/// Bytes that a selection's list of series takes.
pub(crate) fn selection_bytes(selection: &dyn Selection) -> usize {
    let labels: usize = selection.series().iter().map(|s| s.labels.as_bytes().len()).sum();
    labels + selection.series().len() * SERIES_BYTES
}

/// Bytes that the samples of one series take while they are read. A short range holds so little that asking would
/// cost more than it tells.
fn series_bytes(selection: &dyn Selection, range: TimeRange, chunk: usize) -> usize {
    let count = selection.series().len();
    let span = usize::try_from(range.end.saturating_sub(range.start).max(0)).unwrap_or(usize::MAX);
    // hardly anything is scraped more often than once a second
    let most = (span / 1000).saturating_add(1).saturating_mul(SAMPLE_BYTES);
    if most.saturating_mul(chunk.min(count)) <= UNASKED_BYTES {
        return most;
    }
    selection.bytes_estimate().map_or(0, |bytes| bytes.div_ceil(count.max(1)))
}

/// Leaves count and sum of histograms. What the buckets say of resets goes into the hints first.
fn strip_buckets(samples: &mut SampleBatch) {
    for series in &samples.series {
        let points = &mut samples.histograms[series.histograms.clone()];
        let mut previous: Option<Arc<FloatHistogram>> = None;
        for point in points {
            if point.h.is_stale() {
                continue;
            }
            let hint = match (point.h.counter_reset_hint, &previous) {
                (CounterResetHint::Unknown, Some(previous)) => {
                    if detect_reset(&point.h, previous) {
                        CounterResetHint::Reset
                    } else {
                        CounterResetHint::NotReset
                    }
                }
                (hint, _) => hint,
            };
            let stats = FloatHistogram {
                counter_reset_hint: hint,
                schema: point.h.schema,
                zero_threshold: 0.0,
                zero_count: 0.0,
                count: point.h.count,
                sum: point.h.sum,
                positive_spans: Vec::new(),
                negative_spans: Vec::new(),
                positive_buckets: Vec::new(),
                negative_buckets: Vec::new(),
                custom_values: Arc::from([]),
            };
            previous = Some(std::mem::replace(&mut point.h, Arc::new(stats)));
        }
    }
}
