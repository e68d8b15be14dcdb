//! One query from text to answer: parse, plan, select, build, execute, finish.

use std::sync::Arc;
use std::time::Duration;

use datafusion_physical_plan::display::DisplayableExecutionPlan;
use datafusion_physical_plan::{ExecutionPlan, displayable};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};
use proto::{SelectRequest, Selection, Source};

use super::{Answer, Engine, QueryError, QueryRequest, QueryStats, Value, finish, raw};
use crate::ast::{Expr, ValueType};
use crate::exec::{Grid, QueryContext, SeriesBatch, from_plan_error};
use crate::parse::{ParseOptions, parse};
use crate::plan::{Builder, Node, Planner, SelectorSpec};

/// A query and where its data is.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) source: Arc<dyn Source>,
    pub(super) request: QueryRequest,
    pub(super) start: i64,
    pub(super) end: i64,
    /// 0: instant.
    pub(super) step: i64,
}

impl Run<'_> {
    /// The longest the query may run.
    pub(super) fn timeout(&self) -> Duration {
        let own = self.engine.options.timeout;
        self.request.timeout.map_or(own, |t| t.min(own))
    }

    fn is_instant(&self) -> bool {
        self.step == 0
    }

    fn parse(&self) -> Result<Expr, QueryError> {
        let features = self.engine.options.features;
        let options = ParseOptions {
            experimental_functions: features.experimental_functions,
            duration_expressions: features.duration_expressions,
            extended_range_selectors: features.extended_range_selectors,
            binop_fill_modifiers: features.fill_modifiers,
            ..ParseOptions::default()
        };
        let expr = parse(&self.request.expr, &options).map_err(|e| QueryError::BadData(e.to_string()))?;
        let kind = expr.value_type();
        if !self.is_instant() && !matches!(kind, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::BadData(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                kind.documented()
            )));
        }
        Ok(expr)
    }

    fn lookback_ms(&self) -> i64 {
        let own = self.engine.options.lookback_delta_ms;
        self.request.lookback_delta_ms.filter(|l| *l > 0).unwrap_or(own)
    }

    /// What the query's operators will share.
    fn context(&self) -> Arc<QueryContext> {
        let options = &self.engine.options;
        Arc::new(QueryContext::new(
            self.engine.runtime.clone(),
            options.features,
            self.lookback_ms(),
            options.max_samples,
            self.timeout(),
            self.request.per_step_stats.then_some(Grid::new(self.start, self.end, self.step).steps),
        ))
    }

    fn planner<'p>(&'p self, expr: &Expr) -> Planner<'p> {
        let (text, options) = (self.request.expr.as_str(), &self.engine.options);
        Planner::new(text, expr, options, self.lookback_ms(), self.start, self.end, self.step)
    }

    /// The plan as text, after a run when `analyze` is set.
    pub(super) async fn explain(self, analyze: bool) -> Result<String, QueryError> {
        let expr = self.parse()?;
        let mut planner = self.planner(&expr);
        let grid = planner.grid(self.start, self.end, self.step)?;
        let node = match expr.value_type() {
            ValueType::Vector => planner.wrapped(&expr, grid)?,
            ValueType::Scalar => planner.vector_of_scalar(&expr, grid)?,
            ValueType::String | ValueType::Matrix => {
                return Err(QueryError::BadData(format!(
                    "a query of type \"{}\" has no plan",
                    expr.value_type().documented()
                )));
            }
        };
        let query = self.context();
        let selections = self.select(&planner.selectors, &mut QueryStats::default(), &mut Vec::new()).await?;
        let plan = self.build(node, &planner.selectors, &selections, &query);
        if !analyze {
            return Ok(displayable(plan.as_ref()).indent(false).to_string());
        }
        self.drain(&plan, &query).await?;
        Ok(DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string())
    }

    pub(super) async fn answer(self) -> Result<Answer, QueryError> {
        let began = self.engine.runtime.monotonic();
        let expr = self.parse()?;
        let mut planner = self.planner(&expr);
        let grid = planner.grid(self.start, self.end, self.step)?;
        let query = self.context();
        let mut stats = QueryStats::default();
        let mut source_warnings = Vec::new();
        let value = match (expr.unparen(), expr.value_type()) {
            (Expr::String(s), _) => Value::String { t: self.start, s: s.value.clone() },
            (Expr::MatrixSelector(m), _) => {
                let window = planner.raw_window(m)?;
                stats.prepare_time = began.elapsed();
                let selections = self.select(&planner.selectors, &mut stats, &mut source_warnings).await?;
                raw::matrix(&selections[0], &window, &query).await?
            }
            (Expr::Subquery(s), _) => {
                let planned = planner.subquery(s, grid, true)?;
                stats.prepare_time = began.elapsed();
                let selections = self.select(&planner.selectors, &mut stats, &mut source_warnings).await?;
                let batches = self.execute(planned.input, &planner.selectors, &selections, &query).await?;
                Value::Matrix(finish::matrix(batches, planned.inner, &query)?)
            }
            (_, kind) => {
                let node = if kind == ValueType::Scalar {
                    planner.vector_of_scalar(&expr, grid)?
                } else {
                    planner.wrapped(&expr, grid)?
                };
                if !self.is_instant() {
                    note_sorts(&expr, &query, grid);
                }
                stats.prepare_time = began.elapsed();
                let batches = match plain_scalar(&node) {
                    Some(batch) => vec![batch],
                    None => {
                        let selections =
                            self.select(&planner.selectors, &mut stats, &mut source_warnings).await?;
                        self.execute(node, &planner.selectors, &selections, &query).await?
                    }
                };
                match (self.is_instant(), kind) {
                    (true, ValueType::Scalar) => finish::scalar(&batches, self.start),
                    (true, _) => Value::Vector(finish::vector(batches, self.start, &query)?),
                    (false, _) => Value::Matrix(finish::matrix(batches, grid, &query)?),
                }
            }
        };
        let (mut warnings, infos) = query.annotations_as_text(&self.request.expr);
        warnings.extend(source_warnings);
        stats.samples_total = query.samples.total();
        stats.samples_peak = query.samples.peak();
        stats.samples_per_step = query
            .samples
            .per_step()
            .map(|counts| counts.into_iter().enumerate().map(|(step, n)| (grid.at(step), n)).collect());
        stats.eval_time = began.elapsed().saturating_sub(stats.prepare_time + stats.select_time);
        Ok(Answer { value, warnings, infos, stats })
    }

    /// Finds the series of all selectors.
    async fn select(
        &self,
        selectors: &[SelectorSpec],
        stats: &mut QueryStats,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Arc<dyn Selection>>, QueryError> {
        let began = self.engine.runtime.monotonic();
        let selections = try_join_all(selectors.iter().map(|spec| async {
            let request = SelectRequest {
                tenant: self.request.tenant.clone(),
                matchers: spec.matchers.clone(),
                range: spec.range,
                labels: spec.labels.clone(),
                series_max: self.request.series_max,
            };
            self.source.select(&request).await
        }))
        .await
        .map_err(|error| match QueryError::from(error) {
            QueryError::Execution(text) => QueryError::Execution(format!("expanding series: {text}")),
            other => other,
        })?;
        for selection in &selections {
            stats.series += selection.series().len() as u64;
            for warning in selection.warnings() {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        stats.select_time = began.elapsed();
        Ok(selections)
    }

    fn build(
        &self,
        node: Node,
        selectors: &[SelectorSpec],
        selections: &[Arc<dyn Selection>],
        query: &Arc<QueryContext>,
    ) -> Arc<dyn ExecutionPlan> {
        let builder = Builder {
            query,
            selectors,
            selections,
            source: &self.source,
            tenant: &self.request.tenant,
            series_max: self.request.series_max,
            partitions_max: self.engine.options.partitions,
        };
        builder.single(node)
    }

    async fn execute(
        &self,
        node: Node,
        selectors: &[SelectorSpec],
        selections: &[Arc<dyn Selection>],
        query: &Arc<QueryContext>,
    ) -> Result<Vec<SeriesBatch>, QueryError> {
        let plan = self.build(node, selectors, selections, query);
        self.drain(&plan, query).await
    }

    /// Runs a plan of one partition.
    async fn drain(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        query: &Arc<QueryContext>,
    ) -> Result<Vec<SeriesBatch>, QueryError> {
        let stream = plan.execute(0, Arc::clone(&self.engine.task)).map_err(from_plan_error)?;
        let mut batches = Vec::new();
        let mut stream = stream.map_err(from_plan_error).boxed();
        while let Some(batch) = stream.try_next().await? {
            let batch = SeriesBatch::decode(&batch, query);
            query.samples.hold(batch.sample_count())?;
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// The values of a scalar that needs no data.
fn plain_scalar(node: &Node) -> Option<SeriesBatch> {
    match node {
        Node::FromScalar { scalar, grid, function: None } if scalar.vectors.is_empty() => {
            let values = scalar.exprs.first()?.evaluate(*grid, &[]);
            Some(SeriesBatch::of_scalar(&values))
        }
        _ => None,
    }
}

/// `sort` changes nothing in a range query: says so.
fn note_sorts(expr: &Expr, query: &QueryContext, grid: Grid) {
    if grid.steps <= 1 {
        return;
    }
    expr.walk(&mut |node, _| {
        if let Expr::Call(c) = node
            && matches!(c.function.name, "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc")
        {
            query.annotate(crate::annotations::Annotation::sort_in_range_query(c.pos));
        }
    });
}
