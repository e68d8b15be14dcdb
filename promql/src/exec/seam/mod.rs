//! Windows that reach over a seam: each place tells the states of its part of the time, they merge here.
//!
//! Always: the parts of time are disjoint and every place holds all samples of its part, so that no sample counts
//! twice and none is missing.

mod selection;
mod states;
mod told;
mod wire;

use std::ops::Range;
use std::sync::Arc;

use model::{SampleBatch, TimeRange};
use proto::{LabelsWanted, Selection};

pub(crate) use selection::SeamSelection;
pub(crate) use states::WindowStates;
pub(crate) use wire::{window_states_from_wire, window_states_schema};

use super::batch::{BatchBuilder, SeriesBatch};
use super::context::QueryContext;
use super::leaf::{Leaf, selection_bytes};
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use super::window_rows::{Row, RowStates, WindowRows, WindowSpec};
use crate::engine::QueryError;
use crate::functions::Family;
use told::{AllTold, Told};

/// A place and its part of the time.
#[derive(Debug, Clone)]
pub(crate) struct SeamSide {
    /// As plans show it.
    pub name: String,
    /// What it tells of.
    pub part: TimeRange,
    /// Whether it is another process, which tells states.
    pub is_elsewhere: bool,
}

/// The operator. Its children are the sides that lie elsewhere, in order of time; then what the scalar arguments
/// need.
#[derive(Debug, Clone)]
pub(crate) struct SeamWindows {
    /// Reads `selection`; one partition when some sides lie elsewhere.
    pub leaf: Leaf,
    /// Of the sides that lie here, in order of time.
    pub selection: Arc<SeamSelection>,
    /// Of the series.
    pub labels: LabelsWanted,
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
            let (mut told, mut found) = (Vec::new(), Vec::new());
            for child in 0..self.sides.iter().filter(|side| side.is_elsewhere).count() {
                told.push(Told::collect(&inputs, child, &self.labels, &mut found).await?);
            }
            let params = evaluate_all(&self.params, self.spec.grid, &inputs, told.len()).await?;
            let query = Arc::clone(&inputs.query);
            let mut leaf = self.leaf.clone();
            if !told.is_empty() {
                let selection: Arc<dyn Selection> = Arc::new(self.selection.with(found));
                query.keep(selection_bytes(&*selection))?;
                leaf = leaf.of(selection);
            }
            let told: AllTold = Arc::from(told);
            Ok(leaf.stream(inputs, partition, move |leaf, range, samples| {
                self.batch(&query, leaf, range, samples, &told, &params)
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
        told: &[Told],
        params: &[Vec<f64>],
    ) -> Result<SeriesBatch, QueryError> {
        let steps = self.spec.grid.steps;
        let width = self.sides.len() - told.len();
        let mut out = BatchBuilder::new(steps, range.len());
        let mut rows = WindowRows::new(&self.spec, query, params, true);
        let mut states: RowStates = vec![None; steps];
        for (i, number) in range.enumerate() {
            let series = &leaf.selection.series()[number];
            let labels = series.labels.as_bytes();
            let (mut here, mut elsewhere) = (i * width..(i + 1) * width, told.iter());
            for side in &self.sides {
                if !side.is_elsewhere {
                    let entry = here.next().unwrap_or_default();
                    rows.add_part(self.family, &Row::of(samples, entry, labels), side.part, &mut states)?;
                } else if let Some(told) = elsewhere.next() {
                    told.join(self.family, series.id, &mut states)?;
                }
            }
            rows.push_states(labels, &states, &mut out);
            states.fill(None);
        }
        Ok(out.finish())
    }
}
