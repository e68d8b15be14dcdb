//! `count_values("v", …)`: places count for themselves, counts of equal labels add up.

use super::{Form, PushDown, Rewrite};
use crate::ast::{Aggregate, AggregateOp};

/// Counts.
pub(super) fn form(push: &PushDown<'_>, aggregate: &Aggregate) -> Option<Form> {
    let counts = aggregate.op == AggregateOp::CountValues;
    (push.has(Rewrite::CountValues) && counts && push.rows(&aggregate.expr)).then_some(Form::Counts)
}
