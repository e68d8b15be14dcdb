//! The other end of push-down: evaluates a fragment that somebody else's query is a part of.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion_physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use proto::{
    Explain, Fragment, FragmentEnd, FragmentError, FragmentOutput, FragmentPart, FragmentStream, RunFragment,
    Source,
};

use super::explain::explained;
use super::run::Run;
use super::{ATTEMPTS_MAX, Engine, EngineOptions, Features, QueryError, QueryRequest};
use crate::ast::{PosRange, ValueType};
use crate::exec::{Grid, QueryContext, SeriesBatch, from_plan_error, rows_to_wire, states_to_wire};

impl Engine {
    /// Evaluates a fragment over `source`. Dropping the stream ends the work.
    ///
    /// # Errors
    /// Those of a query; what fails later ends the stream.
    pub async fn run_fragment(
        &self,
        source: Arc<dyn Source>,
        fragment: Fragment,
    ) -> Result<FragmentStream, FragmentError> {
        let options = EngineOptions {
            features: Features::from_names(&fragment.features),
            max_samples: self.options.max_samples.min(fragment.samples_max),
            ..(*self.options).clone()
        };
        let engine = Engine { options: Arc::new(options), ..self.clone() };
        let (start, end, step) = fragment.query;
        let request = QueryRequest {
            lookback_delta_ms: Some(fragment.lookback_ms),
            timeout: Some(Duration::from_millis(fragment.timeout_ms)),
            series_max: fragment.series_max,
            per_step_stats: fragment.per_step_stats,
            ..QueryRequest::new(fragment.tenant.clone(), fragment.expr.clone())
        };
        let grid = Grid::new(fragment.grid.0, fragment.grid.1, fragment.grid.2);
        let run = Run {
            engine: &engine,
            source,
            request,
            start,
            end,
            step,
            grid: Some(grid),
            count_times: fragment.count_times,
            stats_only: fragment.stats_only.iter().map(|(start, end)| PosRange::new(*start, *end)).collect(),
        };
        let mut attempts = 1;
        let (plan, query) = loop {
            match Box::pin(run.fragment_plan(fragment.output, fragment.explain)).await {
                Err(QueryError::Moved(_)) if attempts < ATTEMPTS_MAX => attempts += 1,
                other => break other?,
            }
        };
        let (explain, text_offset) = (fragment.explain, fragment.text_offset);
        if explain == Explain::Plan {
            let plan = Some(Box::new(explained(&plan, false).await?));
            let end = FragmentEnd { plan, ..end_of(&query, text_offset) };
            return Ok(stream::iter([Ok(FragmentPart::End(end))]).boxed());
        }
        let batches =
            plan.execute(0, Arc::clone(&query.task)).map_err(from_plan_error).map_err(FragmentError::from)?;
        let output = fragment.output;
        let mapped = Arc::clone(&query);
        let parts = batches.map_err(from_plan_error).and_then(move |batch| {
            let query = Arc::clone(&mapped);
            async move {
                Ok(FragmentPart::Batch(match output {
                    FragmentOutput::Rows => rows_to_wire(&SeriesBatch::decode(&batch, &query))?,
                    FragmentOutput::AggregationStates => states_to_wire(&batch, grid.steps, &query)?,
                    FragmentOutput::WindowStates(_) => batch,
                }))
            }
        });
        let end = stream::once(async move {
            let mut end = end_of(&query, text_offset);
            if explain == Explain::Analyze {
                end.plan = Some(Box::new(explained(&plan, true).await?));
            }
            Ok(FragmentPart::End(end))
        });
        Ok(parts.chain(end).map_err(FragmentError::from).boxed())
    }
}

/// Evaluates fragments over a source of this process.
#[derive(Clone)]
pub struct LocalFragments {
    engine: Engine,
    source: Arc<dyn Source>,
}

impl LocalFragments {
    /// With `engine` over `source`.
    pub fn new(engine: Engine, source: Arc<dyn Source>) -> Self {
        LocalFragments { engine, source }
    }
}

impl std::fmt::Debug for LocalFragments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalFragments").finish_non_exhaustive()
    }
}

#[async_trait]
impl RunFragment for LocalFragments {
    async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError> {
        self.engine.run_fragment(Arc::clone(&self.source), fragment).await
    }
}

fn end_of(query: &QueryContext, text_offset: usize) -> FragmentEnd {
    let (samples_per_step, samples_read_per_step) =
        query.samples.per_step().unwrap_or_default().into_iter().unzip();
    FragmentEnd {
        notes: query.notes(text_offset),
        warnings: query.warnings(),
        samples_total: query.samples.total(),
        samples_read: query.samples.read(),
        samples_per_step,
        samples_read_per_step,
        samples_peak: query.samples.peak(),
        series: query.series(),
        plan: None,
    }
}

impl Run<'_> {
    /// The operators of a fragment.
    async fn fragment_plan(
        &self,
        output: FragmentOutput,
        explain: Explain,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<QueryContext>), QueryError> {
        let expr = self.parse()?;
        if expr.value_type() != ValueType::Vector {
            return Err(QueryError::BadData("a fragment is an instant vector".to_owned()));
        }
        let query = self.context();
        if explain == Explain::Analyze {
            query.analyze();
        }
        let ready =
            self.ready(&expr, &query, |planner, grid| planner.fragment_root(&expr, grid, output)).await?;
        let plan = match output {
            FragmentOutput::Rows | FragmentOutput::WindowStates(_) => ready.plan(self, &query),
            FragmentOutput::AggregationStates => ready.states_plan(self, &query).ok_or_else(|| {
                QueryError::BadData("states are wanted of what is no aggregation with states".to_owned())
            })?,
        };
        Ok((plan, query))
    }
}
