//! Reading a selection: in chunks, split over partitions by ranges of series.

use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use model::SampleBatch;
use proto::Selection;

use super::batch::SeriesBatch;
use super::operator::{BatchStream, Inputs};
use crate::engine::QueryError;

/// A selection and how it is split.
#[derive(Clone)]
pub(crate) struct Leaf {
    /// The series.
    pub selection: Arc<dyn Selection>,
    /// Series per read.
    pub chunk: usize,
    /// Partitions.
    pub partitions: usize,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series", self.selection.series().len())
    }
}

impl Leaf {
    /// Splits a selection for `steps` steps over at most `partitions_max` partitions.
    pub(crate) fn new(selection: Arc<dyn Selection>, steps: usize, partitions_max: usize) -> Self {
        let chunk = if steps <= 32 { 1024 } else { 256 };
        let partitions = selection.series().len().div_ceil(chunk).clamp(1, partitions_max.max(1));
        Leaf { selection, chunk, partitions }
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
                    let (leaf, inputs, work) = &*shared;
                    let samples = leaf.selection.read(range.clone()).await?;
                    let count = samples.values.len() + samples.histograms.len();
                    inputs.query.samples.hold(count)?;
                    let batch = work(leaf, range, &samples);
                    inputs.query.samples.release(count);
                    let encoded = inputs.encode(batch?);
                    // lets timers and cancellation in between chunks
                    tokio::task::yield_now().await;
                    encoded
                }
            })
            .boxed()
    }
}
