//! Arithmetic of native histograms.
//!
//! Buckets lie in spans; here a side is mostly looked at as a sorted list of (index, count), which merges like any
//! sorted lists. Differences in resolution and zero threshold are reconciled towards the coarser one; custom buckets
//! of different bounds towards the bounds they share.

mod add;
mod buckets;
mod mean;
mod quantile;
mod reset;
mod text;
mod trim;
mod wire;

use std::sync::Arc;

pub(crate) use add::{Incompatible, Merge, add, copy_to_schema, sub};
pub(crate) use buckets::bounds_of;
pub(crate) use mean::{MeanParts, MeanState};
use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
pub(crate) use quantile::{fraction, quantile, variance};
pub(crate) use reset::detect_reset;
pub use text::to_text;
pub(crate) use trim::trim;
pub use wire::fuzz_histogram_wire;
pub(crate) use wire::{Cursor, Malformed, get_histogram, put_histogram};

use buckets::{Side, from_side, side_of};

/// Whether buckets have bounds of their own.
pub(crate) fn is_custom(h: &FloatHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// How many float samples a histogram counts for.
pub(crate) fn sample_size(h: &FloatHistogram) -> usize {
    let eights = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive_buckets.len()
        + h.negative_buckets.len()
        + h.custom_values.len();
    (168 + 8 * eights + 8) / 16
}

/// A histogram without observations, of this layout.
pub(crate) fn empty_like(schema: i32, custom_values: &Arc<[f64]>) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        positive_buckets: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: Arc::clone(custom_values),
    }
}

/// Whether buckets, zero bucket and bounds have the same shape, so that sums settle nothing.
pub(crate) fn same_layout(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && same_bounds(&a.custom_values, &b.custom_values)
}

fn each_count(h: &mut FloatHistogram, f: impl Fn(&mut f64)) {
    f(&mut h.zero_count);
    f(&mut h.count);
    f(&mut h.sum);
    h.positive_buckets.iter_mut().for_each(&f);
    h.negative_buckets.iter_mut().for_each(&f);
}

/// Multiplies everything; a negative factor makes a gauge.
pub(crate) fn scale(h: &mut FloatHistogram, factor: f64) {
    each_count(h, |v| *v *= factor);
    if factor < 0.0 {
        h.counter_reset_hint = CounterResetHint::Gauge;
    }
}

/// Divides everything; zero leaves no buckets, a negative number makes a gauge.
pub(crate) fn divide(h: &mut FloatHistogram, by: f64) {
    each_count(h, |v| *v /= by);
    if by == 0.0 {
        h.positive_spans = Vec::new();
        h.negative_spans = Vec::new();
        h.positive_buckets = Vec::new();
        h.negative_buckets = Vec::new();
    } else if by < 0.0 {
        h.counter_reset_hint = CounterResetHint::Gauge;
    }
}

fn compact_side(spans: &mut Vec<Span>, counts: &mut Vec<f64>) {
    let is_compact = counts.iter().all(|c| *c != 0.0)
        && spans.iter().enumerate().all(|(i, s)| s.length > 0 && (i == 0 || s.offset > 0));
    if is_compact {
        return;
    }
    let mut side: Side = side_of(spans, counts);
    side.retain(|(_, count)| *count != 0.0);
    (*spans, *counts) = from_side(&side);
}

/// Removes empty buckets and joins spans.
pub(crate) fn compact(h: &mut FloatHistogram) {
    compact_side(&mut h.positive_spans, &mut h.positive_buckets);
    compact_side(&mut h.negative_spans, &mut h.negative_buckets);
}

fn sides_equal(a: (&[Span], &[f64]), b: (&[Span], &[f64])) -> bool {
    if a.1.len() != b.1.len() || a.1.iter().zip(b.1).any(|(x, y)| x.to_bits() != y.to_bits()) {
        return false;
    }
    if a.0 == b.0 {
        return true;
    }
    let indexes =
        |side: (&[Span], &[f64])| side_of(side.0, side.1).into_iter().map(|(i, _)| i).collect::<Vec<_>>();
    indexes(a) == indexes(b)
}

/// Whether two histograms are the same data, bit by bit; hints do not count.
pub(crate) fn equals(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits();
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (!is_custom(a) || same_bounds(&a.custom_values, &b.custom_values))
        && a.zero_threshold == b.zero_threshold
        && same(a.zero_count, b.zero_count)
        && sides_equal((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets))
        && sides_equal((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets))
}

fn same_bounds(a: &Arc<[f64]>, b: &Arc<[f64]>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// The bounds two histograms share.
fn shared_bounds(a: &Arc<[f64]>, b: &Arc<[f64]>) -> Arc<[f64]> {
    a.iter().copied().filter(|bound| b.binary_search_by(|x| x.total_cmp(bound)).is_ok()).collect()
}

#[cfg(test)]
mod tests;
