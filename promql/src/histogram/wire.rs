//! Histograms as bytes, between processes of one cluster. Little-endian, lossless, checked when read.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};

/// Bytes that hold no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads bytes; never beyond their end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_bits(u64::from_le_bytes(self.take()?)))
    }

    /// The width of a zero bucket: adding histograms would never end with one that is no number.
    pub(super) fn threshold(&mut self) -> Result<f64, Malformed> {
        let threshold = self.f64()?;
        if threshold >= 0.0 && threshold.is_finite() { Ok(threshold) } else { Err(Malformed) }
    }

    /// A count of items of `size` bytes that are all there.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(Malformed);
        }
        Ok(count)
    }
}

pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn put_f64(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn put_floats(values: &[f64], out: &mut Vec<u8>) {
    put_count(values.len(), out);
    for value in values {
        put_f64(*value, out);
    }
}

pub(super) fn get_floats(from: &mut Cursor<'_>) -> Result<Vec<f64>, Malformed> {
    (0..from.count(8)?).map(|_| from.f64()).collect()
}

fn put_spans(spans: &[Span], out: &mut Vec<u8>) {
    put_count(spans.len(), out);
    for span in spans {
        out.extend_from_slice(&span.offset.to_le_bytes());
        out.extend_from_slice(&span.length.to_le_bytes());
    }
}

/// Spans that describe as many buckets as there are.
fn get_spans(from: &mut Cursor<'_>) -> Result<(Vec<Span>, u64), Malformed> {
    let mut total = 0u64;
    let mut spans = Vec::new();
    for _ in 0..from.count(8)? {
        let span = Span { offset: from.i32()?, length: from.u32()? };
        total += u64::from(span.length);
        spans.push(span);
    }
    Ok((spans, total))
}

/// Appends a histogram.
pub(crate) fn put_histogram(h: &FloatHistogram, out: &mut Vec<u8>) {
    out.push(h.counter_reset_hint as u8);
    out.extend_from_slice(&h.schema.to_le_bytes());
    for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        put_f64(value, out);
    }
    put_spans(&h.positive_spans, out);
    put_spans(&h.negative_spans, out);
    put_floats(&h.positive_buckets, out);
    put_floats(&h.negative_buckets, out);
    put_floats(&h.custom_values, out);
}

/// Reads a histogram.
pub(crate) fn get_histogram(from: &mut Cursor<'_>) -> Result<FloatHistogram, Malformed> {
    let counter_reset_hint = CounterResetHint::from_wire(u64::from(from.u8()?));
    let schema = from.i32()?;
    let [zero_threshold, zero_count, count, sum] = [from.threshold()?, from.f64()?, from.f64()?, from.f64()?];
    let (positive_spans, positive) = get_spans(from)?;
    let (negative_spans, negative) = get_spans(from)?;
    let (positive_buckets, negative_buckets) = (get_floats(from)?, get_floats(from)?);
    if positive != positive_buckets.len() as u64 || negative != negative_buckets.len() as u64 {
        return Err(Malformed);
    }
    Ok(FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: Arc::from(get_floats(from)?),
    })
}

/// For fuzzing: bytes of outside never do harm.
pub fn fuzz_histogram_wire(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    if let Ok(histogram) = get_histogram(&mut cursor) {
        let mut out = Vec::new();
        put_histogram(&histogram, &mut out);
        assert_eq!(
            get_histogram(&mut Cursor::new(&out)).map(|h| h.sum.to_bits()),
            Ok(histogram.sum.to_bits())
        );
    }
    let _ = super::MeanState::get(&mut Cursor::new(data));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::MeanState;

    fn histogram() -> impl Strategy<Value = FloatHistogram> {
        let side = || proptest::collection::vec((-3i32..9, 0.0..1e6f64), 0..6);
        (any::<f64>(), any::<f64>(), -4i32..9, side(), side(), 0u64..4).prop_map(
            |(count, sum, schema, positive, negative, hint)| {
                let spans =
                    |side: &[(i32, f64)]| side.iter().map(|(o, _)| Span { offset: *o, length: 1 }).collect();
                FloatHistogram {
                    counter_reset_hint: CounterResetHint::from_wire(hint),
                    schema,
                    zero_threshold: 1e-128,
                    zero_count: 3.0,
                    count,
                    sum,
                    positive_spans: spans(&positive),
                    negative_spans: spans(&negative),
                    positive_buckets: positive.iter().map(|(_, v)| *v).collect(),
                    negative_buckets: negative.iter().map(|(_, v)| *v).collect(),
                    custom_values: Arc::from([]),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(h in histogram(), is_mean in any::<bool>(), cut in 0usize..400) {
            let mut bytes = Vec::new();
            put_histogram(&h, &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let read = get_histogram(&mut cursor).unwrap();
            prop_assert!(cursor.is_empty());
            prop_assert_eq!(format!("{h:?}"), format!("{read:?}"));
            let mut state = Vec::new();
            MeanState::new(&h, is_mean).put(&mut state);
            let mut cursor = Cursor::new(&state);
            let mean = MeanState::get(&mut cursor).unwrap();
            prop_assert!(cursor.is_empty());
            prop_assert_eq!(format!("{:?}", MeanState::new(&h, is_mean)), format!("{mean:?}"));
            if cut < state.len() {
                prop_assert!(MeanState::get(&mut Cursor::new(&state[..cut])).is_err());
            }
        }

        #[test]
        fn garbage_is_refused_or_read(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_histogram_wire(&data);
        }
    }
}
