//! `topk(5, …)`: the best of all are among the best of each place.

use super::{Form, PushDown, Rewrite, is_plain_scalar};
use crate::ast::{Aggregate, AggregateOp};

/// Candidates, or the rows themselves where each series is chosen by its own labels.
pub(super) fn form(push: &PushDown<'_>, aggregate: &Aggregate) -> Option<Form> {
    let form = match aggregate.op {
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => Form::Candidates,
        AggregateOp::LimitRatio => Form::Rows,
        _ => return None,
    };
    let plain = aggregate.param.as_ref().is_some_and(is_plain_scalar);
    (push.has(Rewrite::Rank) && plain && push.rows(&aggregate.expr)).then_some(form)
}
