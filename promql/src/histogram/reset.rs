//! Counter resets: whether a histogram is less than the one before.

use model::{CounterResetHint, FloatHistogram};

use super::add::{beyond, map_custom, widened_zero};
use super::buckets::{Side, reduce, side_of};
use super::{is_custom, same_bounds, shared_bounds};

/// Whether the counter began anew between `previous` and `h`. Hints decide; otherwise any count that fell does.
pub(crate) fn detect_reset(h: &FloatHistogram, previous: &FloatHistogram) -> bool {
    match h.counter_reset_hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if h.count < previous.count {
        return true;
    }
    if is_custom(h) {
        if !is_custom(previous) {
            return true;
        }
        if !same_bounds(&h.custom_values, &previous.custom_values) {
            return fell_between_bounds(h, previous);
        }
    }
    if h.schema > previous.schema || h.zero_threshold < previous.zero_threshold {
        return true;
    }
    let sides = |h: &FloatHistogram| {
        (side_of(&h.positive_spans, &h.positive_buckets), side_of(&h.negative_spans, &h.negative_buckets))
    };
    let (positive, negative) = sides(h);
    let (mut previous_positive, mut previous_negative) = sides(previous);
    if is_custom(h) {
        return fell(&positive, &previous_positive);
    }
    let (zero, threshold) = widened_zero(
        previous.zero_count,
        previous.zero_threshold,
        previous.schema,
        [&previous_positive, &previous_negative],
        h.zero_threshold,
    );
    if threshold != h.zero_threshold || h.zero_count < zero {
        return true;
    }
    if previous.schema > h.schema {
        previous_positive = reduce(&previous_positive, previous.schema, h.schema);
        previous_negative = reduce(&previous_negative, previous.schema, h.schema);
    }
    let outside = |side: &Side| -> Side {
        if h.zero_threshold == 0.0 { side.clone() } else { beyond(side, h.schema, h.zero_threshold).to_vec() }
    };
    fell(&outside(&positive), &outside(&previous_positive))
        || fell(&outside(&negative), &outside(&previous_negative))
}

/// Whether a bucket lost observations or is gone.
fn fell(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut at = 0;
    before.iter().any(|(index, count)| {
        while at < now.len() && now[at].0 < *index {
            at += 1;
        }
        match now.get(at) {
            Some((i, current)) if i == index => current < count,
            _ => *count != 0.0,
        }
    })
}

/// The same for custom buckets of different bounds, at the bounds they share.
fn fell_between_bounds(h: &FloatHistogram, previous: &FloatHistogram) -> bool {
    let bounds = shared_bounds(&h.custom_values, &previous.custom_values);
    let counts = |h: &FloatHistogram| {
        let mut counts = vec![(0.0, 0.0); bounds.len() + 1];
        let side = side_of(&h.positive_spans, &h.positive_buckets);
        map_custom(&side, &h.custom_values, &bounds, 1.0, &mut counts);
        counts
    };
    counts(h).iter().zip(counts(previous)).any(|((now, _), (before, _))| *now < before)
}
