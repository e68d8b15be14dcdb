//! Histograms as bytes, between processes of one cluster. Little-endian, lossless, checked when read.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};

/// Bytes that hold no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes that hold no histogram")]
pub struct Malformed;

/// Reads bytes; never beyond their end.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take::<1>()?[0])
    }

    /// The next number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    /// The next number.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    /// The next number.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    /// The next float, whatever its bits.
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_bits(u64::from_le_bytes(self.take()?)))
    }

    /// The width of a zero bucket: adding histograms would never end with one that is no number.
    pub fn threshold(&mut self) -> Result<f64, Malformed> {
        let threshold = self.f64()?;
        if threshold >= 0.0 && threshold.is_finite() { Ok(threshold) } else { Err(Malformed) }
    }

    /// A count of items of `size` bytes that are all there.
    pub fn count(&mut self, size: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(Malformed);
        }
        Ok(count)
    }
}

/// Appends a count.
pub fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// Appends a float.
pub fn put_f64(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends floats with their count.
pub fn put_floats(values: &[f64], out: &mut Vec<u8>) {
    put_count(values.len(), out);
    for value in values {
        put_f64(*value, out);
    }
}

/// Reads floats with their count.
pub fn get_floats(from: &mut Cursor<'_>) -> Result<Vec<f64>, Malformed> {
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
pub fn put_histogram(h: &FloatHistogram, out: &mut Vec<u8>) {
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
pub fn get_histogram(from: &mut Cursor<'_>) -> Result<FloatHistogram, Malformed> {
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
