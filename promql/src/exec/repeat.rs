//! One step's values at every step: what does not depend on the time is evaluated once.

use std::sync::Arc;

use futures::StreamExt;

use super::batch::{BatchBuilder, SeriesBatch};
use super::operator::{BatchStream, Inputs, Operator};

/// The operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeat {
    pub steps: usize,
}

impl Operator for Repeat {
    fn name(&self) -> &'static str {
        "Repeat"
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        let batches = inputs.series(0, partition);
        batches.map(move |batch| inputs.encode(repeat(&batch?, self.steps))).boxed()
    }
}

fn repeat(batch: &SeriesBatch, steps: usize) -> SeriesBatch {
    let mut out = BatchBuilder::new(steps, batch.rows());
    for i in 0..batch.rows() {
        out.push_empty(batch.labels.value(i), batch.drop_name.value(i));
        let Some(v) = batch.row(i).first() else { continue };
        out.floats().fill(*v);
        if let Some(Some(h)) = batch.histogram_row(i).and_then(<[_]>::first) {
            for step in 0..steps {
                out.set_histogram(step, Arc::clone(h));
            }
        }
    }
    out.finish()
}
