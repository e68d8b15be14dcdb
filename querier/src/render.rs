//! Answers of the HTTP API as `promtool query` prints them: what `epimetheus query` shows.
//!
//! Comes in: the JSON of an answer, from any server that speaks Prometheus's API. Goes out: text, or compact
//! JSON. Numbers never have an exponent here.

use std::fmt::Write as _;

use model::{Labels, METRIC_NAME};
use serde::Deserialize;

use crate::http::quote;
use crate::json::{write_float_general, write_float_plain, write_labels, write_string};

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One line per sample: `name{label="value"} => 1 @[1435781451.781]`.
    #[default]
    Promql,
    /// The result alone, as JSON.
    Json,
}

/// What to print.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// For standard output, with a line end.
    pub text: String,
    /// Warnings and infos, for standard error.
    pub notes: Vec<String>,
}

/// Why nothing can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The server answered with an error; promtool's form of it.
    #[error("query error: {error_type}: {error}")]
    Answered {
        /// `bad_data`, `execution`, …
        error_type: String,
        /// The text.
        error: String,
    },
    /// Not an answer of this API.
    #[error("query error: the answer cannot be read: {0}")]
    Unreadable(String),
}

impl RenderError {
    /// What the caller should do.
    pub fn kind(&self) -> model::ErrorKind {
        match self {
            RenderError::Answered { .. } => model::ErrorKind::Invalid,
            RenderError::Unreadable(_) => model::ErrorKind::Unavailable,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Point),
    String(Point),
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
}

/// Seconds, and the value as it was written.
#[derive(Deserialize)]
struct Point(f64, String);

#[derive(Deserialize)]
struct HistogramPoint(f64, Histogram);

#[derive(Deserialize)]
struct Histogram {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

#[derive(Deserialize)]
struct Series {
    metric: std::collections::BTreeMap<String, String>,
    value: Option<Point>,
    histogram: Option<HistogramPoint>,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<HistogramPoint>,
}

/// Renders the body of an answer.
///
/// # Errors
/// When the server answered with an error, or with something else than an answer.
pub fn render(body: &[u8], format: Format) -> Result<Rendered, RenderError> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|e| RenderError::Unreadable(e.to_string()))?;
    if envelope.status != "success" {
        return Err(RenderError::Answered { error_type: envelope.error_type, error: envelope.error });
    }
    let Some(data) = envelope.data else {
        return Err(RenderError::Unreadable("it has no data".to_owned()));
    };
    let mut text = match format {
        Format::Promql => promql(&data)?,
        Format::Json => json(&data)?,
    };
    text.push('\n');
    let notes = envelope.warnings.into_iter().chain(envelope.infos).collect();
    Ok(Rendered { text, notes })
}

#[derive(Deserialize)]
struct Explained {
    status: String,
    data: Option<serde_json::Value>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

/// Renders the plan of a query: the tree as text, or as the API tells it.
///
/// # Errors
/// When the server answered with an error, or with something else than a plan.
pub fn render_explanation(body: &[u8], format: Format) -> Result<Rendered, RenderError> {
    let explained: Explained =
        serde_json::from_slice(body).map_err(|e| RenderError::Unreadable(e.to_string()))?;
    if explained.status != "success" {
        return Err(RenderError::Answered { error_type: explained.error_type, error: explained.error });
    }
    let data = explained.data.unwrap_or_default();
    let text = match (format, data["text"].as_str()) {
        (Format::Json, Some(_)) => format!("{data}\n"),
        (Format::Promql, Some(text)) => text.to_owned(),
        (_, None) => return Err(RenderError::Unreadable("it has no plan".to_owned())),
    };
    Ok(Rendered { text, notes: Vec::new() })
}

#[derive(Deserialize)]
struct Listing {
    status: String,
    data: Option<Vec<Entry>>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// A value of a label, or the labels of a series.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Labels(std::collections::BTreeMap<String, String>),
}

/// Renders a list of series or of label values.
///
/// # Errors
/// When the server answered with an error, or with something else than a list.
pub fn render_listing(body: &[u8], format: Format) -> Result<Rendered, RenderError> {
    let listing: Listing =
        serde_json::from_slice(body).map_err(|e| RenderError::Unreadable(e.to_string()))?;
    if listing.status != "success" {
        return Err(RenderError::Answered { error_type: listing.error_type, error: listing.error });
    }
    let entries = listing.data.unwrap_or_default();
    let mut out = Vec::new();
    if format == Format::Json {
        out.push(b'[');
    }
    for (i, entry) in entries.iter().enumerate() {
        match (format, entry) {
            (Format::Promql, Entry::Text(text)) => out.extend_from_slice(text.as_bytes()),
            (Format::Promql, Entry::Labels(labels)) => {
                let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={}", quote(v))).collect();
                out.extend_from_slice(format!("{{{}}}", pairs.join(", ")).as_bytes());
            }
            (Format::Json, _) if i > 0 => out.push(b','),
            (Format::Json, _) => {}
        }
        match (format, entry) {
            (Format::Promql, _) => out.push(b'\n'),
            (Format::Json, Entry::Text(text)) => write_string(&mut out, text),
            (Format::Json, Entry::Labels(labels)) => write_map(&mut out, labels.iter()),
        }
    }
    if format == Format::Json {
        out.extend_from_slice(b"]\n");
    }
    let text = String::from_utf8(out).map_err(|e| RenderError::Unreadable(e.to_string()))?;
    Ok(Rendered { text, notes: listing.warnings })
}

fn write_map<N: AsRef<str>, V: AsRef<str>>(out: &mut Vec<u8>, labels: impl Iterator<Item = (N, V)>) {
    out.push(b'{');
    for (i, (name, value)) in labels.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name.as_ref());
        out.push(b':');
        write_string(out, value.as_ref());
    }
    out.push(b'}');
}

fn promql(data: &Data) -> Result<String, RenderError> {
    let lines: Vec<String> = match data {
        Data::Scalar(Point(t, v)) => vec![format!("scalar: {} @[{}]", number(v)?, plain(*t))],
        Data::String(Point(_, text)) => vec![text.clone()],
        Data::Vector(series) => series.iter().map(sample_line).collect::<Result<_, _>>()?,
        Data::Matrix(series) => series.iter().map(series_lines).collect::<Result<_, _>>()?,
    };
    Ok(lines.join("\n"))
}

fn sample_line(series: &Series) -> Result<String, RenderError> {
    let labels = name(series);
    match (&series.value, &series.histogram) {
        (Some(Point(t, v)), _) => Ok(format!("{labels} => {} @[{}]", number(v)?, plain(*t))),
        (None, Some(HistogramPoint(t, h))) => Ok(format!("{labels} => {} @[{}]", histogram(h)?, plain(*t))),
        (None, None) => Err(RenderError::Unreadable("a sample has no value".to_owned())),
    }
}

fn series_lines(series: &Series) -> Result<String, RenderError> {
    let mut out = format!("{} =>", name(series));
    for Point(t, v) in &series.values {
        let _never_fails = write!(out, "\n{} @[{}]", number(v)?, plain(*t));
    }
    for HistogramPoint(t, h) in &series.histograms {
        let _never_fails = write!(out, "\n{} @[{}]", histogram(h)?, plain(*t));
    }
    Ok(out)
}

/// `Count: 3.000000, Sum: 5.000000, Buckets: [[-0.001,0.001]:2 (0.5,1]:1]`
fn histogram(h: &Histogram) -> Result<String, RenderError> {
    let fixed = |text: &str| value(text).map(|v| if v.is_finite() { format!("{v:.6}") } else { plain(v) });
    let mut out = format!("Count: {}, Sum: {}, Buckets: [", fixed(&h.count)?, fixed(&h.sum)?);
    for (i, (rule, lower, upper, count)) in h.buckets.iter().enumerate() {
        let (open, close) = match rule {
            0 => ('(', ']'),
            1 => ('[', ')'),
            2 => ('(', ')'),
            _ => ('[', ']'),
        };
        let blank = if i == 0 { "" } else { " " };
        let (lower, upper) = (short(value(lower)?), short(value(upper)?));
        let _never_fails = write!(out, "{blank}{open}{lower},{upper}{close}:{}", number(count)?);
    }
    out.push(']');
    Ok(out)
}

/// As Go's `%g`.
fn short(v: f64) -> String {
    let mut out = Vec::new();
    write_float_general(&mut out, v);
    ascii(out)
}

fn labels_of(series: &Series) -> Result<Labels, RenderError> {
    Labels::new(series.metric.iter().map(|(n, v)| (n.as_str(), v.as_str())))
        .map_err(|e| RenderError::Unreadable(e.to_string()))
}

/// `name{a="b", c="d"}`, `{}` when there is nothing. Pairs are sorted as text, quoted as Go does.
fn name(series: &Series) -> String {
    let metric = series.metric.get(METRIC_NAME);
    let mut pairs: Vec<String> = series
        .metric
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| format!("{name}={}", quote(value)))
        .collect();
    pairs.sort();
    match metric {
        Some(metric) if pairs.is_empty() => metric.clone(),
        _ => format!("{}{{{}}}", metric.map_or("", String::as_str), pairs.join(", ")),
    }
}

fn value(text: &str) -> Result<f64, RenderError> {
    text.parse().map_err(|_| RenderError::Unreadable(format!("`{text}` is no number")))
}

fn ascii(bytes: Vec<u8>) -> String {
    bytes.into_iter().map(char::from).collect()
}

fn plain(v: f64) -> String {
    let mut out = Vec::new();
    write_float_plain(&mut out, v);
    ascii(out)
}

fn number(text: &str) -> Result<String, RenderError> {
    Ok(plain(value(text)?))
}

fn json(data: &Data) -> Result<String, RenderError> {
    let mut out = Vec::new();
    match data {
        Data::Scalar(point) => write_point(&mut out, point)?,
        Data::String(Point(t, text)) => {
            out.push(b'[');
            write_float_plain(&mut out, *t);
            out.push(b',');
            write_string(&mut out, text);
            out.push(b']');
        }
        Data::Vector(series) | Data::Matrix(series) => {
            out.push(b'[');
            for (i, one) in series.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_series(&mut out, one)?;
            }
            out.push(b']');
        }
    }
    String::from_utf8(out).map_err(|e| RenderError::Unreadable(e.to_string()))
}

fn write_series(out: &mut Vec<u8>, series: &Series) -> Result<(), RenderError> {
    out.extend_from_slice(b"{\"metric\":");
    write_html_labels(out, series)?;
    if let Some(point) = &series.value {
        out.extend_from_slice(b",\"value\":");
        write_point(out, point)?;
    }
    if let Some(point) = &series.histogram {
        out.extend_from_slice(b",\"histogram\":");
        write_histogram_point(out, point)?;
    }
    if !series.values.is_empty() {
        out.extend_from_slice(b",\"values\":");
        write_points(out, &series.values, write_point)?;
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":");
        write_points(out, &series.histograms, write_histogram_point)?;
    }
    out.push(b'}');
    Ok(())
}

/// promtool escapes labels as it escapes all text.
fn write_html_labels(out: &mut Vec<u8>, series: &Series) -> Result<(), RenderError> {
    let labels = labels_of(series)?;
    if !labels.iter().any(|(n, v)| (n.to_owned() + v).contains(['<', '>', '&', '\u{2028}', '\u{2029}'])) {
        write_labels(out, &labels);
        return Ok(());
    }
    write_map(out, labels.iter());
    Ok(())
}

fn write_points<T>(
    out: &mut Vec<u8>,
    points: &[T],
    write: impl Fn(&mut Vec<u8>, &T) -> Result<(), RenderError>,
) -> Result<(), RenderError> {
    out.push(b'[');
    for (i, point) in points.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, point)?;
    }
    out.push(b']');
    Ok(())
}

fn write_point(out: &mut Vec<u8>, Point(t, v): &Point) -> Result<(), RenderError> {
    out.push(b'[');
    write_float_plain(out, *t);
    out.extend_from_slice(b",\"");
    write_float_plain(out, value(v)?);
    out.extend_from_slice(b"\"]");
    Ok(())
}

fn write_histogram_point(
    out: &mut Vec<u8>,
    HistogramPoint(t, h): &HistogramPoint,
) -> Result<(), RenderError> {
    out.push(b'[');
    write_float_plain(out, *t);
    out.extend_from_slice(b",{\"count\":");
    write_string(out, &number(&h.count)?);
    out.extend_from_slice(b",\"sum\":");
    write_string(out, &number(&h.sum)?);
    if h.buckets.is_empty() {
        out.extend_from_slice(b",\"buckets\":null");
    } else {
        out.extend_from_slice(b",\"buckets\":[");
        for (i, (rule, lower, upper, count)) in h.buckets.iter().enumerate() {
            let start = if i == 0 { "[" } else { ",[" };
            out.extend_from_slice(format!("{start}{rule},").as_bytes());
            for (j, text) in [lower, upper, count].into_iter().enumerate() {
                if j > 0 {
                    out.push(b',');
                }
                write_string(out, &number(text)?);
            }
            out.push(b']');
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
    Ok(())
}

/// Reads `data` as an answer and renders it; never panics.
pub fn fuzz_render(data: &[u8]) {
    let _rendered = (render(data, Format::Promql), render(data, Format::Json));
    let _listed = (render_listing(data, Format::Promql), render_listing(data, Format::Json));
}

#[cfg(test)]
mod tests;
