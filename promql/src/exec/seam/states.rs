//! What a place tells another process of windows that reach over a seam: their states over its part of the time.

use std::ops::Range;
use std::sync::Arc;

use model::{SampleBatch, TimeRange};
use proto::Selection;

use super::super::context::QueryContext;
use super::super::leaf::Leaf;
use super::super::operator::{BatchStream, Inputs, Operator};
use super::super::window_rows::{Row, WindowRows, WindowSpec};
use super::wire::StateRows;
use crate::engine::QueryError;
use crate::functions::Family;

/// The operator; its batches have the shape of `window_states_schema`.
#[derive(Debug, Clone)]
pub(crate) struct WindowStates {
    pub leaf: Leaf,
    pub part: TimeRange,
    pub family: Family,
    pub spec: WindowSpec,
}

impl Operator for WindowStates {
    fn name(&self) -> &'static str {
        "WindowStates"
    }

    fn detail(&self) -> String {
        let WindowSpec { function, range, .. } = self.spec;
        let TimeRange { start, end } = self.part;
        format!("{function:?} over {range} ms, states of samples from {start} to {end}, {:?}", self.leaf)
    }

    fn selection(&self) -> Option<&Arc<dyn Selection>> {
        Some(&self.leaf.selection)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        let leaf = self.leaf.clone();
        let query = Arc::clone(&inputs.query);
        leaf.stream(inputs, partition, move |leaf, range, samples| self.rows(&query, leaf, range, samples))
    }
}

impl WindowStates {
    fn rows(
        &self,
        query: &QueryContext,
        leaf: &Leaf,
        range: Range<usize>,
        samples: &SampleBatch,
    ) -> Result<StateRows, QueryError> {
        let mut out = StateRows::default();
        let mut rows = WindowRows::new(&self.spec, query, &[], true);
        let mut states = vec![None; self.spec.grid.steps];
        for (i, series) in range.enumerate() {
            let labels = leaf.selection.series()[series].labels.as_bytes();
            rows.add_part(self.family, &Row::of(samples, i, labels), self.part, &mut states)?;
            out.push(labels, &states);
            states.fill(None);
        }
        Ok(out)
    }
}
