//! Makes a histogram fit what is stored: exponential schemas finer than the finest are merged down to it.

use model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramError, IntHistogram, MAX_EXPONENTIAL_SCHEMA,
    MIN_EXPONENTIAL_SCHEMA, Span,
};

/// Validates, and reduces the schema where it is too fine. Schemas coarser than the coarsest are refused.
pub(crate) fn accept(histogram: &mut Histogram) -> Result<(), HistogramError> {
    histogram.validate()?;
    let schema = match histogram {
        Histogram::Int(h) => h.schema,
        Histogram::Float(h) => h.schema,
    };
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return Ok(());
    }
    if schema < MIN_EXPONENTIAL_SCHEMA {
        return Err(HistogramError::Schema(schema));
    }
    if schema > MAX_EXPONENTIAL_SCHEMA {
        match histogram {
            Histogram::Int(h) => reduce_int(h),
            Histogram::Float(h) => reduce_float(h),
        }
        // gaps of absurd size may not fit a span any more
        histogram.validate()?;
    }
    Ok(())
}

/// Index of a bucket after its schema lost `by` levels: bucket `i` ends at base^i, so ends are rounded up.
fn reduced(index: i64, by: u32) -> i64 {
    // beyond 62 every index is at one of the two ends
    let by = by.min(62);
    ((index - 1) >> by) + 1
}

/// Buckets with their indexes; validated spans, so the counts are all there.
fn indexed<'a, T: Copy>(spans: &'a [Span], values: &'a [T]) -> impl Iterator<Item = (i64, T)> + 'a {
    let mut next = 0i64;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    });
    indexes.zip(values.iter().copied())
}

/// Merges buckets of equal index and describes them by spans.
fn merge<T: Copy>(buckets: impl Iterator<Item = (i64, T)>, add: impl Fn(T, T) -> T) -> (Vec<Span>, Vec<T>) {
    let (mut spans, mut values): (Vec<Span>, Vec<T>) = (Vec::new(), Vec::new());
    let mut end = 0i64;
    for (index, value) in buckets {
        match (spans.last_mut(), values.last_mut()) {
            (Some(_), Some(last)) if index == end - 1 => *last = add(*last, value),
            (Some(span), Some(_)) if index == end => {
                span.length += 1;
                values.push(value);
                end += 1;
            }
            _ => {
                // indexes only shrink, and they came from 32 bits
                spans.push(Span { offset: (index - end) as i32, length: 1 });
                values.push(value);
                end = index + 1;
            }
        }
    }
    (spans, values)
}

fn reduce_int(h: &mut IntHistogram) {
    let by = (h.schema - MAX_EXPONENTIAL_SCHEMA) as u32;
    let side = |spans: &[Span], deltas: &[i64]| {
        let mut bucket = 0i64;
        let absolute: Vec<i64> = deltas
            .iter()
            .map(|delta| {
                bucket = bucket.wrapping_add(*delta);
                bucket
            })
            .collect();
        let (spans, counts) =
            merge(indexed(spans, &absolute).map(|(i, count)| (reduced(i, by), count)), i64::wrapping_add);
        let mut before = 0i64;
        let deltas = counts
            .iter()
            .map(|count| {
                let delta = count.wrapping_sub(before);
                before = *count;
                delta
            })
            .collect();
        (spans, deltas)
    };
    (h.positive_spans, h.positive_deltas) = side(&h.positive_spans, &h.positive_deltas);
    (h.negative_spans, h.negative_deltas) = side(&h.negative_spans, &h.negative_deltas);
    h.schema = MAX_EXPONENTIAL_SCHEMA;
}

fn reduce_float(h: &mut FloatHistogram) {
    let by = (h.schema - MAX_EXPONENTIAL_SCHEMA) as u32;
    let side = |spans: &[Span], buckets: &[f64]| {
        merge(indexed(spans, buckets).map(|(i, count)| (reduced(i, by), count)), |a, b| a + b)
    };
    (h.positive_spans, h.positive_buckets) = side(&h.positive_spans, &h.positive_buckets);
    (h.negative_spans, h.negative_buckets) = side(&h.negative_spans, &h.negative_buckets);
    h.schema = MAX_EXPONENTIAL_SCHEMA;
}

#[cfg(test)]
mod tests {
    use model::CounterResetHint;

    use super::*;

    fn histogram(schema: i32) -> IntHistogram {
        IntHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            zero_count: 0,
            count: 16,
            sum: 1.0,
            // buckets -1, 0, 1 and 4, 5 with 1, 2, 3, 4, 6
            positive_spans: vec![Span { offset: -1, length: 3 }, Span { offset: 2, length: 2 }],
            negative_spans: vec![],
            positive_deltas: vec![1, 1, 1, 1, 2],
            negative_deltas: vec![],
            custom_values: vec![].into(),
        }
    }

    #[test]
    fn too_fine_schemas_are_merged_and_too_coarse_ones_refused() {
        let mut h = Histogram::Int(Box::new(histogram(9)));
        accept(&mut h).unwrap();
        let Histogram::Int(int) = &h else { panic!("still integers") };
        // one level: (-1, 0) -> 0, 1 -> 1, 4 -> 2, 5 -> 3
        assert_eq!((int.schema, &int.positive_deltas), (8, &vec![3, 0, 1, 2]));
        assert_eq!(int.positive_spans, [Span { offset: 0, length: 4 }]);
        h.validate().unwrap();
        let mut float = Histogram::Float(Box::new(histogram(9).to_float()));
        accept(&mut float).unwrap();
        assert_eq!(float, Histogram::Float(Box::new(h.to_float())));
        let mut fits = Histogram::Int(Box::new(histogram(8)));
        accept(&mut fits).unwrap();
        assert_eq!(fits, Histogram::Int(Box::new(histogram(8))));
        let mut far = Histogram::Int(Box::new(histogram(52)));
        accept(&mut far).unwrap();
        far.validate().unwrap();
        let mut coarse = Histogram::Int(Box::new(histogram(-5)));
        assert_eq!(accept(&mut coarse), Err(HistogramError::Schema(-5)));
    }
}
