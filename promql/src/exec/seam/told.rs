//! What another process told of the windows of all its series, until they are merged.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use datafusion_execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use hashbrown::HashMap;
use model::{Labels, SeriesId};
use proto::{LabelsWanted, SelectedSeries};

use super::super::operator::{Inputs, from_plan_error};
use super::wire;
use crate::engine::QueryError;
use crate::functions::{Family, WindowState};

/// Rows of window states, by series. Holds the memory they take.
pub(super) struct Told {
    batches: Vec<RecordBatch>,
    /// Batch and row of each series.
    rows: HashMap<SeriesId, (usize, usize)>,
    _memory: MemoryReservation,
}

impl Told {
    /// All that a child gives; the series go to `found`, with the labels that are wanted.
    pub(super) async fn collect(
        inputs: &Inputs,
        child: usize,
        wanted: &LabelsWanted,
        found: &mut Vec<SelectedSeries>,
    ) -> Result<Self, QueryError> {
        let memory = inputs.query.reserve(0)?;
        let mut told = Told { batches: Vec::new(), rows: HashMap::new(), _memory: memory };
        let mut stream = inputs.batches(child, 0);
        while let Some(batch) = stream.try_next().await? {
            let row_bytes = size_of::<(SeriesId, (usize, usize))>() + size_of::<SelectedSeries>();
            let bytes = batch.get_array_memory_size() + batch.num_rows() * row_bytes;
            told._memory.try_grow(bytes).map_err(from_plan_error)?;
            let (labels, _) = wire::columns(&batch);
            for row in 0..labels.len() {
                let all = Labels::from_canonical(labels.value(row))
                    .map_err(|error| QueryError::Internal(format!("a node told of a series: {error}")))?;
                let id = all.series_id();
                if told.rows.insert(id, (told.batches.len(), row)).is_some() {
                    return Err(QueryError::Internal(format!("a node told of series {all} twice")));
                }
                let labels = match wanted {
                    LabelsWanted::All => all,
                    some => all.filter(|name| some.wants(name)),
                };
                found.push(SelectedSeries { id, labels });
            }
            told.batches.push(batch);
        }
        Ok(told)
    }

    /// Joins the states of a series to those of the time before.
    pub(super) fn join(
        &self,
        family: Family,
        series: SeriesId,
        states: &mut [Option<WindowState>],
    ) -> Result<(), QueryError> {
        let Some((batch, row)) = self.rows.get(&series) else { return Ok(()) };
        let (_, bytes) = wire::columns(&self.batches[*batch]);
        wire::get_states(family, bytes.value(*row), states)
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("series", &self.rows.len()).finish_non_exhaustive()
    }
}

/// Several, for the pieces of work that share them.
pub(super) type AllTold = Arc<[Told]>;
