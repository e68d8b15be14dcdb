//! Writes requests of both versions: for tests, benches and our own senders.

use std::collections::BTreeMap;

use model::{Exemplar, FloatHistogram, Histogram, IntHistogram, Labels, Metadata, Span, TimestampMs};

use super::WireHistogram;
use crate::wire::{put_bytes, put_double, put_number, put_varint};

/// One series to write. What a version has no place for is left out.
#[derive(Debug, Clone, Copy)]
pub struct SeriesToWrite<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Timestamp, value, start timestamp (0: not told).
    pub samples: &'a [(TimestampMs, f64, TimestampMs)],
    /// Histograms.
    pub histograms: &'a [WireHistogram],
    /// Exemplars.
    pub exemplars: &'a [Exemplar],
    /// 2.0: metadata of its metric.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> SeriesToWrite<'a> {
    /// A series with float samples alone.
    pub fn floats(labels: &'a Labels, samples: &'a [(TimestampMs, f64, TimestampMs)]) -> Self {
        SeriesToWrite { labels, samples, histograms: &[], exemplars: &[], metadata: None }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn put_spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::new();
        put_number(&mut message, 1, zigzag(i64::from(span.offset)));
        put_number(&mut message, 2, u64::from(span.length));
        put_bytes(out, field, &message);
    }
}

fn put_deltas(out: &mut Vec<u8>, field: u32, deltas: &[i64]) {
    if !deltas.is_empty() {
        let mut packed = Vec::new();
        for delta in deltas {
            put_varint(&mut packed, zigzag(*delta));
        }
        put_bytes(out, field, &packed);
    }
}

fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if !values.is_empty() {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        put_bytes(out, field, &packed);
    }
}

/// Writes a field of a oneof, zero or not: its presence speaks.
fn put_count_float(out: &mut Vec<u8>, field: u32, value: f64) {
    crate::wire::put_tag(out, field, crate::wire::FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_count_int(out: &mut Vec<u8>, field: u32, value: u64) {
    crate::wire::put_tag(out, field, crate::wire::VARINT);
    put_varint(out, value);
}

fn int_histogram(out: &mut Vec<u8>, h: &IntHistogram) {
    put_count_int(out, 1, h.count);
    put_double(out, 3, h.sum);
    put_number(out, 4, zigzag(i64::from(h.schema)));
    put_double(out, 5, h.zero_threshold);
    put_count_int(out, 6, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_deltas(out, 9, &h.negative_deltas);
    put_spans(out, 11, &h.positive_spans);
    put_deltas(out, 12, &h.positive_deltas);
    put_number(out, 14, h.counter_reset_hint as u64);
    put_doubles(out, 16, &h.custom_values);
}

fn float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    put_count_float(out, 2, h.count);
    put_double(out, 3, h.sum);
    put_number(out, 4, zigzag(i64::from(h.schema)));
    put_double(out, 5, h.zero_threshold);
    put_count_float(out, 7, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_doubles(out, 10, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_doubles(out, 13, &h.positive_buckets);
    put_number(out, 14, h.counter_reset_hint as u64);
    put_doubles(out, 16, &h.custom_values);
}

fn histogram(h: &WireHistogram, with_start: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match &h.histogram {
        Histogram::Int(int) => int_histogram(&mut out, int),
        Histogram::Float(float) => float_histogram(&mut out, float),
    }
    put_number(&mut out, 15, h.t as u64);
    if with_start {
        put_number(&mut out, 17, h.start_t as u64);
    }
    out
}

fn put_labels_v1(out: &mut Vec<u8>, labels: &Labels) {
    let mut message = Vec::new();
    for (name, value) in labels {
        message.clear();
        put_bytes(&mut message, 1, name.as_bytes());
        put_bytes(&mut message, 2, value.as_bytes());
        put_bytes(out, 1, &message);
    }
}

/// Builds a `prometheus.WriteRequest`.
#[derive(Debug, Clone, Default)]
pub struct EncodeV1 {
    body: Vec<u8>,
}

impl EncodeV1 {
    /// Adds a series.
    pub fn series(&mut self, series: SeriesToWrite<'_>) -> &mut Self {
        let mut out = Vec::new();
        put_labels_v1(&mut out, series.labels);
        let mut message = Vec::new();
        for (t, value, _) in series.samples {
            message.clear();
            put_double(&mut message, 1, *value);
            put_number(&mut message, 2, *t as u64);
            put_bytes(&mut out, 2, &message);
        }
        for exemplar in series.exemplars {
            message.clear();
            put_labels_v1(&mut message, &exemplar.labels);
            put_double(&mut message, 2, exemplar.value);
            put_number(&mut message, 3, exemplar.t as u64);
            put_bytes(&mut out, 3, &message);
        }
        for h in series.histograms {
            put_bytes(&mut out, 4, &histogram(h, false));
        }
        put_bytes(&mut self.body, 1, &out);
        self
    }

    /// Adds metadata of a metric family.
    pub fn metadata(&mut self, family: &str, metadata: &Metadata) -> &mut Self {
        let mut message = Vec::new();
        put_number(&mut message, 1, metadata.metric_type as u64);
        put_bytes(&mut message, 2, family.as_bytes());
        put_bytes(&mut message, 4, metadata.help.as_bytes());
        put_bytes(&mut message, 5, metadata.unit.as_bytes());
        put_bytes(&mut self.body, 3, &message);
        self
    }

    /// The message, not compressed.
    pub fn finish(&self) -> Vec<u8> {
        self.body.clone()
    }
}

/// Builds an `io.prometheus.write.v2.Request`.
#[derive(Debug, Clone)]
pub struct EncodeV2 {
    symbols: BTreeMap<String, u32>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Default for EncodeV2 {
    fn default() -> Self {
        let mut encode = EncodeV2 { symbols: BTreeMap::new(), head: Vec::new(), body: Vec::new() };
        encode.symbol("");
        encode
    }
}

impl EncodeV2 {
    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(index) = self.symbols.get(text) {
            return *index;
        }
        let index = self.symbols.len() as u32;
        self.symbols.insert(text.to_owned(), index);
        put_bytes(&mut self.head, 4, text.as_bytes());
        index
    }

    fn put_refs(&mut self, out: &mut Vec<u8>, labels: &Labels) {
        let mut packed = Vec::new();
        for (name, value) in labels {
            put_varint(&mut packed, u64::from(self.symbol(name)));
            put_varint(&mut packed, u64::from(self.symbol(value)));
        }
        if !packed.is_empty() {
            put_bytes(out, 1, &packed);
        }
    }

    /// Adds a series.
    pub fn series(&mut self, series: SeriesToWrite<'_>) -> &mut Self {
        let mut out = Vec::new();
        self.put_refs(&mut out, series.labels);
        let mut message = Vec::new();
        for (t, value, start_t) in series.samples {
            message.clear();
            put_double(&mut message, 1, *value);
            put_number(&mut message, 2, *t as u64);
            put_number(&mut message, 3, *start_t as u64);
            put_bytes(&mut out, 2, &message);
        }
        for h in series.histograms {
            put_bytes(&mut out, 3, &histogram(h, true));
        }
        for exemplar in series.exemplars {
            message.clear();
            self.put_refs(&mut message, &exemplar.labels);
            put_double(&mut message, 2, exemplar.value);
            put_number(&mut message, 3, exemplar.t as u64);
            put_bytes(&mut out, 4, &message);
        }
        if let Some(metadata) = series.metadata {
            message.clear();
            put_number(&mut message, 1, metadata.metric_type as u64);
            put_number(&mut message, 3, u64::from(self.symbol(&metadata.help)));
            put_number(&mut message, 4, u64::from(self.symbol(&metadata.unit)));
            put_bytes(&mut out, 5, &message);
        }
        put_bytes(&mut self.body, 5, &out);
        self
    }

    /// The message, not compressed.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = self.head.clone();
        out.extend_from_slice(&self.body);
        out
    }
}
