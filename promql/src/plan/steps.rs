//! What the steps of a range query hang on: whether they can be evaluated apart, and which samples they look at.
//!
//! Whoever keeps answers needs both. Wherever it is not certain that a step stands for itself, it is said not to.

use model::TimeRange;

use super::{Node, Planner, ScalarArgs};
use crate::ast::{AggregateOp, AtModifier, DurationArg, DurationExpr, DurationKind, Expr, VectorSelector};
use crate::engine::QueryError;

/// What the answer to a range query hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Whether a step's values, and what is told about them, hang on that step's time alone: then any run of
    /// steps, evaluated by itself, gives what it gives among others.
    pub is_separable: bool,
    /// The step at `t` looks at samples of `[t + first, t + last]`, in milliseconds. `None`: at none.
    pub relative: Option<(i64, i64)>,
    /// Samples that every step looks at.
    pub pinned: Vec<TimeRange>,
}

/// Times at which an inner expression is evaluated: of a step (relative to it), or fixed.
#[derive(Debug, Clone, Copy)]
struct Times {
    is_pinned: bool,
    first: i64,
    last: i64,
}

impl Times {
    fn shifted(self, before: i64, after: i64) -> Self {
        Times { first: self.first.saturating_add(before), last: self.last.saturating_add(after), ..self }
    }
}

impl Planner<'_> {
    /// What `expr`, planned as `node`, hangs on; `None` when that is not known, or it looks at no samples.
    pub(crate) fn reach(&self, expr: &Expr, node: &Node) -> Result<Option<Reach>, QueryError> {
        let mut reach = Reach {
            is_separable: !self.features.delayed_name_removal && is_separable(node),
            relative: None,
            pinned: Vec::new(),
        };
        let at_step = Times { is_pinned: false, first: 0, last: 0 };
        let is_known = self.add_reach(expr, at_step, &mut reach)?;
        let looks = reach.relative.is_some() || !reach.pinned.is_empty();
        Ok((is_known && looks).then_some(reach))
    }

    /// Adds what `expr` looks at when it is evaluated at `times`; false when that is not known.
    fn add_reach(&self, expr: &Expr, times: Times, reach: &mut Reach) -> Result<bool, QueryError> {
        match expr {
            Expr::VectorSelector(v) => self.add_selector_reach(v, None, times, reach)?,
            Expr::MatrixSelector(m) => {
                reach.is_separable &= !knows_range(&m.range);
                self.add_selector_reach(&m.selector, Some(self.duration_ms(&m.range, false)?), times, reach)?;
            }
            Expr::Subquery(s) => {
                let inner_step = if s.step.is_unset() {
                    self.options.default_subquery_step_ms
                } else {
                    self.duration_ms(&s.step, false)?
                };
                reach.is_separable &= ![&s.range, &s.step, &s.offset].into_iter().any(knows_range);
                let range = self.duration_ms(&s.range, false)?;
                let offset = self.duration_ms(&s.offset, true)?;
                let at = self.evaluated(s.at, offset, times, reach);
                return self.add_reach(&s.expr, at.shifted(-range.saturating_add(inner_step), 0), reach);
            }
            // it looks for series of its own
            Expr::Call(c) if c.function.name == "info" => return Ok(false),
            _ => {
                for child in expr.children() {
                    if !self.add_reach(child, times, reach)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn add_selector_reach(
        &self,
        selector: &VectorSelector,
        range: Option<i64>,
        times: Times,
        reach: &mut Reach,
    ) -> Result<(), QueryError> {
        reach.is_separable &= !knows_range(&selector.offset);
        let offset = self.duration_ms(&selector.offset, true)?;
        let extends = selector.anchored || selector.smoothed;
        let before = match range {
            Some(range) if extends => range.saturating_add(self.lookback_ms),
            Some(range) => range,
            None => self.lookback_ms,
        };
        let after = if selector.smoothed { self.lookback_ms } else { 0 };
        let looks = self.evaluated(selector.at, offset, times, reach).shifted(-before, after);
        if looks.is_pinned {
            reach.pinned.push(TimeRange::inclusive(looks.first, looks.last));
            return Ok(());
        }
        let (first, last) = reach.relative.unwrap_or((looks.first, looks.last));
        reach.relative = Some((first.min(looks.first), last.max(looks.last)));
        Ok(())
    }

    /// When something with `@` and `offset` is evaluated.
    fn evaluated(&self, at: Option<AtModifier>, offset: i64, times: Times, reach: &mut Reach) -> Times {
        reach.is_separable &= !matches!(at, Some(AtModifier::Start | AtModifier::End));
        match self.pinned(at) {
            Some(t) => Times { is_pinned: true, first: t, last: t },
            None => times,
        }
        .shifted(offset.saturating_neg(), offset.saturating_neg())
    }
}

/// Whether a duration hangs on the query's first and last time.
fn knows_range(arg: &DurationArg) -> bool {
    fn has_range(expr: &DurationExpr) -> bool {
        match &expr.kind {
            DurationKind::Range => true,
            DurationKind::Literal { .. } | DurationKind::Step => false,
            DurationKind::Negate(e) | DurationKind::Positive(e) => has_range(e),
            DurationKind::Binary { lhs, rhs, .. } => has_range(lhs) || has_range(rhs),
        }
    }
    arg.expr.as_ref().is_some_and(|expr| has_range(expr))
}

/// Whether the operators treat every step by itself.
fn is_separable(node: &Node) -> bool {
    let scalars = |args: &ScalarArgs| args.vectors.iter().all(is_separable);
    match node {
        Node::Instant { .. } => true,
        Node::Nothing { after, .. } => after.iter().all(is_separable),
        Node::Range { params, .. } => scalars(params),
        Node::Subquery { input, params, .. }
        | Node::Map { input, params, .. }
        | Node::Histogram { input, params, .. } => is_separable(input) && scalars(params),
        Node::FromScalar { scalar, .. } => scalars(scalar),
        // equal labels at different steps are an error, too
        Node::Unique { merge: false, .. } => false,
        Node::Unique { merge: true, input, .. }
        | Node::Relabel { input, .. }
        | Node::Aggregate { input, .. }
        | Node::Absent { input, .. }
        | Node::Repeat { input, .. } => is_separable(input),
        Node::Binary { left, right, .. } => is_separable(left) && is_separable(right),
        // Those that choose series let the order decide between equals, and what is wrong with a parameter that
        // changes is told once for all steps.
        Node::Rank { input, op, param, .. } => {
            matches!(op, AggregateOp::Quantile | AggregateOp::LimitRatio)
                && param.vectors.is_empty()
                && param.exprs.iter().all(|expr| matches!(expr, crate::exec::ScalarExpr::Constant(_)))
                && is_separable(input)
        }
        // that it does nothing is told when there are several steps
        Node::Sort { .. } => false,
        Node::Info(_) | Node::Fragment { .. } | Node::MergeStates { .. } | Node::WindowStates { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::TenantId;
    use runtime::Runtime;

    use super::*;
    use crate::{Engine, EngineOptions, Features, MemorySource, QueryRequest};

    /// From 1,000 s to 1,300 s, every 10 s; looks back 300 s.
    fn reach(query: &str) -> Option<Reach> {
        let features = Features { delayed_name_removal: false, ..Features::of_test_scripts() };
        let engine =
            Engine::new(Runtime::simulated(1), EngineOptions { features, ..EngineOptions::default() });
        let request = QueryRequest::new(TenantId::anonymous(), query);
        engine.reach(Arc::new(MemorySource::new()), request, 1_000_000, 1_300_000, 10_000)
    }

    fn seconds(query: &str) -> (i64, i64) {
        let (first, last) = reach(query).unwrap().relative.unwrap();
        (first / 1000, last / 1000)
    }

    #[test]
    fn a_step_looks_at_its_windows() {
        assert_eq!(seconds("g"), (-300, 0));
        assert_eq!(seconds("g offset 1m"), (-360, -60));
        assert_eq!(seconds("g offset -1m"), (-240, 60));
        assert_eq!(seconds("rate(g[2m])"), (-120, 0));
        assert_eq!(seconds("rate(g[2m] anchored)"), (-420, 0));
        assert_eq!(seconds("rate(g[2m] smoothed)"), (-420, 300));
        assert_eq!(seconds("sum(g) + rate(g[20m] offset 1m)"), (-1260, 0));
        assert_eq!(seconds("max_over_time(rate(g[2m])[10m:1m] offset 1m)"), (-840, -60));
        assert_eq!(seconds("sum_over_time(g[step() * 3])"), (-30, 0));
    }

    #[test]
    fn some_times_are_the_same_for_all_steps() {
        let one = reach("sum_over_time(g[1m] @ 500)").unwrap();
        assert_eq!((one.relative, &one.pinned[..]), (None, &[TimeRange::inclusive(440_000, 500_000)][..]));
        assert!(one.is_separable);
        let start = reach("g @ start()").unwrap();
        assert_eq!(start.pinned, [TimeRange::inclusive(700_000, 1_000_000)]);
        assert!(!start.is_separable);
        let inner = reach("max_over_time(rate(g[1m])[5m:1m] @ end())").unwrap();
        assert_eq!(inner.pinned, [TimeRange::inclusive(1_300_000 - 420_000, 1_300_000)]);
    }

    #[test]
    fn steps_that_hang_together_are_told() {
        for query in
            ["rate(g[1m])", "sum by (a) ({a=\"b\"})", "quantile(0.5, g)", "g + on (a) h", "absent(g)"]
        {
            assert!(reach(query).unwrap().is_separable, "{query}");
        }
        for query in [
            "rate({a=\"b\"}[1m])",
            "topk(2, g)",
            "quantile(scalar(g), g)",
            "sort(g)",
            "g offset (range() / 2)",
            "sum(count_values(\"v\", g))",
        ] {
            assert!(!reach(query).unwrap().is_separable, "{query}");
        }
        for query in ["info(g)", "time()", "vector(1)", "sum("] {
            assert_eq!(reach(query), None, "{query}");
        }
    }
}
