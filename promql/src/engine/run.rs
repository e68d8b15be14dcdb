//! One query from text to answer: parse, make ready, execute, finish.

use std::sync::Arc;
use std::time::Duration;

use datafusion_physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt};
use proto::Source;

use super::{Answer, Engine, MatrixSeries, QueryError, QueryRequest, QueryStats, Value, finish, raw};
use crate::annotations::Annotation;
use crate::ast::{Expr, PosRange, ValueType};
use crate::exec::{Grid, QueryContext, SeriesBatch, compute, from_plan_error};
use crate::parse::{ParseOptions, parse};
use crate::plan::{Node, Planner, Reach};

/// A query and where its data is.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) source: Arc<dyn Source>,
    pub(super) request: QueryRequest,
    pub(super) start: i64,
    pub(super) end: i64,
    /// 0: instant.
    pub(super) step: i64,
    /// The points of a fragment, where they are not the query's.
    pub(super) grid: Option<Grid>,
    /// How often samples count in the statistics.
    pub(super) count_times: u64,
    /// Selectors of whose histograms only count and sum are looked at, besides those the query itself tells.
    pub(super) stats_only: Vec<PosRange>,
}

impl<'a> Run<'a> {
    /// A query of (start, end, step); step 0 is an instant query.
    pub(super) fn new(
        engine: &'a Engine,
        source: Arc<dyn Source>,
        request: QueryRequest,
        (start, end, step): (i64, i64, i64),
    ) -> Self {
        Run { engine, source, request, start, end, step, grid: None, count_times: 1, stats_only: Vec::new() }
    }
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

    pub(super) fn parse(&self) -> Result<Expr, QueryError> {
        let features = self.engine.options.features;
        let options = ParseOptions {
            experimental_functions: features.experimental_functions,
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

    pub(super) fn lookback_ms(&self) -> i64 {
        let own = self.engine.options.lookback_delta_ms;
        self.request.lookback_delta_ms.filter(|l| *l > 0).unwrap_or(own)
    }

    pub(super) fn points(&self) -> Grid {
        self.grid.unwrap_or_else(|| Grid::new(self.start, self.end, self.step))
    }

    /// The points of evaluation, checked.
    pub(super) fn grid(&self, planner: &Planner<'_>) -> Result<Grid, QueryError> {
        let points = self.points();
        planner
            .grid(points.start, points.last(), points.step)
            .map(|grid| if points.steps == 0 { points } else { grid })
    }

    /// What the query's operators will share.
    pub(super) fn context(&self) -> Arc<QueryContext> {
        let options = &self.engine.options;
        let memory = self.engine.budgets.query(&self.request.tenant);
        Arc::new(QueryContext::new(
            self.engine.runtime.clone(),
            self.engine.task(&memory),
            memory,
            options.features,
            self.lookback_ms(),
            options.max_samples,
            self.timeout(),
            self.request.per_step_stats.then_some(self.points()),
        ))
    }

    pub(super) fn planner<'p>(&'p self, expr: &Expr) -> Planner<'p> {
        let (text, options) = (self.request.expr.as_str(), &self.engine.options);
        let mut planner =
            Planner::new(text, expr, options, self.lookback_ms(), self.start, self.end, self.step);
        planner.count_times = self.count_times;
        planner.stats_only.extend_from_slice(&self.stats_only);
        planner
    }

    /// The node of a whole query that is a vector or a scalar.
    pub(super) fn root(
        &self,
        planner: &mut Planner<'_>,
        expr: &Expr,
        grid: Grid,
    ) -> Result<Node, QueryError> {
        if expr.value_type() == ValueType::Scalar {
            planner.vector_of_scalar(expr, grid)
        } else {
            planner.wrapped(expr, grid)
        }
    }

    /// See [`Engine::reach`].
    pub(super) fn reach(&self) -> Option<Reach> {
        let expr = self.parse().ok()?;
        let mut planner = self.planner(&expr);
        let grid = self.grid(&planner).ok()?;
        let node = self.root(&mut planner, &expr, grid).ok()?;
        planner.reach(&expr, &node).ok()?
    }

    pub(super) async fn answer(&self) -> Result<Answer, QueryError> {
        let began = self.engine.runtime.monotonic();
        let expr = self.parse()?;
        let grid = {
            let planner = self.planner(&expr);
            planner.check_durations(&expr)?;
            self.grid(&planner)?
        };
        let query = self.context();
        let _followed = self.request.progress.follow(&query);
        let mut stats = QueryStats::default();
        let value = match (expr.unparen(), expr.value_type()) {
            (Expr::String(s), _) => Value::String { t: self.start, s: s.value.clone() },
            (Expr::MatrixSelector(m), _) => {
                let ready = self.ready(&expr, &query, |planner, _| planner.raw_window(m)).await?;
                ready.note_times(&mut stats);
                raw::matrix(&ready.selections[0], &ready.planned, &query).await?
            }
            (Expr::Subquery(s), _) => {
                let ready =
                    self.ready(&expr, &query, |planner, grid| planner.subquery(s, grid, true)).await?;
                ready.note_times(&mut stats);
                note_vain_sorts(&self.planner(&expr), &expr, &query)?;
                let inner = ready.planned.inner;
                let ready = ready.map(|planned| planned.input);
                let batches = self.drain(&ready.plan(self, &query), &query).await?;
                Value::Matrix(matrix(batches, inner, &query).await?)
            }
            (_, kind) => {
                note_vain_sorts(&self.planner(&expr), &expr, &query)?;
                let ready =
                    self.ready(&expr, &query, |planner, grid| self.root(planner, &expr, grid)).await?;
                ready.note_times(&mut stats);
                let batches = match plain_scalar(&ready.planned) {
                    Some(batch) => vec![batch],
                    None => self.drain(&ready.plan(self, &query), &query).await?,
                };
                match (self.is_instant(), kind) {
                    (true, ValueType::Scalar) => finish::scalar(&batches, self.start),
                    (true, _) => Value::Vector(finish::vector(batches, self.start, &query)?),
                    (false, _) => Value::Matrix(matrix(batches, grid, &query).await?),
                }
            }
        };
        let annotations = query.annotations();
        let (mut warnings, infos) = annotations.to_text(&self.request.expr);
        warnings.extend(query.warnings());
        query.note_stats(&mut stats, self.points());
        stats.note_eval_time(began.elapsed());
        let memory = query.take_answer_memory();
        Ok(Answer { value, warnings, infos, annotations, stats, memory })
    }

    /// Runs a plan of one partition.
    pub(super) async fn drain(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        query: &Arc<QueryContext>,
    ) -> Result<Vec<SeriesBatch>, QueryError> {
        let stream = plan.execute(0, Arc::clone(&query.task)).map_err(from_plan_error)?;
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

/// The matrix of an answer, on the CPU pool where it is large.
async fn matrix(
    batches: Vec<SeriesBatch>,
    grid: Grid,
    query: &Arc<QueryContext>,
) -> Result<Vec<MatrixSeries>, QueryError> {
    let values = batches.iter().map(|batch| batch.values.len()).sum();
    let shared = Arc::clone(query);
    compute(query, values, move || finish::matrix(batches, grid, &shared)).await
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

/// `sort` changes nothing where there is more than one time: says so.
fn note_vain_sorts(planner: &Planner<'_>, expr: &Expr, query: &QueryContext) -> Result<(), QueryError> {
    for pos in planner.vain_sorts(expr)? {
        query.annotate(Annotation::sort_in_range_query(pos));
    }
    Ok(())
}
