//! Native histograms: count, sum and the buckets that are not empty, in ascending order.

use model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, MAX_EXPONENTIAL_SCHEMA, Span, bucket_powers};

use super::number::write_float;

/// `{"count":…,"sum":…,"buckets":[[rule,"lower","upper","count"],…]}`; no `buckets` when all are empty.
///
/// Rules: 0 `(lower, upper]`, 1 `[lower, upper)`, 2 `(lower, upper)`, 3 `[lower, upper]`.
pub(super) fn write_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    quoted(out, h.count);
    out.extend_from_slice(b",\"sum\":");
    quoted(out, h.sum);
    let mut first = true;
    let mut bucket = |lower: f64, upper: f64, rule: u8, count: f64| {
        // NaN is a count too
        if count == 0.0 {
            return;
        }
        out.extend_from_slice(if first { b",\"buckets\":[" } else { b"," });
        first = false;
        out.extend_from_slice(&[b'[', rule, b',']);
        quoted(out, lower);
        out.push(b',');
        quoted(out, upper);
        out.push(b',');
        quoted(out, count);
        out.push(b']');
    };
    let negative: Vec<(i32, f64)> = indexed(&h.negative_spans, &h.negative_buckets).collect();
    for (index, count) in negative.into_iter().rev() {
        let (lower, upper) = (-bound(h, index), -bound(h, index - 1));
        let upper = if upper < 0.0 && upper > -h.zero_threshold { -h.zero_threshold } else { upper };
        bucket(lower, upper, rule(lower < 0.0, upper > 0.0), count);
    }
    if h.zero_count > 0.0 {
        bucket(-h.zero_threshold, h.zero_threshold, b'3', h.zero_count);
    }
    for (index, count) in indexed(&h.positive_spans, &h.positive_buckets) {
        let (lower, upper) = (bound(h, index - 1), bound(h, index));
        let rule = match h.schema {
            CUSTOM_BUCKETS_SCHEMA => rule(index == 0, true),
            _ => rule(lower < 0.0, upper > 0.0),
        };
        let lower = if lower > 0.0 && lower < h.zero_threshold { h.zero_threshold } else { lower };
        bucket(lower, upper, rule, count);
    }
    if !first {
        out.push(b']');
    }
    out.push(b'}');
}

fn quoted(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    write_float(out, v);
    out.push(b'"');
}

fn rule(lower_inside: bool, upper_inside: bool) -> u8 {
    match (lower_inside, upper_inside) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    }
}

/// The buckets with their index.
fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next.wrapping_add(span.offset);
        next = start.wrapping_add(span.length as i32);
        start..next
    });
    indexes.zip(buckets.iter().copied())
}

/// The upper bound of bucket `index`.
fn bound(h: &FloatHistogram, index: i32) -> f64 {
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        return match usize::try_from(index) {
            Ok(i) => h.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    let (fraction, exponent) = if h.schema <= 0 {
        let shift = h.schema.unsigned_abs().min(31);
        (1.0, i64::from(index) << shift)
    } else {
        let schema = h.schema.min(MAX_EXPONENTIAL_SCHEMA);
        let steps = 1i64 << schema;
        let step = (i64::from(index) & (steps - 1)) << (MAX_EXPONENTIAL_SCHEMA - schema);
        (bucket_powers()[step as usize], i64::from(index) >> schema)
    };
    // the last bucket of finite values ends at the last finite value
    if fraction == 1.0 && exponent == 1024 {
        return f64::MAX;
    }
    scale(fraction, exponent)
}

/// `x * 2^exponent`, rounded once.
fn scale(x: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2200, 2200) as i32;
    let power = |e: i32| f64::from_bits(((e + 1023) as u64) << 52);
    match exponent {
        -1022..=1023 => x * power(exponent),
        1024.. => x * power(1023) * 2f64.powi((exponent - 1023).min(1023)),
        // x is at least 1: the first factor keeps it normal, the second rounds
        _ => x * power(-1022) * 2f64.powi((exponent + 1022).max(-1074)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::CounterResetHint;

    use super::*;

    fn histogram(schema: i32) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.5,
            sum: 18.4,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0, 0.0, 1.0],
            negative_buckets: vec![1.0, 3.0],
            custom_values: Arc::from([]),
        }
    }

    fn text(h: &FloatHistogram) -> String {
        let mut out = Vec::new();
        write_histogram(&mut out, h);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn buckets_are_listed_from_low_to_high_without_empty_ones() {
        assert_eq!(
            text(&histogram(1)),
            r#"{"count":"12.5","sum":"18.4","buckets":[[1,"-1.414213562373095","-1","3"],[1,"-1","-0.7071067811865475","1"],[3,"-0.001","0.001","2"],[0,"0.7071067811865475","1","1"],[0,"1","1.414213562373095","2"],[0,"2.82842712474619","4","1"]]}"#
        );
        let empty = FloatHistogram {
            zero_count: 0.0,
            positive_buckets: vec![0.0; 4],
            negative_buckets: vec![0.0; 2],
            ..histogram(0)
        };
        assert_eq!(text(&empty), r#"{"count":"12.5","sum":"18.4"}"#);
    }

    #[test]
    fn custom_bounds_end_at_infinity() {
        let custom = FloatHistogram {
            zero_threshold: 0.0,
            zero_count: 0.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            negative_spans: vec![],
            negative_buckets: vec![],
            custom_values: Arc::from([0.5, 1.0]),
            ..histogram(CUSTOM_BUCKETS_SCHEMA)
        };
        assert_eq!(
            text(&custom),
            r#"{"count":"12.5","sum":"18.4","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","1","2"],[0,"1","+Inf","3"]]}"#
        );
    }

    #[test]
    fn bounds_reach_the_ends_of_the_floats() {
        assert_eq!(bound(&histogram(0), 1024), f64::MAX);
        assert_eq!(bound(&histogram(0), 1025), f64::INFINITY);
        assert_eq!(bound(&histogram(-4), 64), f64::MAX);
        assert_eq!(bound(&histogram(-4), 65), f64::INFINITY);
        assert_eq!(bound(&histogram(8), 1024 << 8), f64::MAX);
        assert_eq!(bound(&histogram(0), -1074), 5e-324);
        assert_eq!(bound(&histogram(0), -1075), 0.0);
        assert_eq!(bound(&histogram(0), -1022), f64::MIN_POSITIVE);
        assert_eq!(bound(&histogram(3), -8), 0.5);
    }
}
