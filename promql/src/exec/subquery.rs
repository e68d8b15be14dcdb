//! A window function over a subquery: `max_over_time(rate(x[5m])[1h:1m])`.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use model::CounterResetHint;

use super::batch::{BatchBuilder, SeriesBatch, is_absent};
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, compute, deferred};
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
            let shared = Arc::new((self, inputs, times, params));
            Ok(batches
                .and_then(move |batch| {
                    let shared = Arc::clone(&shared);
                    async move {
                        let query = Arc::clone(&shared.1.query);
                        let work = shared.0.work(&batch);
                        compute(&query, work, move || {
                            let (this, inputs, times, params) = &*shared;
                            inputs.encode(this.batch(&batch, times, inputs, params)?)
                        })
                        .await
                    }
                })
                .boxed())
        })
    }
}

impl SubqueryWindow {
    /// Values that the windows over a batch hold at most.
    fn work(&self, batch: &SeriesBatch) -> usize {
        let in_window = usize::try_from(self.spec.range / self.inner.step.max(1)).unwrap_or(usize::MAX);
        let in_window = in_window.clamp(1, self.inner.steps.max(1));
        batch.values.len().max(batch.rows().saturating_mul(self.spec.grid.steps).saturating_mul(in_window))
    }

    fn batch(
        &self,
        batch: &SeriesBatch,
        times: &[i64],
        inputs: &Inputs,
        params: &[Vec<f64>],
    ) -> Result<SeriesBatch, QueryError> {
        let mut out = BatchBuilder::new(self.spec.grid.steps, batch.rows());
        let mut rows = WindowRows::new(&self.spec, &inputs.query, params, false);
        let (mut ts, mut vs) = (Vec::new(), Vec::new());
        for i in 0..batch.rows() {
            inputs.query.check_abandoned()?;
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
