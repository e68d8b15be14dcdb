//! Samples of a run of series as bytes.
//!
//! Timestamp vectors stay shared: each goes over the wire once, as differences of differences, which are small where a
//! series is scraped evenly. Values go as they are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{HistogramPoint, SampleBatch, SeriesSamples, TimestampMs};
use prost::Message;
use proto::histogram_wire::{Cursor, Malformed, get_histogram, put_histogram};

use crate::generated as wire;

fn put_times(times: &[TimestampMs]) -> wire::Times {
    let (mut previous, mut step) = (0i64, 0i64);
    let mut steps = Vec::with_capacity(times.len());
    for t in times {
        let distance = t.wrapping_sub(previous);
        steps.push(distance.wrapping_sub(step));
        (previous, step) = (*t, distance);
    }
    wire::Times { steps }
}

fn get_times(times: &wire::Times) -> Arc<[TimestampMs]> {
    let (mut previous, mut step) = (0i64, 0i64);
    times
        .steps
        .iter()
        .map(|change| {
            step = step.wrapping_add(*change);
            previous = previous.wrapping_add(step);
            previous
        })
        .collect()
}

fn put_points(points: &[HistogramPoint], out: &mut Vec<u8>) {
    for point in points {
        out.extend_from_slice(&point.t.to_le_bytes());
        out.extend_from_slice(&point.start_t.to_le_bytes());
        put_histogram(&point.h, out);
    }
}

/// The bytes of a batch.
pub(crate) fn encode(batch: &SampleBatch) -> Bytes {
    let mut values = Vec::with_capacity(batch.values.len() * 8);
    let mut histograms = Vec::new();
    let mut series = Vec::with_capacity(batch.series.len());
    for (i, one) in batch.series.iter().enumerate() {
        for value in batch.values_of(i) {
            values.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        put_points(batch.histograms_of(i), &mut histograms);
        series.push(wire::SeriesSamples {
            values: one.values.len() as u64,
            vector: one.vector as u64,
            vector_offset: one.vector_offset as u64,
            histograms: one.histograms.len() as u64,
            start_ts: one.start_ts.as_deref().unwrap_or_default().to_vec(),
        });
    }
    let samples = wire::Samples {
        vectors: batch.vectors.iter().map(|vector| put_times(vector)).collect(),
        series,
        values: Bytes::from(values),
        histograms: Bytes::from(histograms),
    };
    Bytes::from(samples.encode_to_vec())
}

/// The next `count` of `total`.
fn next(from: &mut usize, count: u64, total: usize) -> Result<Range<usize>, Malformed> {
    let count = usize::try_from(count).map_err(|_| Malformed)?;
    let start = *from;
    *from = start.checked_add(count).filter(|end| *end <= total).ok_or(Malformed)?;
    Ok(start..*from)
}

/// Reads a batch; every range in it lies within what there is.
pub(crate) fn decode(bytes: Bytes) -> Result<SampleBatch, Malformed> {
    let samples = wire::Samples::decode(bytes).map_err(|_| Malformed)?;
    let (chunks, rest) = samples.values.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed);
    }
    let values: Vec<f64> = chunks.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))).collect();
    let vectors: Vec<Arc<[TimestampMs]>> = samples.vectors.iter().map(get_times).collect();
    let mut histograms = Vec::new();
    let mut cursor = Cursor::new(&samples.histograms);
    while !cursor.is_empty() {
        let (t, start_t) = (cursor.i64()?, cursor.i64()?);
        histograms.push(HistogramPoint { t, h: Arc::new(get_histogram(&mut cursor)?), start_t });
    }
    let (mut value, mut point) = (0, 0);
    let mut series = Vec::with_capacity(samples.series.len());
    for one in samples.series {
        let of_values = next(&mut value, one.values, values.len())?;
        let vector = usize::try_from(one.vector).map_err(|_| Malformed)?;
        let vector_offset = usize::try_from(one.vector_offset).map_err(|_| Malformed)?;
        if !of_values.is_empty() {
            let times = vectors.get(vector).ok_or(Malformed)?;
            vector_offset.checked_add(of_values.len()).filter(|end| *end <= times.len()).ok_or(Malformed)?;
        }
        if !one.start_ts.is_empty() && one.start_ts.len() != of_values.len() {
            return Err(Malformed);
        }
        series.push(SeriesSamples {
            values: of_values,
            vector,
            vector_offset,
            histograms: next(&mut point, one.histograms, histograms.len())?,
            start_ts: (!one.start_ts.is_empty()).then(|| Arc::from(one.start_ts)),
        });
    }
    Ok(SampleBatch { series, values, vectors, histograms })
}

/// For fuzzing: any bytes are read or refused, and what is read holds together.
pub fn fuzz_samples(data: &[u8]) {
    let Ok(batch) = decode(Bytes::copy_from_slice(data)) else { return };
    for i in 0..batch.series.len() {
        assert_eq!(batch.values_of(i).len(), batch.timestamps_of(i).len());
        let _ = batch.histograms_of(i);
    }
    assert!(decode(encode(&batch)).is_ok());
}

#[cfg(test)]
mod tests {
    use model::{CounterResetHint, FloatHistogram};
    use proptest::prelude::*;

    use super::*;

    fn histogram(sum: f64) -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::NotReset,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 5.0,
            sum,
            positive_spans: vec![model::Span { offset: -3, length: 2 }],
            negative_spans: Vec::new(),
            positive_buckets: vec![1.0, 2.0],
            negative_buckets: Vec::new(),
            custom_values: Arc::from([]),
        })
    }

    fn batch() -> impl Strategy<Value = SampleBatch> {
        let series = (0..4usize, 0..5usize, 0..3usize, any::<bool>(), any::<u64>());
        let vectors = proptest::collection::vec(proptest::collection::vec(any::<i64>(), 10), 4);
        (vectors, proptest::collection::vec(series, 0..9)).prop_map(|(vectors, all)| {
            let mut batch = SampleBatch {
                vectors: vectors.into_iter().map(Arc::from).collect(),
                ..SampleBatch::default()
            };
            for (vector, values, points, has_start, bits) in all {
                let (first, first_point) = (batch.values.len(), batch.histograms.len());
                let bits = |i: usize| f64::from_bits(bits.wrapping_add(i as u64));
                batch.values.extend((0..values).map(bits));
                batch.histograms.extend((0..points).map(|i| HistogramPoint {
                    t: i as i64,
                    h: histogram(bits(i)),
                    start_t: -1,
                }));
                batch.series.push(SeriesSamples {
                    values: first..batch.values.len(),
                    vector,
                    vector_offset: 5 - values.min(5),
                    histograms: first_point..batch.histograms.len(),
                    start_ts: (has_start && values > 0).then(|| (0..values as i64).collect()),
                });
            }
            batch
        })
    }

    fn bits(batch: &SampleBatch) -> Vec<u64> {
        batch.values.iter().map(|v| v.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn samples_arrive_as_they_were_sent(batch in batch()) {
            let there = decode(encode(&batch)).unwrap();
            prop_assert_eq!(bits(&batch), bits(&there));
            prop_assert_eq!(format!("{:?}", batch.series), format!("{:?}", there.series));
            prop_assert_eq!(&batch.vectors, &there.vectors);
            let sums = |b: &SampleBatch| {
                b.histograms.iter().map(|p| (p.t, p.start_t, p.h.sum.to_bits())).collect::<Vec<_>>()
            };
            prop_assert_eq!(sums(&batch), sums(&there));
        }

        #[test]
        fn damaged_samples_are_read_or_refused(
            batch in batch(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = encode(&batch).to_vec();
            bytes.push(0);
            let position = at.index(bytes.len());
            bytes[position] = byte;
            fuzz_samples(&bytes);
            fuzz_samples(&bytes[..cut.index(bytes.len())]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>) {
            fuzz_samples(&data);
        }
    }

    #[test]
    fn even_times_take_a_byte_each() {
        let times: Vec<i64> = (0..1000).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let bytes = put_times(&times).encode_to_vec();
        assert!(bytes.len() < 1020, "{}", bytes.len());
        assert_eq!(&*get_times(&put_times(&times)), &times[..]);
    }
}
