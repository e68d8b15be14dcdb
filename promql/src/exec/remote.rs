//! A fragment that another process evaluates.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use proto::{
    Explain, ExplainedOperator, Fragment, FragmentEnd, FragmentOutput, FragmentPart, FragmentStream,
    RunFragment,
};

use super::context::QueryContext;
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::seam::window_states_from_wire;
use super::wire;
use crate::annotations::Annotation;
use crate::engine::QueryError;

/// The operator; it has no input here.
pub(crate) struct Remote {
    run: Arc<dyn RunFragment>,
    fragment: Fragment,
    /// Steps of the fragment.
    steps: usize,
    /// How the other process evaluates it, once it has told.
    plan: OnceLock<ExplainedOperator>,
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

    fn remote(&self) -> Option<&Remote> {
        Some(self)
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        deferred(async move {
            let explain = if inputs.query.is_analyzed() { Explain::Analyze } else { Explain::No };
            let parts = self.ask(explain).await?;
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
                    Some(FragmentPart::End(mut end)) => {
                        this.take_plan(&mut end);
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
    /// `fragment`, which has so many steps, evaluated by `run`.
    pub(crate) fn new(run: Arc<dyn RunFragment>, fragment: Fragment, steps: usize) -> Self {
        Remote { run, fragment, steps, plan: OnceLock::new() }
    }

    async fn ask(&self, explain: Explain) -> Result<FragmentStream, QueryError> {
        Ok(self.run.run(Fragment { explain, ..self.fragment.clone() }).await?)
    }

    /// Asks how the fragment would be evaluated.
    pub(crate) async fn ask_plan(&self) -> Result<(), QueryError> {
        let mut parts = self.ask(Explain::Plan).await?;
        while let Some(part) = parts.try_next().await? {
            if let FragmentPart::End(mut end) = part {
                self.take_plan(&mut end);
                break;
            }
        }
        Ok(())
    }

    fn take_plan(&self, end: &mut FragmentEnd) {
        if let Some(plan) = end.plan.take() {
            // it is told once
            let _first = self.plan.set(*plan);
        }
    }

    /// How the other process evaluates it; `None` until it has told.
    pub(crate) fn plan(&self) -> Option<&ExplainedOperator> {
        self.plan.get()
    }

    /// A batch as operators here know it.
    fn decoded(&self, batch: &RecordBatch, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        match self.fragment.output {
            FragmentOutput::AggregationStates => {
                wire::states_from_wire(batch, self.steps, &inputs.schema, &inputs.query)
            }
            FragmentOutput::WindowStates(_) => window_states_from_wire(batch),
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
    query.samples.looked_at(end.samples_total, end.samples_read, 1);
    let (total, read) = (&end.samples_per_step, &end.samples_read_per_step);
    let (start, last, step) = fragment.grid;
    query.samples.looked_at_steps(Grid::new(start, last, step), fragment.count_times, |i| {
        let at = |counts: &[u64]| counts.get(i).copied().unwrap_or(0);
        (at(total), at(read))
    });
    query.read_series(end.series);
}
