//! The bytes of window states: what crosses between processes where a window straddles two places.
//!
//! Integers are LEB128 (signed ones zigzag), floats that are small whole numbers likewise and raw bits otherwise,
//! histograms as they are held. Always: what is read is checked before it is believed (counts against the bytes that
//! are left, times against overflow, buckets against their spans), so that no later arithmetic can fail.

use std::sync::Arc;

use model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA,
    Span,
};

use super::Sample;
use crate::kahan::Double;

/// Most buckets of one side of a histogram, and most custom bounds.
const BUCKETS_MAX: usize = 1 << 16;
/// Times beyond this in either direction (73 million years) are none: differences of two must not overflow.
const TIME_MAX: i64 = 1 << 61;

/// Why bytes are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// They end too early.
    #[error("window state: ends too early")]
    Short,
    /// They begin with something else.
    #[error("window state: of kind {found}, wanted {wanted}")]
    Kind {
        /// The number found.
        found: u8,
        /// The number of the function's states.
        wanted: u8,
    },
    /// More of something than there may be.
    #[error("window state: {found} {what}, at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// How many there may be.
        max: usize,
    },
    /// A part that cannot be.
    #[error("window state: invalid {0}")]
    Invalid(&'static str),
}

/// Appends to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, v: u8) {
        self.0.push(v);
    }

    pub(super) fn number(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    pub(super) fn signed(&mut self, v: i64) {
        self.number(((v << 1) ^ (v >> 63)) as u64);
    }

    /// Whole numbers up to 2^50 take few bytes, all else nine.
    pub(super) fn float(&mut self, v: f64) {
        let whole = v as u64;
        if whole < 1 << 50 && (whole as f64).to_bits() == v.to_bits() {
            self.number(whole << 1);
        } else {
            self.0.push(1);
            self.0.extend_from_slice(&v.to_bits().to_le_bytes());
        }
    }

    pub(super) fn double(&mut self, v: Double) {
        let (high, low) = v.parts();
        self.float(high);
        self.float(low);
    }

    pub(super) fn wide(&mut self, v: i128) {
        self.signed((v >> 64) as i64);
        self.0.extend_from_slice(&(v as u64).to_le_bytes());
    }

    fn side(&mut self, spans: &[Span], counts: &[f64]) {
        self.number(spans.len() as u64);
        for span in spans {
            self.signed(i64::from(span.offset));
            self.number(u64::from(span.length));
        }
        self.number(counts.len() as u64);
        for count in counts {
            self.float(*count);
        }
    }

    pub(super) fn bounds(&mut self, bounds: &[f64]) {
        self.number(bounds.len() as u64);
        for bound in bounds {
            self.float(*bound);
        }
    }

    pub(super) fn histogram(&mut self, h: &FloatHistogram) {
        self.byte(h.counter_reset_hint as u8);
        self.signed(i64::from(h.schema));
        for v in [h.zero_threshold, h.zero_count, h.count, h.sum] {
            self.float(v);
        }
        self.side(&h.positive_spans, &h.positive_buckets);
        self.side(&h.negative_spans, &h.negative_buckets);
        self.bounds(&h.custom_values);
    }

    pub(super) fn sample(&mut self, sample: &Sample) {
        self.byte(u8::from(sample.histogram.is_some()));
        self.signed(sample.t);
        self.signed(sample.start);
        match &sample.histogram {
            Some(h) => self.histogram(h),
            None => self.float(sample.float),
        }
    }
}

/// Reads from bytes of others.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, StateError> {
        let (first, rest) = self.0.split_first().ok_or(StateError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn flag(&mut self) -> Result<bool, StateError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Invalid("flag")),
        }
    }

    fn eight(&mut self) -> Result<u64, StateError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(StateError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(super) fn number(&mut self) -> Result<u64, StateError> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            v |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(StateError::Invalid("number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, StateError> {
        let v = self.number()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    pub(super) fn float(&mut self) -> Result<f64, StateError> {
        let v = self.number()?;
        match v {
            1 => Ok(f64::from_bits(self.eight()?)),
            v if v & 1 == 0 && v >> 1 < 1 << 50 => Ok((v >> 1) as f64),
            _ => Err(StateError::Invalid("float")),
        }
    }

    pub(super) fn double(&mut self) -> Result<Double, StateError> {
        Ok(Double::of(self.float()?, self.float()?))
    }

    pub(super) fn wide(&mut self) -> Result<i128, StateError> {
        let high = self.signed()?;
        Ok((i128::from(high) << 64) | i128::from(self.eight()?))
    }

    pub(super) fn time(&mut self) -> Result<i64, StateError> {
        let t = self.signed()?;
        if (-TIME_MAX..=TIME_MAX).contains(&t) { Ok(t) } else { Err(StateError::Invalid("time")) }
    }

    /// A number of samples: at least one, and sums of many cannot overflow.
    pub(super) fn samples(&mut self) -> Result<u64, StateError> {
        let count = self.number()?;
        if (1..=1 << 50).contains(&count) { Ok(count) } else { Err(StateError::Invalid("number of samples")) }
    }

    /// How many follow: no more than allowed, nor than there are bytes.
    pub(super) fn length(&mut self, what: &'static str, max: usize) -> Result<usize, StateError> {
        let found = self.number()?;
        match usize::try_from(found) {
            Ok(length) if length <= max && length <= self.0.len() => Ok(length),
            Ok(length) if length <= max => Err(StateError::Short),
            _ => Err(StateError::TooMany { what, found, max }),
        }
    }

    fn side(&mut self) -> Result<(Vec<Span>, Vec<f64>), StateError> {
        let length = self.length("spans", BUCKETS_MAX)?;
        let mut spans = Vec::with_capacity(length);
        let (mut end, mut total) = (0i64, 0u64);
        for i in 0..length {
            let offset =
                i32::try_from(self.signed()?).map_err(|_| StateError::Invalid("offset of a span"))?;
            let length =
                u32::try_from(self.number()?).map_err(|_| StateError::Invalid("length of a span"))?;
            if i > 0 && offset < 0 {
                return Err(StateError::Invalid("offset of a span"));
            }
            end += i64::from(offset) + i64::from(length);
            total += u64::from(length);
            spans.push(Span { offset, length });
        }
        let length = self.length("buckets", BUCKETS_MAX)?;
        if total != length as u64 || end > i64::from(i32::MAX) {
            return Err(StateError::Invalid("spans"));
        }
        let counts = (0..length).map(|_| self.float()).collect::<Result<_, _>>()?;
        Ok((spans, counts))
    }

    pub(super) fn bounds(&mut self) -> Result<Arc<[f64]>, StateError> {
        let length = self.length("custom bounds", BUCKETS_MAX)?;
        let bounds: Vec<f64> = (0..length).map(|_| self.float()).collect::<Result<_, _>>()?;
        if bounds.iter().any(|b| !b.is_finite()) || bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(StateError::Invalid("custom bounds"));
        }
        Ok(Arc::from(bounds))
    }

    pub(super) fn schema(&mut self) -> Result<i32, StateError> {
        let schema = self.signed()?;
        match i32::try_from(schema) {
            Ok(s @ (MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA | CUSTOM_BUCKETS_SCHEMA)) => Ok(s),
            _ => Err(StateError::Invalid("schema")),
        }
    }

    pub(super) fn hint(&mut self) -> Result<CounterResetHint, StateError> {
        match self.byte()? {
            number @ 0..=3 => Ok(CounterResetHint::from_wire(u64::from(number))),
            _ => Err(StateError::Invalid("counter reset hint")),
        }
    }

    pub(super) fn histogram(&mut self) -> Result<FloatHistogram, StateError> {
        let counter_reset_hint = self.hint()?;
        let schema = self.schema()?;
        let zero_threshold = self.float()?;
        if !(zero_threshold >= 0.0 && zero_threshold.is_finite()) {
            return Err(StateError::Invalid("zero threshold"));
        }
        let (zero_count, count, sum) = (self.float()?, self.float()?, self.float()?);
        let (positive_spans, positive_buckets) = self.side()?;
        let (negative_spans, negative_buckets) = self.side()?;
        let custom_values = self.bounds()?;
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
            custom_values,
        })
    }

    pub(super) fn sample(&mut self) -> Result<Sample, StateError> {
        let is_histogram = self.flag()?;
        let (t, start) = (self.time()?, self.time()?);
        if is_histogram {
            Ok(Sample { t, start, float: 0.0, histogram: Some(Arc::new(self.histogram()?)) })
        } else {
            Ok(Sample { t, start, float: self.float()?, histogram: None })
        }
    }
}
