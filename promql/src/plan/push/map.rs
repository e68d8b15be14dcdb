//! `-v`, `v * 8`, `abs(v)`: each sample by itself.

use super::{PushDown, Rewrite, is_plain_scalar};
use crate::ast::{Call, Expr, UnaryOp, ValueType};
use crate::functions::SampleFunction;

/// Rows of a function of single samples.
pub(super) fn call_rows(push: &PushDown<'_>, call: &Call) -> bool {
    let name = call.function.name;
    let is_map = (SampleFunction::find(name).is_some() && !call.args.is_empty())
        || matches!(
            name,
            "clamp"
                | "clamp_min"
                | "clamp_max"
                | "round"
                | "timestamp"
                | "histogram_count"
                | "histogram_sum"
                | "histogram_avg"
                | "histogram_stddev"
                | "histogram_stdvar"
        );
    let Some((vector, scalars)) = call.args.split_first() else { return false };
    push.has(Rewrite::Map)
        && is_map
        && push.rows(vector.unparen())
        && push.names_stay_apart(vector)
        && scalars.iter().all(is_plain_scalar)
}

/// Rows of a sign, or of an operator between a vector and a scalar.
pub(super) fn operator_rows(push: &PushDown<'_>, expr: &Expr) -> bool {
    if !push.has(Rewrite::Map) {
        return false;
    }
    match expr {
        Expr::Unary(u) => push.rows(&u.expr) && (u.op == UnaryOp::Plus || push.names_stay_apart(&u.expr)),
        Expr::Binary(b) => {
            let (left, right) = (b.lhs.value_type(), b.rhs.value_type());
            let (vector, scalar) = match (left, right) {
                (ValueType::Vector, ValueType::Scalar) => (&b.lhs, &b.rhs),
                (ValueType::Scalar, ValueType::Vector) => (&b.rhs, &b.lhs),
                _ => return false,
            };
            is_plain_scalar(scalar) && push.rows(vector) && push.names_stay_apart(vector)
        }
        _ => false,
    }
}
