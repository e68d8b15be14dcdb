//! From a query's tree to operators that can run: plan, ask where the series lie, select them.

use std::sync::Arc;
use std::time::Duration;

use datafusion_physical_plan::ExecutionPlan;
use futures::future::try_join_all;
use model::TimeRange;
use proto::{
    Explain, Fragment, FragmentOutput, Layout, Place, SelectRequest, Selection, Shard, Source, SourceError,
    Span,
};
use runtime::Moment;

use super::run::Run;
use super::{QueryError, QueryStats};
use crate::ast::{Expr, PosRange};
use crate::exec::{Grid, QueryContext, SERIES_BYTES, SeamSelection, SeamSide, selection_bytes};
use crate::plan::{
    Builder, FragmentSpec, Node, Part, Planner, Prepared, PushDown, Rewrite, Seam, SelectorSpec, WindowRead,
    Work, sides, text_at,
};

/// A plan and its series.
pub(super) struct Ready<T> {
    /// What was planned.
    pub(super) planned: T,
    selectors: Vec<SelectorSpec>,
    pub(super) selections: Vec<Arc<dyn Selection>>,
    fragments: Vec<Vec<Prepared>>,
    prepare_time: Duration,
    select_time: Duration,
}

impl<T> Ready<T> {
    pub(super) fn note_times(&self, stats: &mut QueryStats) {
        stats.prepare_time = self.prepare_time;
        stats.select_time = self.select_time;
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Ready<U> {
        Ready {
            planned: change(self.planned),
            selectors: self.selectors,
            selections: self.selections,
            fragments: self.fragments,
            prepare_time: self.prepare_time,
            select_time: self.select_time,
        }
    }
}

impl Ready<Node> {
    fn builder<'b>(&'b self, run: &'b Run<'_>, query: &'b Arc<QueryContext>) -> Builder<'b> {
        Builder {
            query,
            selectors: &self.selectors,
            selections: &self.selections,
            seams: &[],
            fragments: &self.fragments,
            source: &run.source,
            tenant: &run.request.tenant,
            series_max: run.request.series_max,
            partitions_max: run.engine.options.partitions,
        }
    }

    /// The operators, with one partition.
    pub(super) fn plan(&self, run: &Run<'_>, query: &Arc<QueryContext>) -> Arc<dyn ExecutionPlan> {
        self.builder(run, query).single(self.planned.clone())
    }

    /// The same for the states of an aggregation; `None` when it is none.
    pub(super) fn states_plan(
        &self,
        run: &Run<'_>,
        query: &Arc<QueryContext>,
    ) -> Option<Arc<dyn ExecutionPlan>> {
        self.builder(run, query).states(&self.planned)
    }
}

/// The source of the only place that holds all these ranges, where it is in this process.
fn only_place<'l>(layout: &'l Layout, selectors: &[SelectorSpec]) -> Option<&'l Arc<dyn Source>> {
    let [shard] = &layout.shards[..] else { return None };
    let holds_all =
        |holds: TimeRange| selectors.iter().all(|s| holds.start <= s.range.start && s.range.end <= holds.end);
    let span = shard.spans.iter().find(|span| holds_all(span.holds))?;
    match &span.place {
        Place::Here(source) => Some(source),
        Place::There(_) => None,
    }
}

impl Run<'_> {
    /// Plans with `make` and selects.
    pub(super) async fn ready<T>(
        &self,
        expr: &Expr,
        query: &Arc<QueryContext>,
        make: impl Fn(&mut Planner<'_>, Grid) -> Result<T, QueryError>,
    ) -> Result<Ready<T>, QueryError> {
        let began = self.engine.runtime.monotonic();
        let mut planner = self.planner(expr);
        let grid = self.grid(&planner)?;
        let planned = make(&mut planner, grid)?;
        if planner.selectors.is_empty() {
            return Ok(Ready {
                planned,
                selectors: Vec::new(),
                selections: Vec::new(),
                fragments: Vec::new(),
                prepare_time: began.elapsed(),
                select_time: Duration::ZERO,
            });
        }
        let start = planner.selectors.iter().map(|s| s.range.start).min().unwrap_or_default();
        let end = planner.selectors.iter().map(|s| s.range.end).max().unwrap_or_default();
        let layout = self.source.layout(&self.request.tenant, TimeRange { start, end }).await?;
        let prepared = began.elapsed();
        let since = self.engine.runtime.monotonic();
        match &layout {
            None => {
                self.select_all(planned, planner.selectors, Vec::new(), &self.source, query, prepared, since)
                    .await
            }
            Some(layout) => {
                if let Some(source) = only_place(layout, &planner.selectors) {
                    return self
                        .select_all(planned, planner.selectors, Vec::new(), source, query, prepared, since)
                        .await;
                }
                let mut planner = self.planner(expr);
                let rewrites = self.engine.options.rewrites;
                planner.push = Some(PushDown {
                    rewrites,
                    layout,
                    delayed_names: self.engine.options.features.delayed_name_removal,
                    type_and_unit_labels: self.engine.options.features.type_and_unit_labels,
                    // counts per step are kept by the query's own steps
                    may_split: rewrites.has(Rewrite::TimeSplit) && !self.request.per_step_stats,
                    states_from: self.engine.options.states_from,
                });
                let planned = make(&mut planner, grid)?;
                let fragments = try_join_all(
                    planner.fragments.iter().map(|spec| self.prepare(&planner, spec, layout, query)),
                )
                .await?;
                let selectors = std::mem::take(&mut planner.selectors);
                self.select_all(planned, selectors, fragments, &self.source, query, prepared, since).await
            }
        }
    }

    async fn select_all<T>(
        &self,
        planned: T,
        selectors: Vec<SelectorSpec>,
        fragments: Vec<Vec<Prepared>>,
        source: &Arc<dyn Source>,
        query: &QueryContext,
        prepare_time: Duration,
        since: Moment,
    ) -> Result<Ready<T>, QueryError> {
        let selections = self.select(source, &selectors, query).await?;
        let select_time = since.elapsed();
        Ok(Ready { planned, selectors, selections, fragments, prepare_time, select_time })
    }

    /// Makes the parts of a fragment ready: plans and selects what is done here, writes down what others do.
    async fn prepare(
        &self,
        planner: &Planner<'_>,
        spec: &FragmentSpec,
        layout: &Layout,
        query: &QueryContext,
    ) -> Result<Vec<Prepared>, QueryError> {
        let mut parts = Vec::new();
        for (shard, of_shard) in layout.shards.iter().zip(&spec.shards) {
            for part in of_shard {
                parts.push(self.prepare_part(planner, spec, shard, part, of_shard.len() > 1, query));
            }
        }
        try_join_all(parts).await
    }

    async fn prepare_part(
        &self,
        planner: &Planner<'_>,
        spec: &FragmentSpec,
        shard: &Shard,
        part: &Part,
        is_stitched: bool,
        query: &QueryContext,
    ) -> Result<Prepared, QueryError> {
        let grid = Grid { start: spec.grid.at(part.steps.start), steps: part.steps.len(), ..spec.grid };
        let span = part.span.and_then(|i| shard.spans.get(i));
        let (name, source) = match span.map(|span| (&span.name, &span.place)) {
            Some((name, Place::There(run))) => {
                let work = Work::There {
                    run: Arc::clone(run),
                    fragment: Box::new(self.fragment(
                        planner,
                        spec.expr.pos(),
                        spec.output,
                        spec.count_times,
                        grid,
                    )),
                };
                return Ok(Prepared { name: name.clone(), steps: part.steps.clone(), is_stitched, work });
            }
            Some((name, Place::Here(source))) => (name.clone(), source),
            None => ("all places merged".to_owned(), &shard.whole),
        };
        let (node, selectors) = planner.part(spec, grid)?;
        let mut seams: Vec<Option<Seam>> = vec![None; selectors.len()];
        let selections = if span.is_some() {
            self.select(source, &selectors, query).await?
        } else {
            let found = selectors.iter().map(|spec| self.select_over_seams(planner, spec, shard, query));
            let (selections, found): (Vec<_>, Vec<_>) = try_join_all(found).await?.into_iter().unzip();
            seams = found;
            selections
        };
        let source = Arc::clone(source);
        let work = Work::Here { node: Box::new(node), selectors, selections, seams, source };
        Ok(Prepared { name, steps: part.steps.clone(), is_stitched, work })
    }

    /// Finds the series of a selector that may reach over several places: in each, where they tell states of its
    /// windows, else in all of them merged.
    async fn select_over_seams(
        &self,
        planner: &Planner<'_>,
        spec: &SelectorSpec,
        shard: &Shard,
        query: &QueryContext,
    ) -> Result<(Arc<dyn Selection>, Option<Seam>), QueryError> {
        let asked = planner.push.and_then(|push| sides(&push, spec, shard));
        let (Some((family, asked)), Some(window)) = (asked, spec.window) else {
            let selection = self.select_one(&shard.whole, spec, query).await?;
            note_selected(&selection, query)?;
            return Ok((selection, None));
        };
        let (mut found, mut sides, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        for side in asked {
            let Some(Span { name, place, .. }) = shard.spans.get(side.span) else {
                return Err(QueryError::Internal("a place that is none".to_owned()));
            };
            let is_elsewhere = matches!(place, Place::There(_));
            match place {
                Place::Here(source) => {
                    let spec = SelectorSpec { range: side.part, ..spec.clone() };
                    let source = Arc::clone(source);
                    found.push(async move { self.select_one(&source, &spec, query).await });
                }
                Place::There(run) => {
                    let WindowRead { grid, count_times, pos, .. } = window;
                    let output = FragmentOutput::WindowStates(side.part);
                    elsewhere.push((Arc::clone(run), self.fragment(planner, pos, output, count_times, grid)));
                }
            }
            sides.push(SeamSide { name: name.clone(), part: side.part, is_elsewhere });
        }
        let found = try_join_all(found).await?;
        for selection in &found {
            query.keep(selection_bytes(&**selection))?;
        }
        let selection = Arc::new(SeamSelection::new(found, Vec::new()));
        let max = self.request.series_max;
        if max > 0 && selection.series().len() > max {
            return Err(expanding(SourceError::too_many_series(max).into()));
        }
        let both: Arc<dyn Selection> = selection.clone();
        note_selected(&both, query)?;
        Ok((both, Some(Seam { family, sides, selection, elsewhere })))
    }

    /// A fragment as others get it.
    fn fragment(
        &self,
        planner: &Planner<'_>,
        pos: PosRange,
        output: FragmentOutput,
        count_times: u64,
        grid: Grid,
    ) -> Fragment {
        let inside = planner.stats_only.iter().filter(|s| pos.start <= s.start && s.end <= pos.end);
        let options = &self.engine.options;
        Fragment {
            tenant: self.request.tenant.clone(),
            expr: text_at(&self.request.expr, pos).to_owned(),
            text_offset: pos.start,
            output,
            grid: (grid.start, grid.last(), grid.step),
            query: (self.start, self.end, self.step),
            lookback_ms: self.lookback_ms(),
            features: options.features.names().into_iter().map(str::to_owned).collect(),
            count_times,
            stats_only: inside.map(|s| (s.start - pos.start, s.end - pos.start)).collect(),
            per_step_stats: self.request.per_step_stats,
            series_max: self.request.series_max,
            samples_max: options.max_samples,
            timeout_ms: u64::try_from(self.timeout().as_millis()).unwrap_or(u64::MAX),
            explain: Explain::No,
        }
    }

    /// Finds the series of selectors.
    async fn select(
        &self,
        source: &Arc<dyn Source>,
        selectors: &[SelectorSpec],
        query: &QueryContext,
    ) -> Result<Vec<Arc<dyn Selection>>, QueryError> {
        let selections =
            try_join_all(selectors.iter().map(|spec| self.select_one(source, spec, query))).await?;
        selections.iter().try_for_each(|selection| note_selected(selection, query))?;
        Ok(selections)
    }

    /// Finds the series of a selector; they are not counted yet.
    async fn select_one(
        &self,
        source: &Arc<dyn Source>,
        spec: &SelectorSpec,
        query: &QueryContext,
    ) -> Result<Arc<dyn Selection>, QueryError> {
        // no more series than there is memory for
        let series_fit = query.memory.left() / SERIES_BYTES;
        let own_max = self.request.series_max;
        let is_lowered = query.memory.limit() != usize::MAX && (own_max == 0 || series_fit < own_max);
        let series_max = if is_lowered { series_fit.max(1) } else { own_max };
        let request = SelectRequest {
            tenant: self.request.tenant.clone(),
            matchers: spec.matchers.clone(),
            range: spec.range,
            labels: spec.labels.clone(),
            series_max,
        };
        source.select(&request).await.map_err(|error| match QueryError::from(error) {
            // asking for what does not fit tells which limit it is
            QueryError::Limit(limit, text) if is_lowered && text.contains(&series_max.to_string()) => query
                .keep(query.memory.left().saturating_add(1))
                .err()
                .unwrap_or(QueryError::Limit(limit, text)),
            other => expanding(other),
        })
    }
}

/// An error that came while series were looked for.
fn expanding(error: QueryError) -> QueryError {
    match error {
        QueryError::Execution(text) => QueryError::Execution(format!("expanding series: {text}")),
        QueryError::Limit(limit, text) => QueryError::Limit(limit, format!("expanding series: {text}")),
        other => other,
    }
}

/// Counts the series of a selection, and what there is to say of it.
fn note_selected(selection: &Arc<dyn Selection>, query: &QueryContext) -> Result<(), QueryError> {
    query.read_series(selection.series().len() as u64);
    query.keep(selection_bytes(&**selection))?;
    for warning in selection.warnings() {
        query.warn(warning);
    }
    Ok(())
}
