//! `</` and `>/`: keeping the observations below or above a value.

use model::FloatHistogram;

use super::buckets::{Bounded, negative, positive};
use super::{compact, is_custom};

/// Keeps the observations below (`upper`) or above `at`.
pub(crate) fn trim(h: &mut FloatHistogram, at: f64, upper: bool) {
    let custom = is_custom(h);
    let (mut count, mut sum) = (0.0, 0.0);
    let mut trimmed = false;
    let mut has = [false, false];
    for (number, side) in [positive(h), negative(h)].into_iter().enumerate() {
        let is_positive = number == 0;
        for (i, bucket) in side.iter().enumerate() {
            if bucket.count == 0.0 {
                continue;
            }
            has[number] = true;
            let whole = if upper { bucket.upper <= at } else { bucket.lower >= at };
            let cut = if upper { bucket.lower < at } else { bucket.upper > at };
            let (kept, middle) = if whole {
                (bucket.count, midpoint(bucket.lower, bucket.upper, is_positive, custom))
            } else if cut {
                cut_bucket(bucket, at, upper, is_positive, custom)
            } else {
                (0.0, 0.0)
            };
            count += kept;
            sum += middle * kept;
            let slot = if is_positive { &mut h.positive_buckets[i] } else { &mut h.negative_buckets[i] };
            if *slot != kept || !(whole || cut) {
                *slot = kept;
                trimmed = true;
            }
        }
    }
    if h.zero_count > 0.0 {
        let (kept, middle) = cut_zero(h.zero_threshold, h.zero_count, at, has, upper);
        if h.zero_count != kept {
            h.zero_count = kept;
            trimmed = true;
        }
        sum += middle * kept;
        count += kept;
    }
    if trimmed {
        h.count = count;
        h.sum = sum;
        compact(h);
    }
}

fn finite_or_zero(v: f64) -> f64 {
    if v.is_infinite() { 0.0 } else { v }
}

/// (kept, middle of the kept part) of a bucket that is cut.
fn cut_bucket(b: &Bounded, at: f64, upper: bool, is_positive: bool, linear: bool) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY {
        return if upper {
            if at >= b.upper {
                (b.count, 0.0)
            } else if at > 0.0 && b.upper > 0.0 && b.upper != f64::INFINITY {
                (b.count * at / b.upper, at / 2.0)
            } else if b.upper <= 0.0 {
                (b.count, at)
            } else {
                (0.0, finite_or_zero(b.upper))
            }
        } else if at <= b.lower {
            (b.count, 0.0)
        } else if at >= 0.0 && b.upper > at && b.upper != f64::INFINITY {
            (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
        } else {
            (0.0, finite_or_zero(b.upper))
        };
    }
    if b.upper == f64::INFINITY {
        return if !upper && at >= b.lower { (b.count, at) } else { (0.0, finite_or_zero(b.lower)) };
    }
    let below = if at <= b.lower {
        0.0
    } else if at >= b.upper {
        b.count
    } else {
        b.count * b.fraction_below(at, linear)
    };
    if upper {
        (below, midpoint(b.lower, at, is_positive, linear))
    } else {
        (b.count - below, midpoint(at, b.upper, is_positive, linear))
    }
}

fn cut_zero(threshold: f64, count: f64, at: f64, has: [bool; 2], upper: bool) -> (f64, f64) {
    let [has_positive, has_negative] = has;
    let low = if has_positive && !has_negative { 0.0 } else { -threshold };
    let high = if has_negative && !has_positive { 0.0 } else { threshold };
    let middle = (low + high) / 2.0;
    if at <= low {
        return if upper { (0.0, 0.0) } else { (count, middle) };
    }
    if at >= high {
        return if upper { (count, middle) } else { (0.0, 0.0) };
    }
    if upper {
        (count * ((at - low) / (high - low)), (low + at) / 2.0)
    } else {
        (count * ((high - at) / (high - low)), (at + high) / 2.0)
    }
}

fn midpoint(lower: f64, upper: f64, is_positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return if upper.is_infinite() {
            0.0
        } else if upper > 0.0 {
            upper / 2.0
        } else {
            upper
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let middle = (lower * upper).abs().sqrt();
    if is_positive { middle } else { -middle }
}
