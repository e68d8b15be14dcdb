//! `label_replace`, `label_join`: new labels, same samples.

use std::sync::Arc;

use futures::StreamExt;
use model::{Labels, LabelsBuilder, METRIC_NAME, Replacer};

use super::batch::{LabelsColumn, SeriesBatch};
use super::label_bytes;
use super::operator::{BatchStream, Inputs, Operator};
use arrow::array::BooleanArray;

/// How the label is made.
#[derive(Debug, Clone)]
pub(crate) enum RelabelKind {
    /// From what a regular expression finds in another label.
    Replace { source: String, replacer: Replacer, replacement: String },
    /// From several labels.
    Join { separator: String, sources: Vec<String> },
}

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct Relabel {
    pub target: String,
    pub kind: RelabelKind,
}

impl Operator for Relabel {
    fn name(&self) -> &'static str {
        "Relabel"
    }

    fn detail(&self) -> String {
        self.target.clone()
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        let batches = inputs.series(0, partition);
        batches.map(move |batch| inputs.encode(self.relabel(batch?))).boxed()
    }
}

impl Relabel {
    fn relabel(&self, batch: SeriesBatch) -> SeriesBatch {
        let mut labels = LabelsColumn::with_capacity(batch.rows());
        let mut drop_name = Vec::with_capacity(batch.rows());
        for i in 0..batch.rows() {
            let bytes = batch.labels.value(i);
            let mut drop = batch.drop_name.value(i);
            let value = match &self.kind {
                RelabelKind::Replace { source, replacer, replacement } => {
                    replacer.replace(label_bytes::get(bytes, source), replacement)
                }
                RelabelKind::Join { separator, sources } => {
                    let values: Vec<&str> = sources.iter().map(|s| label_bytes::get(bytes, s)).collect();
                    Some(values.join(separator))
                }
            };
            match value {
                None => labels.push(bytes),
                Some(value) => {
                    let mut builder = LabelsBuilder::from_labels(&Labels::from_trusted(bytes));
                    builder.set(&self.target, &value);
                    labels.push(builder.build().as_bytes());
                    if self.target == METRIC_NAME {
                        drop = false;
                    }
                }
            }
            drop_name.push(drop);
        }
        SeriesBatch { labels: labels.finish(), drop_name: BooleanArray::from(drop_name), ..batch }
    }
}
