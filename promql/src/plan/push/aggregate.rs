//! `sum by (x) (…)`: a place returns groups × steps states whatever the number of its series.

use super::{Form, PushDown, Rewrite};
use crate::ast::{Aggregate, AggregateOp};

/// States of an aggregation whose states merge.
pub(super) fn form(push: &PushDown<'_>, aggregate: &Aggregate) -> Option<Form> {
    let merges = matches!(
        aggregate.op,
        AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Count
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar
    );
    (push.has(Rewrite::Aggregate) && merges && push.rows(&aggregate.expr)).then_some(Form::States)
}
