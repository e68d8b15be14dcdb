//! Where a part of a fragment is evaluated, and which of the query's steps it answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::UInt32Type;
use futures::StreamExt;

use super::aggregate::HistogramStates;
use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, list_column, list_values};
use super::operator::{BatchStream, Inputs, Operator};
use crate::engine::QueryError;

/// The operator: what its child gives for some steps, as rows of all steps.
#[derive(Debug, Clone)]
pub(crate) struct AtPlace {
    pub name: String,
    /// The first step it answers.
    pub from: usize,
    /// How many it answers.
    pub steps: usize,
    /// How many there are.
    pub total: usize,
    /// Whether the child gives states of an aggregation.
    pub states: bool,
}

impl Operator for AtPlace {
    fn name(&self) -> &'static str {
        "AtPlace"
    }

    fn detail(&self) -> String {
        let what = if self.states { "states" } else { "rows" };
        if self.steps == self.total {
            return format!("{}, {what}", self.name);
        }
        format!("{}, {what}, steps {}..{} of {}", self.name, self.from, self.from + self.steps, self.total)
    }

    fn place(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        if self.steps == self.total {
            return inputs.batches(0, partition);
        }
        if self.states {
            let batches = inputs.batches(0, partition);
            return batches.map(move |batch| self.spread_states(&batch?, &inputs)).boxed();
        }
        let batches = inputs.series(0, partition);
        batches.map(move |batch| inputs.encode(self.spread(&batch?))).boxed()
    }
}

impl AtPlace {
    fn spread(&self, batch: &SeriesBatch) -> SeriesBatch {
        let mut out = BatchBuilder::new(self.total, batch.rows());
        let range = self.from..self.from + self.steps;
        for i in 0..batch.rows() {
            out.push_empty(batch.labels.value(i), batch.drop_name.value(i));
            out.floats()[range.clone()].copy_from_slice(batch.row(i));
            let slots: &[HistogramSlot] = batch.histogram_row(i).unwrap_or(&[]);
            for (step, histogram) in slots.iter().enumerate() {
                if let Some(histogram) = histogram {
                    out.set_histogram(self.from + step, Arc::clone(histogram));
                }
            }
        }
        out.finish()
    }

    fn spread_states(&self, batch: &RecordBatch, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        let rows = batch.num_rows();
        let spread = |column: usize| -> Result<ArrayRef, QueryError> {
            let values = list_values(batch, column);
            let mut all = vec![ABSENT; rows * self.total];
            for i in 0..rows {
                let to = i * self.total + self.from;
                all[to..to + self.steps].copy_from_slice(&values[i * self.steps..(i + 1) * self.steps]);
            }
            list_column(ScalarBuffer::from(all), self.total)
        };
        let handles = batch.column(5).as_primitive::<UInt32Type>();
        let handles = if handles.is_empty() || handles.is_null(0) {
            UInt32Array::new_null(rows)
        } else {
            let mut moved = HistogramStates::default();
            for ((row, step), state) in inputs.query.take_states(handles.value(0)).states {
                moved.states.insert((row, step + self.from), state);
            }
            UInt32Array::from(vec![inputs.query.put_states(moved); rows])
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(batch.column(0)),
            Arc::clone(batch.column(1)),
            spread(2)?,
            spread(3)?,
            spread(4)?,
            Arc::new(handles),
        ];
        RecordBatch::try_new(Arc::clone(&inputs.schema), columns)
            .map_err(|e| QueryError::Internal(e.to_string()))
    }
}
