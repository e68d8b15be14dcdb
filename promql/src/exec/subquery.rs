//! A window function over a subquery: `max_over_time(rate(x[5m])[1h:1m])`.

use std::sync::Arc;

use futures::StreamExt;
use model::CounterResetHint;

use super::batch::{BatchBuilder, SeriesBatch, is_absent};
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use super::window_rows::{Row, WindowRows, WindowSpec, histogram_points};
use crate::engine::QueryError;

/// The operator: child 0 is the inner query, the others are what scalar arguments need.
#[derive(Debug, Clone)]
pub(crate) struct SubqueryWindow {
    pub spec: WindowSpec,
    /// The points the inner query is evaluated at.
    pub inner: Grid,
    pub params: Vec<ScalarExpr>,
}

impl Operator for SubqueryWindow {
    fn name(&self) -> &'static str {
        "SubqueryWindow"
    }

    fn detail(&self) -> String {
        format!("{:?} over {} ms, step {} ms", self.spec.function, self.spec.range, self.inner.step)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        deferred(async move {
            let params = evaluate_all(&self.params, self.spec.grid, &inputs, 1).await?;
            let times: Vec<i64> = (0..self.inner.steps).map(|i| self.inner.at(i)).collect();
            let batches = inputs.series(0, partition);
            Ok(batches
                .map(move |batch| inputs.encode(self.batch(&batch?, &times, &inputs, &params)?))
                .boxed())
        })
    }
}

impl SubqueryWindow {
    fn batch(
        &self,
        batch: &SeriesBatch,
        times: &[i64],
        inputs: &Inputs,
        params: &[Vec<f64>],
    ) -> Result<SeriesBatch, QueryError> {
        let mut out = BatchBuilder::new(self.spec.grid.steps, batch.rows());
        let mut rows = WindowRows::new(&self.spec, &inputs.query, params);
        let (mut ts, mut vs) = (Vec::new(), Vec::new());
        for i in 0..batch.rows() {
            let floats = batch.row(i);
            let mut histograms =
                batch.histogram_row(i).map_or_else(Vec::new, |slots| histogram_points(slots, self.inner));
            for point in &mut histograms {
                // what the hint says of the sample before need not hold for the step before
                let hint = point.h.counter_reset_hint;
                if matches!(hint, CounterResetHint::Reset | CounterResetHint::NotReset) {
                    Arc::make_mut(&mut point.h).counter_reset_hint = CounterResetHint::Unknown;
                }
            }
            let whole = !floats.iter().any(|v| is_absent(*v));
            if !whole {
                ts.clear();
                vs.clear();
                for (t, v) in times.iter().zip(floats) {
                    if !is_absent(*v) {
                        ts.push(*t);
                        vs.push(*v);
                    }
                }
            }
            let row = Row {
                labels: batch.labels.value(i),
                drop_name: batch.drop_name.value(i),
                key: whole.then_some((0, 0, times.len())),
                ts: if whole { times } else { &ts },
                vs: if whole { floats } else { &vs },
                histograms: &histograms,
                starts: None,
            };
            rows.push(&row, &mut out)?;
        }
        Ok(out.finish())
    }
}
