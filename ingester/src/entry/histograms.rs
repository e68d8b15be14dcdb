//! Native histograms in entries and snapshots, in the form they were written.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Histogram, IntHistogram, Span};

use crate::wire::{Malformed, Reader, put_f64, put_varint, put_zigzag};

const INT: u8 = 0;
const FLOAT: u8 = 1;

pub(crate) fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    match histogram {
        Histogram::Int(h) => {
            out.push(INT | (h.counter_reset_hint as u8) << 4);
            put_zigzag(out, i64::from(h.schema));
            put_f64(out, h.zero_threshold);
            put_varint(out, h.zero_count);
            put_varint(out, h.count);
            put_f64(out, h.sum);
            put_spans(out, &h.positive_spans);
            put_spans(out, &h.negative_spans);
            for deltas in [&h.positive_deltas, &h.negative_deltas] {
                put_varint(out, deltas.len() as u64);
                deltas.iter().for_each(|d| put_zigzag(out, *d));
            }
            put_floats(out, &h.custom_values);
        }
        Histogram::Float(h) => {
            out.push(FLOAT | (h.counter_reset_hint as u8) << 4);
            put_zigzag(out, i64::from(h.schema));
            put_f64(out, h.zero_threshold);
            put_f64(out, h.zero_count);
            put_f64(out, h.count);
            put_f64(out, h.sum);
            put_spans(out, &h.positive_spans);
            put_spans(out, &h.negative_spans);
            put_floats(out, &h.positive_buckets);
            put_floats(out, &h.negative_buckets);
            put_floats(out, &h.custom_values);
        }
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_varint(out, spans.len() as u64);
    for span in spans {
        put_zigzag(out, i64::from(span.offset));
        put_varint(out, u64::from(span.length));
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_varint(out, values.len() as u64);
    values.iter().for_each(|v| put_f64(out, *v));
}

pub(crate) fn read_histogram(reader: &mut Reader<'_>) -> Result<Histogram, Malformed> {
    let head = reader.byte()?;
    let counter_reset_hint = CounterResetHint::from_wire(u64::from(head >> 4));
    let schema = i32::try_from(reader.zigzag()?).map_err(|_| Malformed("histogram: schema"))?;
    let zero_threshold = reader.f64()?;
    match head & 15 {
        INT => {
            let zero_count = reader.varint()?;
            let count = reader.varint()?;
            let sum = reader.f64()?;
            let positive_spans = read_spans(reader)?;
            let negative_spans = read_spans(reader)?;
            let mut deltas = || -> Result<Vec<i64>, Malformed> {
                let count = reader.count(1)?;
                (0..count).map(|_| reader.zigzag()).collect()
            };
            let positive_deltas = deltas()?;
            let negative_deltas = deltas()?;
            Ok(Histogram::Int(Box::new(IntHistogram {
                counter_reset_hint,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans,
                negative_spans,
                positive_deltas,
                negative_deltas,
                custom_values: Arc::from(read_floats(reader)?),
            })))
        }
        FLOAT => Ok(Histogram::Float(Box::new(FloatHistogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count: reader.f64()?,
            count: reader.f64()?,
            sum: reader.f64()?,
            positive_spans: read_spans(reader)?,
            negative_spans: read_spans(reader)?,
            positive_buckets: read_floats(reader)?,
            negative_buckets: read_floats(reader)?,
            custom_values: Arc::from(read_floats(reader)?),
        }))),
        _ => Err(Malformed("histogram: kind")),
    }
}

fn read_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Malformed> {
    let count = reader.count(2)?;
    (0..count)
        .map(|_| {
            let offset = i32::try_from(reader.zigzag()?).map_err(|_| Malformed("histogram: span"))?;
            Ok(Span { offset, length: reader.u32()? })
        })
        .collect()
}

fn read_floats(reader: &mut Reader<'_>) -> Result<Vec<f64>, Malformed> {
    let count = reader.count(8)?;
    (0..count).map(|_| reader.f64()).collect()
}
