//! Aggregations.

use super::{Node, Planner, ScalarArgs};
use crate::ast::{Aggregate, AggregateOp, Expr, PosRange};
use crate::engine::QueryError;
use crate::exec::{Grid, GroupKey};

impl Planner<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, grid: Grid) -> Result<Node, QueryError> {
        let op = aggregate.op;
        let mut grouping = aggregate.grouping.clone();
        let mut value_label = String::new();
        let mut param = ScalarArgs::default();
        let mut param_pos = PosRange::default();
        if let Some(expr) = aggregate.param.as_ref().map(Expr::unparen) {
            param_pos = expr.pos();
            if let Expr::String(s) = expr {
                if !Self::is_label_name(&s.value) {
                    let written = self.text.get(s.pos.start..s.pos.end).unwrap_or_default();
                    return Err(QueryError::Execution(format!("invalid label name {written}")));
                }
                value_label.clone_from(&s.value);
                if !aggregate.without {
                    grouping.push(s.value.clone());
                }
            } else {
                param = self.scalars([expr], grid)?;
            }
        }
        let key = GroupKey::new(aggregate.without, &grouping);
        let inner = aggregate.expr.unparen();
        let inner_pos = inner.pos();
        let keeps_series = matches!(
            op,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
                | AggregateOp::CountValues
        );
        if !keeps_series {
            self.wanted = Some(key.clone());
            self.drops_names = false;
        }
        self.exact = false;
        self.projected_metric = None;
        let input = Box::new(self.wrapped(inner, grid)?);
        self.wanted = None;
        self.drops_names = false;
        let metric = self.projected_metric.take();
        let exact = std::mem::take(&mut self.exact) && !keeps_series;
        let key = if exact { GroupKey::Exact } else { key };
        let steps = grid.steps;
        if keeps_series || op == AggregateOp::Quantile {
            if value_label.is_empty() && param.exprs.is_empty() {
                return Err(QueryError::Internal(format!("{} without a parameter", op.as_str())));
            }
            if param.exprs.is_empty() {
                param.exprs.push(crate::exec::ScalarExpr::Constant(0.0));
            }
            return Ok(Node::Rank {
                input,
                op,
                key,
                grid,
                param,
                value_label,
                pos: aggregate.pos,
                inner_pos,
                param_pos,
            });
        }
        Ok(Node::Aggregate { input, op, key, steps, pos: inner_pos, metric })
    }
}
