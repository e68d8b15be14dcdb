//! A window function over a selector: `rate(x[5m])`.

use std::ops::Range;
use std::sync::Arc;

use model::SampleBatch;

use proto::Selection;

use super::batch::{BatchBuilder, SeriesBatch};
use super::context::QueryContext;
use super::leaf::Leaf;
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use super::window_rows::{Row, WindowRows, WindowSpec};
use crate::engine::QueryError;

/// The operator. Its children are what the scalar arguments need.
#[derive(Debug, Clone)]
pub(crate) struct RangeSelect {
    pub leaf: Leaf,
    pub spec: WindowSpec,
    pub params: Vec<ScalarExpr>,
}

impl Operator for RangeSelect {
    fn name(&self) -> &'static str {
        "RangeSelect"
    }

    fn detail(&self) -> String {
        format!("{:?} over {} ms, {:?}", self.spec.function, self.spec.range, self.leaf)
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

impl RangeSelect {
    fn batch(
        &self,
        query: &QueryContext,
        leaf: &Leaf,
        range: Range<usize>,
        samples: &SampleBatch,
        params: &[Vec<f64>],
    ) -> Result<SeriesBatch, QueryError> {
        let mut out = BatchBuilder::new(self.spec.grid.steps, range.len());
        let mut rows = WindowRows::new(&self.spec, query, params, true);
        for (i, series) in range.enumerate() {
            query.check_abandoned()?;
            let labels = leaf.selection.series()[series].labels.as_bytes();
            rows.push(&Row::of(samples, i, labels), &mut out)?;
        }
        Ok(out.finish())
    }
}
