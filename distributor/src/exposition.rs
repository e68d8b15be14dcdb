//! Reads what `/metrics` pages hold: Prometheus's text format 0.0.4 and OpenMetrics 1.0.
//!
//! A page that ends with `# EOF` is OpenMetrics: its timestamps are seconds. Exemplars are passed over.
//! Any malformed line refuses the whole page, as a scrape would.

use model::{Labels, METRIC_NAME, Metadata, MetricType, TimestampMs};

/// Most samples of a page.
const SAMPLES_MAX: usize = 1 << 20;

/// One sample line.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpositionSample {
    /// The metric's name and labels.
    pub labels: Labels,
    /// The value, bit by bit where the text gives bits.
    pub value: f64,
    /// When, if the line says so.
    pub t: Option<TimestampMs>,
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    /// The samples in the order written.
    pub samples: Vec<ExpositionSample>,
    /// What the page says of its metric families, in the order first named.
    pub metadata: Vec<(String, Metadata)>,
}

/// A line that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ExpositionError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl ExpositionError {
    /// What the writer of the page should do: repair it.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::Invalid
    }
}

/// What fuzz targets and tests run over arbitrary bytes.
pub fn fuzz_exposition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(page) = parse_exposition(&text) {
        assert!(
            page.samples.iter().all(|sample| !sample.labels.metric_name().is_empty()),
            "every sample has a name"
        );
    }
}

/// Reads a page.
pub fn parse_exposition(text: &str) -> Result<Exposition, ExpositionError> {
    let openmetrics = text.trim_end().ends_with("# EOF");
    let mut page = Exposition::default();
    for (i, line) in text.lines().enumerate() {
        let fail = |reason| ExpositionError { line: i + 1, reason };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            let comment = comment.trim_start();
            if openmetrics && comment == "EOF" {
                break;
            }
            read_comment(comment, &mut page.metadata).map_err(fail)?;
            continue;
        }
        if page.samples.len() >= SAMPLES_MAX {
            return Err(fail("more samples than a page may have"));
        }
        page.samples.push(read_sample(line, openmetrics).map_err(fail)?);
    }
    Ok(page)
}

fn read_comment(comment: &str, metadata: &mut Vec<(String, Metadata)>) -> Result<(), &'static str> {
    let Some((keyword, rest)) = comment.split_once([' ', '\t']) else { return Ok(()) };
    if !matches!(keyword, "HELP" | "TYPE" | "UNIT") {
        return Ok(());
    }
    let mut cursor = Cursor { rest: rest.trim_start() };
    let name = if cursor.rest.starts_with('"') {
        cursor.quoted()?
    } else {
        cursor.until(|c| c == ' ' || c == '\t').to_owned()
    };
    if name.is_empty() {
        return Err("a comment about a metric without a name");
    }
    let text = cursor.rest.trim();
    // families come in one piece, so the last one is nearly always meant
    let at = match metadata.iter().rposition(|(known, _)| *known == name) {
        Some(at) => at,
        None => {
            metadata.push((name, Metadata::default()));
            metadata.len() - 1
        }
    };
    let known = &mut metadata[at].1;
    match keyword {
        "HELP" => known.help = unescape(text, false),
        "UNIT" => known.unit = text.to_owned(),
        _ => known.metric_type = metric_type(text)?,
    }
    Ok(())
}

fn metric_type(text: &str) -> Result<MetricType, &'static str> {
    Ok(match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "untyped" | "unknown" => MetricType::Unknown,
        _ => return Err("unknown metric type"),
    })
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let at = self.rest.find(stop).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(at);
        self.rest = rest;
        taken
    }

    /// A string in double quotes, its escapes undone.
    fn quoted(&mut self) -> Result<String, &'static str> {
        if !self.take('"') {
            return Err("expected a string in double quotes");
        }
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or("a string in double quotes does not end")?;
        let text = unescape(&self.rest[..end], true);
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }
}

/// `\\`, `\n`, and `\"` where quotes have a meaning; other backslashes stand for themselves.
fn unescape(text: &str, quotes: bool) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

fn read_sample(line: &str, openmetrics: bool) -> Result<ExpositionSample, &'static str> {
    let mut cursor = Cursor { rest: line };
    let name = cursor.until(|c| matches!(c, '{' | ' ' | '\t'));
    if !name.is_empty() && (name.contains('"') || name.starts_with(|c: char| c.is_ascii_digit())) {
        return Err("malformed metric name");
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    cursor.skip_blanks();
    if cursor.take('{') {
        read_pairs(&mut cursor, &mut pairs)?;
    }
    cursor.skip_blanks();
    let value = number(cursor.until(|c| matches!(c, ' ' | '\t')))?;
    cursor.skip_blanks();
    let mut t = None;
    if !cursor.rest.is_empty() && !cursor.rest.starts_with('#') {
        t = Some(timestamp(cursor.until(|c| matches!(c, ' ' | '\t')), openmetrics)?);
        cursor.skip_blanks();
    }
    let is_exemplar = openmetrics && cursor.rest.starts_with('#');
    if !cursor.rest.is_empty() && !is_exemplar {
        return Err("text after the sample");
    }
    let labels = Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(|_| "empty label name, or the same label name twice")?;
    if labels.metric_name().is_empty() {
        return Err("a sample without a metric name");
    }
    Ok(ExpositionSample { labels, value, t })
}

/// `a="b", "c d"="e"}`; a quoted string alone is the metric's name.
fn read_pairs(cursor: &mut Cursor<'_>, pairs: &mut Vec<(String, String)>) -> Result<(), &'static str> {
    loop {
        cursor.skip_blanks();
        if cursor.take('}') {
            return Ok(());
        }
        let is_quoted = cursor.rest.starts_with('"');
        let name = if is_quoted {
            cursor.quoted()?
        } else {
            cursor.until(|c| matches!(c, '=' | ' ' | '\t' | ',' | '}' | '"' | '{')).to_owned()
        };
        cursor.skip_blanks();
        if cursor.take('=') {
            cursor.skip_blanks();
            let value = cursor.quoted()?;
            pairs.push((name, value));
        } else if is_quoted {
            pairs.push((METRIC_NAME.to_owned(), name));
        } else {
            return Err("expected `=` after a label name");
        }
        cursor.skip_blanks();
        if !cursor.take(',') && !cursor.rest.starts_with('}') {
            return Err("expected `,` or `}` after a label");
        }
    }
}

fn number(text: &str) -> Result<f64, &'static str> {
    match text {
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ => text.parse().map_err(|_| "malformed value"),
    }
}

fn timestamp(text: &str, openmetrics: bool) -> Result<TimestampMs, &'static str> {
    if !openmetrics {
        return text.parse().map_err(|_| "malformed timestamp");
    }
    let seconds: f64 = text.parse().map_err(|_| "malformed timestamp")?;
    if !seconds.is_finite() || seconds.abs() > 1e15 {
        return Err("malformed timestamp");
    }
    Ok((seconds * 1000.0).round() as TimestampMs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_are_read() {
        let page = parse_exposition(
            "# HELP http_requests_total The total\\nnumber of \\\\ \"requests\".\n# TYPE http_requests_total counter\n\
             http_requests_total{method=\"post\",code=\"200\",} 1027 1395066363000\n\n# a comment\n\
             msdos{path=\"C:\\\\DIR\\\\F.TXT\",error=\"Cannot \\\"x\\\"\\n\"} 1.458255915e9\n\
             plain 12.47\ninf{a=\"\"} +Inf -3982045\nnan NaN\n{\"a.b\", \"c d\"=\"e\"} -1\n",
        )
        .unwrap();
        let shown: Vec<_> = page.samples.iter().map(|s| (s.labels.to_string(), s.value, s.t)).collect();
        assert_eq!(
            shown[0],
            (r#"http_requests_total{code="200", method="post"}"#.into(), 1027.0, Some(1395066363000))
        );
        assert_eq!(page.samples[1].labels.get("path"), Some("C:\\DIR\\F.TXT"));
        assert_eq!(page.samples[1].labels.get("error"), Some("Cannot \"x\"\n"));
        assert_eq!(shown[2], ("plain".into(), 12.47, None));
        assert_eq!(shown[3], ("inf".into(), f64::INFINITY, Some(-3982045)));
        assert!(shown[4].1.is_nan());
        assert_eq!(shown[5], (r#"{"a.b", "c d"="e"}"#.into(), -1.0, None));
        assert_eq!(page.metadata.len(), 1);
        assert_eq!(page.metadata[0].1.help, "The total\nnumber of \\ \"requests\".");
        assert_eq!(page.metadata[0].1.metric_type, MetricType::Counter);

        let page = parse_exposition(
            "# TYPE foo_seconds histogram\n# UNIT foo_seconds seconds\n\
             foo_seconds_bucket{le=\"0.1\"} 8 # {trace_id=\"abc\"} 0.05 1.5\nfoo_seconds_count 8 1.234\n# EOF\n",
        )
        .unwrap();
        assert_eq!(page.samples[0].value, 8.0);
        assert_eq!(page.samples[1].t, Some(1234));
        assert_eq!(page.metadata[0].1.unit, "seconds");
    }

    #[test]
    fn malformed_lines_are_named() {
        for (text, line) in [
            ("a 1\nb", 2),
            ("a{b} 1", 1),
            ("a{b=\"c} 1", 1),
            ("a{b=\"c\" d=\"e\"} 1", 1),
            ("a{b=\"c\",b=\"d\"} 1", 1),
            ("{} 1", 1),
            ("a x", 1),
            ("a 1 2 3", 1),
            ("# TYPE a nothing", 1),
            ("a 1 1.5", 1),
        ] {
            assert_eq!(parse_exposition(text).unwrap_err().line, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(
            data in proptest::collection::vec(any::<u8>(), 0..200),
            text in "[a-c{}=\",#\\\\ 0-9.n\n]{0,80}",
        ) {
            fuzz_exposition(&data);
            fuzz_exposition(text.as_bytes());
        }

        #[test]
        fn what_is_written_is_read(
            labels in proptest::collection::btree_map("[a-z]{1,4}", ".{1,12}", 0..4),
            value in any::<f64>(),
            t in proptest::option::of(any::<i64>()),
        ) {
            let escape = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
            let time = t.map(|t| format!(" {t}")).unwrap_or_default();
            let page = parse_exposition(&format!("m{{{}}} {value:?}{time}\n", pairs.join(","))).unwrap();
            let expected = Labels::new(
                labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", "m")]),
            ).unwrap();
            prop_assert_eq!(&page.samples[0].labels, &expected);
            prop_assert!(page.samples[0].value == value || value.is_nan());
            prop_assert_eq!(page.samples[0].t, t);
        }
    }
}
