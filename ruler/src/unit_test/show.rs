//! Samples and alerts as failures show them.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use promql::MatrixSeries;

use super::file::Pairs;

/// Each line after the first one moved to the right.
pub(super) fn indent(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

/// `{a="b", c="d"}`
pub(super) fn labels(pairs: &Pairs) -> String {
    let plain = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let show = |(name, value): (&String, &String)| {
        let name = if plain(name) { name.clone() } else { promql::go_quote(name) };
        format!("{name}={}", promql::go_quote(value))
    };
    let all: Vec<String> = pairs.iter().map(show).collect();
    format!("{{{}}}", all.join(", "))
}

/// (labels, annotations) of an alert.
pub(super) type LabelsAndAnnotations = (Pairs, Pairs);

pub(super) fn alerts(alerts: &[LabelsAndAnnotations]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let show = |(i, (own, annotations)): (usize, &LabelsAndAnnotations)| {
        let text = format!("\nLabels:{}\nAnnotations:{}", labels(own), labels(annotations));
        format!("{i}:{}", indent(&text, "  "))
    };
    let all: Vec<String> = alerts.iter().enumerate().map(show).collect();
    format!("[\n{}\n]", all.join(",\n"))
}

/// `%E` with as few digits as read back equal.
pub(super) fn float(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{v:E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}E{sign}{digits:0>2}")
}

/// A histogram in the notation of series.
pub(super) fn histogram(h: &Arc<FloatHistogram>) -> String {
    let g = crate::template::format_float;
    let list = |values: &[f64]| values.iter().map(|v| g(*v)).collect::<Vec<_>>().join(" ");
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    let numbers =
        [("count", h.count), ("sum", h.sum), ("z_bucket", h.zero_count), ("z_bucket_w", h.zero_threshold)];
    for (name, value) in numbers {
        if value != 0.0 {
            parts.push(format!("{name}:{}", g(value)));
        }
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
    }
    match h.counter_reset_hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    for (buckets, offset, dense) in [
        ("buckets", "offset", dense(&h.positive_spans, &h.positive_buckets)),
        ("n_buckets", "n_offset", dense(&h.negative_spans, &h.negative_buckets)),
    ] {
        let (first, counts) = dense;
        if first != 0 {
            parts.push(format!("{offset}:{first}"));
        }
        if !counts.is_empty() {
            parts.push(format!("{buckets}:[{}]", list(&counts)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// A series and its samples, one a line.
pub(super) fn series(series: &MatrixSeries) -> String {
    let own = series.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let floats = series.floats.iter().map(|(t, v)| format!("{} @[{t}]", promql::ast::format_float(*v)));
    let histograms = series.histograms.iter().map(|(t, h)| format!("{} @[{t}]", promql::histogram_text(h)));
    let samples: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", labels(&own), samples.join("\n"))
}

/// Widest range of buckets that is written out.
const BUCKETS_MAX: usize = 10_000;

/// The first bucket's index and the counts from there to the last one, without empty ones at either end.
fn dense(spans: &[Span], counts: &[f64]) -> (i32, Vec<f64>) {
    let mut filled: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
    let mut counts = counts.iter();
    let mut index = 0i32;
    for span in spans {
        index = index.wrapping_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count != 0.0 {
                filled.push((index, *count));
            }
            index = index.wrapping_add(1);
        }
    }
    let (Some((first, _)), Some((last, _))) = (filled.first().copied(), filled.last().copied()) else {
        return (0, Vec::new());
    };
    let width = usize::try_from(i64::from(last) - i64::from(first) + 1).unwrap_or(usize::MAX);
    let mut dense = vec![0.0; width.min(BUCKETS_MAX)];
    for (index, count) in filled {
        if let Some(slot) =
            usize::try_from(i64::from(index) - i64::from(first)).ok().and_then(|at| dense.get_mut(at))
        {
            *slot = count;
        }
    }
    (first, dense)
}
