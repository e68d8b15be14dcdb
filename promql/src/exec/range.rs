//! A window function over a selector: `rate(x[5m])`.

use std::ops::Range;
use std::sync::Arc;

use futures::FutureExt;
use model::SampleBatch;
use proto::Selection;

use super::batch::{BatchBuilder, SeriesBatch};
use super::context::QueryContext;
use super::leaf::Leaf;
use super::operator::{BatchStream, Folding, Inputs, Operator, SharedSink, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use super::window_rows::{Row, RowSink, WindowRows, WindowSpec};
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

    fn fold(self: Arc<Self>, inputs: Inputs, partition: usize, sink: SharedSink) -> Option<Folding> {
        let folding = async move {
            let params = evaluate_all(&self.params, self.spec.grid, &inputs, 0).await?;
            let leaf = self.leaf.clone();
            let query = Arc::clone(&inputs.query);
            leaf.fold(inputs, partition, move |leaf, range, samples| {
                let mut sink = sink.lock();
                let labels = leaf.selection.series()[range.clone()].iter().map(|s| s.labels.as_bytes().len());
                sink.expect(range.len(), labels.sum())?;
                self.each(&query, leaf, range, samples, &params, Target::Sink(&mut *sink))?;
                sink.settle()
            })
            .await
        };
        Some(folding.boxed())
    }
}

/// Where rows go.
enum Target<'a> {
    Batch(&'a mut BatchBuilder),
    Sink(&'a mut dyn RowSink),
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
        self.each(query, leaf, range, samples, params, Target::Batch(&mut out))?;
        Ok(out.finish())
    }

    fn each(
        &self,
        query: &QueryContext,
        leaf: &Leaf,
        range: Range<usize>,
        samples: &SampleBatch,
        params: &[Vec<f64>],
        mut into: Target<'_>,
    ) -> Result<(), QueryError> {
        let mut rows = WindowRows::new(&self.spec, query, params, true);
        let mut line = BatchBuilder::new(self.spec.grid.steps, 1);
        line.push_empty(&[], false);
        for (i, series) in range.enumerate() {
            query.check_abandoned()?;
            let labels = leaf.selection.series()[series].labels.as_bytes();
            let row = Row::of(samples, i, labels);
            match &mut into {
                Target::Batch(out) => rows.push(&row, out)?,
                Target::Sink(sink) => rows.fold(&row, &mut line, *sink)?,
            }
        }
        Ok(())
    }
}
