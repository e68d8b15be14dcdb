//! `/federate`: the newest sample of every matching series, for another Prometheus to scrape.
//!
//! A series is told while its newest sample lies within the lookback and is no staleness marker. Families come
//! sorted by name, their series by labels.

use std::sync::Arc;

use http::HeaderValue;
use model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Labels, METRIC_NAME, MatchOp, Matcher,
    SampleBatch, Span, TimeRange, TimestampMs, is_stale,
};
use promql::SampleValue;
use proto::exposition::{
    Bucket, BucketSpan, Histogram, LabelPair, Metric, MetricFamily, MetricType, Untyped,
};
use proto::{LabelsWanted, SelectRequest};

use super::{Call, Reply};
use crate::exposition::{Encoding, Exposition};
use crate::{Api, ApiError, language};

/// Series per read.
const SERIES_PER_READ: usize = 1024;

/// The newest sample of one series.
struct Newest {
    labels: Labels,
    t: TimestampMs,
    value: SampleValue,
}

pub(super) async fn federate(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let sets: Vec<Vec<Matcher>> = call
        .form
        .all("match[]")
        .map(language::parse_selector)
        .collect::<Result<_, _>>()
        .map_err(ApiError::BadData)?;
    let exposition = Exposition::accepted(&call.accept);
    let content_type = HeaderValue::from_str(&exposition.content_type())
        .map_err(|e| ApiError::Internal(format!("content type: {e}")))?;
    let _running = api.listings.enter(&call.tenant).await?;
    let now = api.runtime.now_ms();
    let from = now.saturating_sub(api.engine.options().lookback_delta_ms);
    let range = TimeRange::inclusive(from, now);
    let source = (api.source)(&call.tenant);
    let mut newest = Vec::new();
    // a selector without matchers selects nothing here
    for matchers in sets.into_iter().filter(|set| !set.is_empty()) {
        let request = SelectRequest {
            tenant: call.tenant.clone(),
            matchers: named(matchers)?,
            range,
            labels: LabelsWanted::All,
            series_max: api.limits.series_max,
        };
        let selection = source.select(&request).await?;
        for warning in selection.warnings() {
            tracing::warn!(tenant = %call.tenant, warning, "federation may lack series");
        }
        let count = selection.series().len();
        for start in (0..count).step_by(SERIES_PER_READ) {
            let run = start..(start + SERIES_PER_READ).min(count);
            let samples = selection.read(run.clone()).await?;
            for (i, series) in selection.series()[run].iter().enumerate() {
                if let Some((t, value)) = newest_of(&samples, i) {
                    newest.push(Newest { labels: series.labels.clone(), t, value });
                }
            }
            tokio::task::yield_now().await;
        }
    }
    let body = api.runtime.cpu(move || write(newest, exposition)).await;
    Ok(Reply::whole(content_type, body))
}

/// Series without a name are not told, so a selector that any series could match takes what has one.
fn named(mut matchers: Vec<Matcher>) -> Result<Vec<Matcher>, ApiError> {
    if matchers.iter().all(Matcher::matches_empty) {
        let any = Matcher::new(MatchOp::NotEqual, METRIC_NAME, "")
            .map_err(|e| ApiError::Internal(e.to_string()))?;
        matchers.push(any);
    }
    Ok(matchers)
}

fn newest_of(samples: &SampleBatch, i: usize) -> Option<(TimestampMs, SampleValue)> {
    let float = samples.timestamps_of(i).last().zip(samples.values_of(i).last());
    let float = float.map(|(t, v)| (*t, SampleValue::Float(*v)));
    let histogram = samples.histograms_of(i).last().map(|p| (p.t, SampleValue::Histogram(Arc::clone(&p.h))));
    let newest = match (float, histogram) {
        (Some(float), Some(histogram)) if histogram.0 > float.0 => histogram,
        (Some(float), _) => float,
        (None, histogram) => histogram?,
    };
    let stale = match &newest.1 {
        SampleValue::Float(v) => is_stale(*v),
        SampleValue::Histogram(h) => h.is_stale(),
    };
    (!stale).then_some(newest)
}

fn write(mut newest: Vec<Newest>, exposition: Exposition) -> Vec<u8> {
    newest.sort_by(|a, b| {
        a.labels.metric_name().cmp(b.labels.metric_name()).then_with(|| a.labels.cmp(&b.labels))
    });
    // several selectors may match one series
    newest.dedup_by(|a, b| a.labels == b.labels);
    let mut out = Vec::new();
    let mut family = MetricFamily::default();
    for Newest { labels, t, value } in newest {
        let name = labels.metric_name();
        let kind = match &value {
            SampleValue::Float(_) => MetricType::Untyped,
            // text cannot tell them
            SampleValue::Histogram(h)
                if exposition.encoding == Encoding::Text && h.schema != CUSTOM_BUCKETS_SCHEMA =>
            {
                continue;
            }
            SampleValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
                MetricType::GaugeHistogram
            }
            SampleValue::Histogram(_) => MetricType::Histogram,
        };
        if name.is_empty() {
            continue;
        }
        if family.name() != name || family.r#type() != kind {
            let next = MetricFamily {
                name: Some(name.to_owned()),
                r#type: Some(kind as i32),
                ..MetricFamily::default()
            };
            exposition.write(&mut out, std::mem::replace(&mut family, next));
        }
        family.metric.push(metric(&labels, t, &value));
    }
    exposition.write(&mut out, family);
    out
}

fn metric(labels: &Labels, t: TimestampMs, value: &SampleValue) -> Metric {
    let pair = |name: &str, value: &str| LabelPair { name: Some(name.into()), value: Some(value.into()) };
    let mut label: Vec<LabelPair> =
        labels.iter().filter(|(name, _)| *name != METRIC_NAME).map(|(n, v)| pair(n, v)).collect();
    // else the reader would take its own name of us for it
    if labels.get("instance").is_none() {
        label.push(pair("instance", ""));
    }
    let mut metric = Metric { label, timestamp_ms: Some(t), ..Metric::default() };
    match value {
        SampleValue::Float(v) => metric.untyped = Some(Untyped { value: Some(*v) }),
        SampleValue::Histogram(h) if h.schema == CUSTOM_BUCKETS_SCHEMA => metric.histogram = Some(classic(h)),
        SampleValue::Histogram(h) => metric.histogram = Some(native(h)),
    }
    metric
}

fn native(h: &FloatHistogram) -> Histogram {
    let spans = |spans: &[Span]| {
        spans.iter().map(|s| BucketSpan { offset: Some(s.offset), length: Some(s.length) }).collect()
    };
    Histogram {
        sample_count_float: Some(h.count),
        sample_sum: Some(h.sum),
        schema: Some(h.schema),
        zero_threshold: Some(h.zero_threshold),
        zero_count_float: Some(h.zero_count),
        negative_span: spans(&h.negative_spans),
        negative_count: h.negative_buckets.clone(),
        positive_span: spans(&h.positive_spans),
        positive_count: h.positive_buckets.clone(),
        ..Histogram::default()
    }
}

/// Custom buckets as those of a classic histogram; that up to infinity is the count.
fn classic(h: &FloatHistogram) -> Histogram {
    let mut counts = vec![0.0; h.custom_values.len()];
    let mut buckets = h.positive_buckets.iter();
    let mut index = 0_i64;
    for span in &h.positive_spans {
        index += i64::from(span.offset);
        for count in buckets.by_ref().take(span.length as usize) {
            if let Some(slot) = usize::try_from(index).ok().and_then(|i| counts.get_mut(i)) {
                *slot = *count;
            }
            index += 1;
        }
    }
    let mut so_far = 0.0;
    let bucket = h
        .custom_values
        .iter()
        .zip(counts)
        .map(|(bound, count)| {
            so_far += count;
            Bucket { upper_bound: Some(*bound), cumulative_count_float: Some(so_far), cumulative_count: None }
        })
        .collect();
    Histogram { sample_count_float: Some(h.count), sample_sum: Some(h.sum), bucket, ..Histogram::default() }
}
