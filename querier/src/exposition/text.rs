//! A family as text 0.0.4.

use proto::exposition::{Histogram, Metric, MetricFamily, MetricType};

use super::escape::is_plain;
use crate::json::write_float_general;

/// A bucket's bound, as a label beside those of the series.
type Extra = Option<(&'static str, f64)>;

pub(super) fn write_family(out: &mut Vec<u8>, family: &MetricFamily) {
    let name = family.name();
    if let Some(help) = &family.help {
        out.extend_from_slice(b"# HELP ");
        write_name(out, name);
        out.push(b' ');
        write_escaped(out, help, false);
        out.push(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    write_name(out, name);
    out.extend_from_slice(match family.r#type() {
        MetricType::Counter => b" counter\n",
        MetricType::Gauge => b" gauge\n",
        MetricType::Summary => b" summary\n",
        MetricType::Untyped => b" untyped\n",
        // the text knows no gauges of this kind
        MetricType::Histogram | MetricType::GaugeHistogram => b" histogram\n",
    });
    for metric in &family.metric {
        if let Some(untyped) = &metric.untyped {
            write_sample(out, name, "", metric, None, untyped.value());
        }
        if let Some(histogram) = &metric.histogram {
            write_histogram(out, name, metric, histogram);
        }
    }
}

fn write_histogram(out: &mut Vec<u8>, name: &str, metric: &Metric, histogram: &Histogram) {
    let either = |float: f64, whole: u64| if float == 0.0 { whole as f64 } else { float };
    let count = either(histogram.sample_count_float(), histogram.sample_count());
    for bucket in &histogram.bucket {
        let so_far = either(bucket.cumulative_count_float(), bucket.cumulative_count());
        write_sample(out, name, "_bucket", metric, Some(("le", bucket.upper_bound())), so_far);
    }
    if histogram.bucket.iter().all(|b| b.upper_bound() != f64::INFINITY) {
        write_sample(out, name, "_bucket", metric, Some(("le", f64::INFINITY)), count);
    }
    write_sample(out, name, "_sum", metric, None, histogram.sample_sum());
    write_sample(out, name, "_count", metric, None, count);
}

fn write_sample(out: &mut Vec<u8>, name: &str, suffix: &str, metric: &Metric, extra: Extra, value: f64) {
    let full;
    let name = if suffix.is_empty() {
        name
    } else {
        full = format!("{name}{suffix}");
        &full
    };
    let inside = !is_plain(name);
    let mut separator = b'{';
    if inside {
        out.push(b'{');
        separator = b',';
    }
    write_name(out, name);
    for label in &metric.label {
        out.push(separator);
        write_name(out, label.name());
        out.extend_from_slice(b"=\"");
        write_escaped(out, label.value(), true);
        out.push(b'"');
        separator = b',';
    }
    if let Some((label, bound)) = extra {
        out.push(separator);
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        write_value(out, bound);
        out.push(b'"');
        separator = b',';
    }
    if inside || separator == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    write_value(out, value);
    if let Some(t) = metric.timestamp_ms {
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(t).as_bytes());
    }
    out.push(b'\n');
}

/// A name that is not plain stands in quotes.
fn write_name(out: &mut Vec<u8>, name: &str) {
    if is_plain(name) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    out.push(b'"');
    write_escaped(out, name, true);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

fn write_value(out: &mut Vec<u8>, value: f64) {
    // without the sign of zero
    write_float_general(out, if value == 0.0 { 0.0 } else { value });
}

#[cfg(test)]
mod tests {
    use proto::exposition::{Bucket, LabelPair, Untyped};

    use super::*;

    fn metric(labels: &[(&str, &str)]) -> Metric {
        let label = |(n, v): &(&str, &str)| LabelPair { name: Some((*n).into()), value: Some((*v).into()) };
        Metric { label: labels.iter().map(label).collect(), timestamp_ms: Some(-5), ..Metric::default() }
    }

    fn text(name: &str, kind: MetricType, metric: Vec<Metric>) -> String {
        let family = MetricFamily {
            name: Some(name.into()),
            r#type: Some(kind as i32),
            metric,
            ..MetricFamily::default()
        };
        let mut out = Vec::new();
        write_family(&mut out, &family);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_lines() {
        let of = |labels, value| Metric { untyped: Some(Untyped { value: Some(value) }), ..metric(labels) };
        let many = vec![of(&[], 1e6), of(&[("a", "x\"\\\n"), ("b.c", "")], -0.0), of(&[("a", "")], 0.00001)];
        assert_eq!(
            text("m", MetricType::Untyped, many.clone()),
            "# TYPE m untyped\nm 1e+06 -5\nm{a=\"x\\\"\\\\\\n\",\"b.c\"=\"\"} 0 -5\nm{a=\"\"} 1e-05 -5\n"
        );
        assert_eq!(
            text("m.x", MetricType::Untyped, many[..2].to_vec()),
            "# TYPE \"m.x\" untyped\n{\"m.x\"} 1e+06 -5\n{\"m.x\",a=\"x\\\"\\\\\\n\",\"b.c\"=\"\"} 0 -5\n"
        );
    }

    #[test]
    fn classic_histograms_end_with_infinity() {
        let bucket =
            |le, n| Bucket { upper_bound: Some(le), cumulative_count_float: Some(n), cumulative_count: None };
        let histogram = Histogram {
            sample_count_float: Some(3.5),
            sample_sum: Some(2.0),
            bucket: vec![bucket(0.5, 1.0), bucket(1e6, 2.0)],
            ..Histogram::default()
        };
        let one = Metric { histogram: Some(histogram), timestamp_ms: None, ..metric(&[("a", "b")]) };
        assert_eq!(
            text("h", MetricType::GaugeHistogram, vec![one]),
            "# TYPE h histogram\nh_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1e+06\"} 2\n\
             h_bucket{a=\"b\",le=\"+Inf\"} 3.5\nh_sum{a=\"b\"} 2\nh_count{a=\"b\"} 3.5\n"
        );
    }
}
