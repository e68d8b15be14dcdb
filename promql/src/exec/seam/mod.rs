//! Windows that reach over a seam: each place tells the states of its part of the time, they merge here.
//!
//! Always: the parts of time are disjoint and every place holds all samples of its part, so that no sample counts
//! twice and none is missing.

mod selection;

use std::ops::Range;
use std::sync::Arc;

use model::{SampleBatch, TimeRange};
use proto::Selection;

pub(crate) use selection::SeamSelection;

use super::batch::{BatchBuilder, SeriesBatch};
use super::context::QueryContext;
use super::leaf::Leaf;
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use super::window_rows::{Row, RowStates, WindowRows, WindowSpec};
use crate::engine::QueryError;
use crate::functions::Family;

/// A place and its part of the time.
#[derive(Debug, Clone)]
pub(crate) struct SeamSide {
    /// As plans show it.
    pub name: String,
    /// What it tells of.
    pub part: TimeRange,
}

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct SeamWindows {
    /// Reads a `SeamSelection` of the sides.
    pub leaf: Leaf,
    /// In order of time.
    pub sides: Vec<SeamSide>,
    pub family: Family,
    pub spec: WindowSpec,
    pub params: Vec<ScalarExpr>,
}

impl Operator for SeamWindows {
    fn name(&self) -> &'static str {
        "SeamWindows"
    }

    fn detail(&self) -> String {
        let sides: Vec<&str> = self.sides.iter().map(|side| side.name.as_str()).collect();
        let (function, range) = (self.spec.function, self.spec.range);
        format!("{function:?} over {range} ms from states of {}, {:?}", sides.join(" and "), self.leaf)
    }

    fn selection(&self) -> Option<&Arc<dyn Selection>> {
        Some(&self.leaf.selection)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        deferred(async move {
            let params = evaluate_all(&self.params, self.spec.grid, &inputs, 0).await?;
            let leaf = self.leaf.clone();
            let query = Arc::clone(&inputs.query);
            Ok(leaf.stream(inputs, partition, move |leaf, range, samples| {
                self.batch(&query, leaf, range, samples, &params)
            }))
        })
    }
}

impl SeamWindows {
    fn batch(
        &self,
        query: &QueryContext,
        leaf: &Leaf,
        range: Range<usize>,
        samples: &SampleBatch,
        params: &[Vec<f64>],
    ) -> Result<SeriesBatch, QueryError> {
        let (steps, width) = (self.spec.grid.steps, self.sides.len());
        let mut out = BatchBuilder::new(steps, range.len());
        let mut rows = WindowRows::new(&self.spec, query, params, true);
        let mut states: RowStates = vec![None; steps];
        for (i, series) in range.enumerate() {
            let labels = leaf.selection.series()[series].labels.as_bytes();
            for (place, side) in self.sides.iter().enumerate() {
                let row = Row::of(samples, i * width + place, labels);
                rows.add_part(self.family, &row, side.part, &mut states)?;
            }
            rows.push_states(labels, &states, &mut out);
            states.fill(None);
        }
        Ok(out.finish())
    }
}
