//! Which calls of `sort` and its kin are in vain: those evaluated at more than one time.

use super::{Planner, invariance};
use crate::ast::{Expr, PosRange, Subquery};
use crate::engine::QueryError;

/// The times something is evaluated at, as Prometheus sees them: the end need not be a step.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: i64,
    step: i64,
}

impl Planner<'_> {
    /// Where they stand, in the order of evaluation.
    pub(crate) fn vain_sorts(&self, expr: &Expr) -> Result<Vec<PosRange>, QueryError> {
        let mut found = Vec::new();
        self.vain_sorts_in(expr, Span { start: self.start, end: self.end, step: self.step }, &mut found)?;
        Ok(found)
    }

    fn vain_sorts_in(&self, expr: &Expr, span: Span, found: &mut Vec<PosRange>) -> Result<(), QueryError> {
        if span.end < span.start {
            return Ok(());
        }
        let once = Span { end: span.start, ..span };
        let span = if invariance::of(expr).1 { once } else { span };
        match expr {
            Expr::Subquery(s) => {
                let inner = self.subquery_span(s, span)?;
                let once = Span { end: inner.start, ..inner };
                let inner = if inner.end >= inner.start && invariance::of(&s.expr).0 { once } else { inner };
                self.vain_sorts_in(&s.expr, inner, found)?;
            }
            Expr::Aggregate(a) => {
                if let Some(param) = &a.param {
                    self.vain_sorts_in(param, span, found)?;
                }
                self.vain_sorts_in(&a.expr, span, found)?;
            }
            _ => {
                for child in expr.children() {
                    self.vain_sorts_in(child, span, found)?;
                }
            }
        }
        if let Expr::Call(c) = expr
            && matches!(c.function.name, "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc")
            && span.start != span.end
        {
            found.push(c.pos);
        }
        Ok(())
    }

    fn subquery_span(&self, subquery: &Subquery, outer: Span) -> Result<Span, QueryError> {
        let offset = self.duration_ms(&subquery.offset, true)?;
        let range = self.duration_ms(&subquery.range, false)?;
        let step = self.subquery_step(subquery)?;
        let pinned = self.pinned(subquery.at);
        let last = outer.start + (outer.end - outer.start) / outer.step.max(1) * outer.step.max(1);
        let first = pinned.unwrap_or(outer.start) - offset;
        let end = pinned.unwrap_or(last) - offset;
        Ok(Span { start: super::subquery::first_point(first - range, step), end, step })
    }
}
