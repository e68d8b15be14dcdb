//! Durations that are computed: ranges, steps and offsets with the query's own step and range in them.

use super::Planner;
use crate::ast::{DurationArg, DurationExpr, DurationKind, DurationOp, Expr, PosRange};
use crate::engine::QueryError;
use crate::functions::{go_max, go_min};

fn refused(pos: PosRange, what: &str) -> QueryError {
    QueryError::BadData(format!("{}:{}: {what}", pos.start, pos.end))
}

impl Planner<'_> {
    /// Whether all durations of a query are right; that is told before anything else of it is.
    pub(crate) fn check_durations(&self, expr: &Expr) -> Result<(), QueryError> {
        let mut failure = Ok(());
        expr.walk(&mut |node, _| {
            let checks: &[(&DurationArg, bool)] = match node {
                Expr::VectorSelector(v) => &[(&v.offset, true)],
                Expr::MatrixSelector(m) => &[(&m.range, false), (&m.selector.offset, true)],
                Expr::Subquery(s) => &[(&s.offset, true), (&s.step, false), (&s.range, false)],
                _ => &[],
            };
            for (duration, is_offset) in checks {
                if failure.is_ok() && duration.expr.is_some() {
                    failure = self.duration_ms(duration, *is_offset).map(drop);
                }
            }
        });
        failure
    }

    /// Milliseconds of a duration. Offsets may be negative, the others must be above 0.
    pub(super) fn duration_ms(&self, arg: &DurationArg, is_offset: bool) -> Result<i64, QueryError> {
        let Some(expr) = &arg.expr else { return Ok(arg.ms) };
        let seconds = self.duration_seconds(expr)?;
        if !seconds.is_finite() {
            return Err(refused(expr.pos, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !is_offset {
            return Err(refused(expr.pos, "duration must be greater than 0"));
        }
        if seconds.abs() > 9_223_372_036.0 {
            return Err(refused(expr.pos, "duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn duration_seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.kind {
            DurationKind::Literal { seconds, .. } => *seconds,
            DurationKind::Step => self.step as f64 / 1000.0,
            DurationKind::Range => (self.end - self.start) as f64 / 1000.0,
            DurationKind::Negate(e) => -self.duration_seconds(e)?,
            DurationKind::Positive(e) => self.duration_seconds(e)?,
            DurationKind::Binary { op, lhs, rhs } => {
                let (l, r) = (self.duration_seconds(lhs)?, self.duration_seconds(rhs)?);
                match op {
                    DurationOp::Add => l + r,
                    DurationOp::Sub => l - r,
                    DurationOp::Mul => l * r,
                    DurationOp::Div if r == 0.0 => return Err(refused(expr.pos, "division by zero")),
                    DurationOp::Div => l / r,
                    DurationOp::Mod if r == 0.0 => return Err(refused(expr.pos, "modulo by zero")),
                    DurationOp::Mod => l % r,
                    DurationOp::Pow => l.powf(r),
                    DurationOp::MinOf => go_min(l, r),
                    DurationOp::MaxOf => go_max(l, r),
                }
            }
        })
    }
}
