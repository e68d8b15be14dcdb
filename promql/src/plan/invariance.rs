//! What gives the same at every step of a query.

use crate::ast::Expr;

/// Functions whose value may change with the time although their arguments do not.
fn depends_on_time(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}

/// (is the same at every step, is worth evaluating once).
pub(super) fn of(expr: &Expr) -> (bool, bool) {
    match expr {
        Expr::VectorSelector(v) => (v.at.is_some(), v.at.is_some()),
        Expr::MatrixSelector(m) => (m.selector.at.is_some(), false),
        Expr::Subquery(s) => (s.at.is_some(), false),
        Expr::Aggregate(a) => of(&a.expr),
        Expr::Binary(b) => {
            let both = of(&b.lhs).0 && of(&b.rhs).0;
            (both, both)
        }
        Expr::Call(c) => {
            let args_invariant = c.args.iter().all(|a| of(a.unparen()).0);
            let is_pinned_timestamp = c.function.name == "timestamp"
                && c.args.iter().all(|a| matches!(a.unparen(), Expr::VectorSelector(_)));
            let invariant = args_invariant && (!depends_on_time(c.function.name) || is_pinned_timestamp);
            (invariant, invariant)
        }
        Expr::Paren(p) => of(&p.expr),
        Expr::Unary(u) => of(&u.expr),
        Expr::Number(_) | Expr::String(_) | Expr::Duration(_) => (true, false),
        Expr::StepInvariant(e) => (true, of(e).1),
    }
}
