//! Reading a selection: in chunks, split over partitions by ranges of series.

use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use model::{CounterResetHint, FloatHistogram, SampleBatch};
use proto::Selection;

use super::batch::SeriesBatch;
use super::operator::{BatchStream, Inputs, compute};
use crate::engine::QueryError;
use crate::histogram::detect_reset;

/// Most values of one batch.
const VALUES_MAX: usize = 1 << 22;

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
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series", self.selection.series().len())
    }
}

impl Leaf {
    /// Splits a selection for `steps` steps over at most `partitions_max` partitions.
    pub(crate) fn new(
        selection: Arc<dyn Selection>,
        steps: usize,
        partitions_max: usize,
        stats_only: bool,
    ) -> Self {
        // a batch holds a few million values at most
        let most = (VALUES_MAX / steps.max(1)).max(1);
        let chunk = if steps <= 32 { 1024 } else { 256 }.min(most);
        let partitions = selection.series().len().div_ceil(chunk).clamp(1, partitions_max.max(1));
        Leaf { selection, chunk, partitions, steps, stats_only }
    }

    /// The chunks of one partition.
    fn ranges(&self, partition: usize) -> Vec<Range<usize>> {
        let count = self.selection.series().len();
        let per_partition = count.div_ceil(self.partitions);
        let from = (partition * per_partition).min(count);
        let to = (from + per_partition).min(count);
        (from..to).step_by(self.chunk).map(|start| start..(start + self.chunk).min(to)).collect()
    }

    /// Reads a partition chunk by chunk and makes a batch of each.
    pub(crate) fn stream<F>(self, inputs: Inputs, partition: usize, work: F) -> BatchStream
    where
        F: Fn(&Leaf, Range<usize>, &SampleBatch) -> Result<SeriesBatch, QueryError> + Send + Sync + 'static,
    {
        let ranges = self.ranges(partition);
        let shared = Arc::new((self, inputs, work));
        stream::iter(ranges)
            .then(move |range| {
                let shared = Arc::clone(&shared);
                async move {
                    let (leaf, inputs, _) = &*shared;
                    let query = Arc::clone(&inputs.query);
                    query.check_deadline()?;
                    let mut samples = leaf.selection.read(range.clone()).await?;
                    if leaf.stats_only && !samples.histograms.is_empty() {
                        strip_buckets(&mut samples);
                    }
                    let count = samples.values.len() + samples.histograms.len();
                    query.samples.hold(count)?;
                    let weight = samples.values.len() + range.len() * leaf.steps;
                    let worker = Arc::clone(&shared);
                    let encoded = compute(&query, weight, move || {
                        let (leaf, inputs, work) = &*worker;
                        inputs.encode(work(leaf, range, &samples)?)
                    })
                    .await;
                    query.samples.release(count);
                    // lets timers and cancellation in between chunks
                    tokio::task::yield_now().await;
                    encoded
                }
            })
            .boxed()
    }
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
