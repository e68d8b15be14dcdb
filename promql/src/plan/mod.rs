//! The logical plan: what to compute, before where and how.
//!
//! The planner turns a query's tree into nodes, one file per kind of expression. It resolves what needs the query's
//! times (`@ start()`, duration expressions), pulls what does not depend on the step out to a single step, and tells
//! each selector which labels anybody will look at.

mod aggregate;
mod binary;
mod call;
mod duration;
mod invariance;
mod node;
mod physical;
mod push;
mod scalar;
mod selector;
mod sorts;
mod steps;
mod subquery;

use std::sync::Arc;

pub(crate) use node::{InfoNode, Node, ScalarArgs, SelectorSpec, WindowRead};
pub(crate) use physical::{Builder, Prepared, Seam, Work};
pub(crate) use push::{FragmentSpec, Part, PushDown, sides, text_at};
pub use push::{Rewrite, Rewrites};
pub use steps::Reach;

use crate::ast::{AtModifier, BinaryOp, Expr, PosRange, UnaryOp};
use crate::engine::{EngineOptions, Features, QueryError};
use crate::exec::{Grid, GroupKey, MapKind, NameAction};

/// Makes plans.
#[derive(Debug)]
pub(crate) struct Planner<'a> {
    /// First and last time of the query.
    start: i64,
    end: i64,
    /// The query's step; 0 for instant queries.
    step: i64,
    /// How often samples of what is planned now count in the statistics: once per step where one step's values are
    /// repeated, never inside subqueries.
    pub count_times: u64,
    /// Selectors of whose histograms only count and sum are looked at.
    pub stats_only: Vec<PosRange>,
    /// The query as written.
    text: &'a str,
    options: &'a EngineOptions,
    features: Features,
    lookback_ms: i64,
    /// What has to be selected.
    pub selectors: Vec<SelectorSpec>,
    /// What places evaluate.
    pub fragments: Vec<FragmentSpec>,
    /// The rules of push-down, where there are places.
    pub push: Option<PushDown<'a>>,
    /// The labels the aggregation above looks at, while the path down to the selector allows to ask for only them.
    wanted: Option<GroupKey>,
    /// Whether something on that path drops names.
    drops_names: bool,
    /// Set when a selector asked for exactly the wanted labels.
    exact: bool,
    /// The name the series of that selector have where the aggregation meets them.
    projected_metric: Option<String>,
}

impl<'a> Planner<'a> {
    /// For a query from `start` to `end`.
    pub(crate) fn new(
        text: &'a str,
        expr: &Expr,
        options: &'a Arc<EngineOptions>,
        lookback_ms: i64,
        start: i64,
        end: i64,
        step: i64,
    ) -> Self {
        Planner {
            start,
            end,
            step,
            count_times: 1,
            stats_only: stats_selectors(expr),
            text,
            options,
            features: options.features,
            lookback_ms,
            selectors: Vec::new(),
            fragments: Vec::new(),
            push: None,
            wanted: None,
            drops_names: false,
            exact: false,
            projected_metric: None,
        }
    }

    /// A grid of no more points than a query may hold samples.
    pub(crate) fn grid(&self, start: i64, end: i64, step: i64) -> Result<Grid, QueryError> {
        let grid = Grid::new(start, end, step);
        if grid.steps > self.options.max_samples {
            return Err(QueryError::too_many_samples(self.options.max_samples));
        }
        Ok(grid)
    }

    /// Whether a string can be a label's name. Bytes that are not UTF-8 were read as U+FFFD.
    fn is_label_name(name: &str) -> bool {
        !name.is_empty() && !name.contains('\u{fffd}')
    }

    /// What becomes of names where they are dropped.
    fn drop_action(&self) -> NameAction {
        if self.features.delayed_name_removal { NameAction::DropLater } else { NameAction::Drop }
    }

    /// The time of an `@`.
    fn pinned(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Timestamp(t) => t,
            AtModifier::Start => self.start,
            AtModifier::End => self.end,
        })
    }

    /// Plans a vector; what is the same at every step is evaluated once.
    pub(crate) fn wrapped(&mut self, expr: &Expr, grid: Grid) -> Result<Node, QueryError> {
        if grid.steps > 1 && invariance::of(expr).1 {
            let outer_count = self.count_times;
            self.count_times *= grid.steps as u64;
            let input = self.vector(expr, grid.first())?;
            self.count_times = outer_count;
            return Ok(Node::Repeat { input: Box::new(input), steps: grid.steps });
        }
        self.vector(expr, grid)
    }

    /// Plans a vector.
    fn vector(&mut self, expr: &Expr, grid: Grid) -> Result<Node, QueryError> {
        let wanted = self.wanted.take();
        let drops = std::mem::take(&mut self.drops_names);
        if let Some(node) = self.pushed(expr, grid)? {
            return Ok(node);
        }
        match expr {
            Expr::Paren(p) => {
                self.wanted = wanted;
                self.drops_names = drops;
                self.vector(&p.expr, grid)
            }
            Expr::StepInvariant(e) => self.wrapped(e, grid),
            Expr::VectorSelector(v) => {
                self.wanted = wanted;
                self.drops_names = drops;
                self.instant(v, grid)
            }
            Expr::Unary(u) => {
                self.wanted = wanted;
                if u.op == UnaryOp::Plus {
                    self.drops_names = drops;
                    return self.vector(&u.expr, grid);
                }
                self.drops_names = true;
                let input = self.vector(&u.expr, grid)?;
                Ok(self.map(input, MapKind::Negate, grid, ScalarArgs::default(), true))
            }
            Expr::Binary(b) => self.binary(b, grid, wanted, drops),
            Expr::Aggregate(a) => self.aggregate(a, grid),
            Expr::Call(c) => self.call(c, grid, wanted, drops),
            Expr::Number(_) | Expr::Duration(_) => self.vector_of_scalar(expr, grid),
            Expr::String(_) | Expr::MatrixSelector(_) | Expr::Subquery(_) => Err(QueryError::Internal(
                format!("expression of type {} where a vector is wanted", expr.value_type().as_str()),
            )),
        }
    }

    /// A map over samples, with the check that dropped names left no equal label sets.
    fn map(&self, input: Node, kind: MapKind, grid: Grid, params: ScalarArgs, drops: bool) -> Node {
        let name_action = if drops { self.drop_action() } else { NameAction::Keep };
        let unique = name_action != NameAction::Drop || input.names_fixed(&self.selectors);
        let node = Node::Map { input: Box::new(input), kind, grid, params, name_action };
        if unique { node } else { Node::Unique { input: Box::new(node), merge: true, steps: grid.steps } }
    }
}

/// Selectors below `histogram_count` and its kin, and below nothing that needs buckets.
fn stats_selectors(expr: &Expr) -> Vec<PosRange> {
    let mut found = Vec::new();
    expr.walk(&mut |node, path| {
        let pos = match node {
            Expr::VectorSelector(v) => v.pos,
            Expr::MatrixSelector(m) => m.selector.pos,
            _ => return,
        };
        let (mut stats, mut buckets) = (false, false);
        for above in path {
            match above {
                Expr::Subquery(_) => buckets = true,
                Expr::Call(c) => match c.function.name {
                    "histogram_count" | "histogram_sum" | "histogram_avg" => stats = true,
                    "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => buckets = true,
                    _ => {}
                },
                Expr::Binary(b) => buckets |= matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower),
                _ => {}
            }
        }
        if stats && !buckets {
            found.push(pos);
        }
    });
    found
}
