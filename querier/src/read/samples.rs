//! All samples in one message.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use model::{FloatHistogram, HistogramPoint, IntHistogram, Labels, SampleBatch, Span};
use prost::Message;
use proto::prometheus::histogram::{Count, ZeroCount};
use proto::prometheus::{BucketSpan, Histogram, Label, QueryResult, ReadResponse, Sample, TimeSeries};

use super::chunks::wholes;
use super::request::{Query, Wanted};
use crate::{Api, ApiError};

/// Series per read.
const SERIES_PER_READ: usize = 256;

pub(super) async fn answer(api: &Arc<Api>, wanted: Wanted) -> Result<Response, ApiError> {
    let mut answer = ReadResponse::default();
    for query in &wanted.queries {
        answer.results.push(result(api, &wanted, query).await?);
    }
    let body = api.runtime.cpu(move || snap::raw::Encoder::new().compress_vec(&answer.encode_to_vec())).await;
    let body = body.map_err(|e| ApiError::Internal(e.to_string()))?;
    api.recorder.bytes(body.len());
    Ok(super::response(Body::from(body), "application/x-protobuf", Some("snappy")))
}

async fn result(api: &Api, wanted: &Wanted, query: &Query) -> Result<QueryResult, ApiError> {
    let mut out = QueryResult::default();
    let Some(request) = &query.select else { return Ok(out) };
    let selection = (api.source)(&wanted.tenant).select(request).await?;
    for warning in selection.warnings() {
        tracing::warn!(tenant = %wanted.tenant, warning, "a remote read may lack samples");
    }
    let limit = api.limits.remote_read_samples_max;
    let (count, mut samples) = (selection.series().len(), 0);
    for start in (0..count).step_by(SERIES_PER_READ) {
        let run = start..(start + SERIES_PER_READ).min(count);
        let all = &selection.series()[run.clone()];
        if query.labels_only {
            out.timeseries.extend(
                all.iter().map(|s| TimeSeries { labels: labels_of(&s.labels), ..TimeSeries::default() }),
            );
            continue;
        }
        let batch = selection.read(run).await?;
        samples += batch.values.len() + batch.histograms.len();
        if limit > 0 && samples > limit {
            return Err(ApiError::BadData(format!("exceeded sample limit ({limit})")));
        }
        let series = all.iter().enumerate().map(|(i, s)| series_of(&s.labels, &batch, i));
        out.timeseries.extend(series.filter(|s| !s.samples.is_empty() || !s.histograms.is_empty()));
        tokio::task::yield_now().await;
    }
    Ok(out)
}

pub(super) fn labels_of(labels: &Labels) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn series_of(labels: &Labels, batch: &SampleBatch, i: usize) -> TimeSeries {
    let points = batch.histograms_of(i);
    let histograms = match wholes(points) {
        Some(whole) => points.iter().zip(&whole).map(|(p, h)| of_int(p, h)).collect(),
        None => points.iter().map(|p| of_float(p, &p.h)).collect(),
    };
    let floats = batch.timestamps_of(i).iter().zip(batch.values_of(i));
    TimeSeries {
        labels: labels_of(labels),
        samples: floats.map(|(t, v)| Sample { timestamp: *t, value: *v }).collect(),
        histograms,
        exemplars: Vec::new(),
    }
}

fn spans(spans: &[Span]) -> Vec<BucketSpan> {
    spans.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect()
}

fn of_int(point: &HistogramPoint, h: &IntHistogram) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(h.count)),
        zero_count: Some(ZeroCount::ZeroCountInt(h.zero_count)),
        positive_deltas: h.positive_deltas.clone(),
        negative_deltas: h.negative_deltas.clone(),
        ..layout(point)
    }
}

fn of_float(point: &HistogramPoint, h: &FloatHistogram) -> Histogram {
    Histogram {
        count: Some(Count::CountFloat(h.count)),
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
        positive_counts: h.positive_buckets.clone(),
        negative_counts: h.negative_buckets.clone(),
        ..layout(point)
    }
}

fn layout(point: &HistogramPoint) -> Histogram {
    let h = &point.h;
    Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        positive_spans: spans(&h.positive_spans),
        negative_spans: spans(&h.negative_spans),
        reset_hint: h.counter_reset_hint as i32,
        timestamp: point.t,
        custom_values: h.custom_values.to_vec(),
        ..Histogram::default()
    }
}
