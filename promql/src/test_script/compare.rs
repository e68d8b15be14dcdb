//! Comparing values: floats to a relative error, histograms bucket by bucket.

use model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Labels, TimestampMs, is_stale};

use crate::engine::{MatrixSeries, SampleValue, Value, VectorSample};
use crate::parse::{SequenceValue, indexed_buckets};

use super::script::{Eval, EvalTime, Expected, ExpectedSeries};

/// Relative error that is let pass.
const EPSILON: f64 = 0.000_001;

impl Eval {
    /// Whether `value` is what must come out; the reason if not.
    pub(super) fn check_value(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Matrix(series) => self.check_matrix(series),
            Value::Vector(samples) => self.check_vector(samples),
            Value::Scalar { v, .. } => match &self.expected {
                Expected::Scalar(wanted) if almost_equal(*wanted, *v) => Ok(()),
                Expected::Scalar(wanted) => Err(format!("expected scalar {wanted} but got {v}")),
                _ => Err(format!("expected vector or matrix result, but got scalar {v}")),
            },
            Value::String { s, .. } => match &self.expected {
                Expected::String(wanted) if wanted == s => Ok(()),
                Expected::String(wanted) => Err(format!("expected string {wanted:?} but got {s:?}")),
                _ => Err(format!("unexpected string result {s:?}")),
            },
        }
    }

    fn expected_series(&self, found: &str) -> Result<&[ExpectedSeries], String> {
        match &self.expected {
            Expected::Series(series) => Ok(series),
            Expected::Scalar(_) => Err(format!("expected scalar result, but got {found}")),
            Expected::String(_) => Err(format!("expected string result, but got {found}")),
        }
    }

    fn check_vector(&self, samples: &[VectorSample]) -> Result<(), String> {
        let wanted = self.expected_series("a vector")?;
        for (at, sample) in samples.iter().enumerate() {
            let labels = &sample.labels;
            let found = describe(&sample.value);
            let Some(series) = wanted.iter().find(|w| w.labels == *labels) else {
                return Err(format!("unexpected metric {labels} in result, has value {found}"));
            };
            if self.ordered() && series.position != at + 1 {
                let (place, at) = (series.position, at + 1);
                return Err(format!("expected metric {labels} at position {place} but was at {at}"));
            }
            let equal = match (series.values.first(), &sample.value) {
                (None, _) => return Err(format!("no value is given for {labels}")),
                (Some(SequenceValue::Omitted), SampleValue::Float(f)) => almost_equal(0.0, *f),
                (Some(SequenceValue::Float(w)), SampleValue::Float(f)) => almost_equal(*w, *f),
                (Some(SequenceValue::Histogram { histogram, hint_set }), SampleValue::Histogram(h)) => {
                    same_histogram(histogram, h, *hint_set)
                }
                _ => false,
            };
            if !equal {
                let wanted = series.values.first().map(describe_wanted).unwrap_or_default();
                return Err(format!("expected {wanted} for {labels} but got {found}"));
            }
        }
        match wanted.iter().find(|w| !samples.iter().any(|s| s.labels == w.labels)) {
            Some(missing) => Err(format!("expected metric {} not found", missing.labels)),
            None => Ok(()),
        }
    }

    fn check_matrix(&self, found: &[MatrixSeries]) -> Result<(), String> {
        if self.ordered() {
            return Err("expected ordered result, but query returned a matrix".to_owned());
        }
        let wanted = self.expected_series("a matrix")?;
        check_sorted(found)?;
        for series in found {
            let labels = &series.labels;
            let Some(expected) = wanted.iter().find(|w| w.labels == *labels) else {
                return Err(format!("unexpected metric {labels} in result, has {}", describe_series(series)));
            };
            self.check_series(expected, series)
                .map_err(|why| format!("{why} for {labels} (result has {})", describe_series(series)))?;
        }
        match wanted.iter().find(|w| !found.iter().any(|s| s.labels == w.labels)) {
            Some(missing) => Err(format!("expected metric {} not found", missing.labels)),
            None => Ok(()),
        }
    }

    /// The steps at which values are expected.
    fn grid(&self) -> (TimestampMs, TimestampMs, i64) {
        match (self.range_vector, self.time) {
            (Some(grid), _) => grid,
            (None, EvalTime::Range { start, end, step_ms }) => (start, end, step_ms),
            (None, EvalTime::Instant(t)) => (t, TimestampMs::MIN, 0),
        }
    }

    fn check_series(&self, wanted: &ExpectedSeries, found: &MatrixSeries) -> Result<(), String> {
        let (start, end, step) = self.grid();
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for (i, value) in (0i64..).zip(&wanted.values) {
            let t = start.saturating_add(i.saturating_mul(step));
            if t > end {
                let points = wanted.values.len();
                return Err(format!("expected {points} points, but the time range cannot return this many"));
            }
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(f) => floats.push((t, *f)),
                SequenceValue::Histogram { histogram, hint_set } => {
                    histograms.push((t, histogram, *hint_set))
                }
            }
        }
        if floats.len() != found.floats.len() || histograms.len() != found.histograms.len() {
            let (f, h) = (floats.len(), histograms.len());
            return Err(format!("expected {f} float points and {h} histogram points"));
        }
        for ((t, wanted), (found_t, found)) in floats.into_iter().zip(&found.floats) {
            if t != *found_t {
                return Err(format!("expected a float at {t}, found one at {found_t}"));
            }
            if !almost_equal(wanted, *found) {
                return Err(format!("expected {wanted} at {t}, but got {found}"));
            }
        }
        for ((t, wanted, hint_set), (found_t, found)) in histograms.into_iter().zip(&found.histograms) {
            if t != *found_t {
                return Err(format!("expected a histogram at {t}, found one at {found_t}"));
            }
            if !same_histogram(wanted, found, hint_set) {
                let (wanted, found) = (describe_histogram(wanted), describe_histogram(found));
                return Err(format!("expected {wanted} at {t}, but got {found}"));
            }
        }
        Ok(())
    }
}

/// Whether the series come in the order of their labels.
pub(super) fn check_sorted(series: &[MatrixSeries]) -> Result<(), String> {
    match series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        None => Ok(()),
        Some(pair) => {
            let (a, b) = (&pair[0].labels, &pair[1].labels);
            Err(format!("matrix results should always be sorted by labels, but {a} comes before {b}"))
        }
    }
}

/// Equal to a relative error; NaN equals NaN, the staleness marker only itself.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn same_histogram(wanted: &FloatHistogram, found: &FloatHistogram, hint_set: bool) -> bool {
    let custom = wanted.schema == CUSTOM_BUCKETS_SCHEMA;
    wanted.schema == found.schema
        && almost_equal(wanted.count, found.count)
        && almost_equal(wanted.sum, found.sum)
        && (!custom || wanted.custom_values == found.custom_values)
        && wanted.zero_threshold == found.zero_threshold
        && almost_equal(wanted.zero_count, found.zero_count)
        && same_buckets(
            filled(&wanted.negative_spans, &wanted.negative_buckets),
            filled(&found.negative_spans, &found.negative_buckets),
        )
        && same_buckets(
            filled(&wanted.positive_spans, &wanted.positive_buckets),
            filled(&found.positive_spans, &found.positive_buckets),
        )
        && (!hint_set || wanted.counter_reset_hint == found.counter_reset_hint)
}

/// Buckets that hold something.
fn filled(spans: &[model::Span], buckets: &[f64]) -> Vec<(i64, f64)> {
    indexed_buckets(spans, buckets).filter(|(_, count)| *count != 0.0).collect()
}

fn same_buckets(a: Vec<(i64, f64)>, b: Vec<(i64, f64)>) -> bool {
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
}

fn describe(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(f) => f.to_string(),
        SampleValue::Histogram(h) => describe_histogram(h),
    }
}

fn describe_wanted(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(f) => f.to_string(),
        SequenceValue::Histogram { histogram, .. } => describe_histogram(histogram),
    }
}

fn describe_series(series: &MatrixSeries) -> String {
    let floats: Vec<String> = series.floats.iter().map(|(t, v)| format!("{v} @[{t}]")).collect();
    let histograms: Vec<String> =
        series.histograms.iter().map(|(t, h)| format!("{} @[{t}]", describe_histogram(h))).collect();
    format!("floats [{}] and histograms [{}]", floats.join(" "), histograms.join(" "))
}

/// A histogram in the scripts' language.
fn describe_histogram(h: &FloatHistogram) -> String {
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    for (key, value) in
        [("count", h.count), ("sum", h.sum), ("z_bucket", h.zero_count), ("z_bucket_w", h.zero_threshold)]
    {
        if value != 0.0 {
            parts.push(format!("{key}:{value}"));
        }
    }
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
    }
    parts.push(format!("counter_reset_hint:{:?}", h.counter_reset_hint));
    for (buckets_key, offset_key, spans, buckets) in [
        ("buckets", "offset", &h.positive_spans, &h.positive_buckets),
        ("n_buckets", "n_offset", &h.negative_spans, &h.negative_buckets),
    ] {
        let filled = filled(spans, buckets);
        let (Some(first), Some(last)) = (filled.first(), filled.last()) else { continue };
        // A few empty buckets are shown; a wide gap would only hide the rest.
        if last.0 - first.0 > 200 {
            parts.push(format!("{buckets_key}:{filled:?}"));
            continue;
        }
        let mut dense = vec![0.0; (last.0 - first.0 + 1) as usize];
        for (index, count) in &filled {
            if let Some(slot) = dense.get_mut((index - first.0) as usize) {
                *slot = *count;
            }
        }
        if first.0 != 0 {
            parts.push(format!("{offset_key}:{}", first.0));
        }
        parts.push(format!("{buckets_key}:[{}]", list(&dense)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// The samples of `series` at `t`, as an instant query would give them.
pub(super) fn at_time(series: &[MatrixSeries], t: TimestampMs) -> Vec<VectorSample> {
    let sample = |labels: &Labels, value| VectorSample { labels: labels.clone(), t, value };
    let mut samples = Vec::new();
    for one in series {
        if let Some((_, v)) = one.floats.iter().find(|(at, _)| *at == t) {
            samples.push(sample(&one.labels, SampleValue::Float(*v)));
        }
        if let Some((_, h)) = one.histograms.iter().find(|(at, _)| *at == t) {
            samples.push(sample(&one.labels, SampleValue::Histogram(h.clone())));
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_compared_to_a_relative_error() {
        assert!(almost_equal(1.0, 1.000_000_1) && !almost_equal(1.0, 1.000_01));
        assert!(almost_equal(f64::NAN, f64::NAN) && !almost_equal(f64::NAN, model::stale_nan()));
        assert!(almost_equal(f64::INFINITY, f64::INFINITY) && !almost_equal(0.0, 1e-9));
    }

    #[test]
    fn histograms_are_compared_by_what_they_hold() {
        let read = |text: &str| {
            let described = crate::parse::parse_series_desc(&format!("{{}} {text}")).unwrap();
            match &described.values[0] {
                SequenceValue::Histogram { histogram, hint_set } => (histogram.clone(), *hint_set),
                other => panic!("{other:?}"),
            }
        };
        let (a, _) = read("{{count:3 sum:1 buckets:[1 0 2]}}");
        let (b, _) = read("{{count:3 sum:1 buckets:[0 1 0 2 0] offset:-1}}");
        assert!(same_histogram(&a, &b, false));
        let (c, set) = read("{{count:3 sum:1 buckets:[1 0 2] counter_reset_hint:gauge}}");
        assert!(!same_histogram(&c, &a, set) && same_histogram(&a, &c, false));
        assert_eq!(describe_histogram(&b), "{{count:3 sum:1 counter_reset_hint:Unknown buckets:[1 0 2]}}");
    }
}
