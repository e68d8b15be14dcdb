//! The partitions of several inputs, side by side.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::operator::{BatchStream, Inputs, Operator};

/// The operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Union;

impl Operator for Union {
    fn name(&self) -> &'static str {
        "Union"
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        let mut before = 0;
        for child in 0..inputs.child_count() {
            let count = inputs.partitions(child);
            if partition < before + count {
                return inputs.batches(child, partition - before);
            }
            before += count;
        }
        stream::empty().boxed()
    }
}
