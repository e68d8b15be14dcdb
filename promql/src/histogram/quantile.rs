//! Numbers out of a histogram: quantile, fraction, variance.

use model::FloatHistogram;

use super::buckets::Bounded;
use super::{bounds_of, is_custom};
use crate::annotations::Annotation;
use crate::functions::Notes;
use crate::kahan;

/// A zero bucket beside buckets of one sign only has observations of that sign only.
fn narrow_zero(bucket: &mut Bounded, h: &FloatHistogram) {
    if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
        bucket.lower = 0.0;
    } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The φ-quantile.
pub(crate) fn quantile(q: f64, h: &FloatHistogram, notes: &mut Notes<'_>) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    let mut buckets = bounds_of(h);
    let has_nan = h.sum.is_nan();
    let forward = has_nan || q < 0.5;
    if !forward {
        buckets.reverse();
    }
    let mut rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    let mut bucket = Bounded { lower: 0.0, upper: 0.0, count: 0.0 };
    let mut count = 0.0;
    let mut rest = buckets.iter();
    for b in rest.by_ref() {
        bucket = *b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    if !is_custom(h) && bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero(&mut bucket, h);
    } else if is_custom(h) {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    count = count.min(h.count);
    if count < rank {
        if has_nan {
            notes.noted.push(Annotation::quantile_nan_result(notes.metric, notes.pos));
            return f64::NAN;
        }
        return bucket.upper;
    }
    if forward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    if has_nan {
        let total = count + rest.map(|b| b.count).sum::<f64>();
        if total < h.count {
            notes.noted.push(Annotation::quantile_nan_skew(notes.metric, notes.pos));
        }
    }
    let part = rank / bucket.count;
    if is_custom(h) || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * part;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * part).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - part)).exp2()
    }
}

/// The part of the observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, h: &FloatHistogram, notes: &mut Notes<'_>) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let buckets = bounds_of(h);
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    for bucket in &buckets {
        let mut b = *bucket;
        let is_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if is_zero {
            narrow_zero(&mut b, h);
        }
        let linear = is_custom(h) || is_zero;
        let inside = |v: f64| {
            if linear && b.lower == f64::NEG_INFINITY {
                b.count
            } else {
                rank + b.count * b.fraction_below(v, linear)
            }
        };
        for (value, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                if b.lower >= value {
                    *found = Some(rank);
                } else if b.upper > value {
                    *found = Some(inside(value));
                }
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let mut count = h.count;
    if h.sum.is_nan() {
        count = buckets.iter().map(|b| b.count).sum();
        if count < h.count {
            notes.noted.push(Annotation::fraction_nans(notes.metric, notes.pos));
        }
    }
    let limit = |found: Option<f64>| found.map_or(count, |r| if r > count { count } else { r });
    (limit(upper_rank) - limit(lower_rank)) / h.count
}

/// The variance, estimated from the middles of buckets.
pub(crate) fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut compensation) = (0.0, 0.0);
    for bucket in bounds_of(h) {
        if bucket.count == 0.0 {
            continue;
        }
        let middle = if is_custom(h) {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        kahan::add(bucket.count * delta * delta, &mut sum, &mut compensation);
    }
    (sum + compensation) / h.count
}
