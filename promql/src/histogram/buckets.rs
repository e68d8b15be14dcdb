//! Buckets: their indexes, counts and bounds.

use model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, MAX_EXPONENTIAL_SCHEMA, Span, bucket_powers};

/// The buckets of one side: (index, count), ascending.
pub(super) type Side = Vec<(i32, f64)>;

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounded {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// Calls `f` with every bucket's index and position.
fn walk(spans: &[Span], count: usize, mut f: impl FnMut(i32, usize)) {
    let mut index = 0i32;
    let mut position = 0usize;
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            if position >= count {
                return;
            }
            f(index, position);
            index = index.wrapping_add(1);
            position += 1;
        }
    }
}

/// The buckets of spans.
pub(super) fn side_of(spans: &[Span], counts: &[f64]) -> Side {
    let mut side = Vec::with_capacity(counts.len());
    walk(spans, counts.len(), |index, position| side.push((index, counts[position])));
    side
}

/// Spans and counts of buckets.
pub(super) fn from_side(side: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for (index, _) in side {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            Some(_) => spans.push(Span { offset: index.wrapping_sub(next), length: 1 }),
            None => spans.push(Span { offset: *index, length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    (spans, side.iter().map(|(_, count)| *count).collect())
}

/// The index a bucket has at a coarser resolution.
pub(super) fn target_index(index: i32, from: i32, to: i32) -> i32 {
    (index.wrapping_sub(1) >> (from - to).clamp(0, 31)).wrapping_add(1)
}

/// The buckets at a coarser resolution.
pub(super) fn reduce(side: &[(i32, f64)], from: i32, to: i32) -> Side {
    let mut reduced: Side = Vec::with_capacity(side.len());
    for (index, count) in side {
        let target = target_index(*index, from, to);
        match reduced.last_mut() {
            Some(last) if last.0 == target => last.1 += count,
            _ => reduced.push((target, *count)),
        }
    }
    reduced
}

/// `mantissa × 2^exponent`.
fn ldexp(mantissa: f64, exponent: i32) -> f64 {
    libm::ldexp(mantissa, exponent)
}

/// The absolute upper bound of a bucket of an exponential schema.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        let exponent = i64::from(index) << (-schema).clamp(0, 31);
        if exponent == 1024 {
            return f64::MAX;
        }
        return ldexp(1.0, exponent.clamp(-5000, 5000) as i32);
    }
    let schema = schema.min(MAX_EXPONENTIAL_SCHEMA);
    let part = index & ((1i32 << schema) - 1);
    let exponent = (index >> schema) + 1;
    // 2^(part / parts), halved
    let mantissa = bucket_powers()[(part << (MAX_EXPONENTIAL_SCHEMA - schema)) as usize] / 2.0;
    if part == 0 && exponent == 1025 {
        return f64::MAX;
    }
    ldexp(mantissa, exponent)
}

/// The upper bound of a bucket by its index; of the bucket before it for its lower bound.
pub(super) fn bound(index: i32, schema: i32, custom: &[f64]) -> f64 {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        return exponential_bound(index, schema);
    }
    match usize::try_from(index) {
        Err(_) => f64::NEG_INFINITY,
        Ok(at) => custom.get(at).copied().unwrap_or(f64::INFINITY),
    }
}

/// The positive (or custom) buckets, ascending.
pub(super) fn positive(h: &FloatHistogram) -> Vec<Bounded> {
    let mut out = Vec::with_capacity(h.positive_buckets.len());
    walk(&h.positive_spans, h.positive_buckets.len(), |index, position| {
        out.push(Bounded {
            lower: bound(index.wrapping_sub(1), h.schema, &h.custom_values),
            upper: bound(index, h.schema, &h.custom_values),
            count: h.positive_buckets[position],
        });
    });
    out
}

/// The negative buckets, from the zero bucket downwards.
pub(super) fn negative(h: &FloatHistogram) -> Vec<Bounded> {
    let mut out = Vec::with_capacity(h.negative_buckets.len());
    walk(&h.negative_spans, h.negative_buckets.len(), |index, position| {
        out.push(Bounded {
            lower: -bound(index, h.schema, &[]),
            upper: -bound(index.wrapping_sub(1), h.schema, &[]),
            count: h.negative_buckets[position],
        });
    });
    out
}

/// All buckets, ascending, the zero bucket among them when it holds anything. Bounds inside the zero bucket are
/// moved to its edge.
pub(crate) fn bounds_of(h: &FloatHistogram) -> Vec<Bounded> {
    let mut all = negative(h);
    all.reverse();
    for bucket in &mut all {
        if bucket.upper < 0.0 && bucket.upper > -h.zero_threshold {
            bucket.upper = -h.zero_threshold;
        }
    }
    if h.zero_count > 0.0 {
        all.push(Bounded { lower: -h.zero_threshold, upper: h.zero_threshold, count: h.zero_count });
    }
    for mut bucket in positive(h) {
        if bucket.lower > 0.0 && bucket.lower < h.zero_threshold {
            bucket.lower = h.zero_threshold;
        }
        all.push(bucket);
    }
    all
}

impl Bounded {
    /// The part of the bucket below a value strictly inside it.
    pub(super) fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (self.lower.abs().log2(), self.upper.abs().log2(), v.abs().log2());
        if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}
