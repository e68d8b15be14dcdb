//! Adding and subtracting.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::buckets::{Side, bound, exponential_bound, from_side, reduce, side_of};
use super::{is_custom, same_bounds, shared_bounds};
use crate::kahan;

/// Exponential and custom buckets do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What had to be settled while merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Merge {
    /// One side said "reset", the other "no reset".
    pub collision: bool,
    /// Custom bounds differed.
    pub reconciled: bool,
}

/// The hint of a sum; true on a collision.
pub(super) fn merge_hints(into: &mut CounterResetHint, other: CounterResetHint) -> bool {
    use CounterResetHint::{Gauge, Unknown};
    if *into == other || *into == Gauge {
        return false;
    }
    if other == Gauge {
        *into = Gauge;
        return false;
    }
    let collision = *into != Unknown && other != Unknown;
    *into = Unknown;
    collision
}

/// The zero count under a larger threshold, which moves up to the end of a populated bucket it falls into.
pub(super) fn widened_zero(
    zero_count: f64,
    zero_threshold: f64,
    schema: i32,
    sides: [&[(i32, f64)]; 2],
    larger: f64,
) -> (f64, f64) {
    if larger <= zero_threshold {
        return (zero_count, zero_threshold);
    }
    let mut threshold = larger;
    'outer: loop {
        let (mut sum, mut compensation) = (zero_count, 0.0);
        for (number, side) in sides.iter().enumerate() {
            for (index, count) in side.iter() {
                if exponential_bound(index.wrapping_sub(1), schema) >= threshold {
                    break;
                }
                kahan::add(*count, &mut sum, &mut compensation);
                let upper = exponential_bound(*index, schema);
                if upper > threshold {
                    if *count != 0.0 {
                        threshold = upper;
                        if number == 1 {
                            // the positive side has to be looked at again
                            continue 'outer;
                        }
                    }
                    break;
                }
            }
        }
        return (sum, threshold);
    }
}

/// Removes what a zero bucket has taken in.
fn drop_below(side: &mut Side, schema: i32, threshold: f64) {
    side.retain(|(index, count)| {
        *count != 0.0 && exponential_bound(index.wrapping_sub(1), schema) >= threshold
    });
}

/// Skips the leading buckets that lie within the zero bucket.
pub(super) fn beyond(side: &[(i32, f64)], schema: i32, threshold: f64) -> &[(i32, f64)] {
    let inside = side.iter().take_while(|(index, _)| exponential_bound(*index, schema) <= threshold).count();
    &side[inside..]
}

/// Merges two sides; `sign` is 1 or -1.
fn merge_sides(a: &[(i32, f64)], b: &[(i32, f64)], sign: f64) -> Side {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if j >= b.len() || (i < a.len() && a[i].0 < b[j].0) {
            out.push(a[i]);
            i += 1;
        } else if i >= a.len() || b[j].0 < a[i].0 {
            out.push((b[j].0, sign * b[j].1));
            j += 1;
        } else {
            out.push((a[i].0, a[i].1 + sign * b[j].1));
            i += 1;
            j += 1;
        }
    }
    out
}

/// Counts mapped to fewer custom bounds, with their compensations.
pub(super) fn map_custom(side: &[(i32, f64)], from: &[f64], to: &[f64], sign: f64, out: &mut [(f64, f64)]) {
    for (index, count) in side {
        let upper = bound(*index, model::CUSTOM_BUCKETS_SCHEMA, from);
        let target = to.partition_point(|b| *b < upper).min(out.len().saturating_sub(1));
        let (sum, compensation) = &mut out[target];
        kahan::add(sign * count, sum, compensation);
    }
}

/// `h + other`, in place.
pub(crate) fn add(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Merge, Incompatible> {
    combine(h, other, 1.0)
}

/// `h - other`, in place.
pub(crate) fn sub(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Merge, Incompatible> {
    combine(h, other, -1.0)
}

/// Positive and negative buckets.
fn sides(h: &FloatHistogram) -> (Side, Side) {
    (side_of(&h.positive_spans, &h.positive_buckets), side_of(&h.negative_spans, &h.negative_buckets))
}

fn combine(h: &mut FloatHistogram, other: &FloatHistogram, sign: f64) -> Result<Merge, Incompatible> {
    if is_custom(h) != is_custom(other) {
        return Err(Incompatible);
    }
    let mut merge = Merge {
        collision: merge_hints(&mut h.counter_reset_hint, other.counter_reset_hint),
        ..Merge::default()
    };
    h.count += sign * other.count;
    h.sum += sign * other.sum;
    if is_custom(h) {
        merge.reconciled = combine_custom(h, other, sign);
        return Ok(merge);
    }
    let (mut positive, mut negative) = sides(h);
    let (other_positive, other_negative) = sides(other);
    let (mut zero, mut threshold) = (other.zero_count, other.zero_threshold);
    while threshold != h.zero_threshold {
        if h.zero_threshold > threshold {
            (zero, threshold) = widened_zero(
                other.zero_count,
                other.zero_threshold,
                other.schema,
                [&other_positive, &other_negative],
                h.zero_threshold,
            );
        }
        if threshold > h.zero_threshold {
            (h.zero_count, h.zero_threshold) =
                widened_zero(h.zero_count, h.zero_threshold, h.schema, [&positive, &negative], threshold);
            drop_below(&mut positive, h.schema, h.zero_threshold);
            drop_below(&mut negative, h.schema, h.zero_threshold);
        }
    }
    h.zero_count += sign * zero;
    let schema = h.schema.min(other.schema);
    let join = |mine: Side, theirs: Side| {
        let mine = if h.schema > schema { reduce(&mine, h.schema, schema) } else { mine };
        let theirs = if other.schema > schema { reduce(&theirs, other.schema, schema) } else { theirs };
        merge_sides(&mine, beyond(&theirs, schema, h.zero_threshold), sign)
    };
    let (positive, negative) = (join(positive, other_positive), join(negative, other_negative));
    h.schema = schema;
    (h.positive_spans, h.positive_buckets) = from_side(&positive);
    (h.negative_spans, h.negative_buckets) = from_side(&negative);
    Ok(merge)
}

/// True when bounds had to be reconciled.
fn combine_custom(h: &mut FloatHistogram, other: &FloatHistogram, sign: f64) -> bool {
    let mine = side_of(&h.positive_spans, &h.positive_buckets);
    let theirs = side_of(&other.positive_spans, &other.positive_buckets);
    if same_bounds(&h.custom_values, &other.custom_values) {
        (h.positive_spans, h.positive_buckets) = from_side(&merge_sides(&mine, &theirs, sign));
        return false;
    }
    let bounds = shared_bounds(&h.custom_values, &other.custom_values);
    let mut counts = vec![(0.0, 0.0); bounds.len() + 1];
    map_custom(&mine, &h.custom_values, &bounds, 1.0, &mut counts);
    map_custom(&theirs, &other.custom_values, &bounds, sign, &mut counts);
    let side: Side = counts
        .iter()
        .enumerate()
        .filter(|(_, (sum, compensation))| *sum != 0.0 || *compensation != 0.0)
        .map(|(i, (sum, _))| (i as i32, *sum))
        .collect();
    (h.positive_spans, h.positive_buckets) = from_side(&side);
    h.custom_values = bounds;
    true
}

/// A copy at a coarser (or the same) resolution; a coarser one forgets the hint.
pub(crate) fn copy_to_schema(h: &FloatHistogram, schema: i32) -> FloatHistogram {
    let mut copy = h.clone();
    if schema >= h.schema || is_custom(h) {
        return copy;
    }
    let (positive, negative) = sides(h);
    (copy.positive_spans, copy.positive_buckets) = from_side(&reduce(&positive, h.schema, schema));
    (copy.negative_spans, copy.negative_buckets) = from_side(&reduce(&negative, h.schema, schema));
    copy.schema = schema;
    copy.counter_reset_hint = CounterResetHint::Unknown;
    copy.custom_values = Arc::from([]);
    copy
}
