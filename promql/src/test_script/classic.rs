//! `load_with_nhcb`: classic histograms among the loaded series, turned into native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    BUCKET_LABEL, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Labels, LabelsBuilder,
    METRIC_NAME, Span,
};

use crate::engine::SampleValue;

use super::script::{LoadedSample, LoadedSeries};

/// What is known of one histogram at one time.
#[derive(Default)]
struct Classic {
    /// Upper bound and cumulative count.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms that the classic ones in `series` amount to.
pub(super) fn with_custom_buckets(series: &[LoadedSeries]) -> Result<Vec<LoadedSeries>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for one in series {
        let name = one.labels.get(METRIC_NAME).unwrap_or_default();
        let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
            let Ok(bound) = one.labels.get(BUCKET_LABEL).unwrap_or_default().parse::<f64>() else { continue };
            if bound.is_nan() {
                continue;
            }
            (base, Part::Bucket(bound))
        } else if let Some(base) = name.strip_suffix("_count") {
            (base, Part::Count)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Part::Sum)
        } else {
            continue;
        };
        let mut labels = LabelsBuilder::from_labels(&one.labels);
        labels.set(METRIC_NAME, base).delete(BUCKET_LABEL);
        let times = found.entry(labels.build()).or_default();
        for sample in &one.samples {
            let SampleValue::Float(value) = sample.value else { continue };
            let classic = times.entry(sample.t).or_default();
            match part {
                Part::Bucket(bound) => classic.buckets.push((bound, value)),
                Part::Count => classic.count = Some(value),
                Part::Sum => classic.sum = value,
            }
        }
    }
    let mut out = Vec::new();
    for (labels, times) in found {
        let mut samples = Vec::new();
        for (t, classic) in times {
            let histogram = classic.convert().map_err(|why| format!("{labels} at {t}: {why}"))?;
            let value = SampleValue::Histogram(Arc::new(histogram));
            samples.push(LoadedSample { t, start_t: None, value });
        }
        out.push(LoadedSeries { labels, samples });
    }
    Ok(out)
}

#[derive(Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Classic {
    fn convert(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
        if let Some((bound, count)) = self.buckets.iter().find(|(_, count)| *count < 0.0) {
            return Err(format!("bucket count must be non-negative: le={bound}, count={count}"));
        }
        if let Some(pair) = self.buckets.windows(2).find(|pair| pair[1].1 < pair[0].1) {
            return Err(format!("count is not cumulative: {} < {}", pair[1].1, pair[0].1));
        }
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or_default();
        if count < 0.0 {
            return Err(format!("count must be non-negative: count={count}"));
        }
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let last = self.buckets.last().map(|(_, count)| *count).unwrap_or_default();
        if count != last {
            return Err(format!("count mismatch: count={count} != le=+Inf count={last}"));
        }
        let mut before = 0.0;
        let mut spans: Vec<Span> = Vec::new();
        let mut buckets = Vec::new();
        let mut next = 0;
        for (index, (_, cumulative)) in (0i32..).zip(&self.buckets) {
            let own = cumulative - before;
            before = *cumulative;
            if own == 0.0 {
                continue;
            }
            match spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => spans.push(Span { offset: index - next, length: 1 }),
            }
            next = index + 1;
            buckets.push(own);
        }
        let bounds: Vec<f64> =
            self.buckets.iter().map(|(bound, _)| *bound).filter(|b| *b != f64::INFINITY).collect();
        Ok(FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count,
            sum: self.sum,
            positive_spans: spans,
            negative_spans: Vec::new(),
            positive_buckets: buckets,
            negative_buckets: Vec::new(),
            custom_values: Arc::from(bounds),
        })
    }
}
