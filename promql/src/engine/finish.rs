//! The last step: batches to the answer's values.

use std::sync::Arc;

use datafusion_execution::memory_pool::MemoryReservation;
use model::{Labels, TimestampMs};

use super::{MatrixSeries, QueryError, SampleValue, Value, VectorSample};
use crate::exec::{Grid, NameAction, QueryContext, SeriesBatch, apply_into, is_absent, merge_equal};

/// A time and a float of an answer.
const FLOAT_BYTES: usize = size_of::<(TimestampMs, f64)>();
/// A time and a histogram, beside what the histogram holds.
const HISTOGRAM_BYTES: usize = size_of::<(TimestampMs, Arc<model::FloatHistogram>)>() + 16;
/// Labels, beside their text.
const LABELS_BYTES: usize = 32;

/// Drops the names that were kept until now. The second is memory held for the copy.
fn drop_names(
    batches: Vec<SeriesBatch>,
    query: &QueryContext,
) -> Result<(Vec<SeriesBatch>, MemoryReservation), QueryError> {
    if !query.features.delayed_name_removal {
        return Ok((batches, query.reserve(0)?));
    }
    let room = query.reserve(batches.iter().map(SeriesBatch::bytes).sum())?;
    let steps = batches.first().map_or(0, |b| b.steps);
    let mut dropped = Vec::with_capacity(batches.len());
    for batch in batches {
        dropped.push(batch.relabelled(|bytes, drop_name, out| {
            let action = if drop_name { NameAction::Drop } else { NameAction::Keep };
            apply_into(bytes, action, false, out);
        }));
    }
    Ok((vec![merge_equal(&dropped, steps, true)?], room))
}

/// A scalar at one time.
pub(super) fn scalar(batches: &[SeriesBatch], t: TimestampMs) -> Value {
    let v = batches.first().filter(|b| b.rows() > 0).and_then(|b| b.row(0).first().copied());
    Value::Scalar { t, v: v.unwrap_or(f64::NAN) }
}

/// Vectors keep the order of evaluation.
pub(super) fn vector(
    batches: Vec<SeriesBatch>,
    t: TimestampMs,
    query: &QueryContext,
) -> Result<Vec<VectorSample>, QueryError> {
    let (batches, _room) = drop_names(batches, query)?;
    let rows = batches.iter().map(SeriesBatch::rows).sum::<usize>();
    let label_bytes = batches.iter().map(|b| b.labels.value_data().len()).sum::<usize>();
    query.keep_answer(rows * (size_of::<VectorSample>() + LABELS_BYTES) + label_bytes)?;
    let mut samples = Vec::with_capacity(rows);
    for batch in batches {
        for i in 0..batch.rows() {
            let Some(v) = batch.row(i).first() else { continue };
            let histogram = batch.histogram_row(i).and_then(|h| h[0].clone());
            let value = match histogram {
                Some(h) => SampleValue::Histogram(h),
                None if is_absent(*v) => continue,
                None => SampleValue::Float(*v),
            };
            samples.push(VectorSample { labels: Labels::from_trusted(batch.labels.value(i)), t, value });
        }
    }
    Ok(samples)
}

/// Matrices are sorted by labels.
pub(super) fn matrix(
    batches: Vec<SeriesBatch>,
    grid: Grid,
    query: &QueryContext,
) -> Result<Vec<MatrixSeries>, QueryError> {
    let (batches, _room) = drop_names(batches, query)?;
    let rows = batches.iter().map(SeriesBatch::rows).sum::<usize>();
    query.keep_answer(rows * (size_of::<MatrixSeries>() + LABELS_BYTES))?;
    let mut all = Vec::with_capacity(rows);
    for batch in batches {
        query.check_abandoned()?;
        let floats = batch.values.iter().filter(|v| !is_absent(**v)).count();
        let histograms = batch.histograms.iter().flat_map(|h| h.iter().flatten());
        let histograms = histograms.map(|h| h.bytes() + HISTOGRAM_BYTES).sum::<usize>();
        query.keep_answer(batch.labels.value_data().len() + floats * FLOAT_BYTES + histograms)?;
        for i in 0..batch.rows() {
            let row = batch.row(i);
            let present = row.iter().filter(|v| !is_absent(**v)).count();
            let mut floats = Vec::with_capacity(present);
            for (step, v) in row.iter().enumerate() {
                if !is_absent(*v) {
                    floats.push((grid.at(step), *v));
                }
            }
            let mut histograms = Vec::new();
            for (step, slot) in batch.histogram_row(i).unwrap_or(&[]).iter().enumerate() {
                if let Some(h) = slot {
                    histograms.push((grid.at(step), Arc::clone(h)));
                }
            }
            if !floats.is_empty() || !histograms.is_empty() {
                let labels = Labels::from_trusted(batch.labels.value(i));
                all.push(MatrixSeries { labels, floats, histograms });
            }
        }
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(all)
}
