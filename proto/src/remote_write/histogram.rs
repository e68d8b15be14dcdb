//! Native histograms of both versions: one message, field 17 in 2.0 only.

use model::{CounterResetHint, FloatHistogram, Histogram, IntHistogram, Span, TimestampMs};

use crate::wire::{Reader, WireError, unzigzag, unzigzag32};

/// A histogram sample as sent; not validated.
#[derive(Debug, Clone, PartialEq)]
pub struct WireHistogram {
    /// When.
    pub t: TimestampMs,
    /// Since when it counts; 0: not told (always in 1.0).
    pub start_t: TimestampMs,
    /// What.
    pub histogram: Histogram,
}

#[derive(Default)]
struct Fields {
    count: Option<Count>,
    zero_count: Option<Count>,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    custom_values: Vec<f64>,
    reset_hint: u64,
    t: i64,
    start_t: i64,
}

#[derive(Clone, Copy)]
enum Count {
    Int(u64),
    Float(f64),
}

fn span(bytes: &[u8]) -> Result<Span, WireError> {
    let mut span = Span { offset: 0, length: 0 };
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => span.offset = unzigzag32(reader.number(field, wire_type)?),
            2 => span.length = reader.number(field, wire_type)? as u32,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(span)
}

/// Reads a histogram message. A float histogram is one whose count is a float.
pub fn decode_histogram(bytes: &[u8]) -> Result<WireHistogram, WireError> {
    let mut f = Fields::default();
    let mut r = Reader::new(bytes);
    while let Some((field, w)) = r.field()? {
        match field {
            1 => f.count = Some(Count::Int(r.number(field, w)?)),
            2 => f.count = Some(Count::Float(r.double(field, w)?)),
            3 => f.sum = r.double(field, w)?,
            4 => f.schema = unzigzag32(r.number(field, w)?),
            5 => f.zero_threshold = r.double(field, w)?,
            6 => f.zero_count = Some(Count::Int(r.number(field, w)?)),
            7 => f.zero_count = Some(Count::Float(r.double(field, w)?)),
            8 => f.negative_spans.push(span(r.slice(field, w)?)?),
            9 => r.repeated_varint(field, w, |v| f.negative_deltas.push(unzigzag(v)))?,
            10 => r.repeated_double(field, w, &mut f.negative_counts)?,
            11 => f.positive_spans.push(span(r.slice(field, w)?)?),
            12 => r.repeated_varint(field, w, |v| f.positive_deltas.push(unzigzag(v)))?,
            13 => r.repeated_double(field, w, &mut f.positive_counts)?,
            14 => f.reset_hint = r.number(field, w)?,
            15 => f.t = r.number(field, w)? as i64,
            16 => r.repeated_double(field, w, &mut f.custom_values)?,
            17 => f.start_t = r.number(field, w)? as i64,
            _ => r.skip(field, w)?,
        }
    }
    let (t, start_t) = (f.t, f.start_t);
    Ok(WireHistogram { t, start_t, histogram: f.into_histogram() })
}

impl Fields {
    fn into_histogram(self) -> Histogram {
        let counter_reset_hint = CounterResetHint::from_wire(self.reset_hint);
        match self.count {
            Some(Count::Float(count)) => Histogram::Float(Box::new(FloatHistogram {
                counter_reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: match self.zero_count {
                    Some(Count::Float(zero)) => zero,
                    _ => 0.0,
                },
                count,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_buckets: self.positive_counts,
                negative_buckets: self.negative_counts,
                custom_values: self.custom_values.into(),
            })),
            count => Histogram::Int(Box::new(IntHistogram {
                counter_reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: match self.zero_count {
                    Some(Count::Int(zero)) => zero,
                    _ => 0,
                },
                count: match count {
                    Some(Count::Int(count)) => count,
                    _ => 0,
                },
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_deltas: self.positive_deltas,
                negative_deltas: self.negative_deltas,
                custom_values: self.custom_values.into(),
            })),
        }
    }
}
