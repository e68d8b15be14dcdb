//! All partitions of an input as one, in their order; they run side by side.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::operator::{BatchStream, Inputs, Operator};
use crate::engine::QueryError;

/// Batches a partition may be ahead.
const AHEAD: usize = 64;

/// The operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather;

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        gathered(&inputs, 0)
    }
}

/// All partitions of a child, in order; each beyond the first runs in a task of its own.
pub(crate) fn gathered(inputs: &Inputs, child: usize) -> BatchStream {
    let partitions = inputs.partitions(child);
    if partitions == 1 {
        return inputs.batches(child, 0);
    }
    let mut streams = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let mut batches = inputs.batches(child, partition);
        let (sender, receiver) = mpsc::channel::<Result<RecordBatch, QueryError>>(AHEAD);
        let task = inputs.query.runtime.spawn("promql-partition", async move {
            while let Some(batch) = batches.next().await {
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        // dropping the stream drops the task, which ends the partition's work
        streams.push(stream::unfold((receiver, task), |(mut receiver, task)| async move {
            receiver.recv().await.map(|batch| (batch, (receiver, task)))
        }));
    }
    stream::iter(streams).flatten().boxed()
}
