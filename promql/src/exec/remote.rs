//! A fragment that another process evaluates.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use proto::{Fragment, FragmentEnd, FragmentOutput, FragmentPart, RunFragment};

use super::context::QueryContext;
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::wire;
use crate::annotations::Annotation;
use crate::engine::QueryError;

/// The operator; it has no input here.
#[derive(Clone)]
pub(crate) struct Remote {
    pub run: Arc<dyn RunFragment>,
    pub fragment: Fragment,
    /// Steps of the fragment.
    pub steps: usize,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

impl Operator for Remote {
    fn name(&self) -> &'static str {
        "Remote"
    }

    fn detail(&self) -> String {
        self.fragment.expr.clone()
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        deferred(async move {
            let parts = self.run.run(self.fragment.clone()).await?;
            let ended = stream::once(async {
                Err(QueryError::Unavailable("a node ended its answer before it was complete".to_owned()))
            });
            let parts = parts.map_err(QueryError::from).chain(ended);
            let state = (parts.boxed(), self, inputs);
            Ok(stream::try_unfold(state, |(mut parts, this, inputs)| async move {
                match parts.try_next().await? {
                    Some(FragmentPart::Batch(batch)) => {
                        let batch = this.decoded(&batch, &inputs)?;
                        Ok(Some((batch, (parts, this, inputs))))
                    }
                    Some(FragmentPart::End(end)) => {
                        take_end(end, &this.fragment, &inputs.query);
                        Ok(None)
                    }
                    None => Ok(None),
                }
            })
            .boxed())
        })
    }
}

impl Remote {
    /// A batch as operators here know it.
    fn decoded(&self, batch: &RecordBatch, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        match self.fragment.output {
            FragmentOutput::AggregationStates => {
                wire::states_from_wire(batch, self.steps, &inputs.schema, &inputs.query)
            }
            FragmentOutput::Rows => inputs.encode(wire::rows_from_wire(batch, self.steps)?),
        }
    }
}

/// Takes over what a place noted and counted. Its samples are multiplied already.
fn take_end(end: FragmentEnd, fragment: &Fragment, query: &QueryContext) {
    query.annotate_all(end.notes.into_iter().map(Annotation::from_note).collect());
    for warning in end.warnings {
        query.warn(warning);
    }
    // what it read to look at them it does not tell
    query.samples.looked_at(end.samples_total, end.samples_total, 1);
    let per_step = &end.samples_per_step;
    let (start, last, step) = fragment.grid;
    query.samples.looked_at_steps(Grid::new(start, last, step), fragment.count_times, |i| {
        let samples = per_step.get(i).copied().unwrap_or(0);
        (samples, samples)
    });
    query.read_series(end.series);
}
