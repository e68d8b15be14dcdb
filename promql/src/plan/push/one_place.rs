//! Where all series lie in one shard and each step's windows in one of its places, that place computes all: joins,
//! quantiles, sorting, whatever it is.

use proto::Place;

use super::{FragmentSpec, PushDown, Rewrite, has_inner_queries, is_plain_scalar};
use crate::ast::{Expr, ValueType};

impl PushDown<'_> {
    /// Whether one place might compute `expr` as a whole. Inner queries have points of their own: only a place that
    /// holds everything takes them.
    pub(super) fn one_place(&self, expr: &Expr) -> bool {
        if !self.has(Rewrite::OnePlace) || expr.value_type() != ValueType::Vector || is_plain_scalar(expr) {
            return false;
        }
        let [shard] = &self.layout.shards[..] else { return false };
        let all_time = |span: &proto::Span| span.holds.start == i64::MIN && span.holds.end == i64::MAX;
        let elsewhere = shard.spans.iter().any(|s| all_time(s) && matches!(s.place, Place::There(_)));
        !expr.selectors().is_empty()
            && (elsewhere || (!has_inner_queries(expr) && self.names_stay_apart(expr)))
    }

    /// Whether every step of a planned fragment lies within a place: else its parts may, each for itself.
    pub(super) fn is_exact_place(&self, spec: &FragmentSpec) -> bool {
        spec.shards.iter().flatten().all(|part| part.span.is_some())
    }
}
