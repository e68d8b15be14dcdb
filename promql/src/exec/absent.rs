//! `absent` and `absent_over_time`: one series where there is none.

use std::sync::Arc;

use futures::StreamExt;

use super::batch::{ABSENT, BatchBuilder, is_absent};
use super::gather::gathered;
use super::operator::{BatchStream, Inputs, Operator, once};
use crate::exec::batch::SeriesBatch;

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct Absent {
    /// Labels of the answer.
    pub labels: Vec<u8>,
    pub steps: usize,
    pub drop_name: bool,
}

impl Operator for Absent {
    fn name(&self) -> &'static str {
        "Absent"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let mut values = vec![1.0; self.steps];
            let mut batches = gathered(&inputs, 0);
            while let Some(batch) = batches.next().await {
                let batch = SeriesBatch::decode(&batch?, &inputs.query);
                for i in 0..batch.rows() {
                    let histograms = batch.histogram_row(i);
                    for (step, v) in batch.row(i).iter().enumerate() {
                        if !is_absent(*v) || histograms.is_some_and(|h| h[step].is_some()) {
                            values[step] = ABSENT;
                        }
                    }
                }
            }
            let mut out = BatchBuilder::new(self.steps, 1);
            if values.iter().any(|v| !is_absent(*v)) {
                out.push_row(&self.labels, self.drop_name, &values, None);
            }
            inputs.encode(out.finish())
        })
    }
}
