//! `rate(x[5m])`: a window lies within one series, so the place of the series computes it.

use super::{PushDown, Rewrite, is_plain_scalar};
use crate::ast::{Call, Expr};
use crate::functions::WindowFunction;

/// Rows of a function of a range selector. `absent_over_time` is about all series at once.
pub(super) fn rows(push: &PushDown<'_>, call: &Call) -> bool {
    let Some(function) = WindowFunction::find(call.function.name) else { return false };
    push.has(Rewrite::Window)
        && function != WindowFunction::Absent
        && call.args.iter().all(|arg| match arg.unparen() {
            Expr::MatrixSelector(_) => !function.drops_name() || push.names_stay_apart(arg),
            other => is_plain_scalar(other),
        })
}
