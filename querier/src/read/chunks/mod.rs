//! Prometheus's chunks: the form in which streamed remote reads carry samples.
//!
//! A chunk holds samples of one kind (floats, whole or float histograms), histograms of one chunk have the same
//! buckets. Chunks of a series ascend in time and do not overlap. Written here and read by others only: nothing of
//! ours is stored so.

mod bits;
mod histogram;
#[cfg(test)]
mod tests;
mod varbit;
mod xor;

use std::sync::Arc;

use model::{FloatHistogram, HistogramPoint, IntHistogram, TimestampMs};
use proto::prometheus::Chunk;
use proto::prometheus::chunk::Encoding;

/// Samples in one chunk; its header has two bytes for their number.
const SAMPLES_MAX: usize = 120;
/// Beyond it a chunk of histograms ends.
const HISTOGRAM_BYTES: usize = 1024;
/// Whole numbers below are exact in a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The samples of one series as chunks. Of a float and a histogram at one time the float is kept.
pub(super) fn encode(ts: &[TimestampMs], values: &[f64], histograms: &[HistogramPoint]) -> Vec<Chunk> {
    let mut out = Vec::new();
    let whole = wholes(histograms);
    let (mut f, mut h) = (0, 0);
    while f < ts.len() || h < histograms.len() {
        let next_histogram = histograms.get(h).map(|p| p.t);
        let run = ts[f..].iter().take_while(|t| next_histogram.is_none_or(|next| **t <= next)).count();
        for (ts, values) in ts[f..f + run].chunks(SAMPLES_MAX).zip(values[f..f + run].chunks(SAMPLES_MAX)) {
            out.extend(chunk(ts.first(), ts.last(), Encoding::Xor, xor::encode(ts, values)));
        }
        f += run;
        while f > 0 && histograms.get(h).is_some_and(|p| p.t <= ts[f - 1]) {
            h += 1;
        }
        let next_float = ts.get(f);
        let run = histograms[h..].iter().take_while(|p| next_float.is_none_or(|next| p.t < *next)).count();
        let points = &histograms[h..h + run];
        match &whole {
            Some(whole) => encode_histograms(&mut out, points, &whole[h..h + run], Encoding::Histogram),
            None => {
                let floats: Vec<&FloatHistogram> = points.iter().map(|p| &*p.h).collect();
                encode_histograms(&mut out, points, &floats, Encoding::FloatHistogram);
            }
        }
        h += run;
    }
    out
}

fn encode_histograms<H: histogram::Encode>(
    out: &mut Vec<Chunk>,
    points: &[HistogramPoint],
    values: &[H],
    encoding: Encoding,
) {
    let mut from = 0;
    while from < points.len() {
        let mut writer = histogram::Writer::new(points[from].h.counter_reset_hint);
        let mut to = from;
        while to < points.len()
            && to - from < SAMPLES_MAX
            && writer.len() < HISTOGRAM_BYTES
            && (to == from || histogram::goes_on(&points[to - 1].h, &points[to].h))
        {
            writer.push(points[to].t, &points[to].h, &values[to]);
            to += 1;
        }
        let ends = (points[from].t, points[to - 1].t);
        out.extend(chunk(Some(&ends.0), Some(&ends.1), encoding, writer.finish()));
        from = to;
    }
}

fn chunk(
    first: Option<&TimestampMs>,
    last: Option<&TimestampMs>,
    encoding: Encoding,
    data: Vec<u8>,
) -> Option<Chunk> {
    Some(Chunk { min_time_ms: *first?, max_time_ms: *last?, r#type: encoding as i32, data })
}

/// The histograms with whole numbers, if all of them have no others. Which form they were written in is not kept;
/// what they say is the same in both.
pub(super) fn wholes(points: &[HistogramPoint]) -> Option<Vec<IntHistogram>> {
    points.iter().map(|p| whole(&p.h)).collect()
}

fn whole(h: &FloatHistogram) -> Option<IntHistogram> {
    let number = |v: f64| ((0.0..WHOLE_MAX).contains(&v) && v.trunc() == v).then_some(v as i64);
    let deltas = |counts: &[f64]| {
        let mut before = 0;
        let delta = |count: &f64| {
            let now = number(*count)?;
            Some(now - std::mem::replace(&mut before, now))
        };
        counts.iter().map(delta).collect::<Option<Vec<i64>>>()
    };
    Some(IntHistogram {
        counter_reset_hint: h.counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: number(h.zero_count)? as u64,
        count: number(h.count)? as u64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_deltas: deltas(&h.positive_buckets)?,
        negative_deltas: deltas(&h.negative_buckets)?,
        custom_values: Arc::clone(&h.custom_values),
    })
}
