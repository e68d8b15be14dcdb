//! A fragment as it was planned: the expression, its points, and who answers which of them.

use model::TimeRange;
use proto::FragmentOutput;

use super::{Part, PushDown, Reach, Rewrite, parts_of};
use crate::ast::{Expr, PosRange};
use crate::engine::QueryError;
use crate::exec::Grid;
use crate::plan::{Node, Planner, SelectorSpec};

/// The text of an expression at `pos`. Positions are Prometheus's, which leave out a modifier that stands last.
pub(crate) fn text_at(text: &str, pos: PosRange) -> &str {
    let end = pos.end.min(text.len());
    let mut rest = text.get(end..).unwrap_or_default();
    loop {
        rest = rest.trim_start();
        match rest.strip_prefix('#') {
            Some(comment) => rest = comment.split_once('\n').map_or("", |(_, after)| after),
            None => break,
        }
    }
    let word =
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').next().unwrap_or_default();
    let is_modifier = word.eq_ignore_ascii_case("smoothed") || word.eq_ignore_ascii_case("anchored");
    let end = if is_modifier { text.len() - rest.len() + word.len() } else { end };
    text.get(pos.start..end).unwrap_or_default()
}

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
    pub(crate) fn fragment_root(
        &mut self,
        expr: &Expr,
        grid: Grid,
        output: FragmentOutput,
    ) -> Result<Node, QueryError> {
        if let FragmentOutput::WindowStates(part) = output {
            self.push = None;
            let node = self.vector(expr, grid)?;
            return self.window_states(node, part);
        }
        if output == FragmentOutput::AggregationStates {
            // a place that computed all of it would give rows
            self.push = self.push.map(|push| push.without(Rewrite::OnePlace));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_with_its_last_modifier() {
        for (text, pos, expected) in [
            ("sum(x)", (4, 5), "x"),
            ("sum(x smoothed)", (4, 5), "x smoothed"),
            ("x # the\n# metric\n ANCHORED > 3", (0, 1), "x # the\n# metric\n ANCHORED"),
            ("x smoothed_not", (0, 1), "x"),
            ("x # smoothed", (0, 1), "x"),
            ("x", (0, 9), "x"),
        ] {
            assert_eq!(text_at(text, PosRange::new(pos.0, pos.1)), expected, "{text}");
        }
    }
}
