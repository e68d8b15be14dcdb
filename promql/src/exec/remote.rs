//! A fragment that another process evaluates.

use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use proto::{Fragment, FragmentEnd, FragmentOutput, FragmentPart, RunFragment};

use super::context::QueryContext;
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
            let state = (parts.boxed(), false);
            Ok(stream::try_unfold((state, self, inputs), |((mut parts, done), this, inputs)| async move {
                while !done {
                    let Some(part) = parts.try_next().await? else { break };
                    match part {
                        FragmentPart::Batch(batch) => {
                            let states = this.fragment.output == FragmentOutput::AggregationStates;
                            let batch = if states {
                                wire::states_from_wire(&batch, this.steps, &inputs.schema, &inputs.query)?
                            } else {
                                inputs.encode(wire::rows_from_wire(&batch, this.steps)?)?
                            };
                            return Ok(Some((batch, ((parts, false), this, inputs))));
                        }
                        FragmentPart::End(end) => {
                            take_end(end, this.steps, this.fragment.count_times, &inputs.query);
                            break;
                        }
                    }
                }
                Ok(None)
            })
            .boxed())
        })
    }
}

/// Takes over what a place noted and counted. Its samples are multiplied already.
fn take_end(end: FragmentEnd, steps: usize, count_times: u64, query: &QueryContext) {
    query.annotate_all(end.notes.into_iter().map(Annotation::from_note).collect());
    for warning in end.warnings {
        query.warn(warning);
    }
    query.samples.looked_at(end.samples_total);
    let per_step = &end.samples_per_step;
    query.samples.looked_at_steps(steps, count_times, |i| per_step.get(i).copied().unwrap_or(0));
    query.read_series(end.series);
}
