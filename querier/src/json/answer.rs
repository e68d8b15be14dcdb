//! The answer to a query, written piece by piece so that no answer is in memory twice.

use std::sync::Arc;

use model::FloatHistogram;
use promql::{AnswerMemory, MatrixSeries, SampleValue, Value, VectorSample};

use super::histogram::write_histogram;
use super::number::{write_float, write_float_plain, write_seconds, write_timestamp};
use super::text::{write_labels, write_string, write_strings};

/// What follows the result: statistics as JSON (empty: none), warnings and infos.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) stats: Vec<u8>,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    /// The budget counts the answer until it is written.
    pub(crate) _memory: AnswerMemory,
}

/// Writes `{"status":"success","data":{"resultType":…,"result":…}}` in pieces.
pub(crate) struct AnswerWriter {
    value: Arc<Value>,
    tail: Tail,
    next: usize,
    done: bool,
    stamps: Stamps,
}

impl AnswerWriter {
    pub(crate) fn new(value: Arc<Value>, tail: Tail) -> Self {
        AnswerWriter { value, tail, next: 0, done: false, stamps: Stamps::default() }
    }

    /// The next piece, about `size` bytes or one series more; `None` after the last.
    pub(crate) fn piece(&mut self, size: usize) -> Option<Vec<u8>> {
        if self.done {
            return None;
        }
        let mut out = Vec::with_capacity(size.min(4096));
        if self.next == 0 {
            out.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":\"");
            out.extend_from_slice(match &*self.value {
                Value::Scalar { .. } => b"scalar".as_slice(),
                Value::String { .. } => b"string",
                Value::Vector(_) => b"vector",
                Value::Matrix(_) => b"matrix",
            });
            out.extend_from_slice(b"\",\"result\":[");
        }
        let finished = match &*self.value {
            Value::Scalar { t, v } => {
                write_seconds(&mut out, *t);
                out.extend_from_slice(b",\"");
                write_float_plain(&mut out, *v);
                out.push(b'"');
                true
            }
            Value::String { t, s } => {
                write_seconds(&mut out, *t);
                out.push(b',');
                write_string(&mut out, s);
                true
            }
            Value::Vector(samples) => {
                let stamps = &mut self.stamps;
                write_list(&mut out, samples, &mut self.next, size, |out, one| write_sample(out, one, stamps))
            }
            Value::Matrix(series) => {
                let stamps = &mut self.stamps;
                write_list(&mut out, series, &mut self.next, size, |out, one| write_series(out, one, stamps))
            }
        };
        if finished {
            self.done = true;
            self.finish(&mut out);
        }
        Some(out)
    }

    /// Whether all is written.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    fn finish(&self, out: &mut Vec<u8>) {
        out.push(b']');
        if !self.tail.stats.is_empty() {
            out.extend_from_slice(b",\"stats\":");
            out.extend_from_slice(&self.tail.stats);
        }
        out.push(b'}');
        for (name, texts) in [("warnings", &self.tail.warnings), ("infos", &self.tail.infos)] {
            if !texts.is_empty() {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                write_strings(out, texts);
            }
        }
        out.push(b'}');
    }
}

/// Writes items from `next` on, at least one, until `out` has `size` bytes; whether all are written.
fn write_list<T>(
    out: &mut Vec<u8>,
    items: &[T],
    next: &mut usize,
    size: usize,
    mut write: impl FnMut(&mut Vec<u8>, &T),
) -> bool {
    let first = *next;
    while let Some(item) = items.get(*next) {
        if *next > first && out.len() >= size {
            return false;
        }
        if *next > 0 {
            out.push(b',');
        }
        *next += 1;
        write(out, item);
    }
    true
}

fn write_sample(out: &mut Vec<u8>, sample: &VectorSample, stamps: &mut Stamps) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":");
            stamps.rewind();
            write_point(out, sample.t, *v, stamps);
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            write_histogram_point(out, sample.t, h);
        }
    }
    out.push(b'}');
}

fn write_series(out: &mut Vec<u8>, series: &MatrixSeries, stamps: &mut Stamps) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":[");
        stamps.rewind();
        for (i, (t, v)) in series.floats.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_point(out, *t, *v, stamps);
        }
        out.push(b']');
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":[");
        for (i, (t, h)) in series.histograms.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_histogram_point(out, *t, h);
        }
        out.push(b']');
    }
    out.push(b'}');
}

#[inline]
fn write_point(out: &mut Vec<u8>, t: i64, v: f64, stamps: &mut Stamps) {
    stamps.write(out, t);
    write_float(out, v);
    out.extend_from_slice(b"\"]");
}

fn write_histogram_point(out: &mut Vec<u8>, t: i64, h: &Arc<FloatHistogram>) {
    out.push(b'[');
    write_timestamp(out, t);
    out.push(b',');
    write_histogram(out, h);
    out.push(b']');
}

/// The text of the timestamps of the series before: series of one answer mostly share their steps.
#[derive(Default)]
struct Stamps {
    /// Ascending, with the end of each one's text.
    ends: Vec<(i64, u32)>,
    text: Vec<u8>,
    at: usize,
}

impl Stamps {
    /// Starts with the next series.
    fn rewind(&mut self) {
        self.at = 0;
    }

    /// Writes `[time,"`.
    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, t: i64) {
        while let Some((known, end)) = self.ends.get(self.at).copied() {
            if known > t {
                break;
            }
            let start = if self.at == 0 { 0 } else { self.ends[self.at - 1].1 };
            self.at += 1;
            if known == t {
                out.extend_from_slice(&self.text[start as usize..end as usize]);
                return;
            }
        }
        let start = out.len();
        out.push(b'[');
        write_timestamp(out, t);
        out.extend_from_slice(b",\"");
        // a longer row of the same steps; others are written anew each time
        if self.at == self.ends.len()
            && self.ends.last().is_none_or(|(last, _)| *last < t)
            && self.at < 20_000
        {
            self.text.extend_from_slice(&out[start..]);
            self.ends.push((t, self.text.len() as u32));
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;

    fn text(value: Value, tail: Tail, size: usize) -> String {
        let mut writer = AnswerWriter::new(Arc::new(value), tail);
        let mut out = Vec::new();
        while let Some(piece) = writer.piece(size) {
            out.extend(piece);
        }
        assert!(writer.is_done());
        String::from_utf8(out).unwrap()
    }

    fn series(i: usize, times: &[i64]) -> MatrixSeries {
        MatrixSeries {
            labels: Labels::new([("i", &*i.to_string())]).unwrap(),
            floats: times.iter().map(|t| (*t, *t as f64 / 7.0)).collect(),
            histograms: vec![],
        }
    }

    #[test]
    fn scalars_and_strings_have_shorter_times() {
        let scalar = text(Value::Scalar { t: 1500, v: 1e30 }, Tail::default(), 1);
        let expected = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"1000000000000000000000000000000"]}}"#;
        assert_eq!(scalar, expected);
        let string = text(Value::String { t: -1250, s: "a<".into() }, Tail::default(), 1);
        assert_eq!(
            string,
            r#"{"status":"success","data":{"resultType":"string","result":[-1.25,"a\u003c"]}}"#
        );
    }

    #[test]
    fn empty_lists_are_lists_and_the_tail_follows() {
        let tail = Tail {
            stats: b"{}".to_vec(),
            warnings: vec!["w".into()],
            infos: vec!["i".into(), "j".into()],
            ..Tail::default()
        };
        assert_eq!(
            text(Value::Matrix(vec![]), tail, 1),
            r#"{"status":"success","data":{"resultType":"matrix","result":[],"stats":{}},"warnings":["w"],"infos":["i","j"]}"#
        );
        assert_eq!(
            text(Value::Vector(vec![]), Tail::default(), 1),
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#
        );
    }

    #[test]
    fn series_have_values_histograms_or_both() {
        let h = Arc::new(FloatHistogram {
            counter_reset_hint: model::CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 1.0,
            sum: 2.0,
            positive_spans: vec![],
            negative_spans: vec![],
            positive_buckets: vec![],
            negative_buckets: vec![],
            custom_values: Arc::from([]),
        });
        let both =
            MatrixSeries { histograms: vec![(3, Arc::clone(&h)), (4, Arc::clone(&h))], ..series(0, &[1000]) };
        let point = r#"{"count":"1","sum":"2"}"#;
        assert_eq!(
            text(Value::Matrix(vec![both]), Tail::default(), 1),
            format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"i":"0"}},"values":[[1,"142.85714285714286"]],"histograms":[[0.003,{point}],[0.004,{point}]]}}]}}}}"#
            )
        );
        let sample = |value| VectorSample { labels: Labels::empty(), t: 1500, value };
        let vector =
            Value::Vector(vec![sample(SampleValue::Histogram(h)), sample(SampleValue::Float(f64::NAN))]);
        assert_eq!(
            text(vector, Tail::default(), 1),
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"histogram":[1.500,{point}]}},{{"metric":{{}},"value":[1.500,"NaN"]}}]}}}}"#
            )
        );
    }

    proptest! {
        #[test]
        fn times_and_pieces_do_not_depend_on_what_came_before(
            rows in prop::collection::vec(prop::collection::btree_set(0i64..40, 0..12), 0..6),
            size in 1usize..400,
        ) {
            let rows: Vec<Vec<i64>> =
                rows.into_iter().map(|row| row.into_iter().map(|t| t * 250 - 1000).collect()).collect();
            let value = Value::Matrix(rows.iter().enumerate().map(|(i, r)| series(i, r)).collect());
            let written: serde_json::Value =
                serde_json::from_str(&text(value, Tail::default(), size)).unwrap();
            let result = written["data"]["result"].as_array().unwrap();
            prop_assert_eq!(result.len(), rows.len());
            for (one, row) in result.iter().zip(&rows) {
                let times: Vec<i64> = one["values"]
                    .as_array()
                    .map(|points| points.iter().map(|p| (p[0].as_f64().unwrap() * 1000.0).round() as i64).collect())
                    .unwrap_or_default();
                prop_assert_eq!(&times, row);
            }
        }
    }
}
