//! Subqueries: an inner query at points of its own.

use super::{Node, Planner, ScalarArgs};
use crate::ast::{PosRange, Subquery};
use crate::engine::QueryError;
use crate::exec::{Grid, NameAction, WindowSpec};
use crate::functions::{Extended, WindowFunction};

/// An inner query and where its windows lie.
#[derive(Debug)]
pub(crate) struct PlannedSubquery {
    pub input: Node,
    pub inner: Grid,
    pub range: i64,
    pub offset: i64,
    pub pinned: Option<i64>,
}

/// The first multiple of the step after `open`, where a left-open window begins.
pub(super) fn first_point(open: i64, step: i64) -> i64 {
    let start = step * (open / step);
    if start <= open { start + step } else { start }
}

impl Planner<'_> {
    /// The inner query for windows at the points of `grid`.
    pub(crate) fn subquery(
        &mut self,
        subquery: &Subquery,
        grid: Grid,
        is_whole_query: bool,
    ) -> Result<PlannedSubquery, QueryError> {
        let offset = self.duration_ms(&subquery.offset, true)?;
        let range = self.duration_ms(&subquery.range, false)?;
        let step = self.subquery_step(subquery)?;
        let pinned = self.pinned(subquery.at);
        let first = pinned.unwrap_or(grid.start) - offset;
        let last = pinned.unwrap_or_else(|| grid.last()) - offset;
        let start = first_point(first - range, step);
        // what is asked for at no time is evaluated at none
        let inner =
            if grid.steps == 0 { Grid { start, step, steps: 0 } } else { self.grid(start, last, step)? };
        // the samples of inner queries count as the points of the outer windows
        let outer_count =
            if is_whole_query { self.count_times } else { std::mem::take(&mut self.count_times) };
        let input = if super::invariance::of(&subquery.expr).0 && inner.steps > 1 {
            let once = self.inner_vector(&subquery.expr, inner.first())?;
            Node::Repeat { input: Box::new(once), steps: inner.steps }
        } else {
            self.inner_vector(&subquery.expr, inner)?
        };
        self.count_times = outer_count;
        Ok(PlannedSubquery { input, inner, range, offset, pinned })
    }

    /// Milliseconds between its points; above 0.
    pub(super) fn subquery_step(&self, subquery: &Subquery) -> Result<i64, QueryError> {
        let step = if subquery.step.is_unset() {
            self.options.default_subquery_step_ms
        } else {
            self.duration_ms(&subquery.step, false)?
        };
        Ok(step.max(1))
    }

    fn inner_vector(&mut self, expr: &crate::ast::Expr, grid: Grid) -> Result<Node, QueryError> {
        if expr.value_type() == crate::ast::ValueType::Scalar {
            self.vector_of_scalar(expr, grid)
        } else {
            self.vector(expr, grid)
        }
    }

    /// A function over a subquery.
    pub(super) fn subquery_window(
        &mut self,
        function: WindowFunction,
        subquery: &Subquery,
        grid: Grid,
        params: ScalarArgs,
        pos: PosRange,
    ) -> Result<Node, QueryError> {
        let planned = self.subquery(subquery, grid, false)?;
        let name_action = if function.drops_name() { self.drop_action() } else { NameAction::Keep };
        let fixed = name_action != NameAction::Drop || planned.input.names_fixed(&self.selectors);
        let spec = WindowSpec {
            function,
            grid,
            range: planned.range,
            offset: planned.offset,
            pinned: planned.pinned,
            extended: Extended::No,
            name_action,
            pos,
            metric: None,
            count_times: self.count_times,
        };
        let node = Node::Subquery { input: Box::new(planned.input), inner: planned.inner, spec, params };
        Ok(if fixed { node } else { Node::Unique { input: Box::new(node), merge: false, steps: grid.steps } })
    }
}
