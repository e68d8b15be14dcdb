//! A fragment as it was planned: the expression, its points, and who answers which of them.

use model::TimeRange;
use proto::FragmentOutput;

use super::{Part, PushDown, Reach, parts_of};
use crate::ast::Expr;
use crate::engine::QueryError;
use crate::exec::Grid;
use crate::plan::{Node, Planner, SelectorSpec};

/// A planned fragment.
#[derive(Debug, Clone)]
pub(crate) struct FragmentSpec {
    pub expr: Expr,
    pub grid: Grid,
    pub output: FragmentOutput,
    /// How often its samples count in the statistics.
    pub count_times: u64,
    /// Whether its series stay different when their names are dropped.
    pub names_fixed: bool,
    /// Per shard: which steps are asked of whom.
    pub shards: Vec<Vec<Part>>,
}

impl<'a> Planner<'a> {
    /// A planner of the same query that pushes nothing.
    pub(crate) fn plain(&self) -> Planner<'a> {
        Planner {
            stats_only: self.stats_only.clone(),
            selectors: Vec::new(),
            fragments: Vec::new(),
            push: None,
            wanted: None,
            drops_names: false,
            exact: false,
            projected_metric: None,
            ..*self
        }
    }

    /// What selectors of `expr` read for the points of `grid`.
    fn ranges(&self, expr: &Expr, grid: Grid) -> Result<(Node, Vec<TimeRange>, bool), QueryError> {
        let mut planner = self.plain();
        let node = planner.vector(expr, grid)?;
        let names_fixed = node.names_fixed(&planner.selectors);
        Ok((node, planner.selectors.iter().map(|s| s.range).collect(), names_fixed))
    }

    /// The node of a fragment of which everything is wanted at every point, and its selectors.
    pub(crate) fn part(
        &self,
        spec: &FragmentSpec,
        grid: Grid,
    ) -> Result<(Node, Vec<SelectorSpec>), QueryError> {
        let mut planner = self.plain();
        planner.count_times = spec.count_times;
        let node = planner.vector(&spec.expr, grid)?;
        Ok((node, planner.selectors))
    }

    /// The node of an expression that is somebody's fragment. Who sent it took care of what does not depend on time.
    pub(crate) fn fragment_root(&mut self, expr: &Expr, grid: Grid) -> Result<Node, QueryError> {
        self.vector(expr, grid)
    }

    /// Works out a fragment; with it, the node it would be without push-down.
    pub(super) fn fragment(
        &self,
        expr: &Expr,
        grid: Grid,
        output: FragmentOutput,
        push: &PushDown<'_>,
    ) -> Result<(FragmentSpec, Node), QueryError> {
        let (node, _, names_fixed) = self.ranges(expr, grid)?;
        let (_, first, _) = self.ranges(expr, grid.first())?;
        let last_point = Grid { start: grid.last(), step: grid.step, steps: 1 };
        let (_, last, _) = self.ranges(expr, last_point)?;
        let reaches: Vec<Reach> =
            first.into_iter().zip(last).map(|(first, last)| Reach { first, last }).collect();
        let shards = push.layout.shards.iter().map(|shard| {
            let spans: Vec<TimeRange> = shard.spans.iter().map(|span| span.holds).collect();
            parts_of(&reaches, grid.steps, grid.step, &spans, push.may_split)
        });
        let spec = FragmentSpec {
            expr: expr.clone(),
            grid,
            output,
            count_times: self.count_times,
            names_fixed,
            shards: shards.collect(),
        };
        Ok((spec, node))
    }
}
