//! Native histograms in series descriptions: `{{schema:1 sum:3 count:22 buckets:[5 10 7]}}`, and sums of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};

use crate::ast::{BinaryOp, PosRange, go_quote};

use super::parser::{Parsed, Parser, Stop};
use super::token::{HistogramKey, Tok};

/// A histogram as written.
pub(super) struct HistogramDesc {
    pub(super) histogram: FloatHistogram,
    /// Whether `counter_reset_hint` was among its keys.
    pub(super) hint_set: bool,
}

#[derive(Default)]
struct Fields {
    seen: Vec<HistogramKey>,
    schema: i64,
    sum: f64,
    count: f64,
    zero_count: f64,
    zero_threshold: f64,
    custom_values: Vec<f64>,
    offset: i64,
    buckets: Vec<f64>,
    negative_offset: i64,
    negative_buckets: Vec<f64>,
    hint: CounterResetHint,
}

fn key_name(key: HistogramKey) -> &'static str {
    match key {
        HistogramKey::Sum => "sum",
        HistogramKey::Count => "count",
        HistogramKey::Schema => "schema",
        HistogramKey::Offset => "offset",
        HistogramKey::NegativeOffset => "n_offset",
        HistogramKey::Buckets => "buckets",
        HistogramKey::NegativeBuckets => "n_buckets",
        HistogramKey::ZeroBucket => "z_bucket",
        HistogramKey::ZeroBucketWidth => "z_bucket_w",
        HistogramKey::CustomValues => "custom_values",
        HistogramKey::CounterResetHint => "counter_reset_hint",
    }
}

fn span(offset: i64, buckets: &[f64]) -> Vec<Span> {
    if buckets.is_empty() {
        return Vec::new();
    }
    vec![Span { offset: offset as i32, length: buckets.len() as u32 }]
}

impl Fields {
    fn build(self) -> HistogramDesc {
        let hint_set = self.seen.contains(&HistogramKey::CounterResetHint);
        let histogram = FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema as i32,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: span(self.offset, &self.buckets),
            negative_spans: span(self.negative_offset, &self.negative_buckets),
            positive_buckets: self.buckets,
            negative_buckets: self.negative_buckets,
            custom_values: Arc::from(self.custom_values),
        };
        HistogramDesc { histogram, hint_set }
    }
}

impl Parser<'_> {
    /// `{{…}}`
    pub(super) fn histogram(&mut self) -> Parsed<HistogramDesc> {
        self.expect(Tok::OpenHistogram)?;
        let mut fields = Fields::default();
        if self.take_if(Tok::Space).is_some() {
            self.expect(Tok::CloseHistogram)?;
            return Ok(fields.build());
        }
        if self.take_if(Tok::CloseHistogram).is_some() {
            return Ok(fields.build());
        }
        self.histogram_field(&mut fields)?;
        let expected = "histogram description key, e.g. buckets:[5 10 7]";
        self.within("histogram description", expected, |p| {
            loop {
                if p.take_if(Tok::CloseHistogram).is_some() {
                    return Ok(());
                }
                p.expect(Tok::Space)?;
                if matches!(p.peek(), Tok::HistogramKey(_)) {
                    p.histogram_field(&mut fields)?;
                } else if p.peek() != Tok::CloseHistogram {
                    return Err(Stop::Unexpected);
                }
            }
        })?;
        Ok(fields.build())
    }

    fn histogram_field(&mut self, fields: &mut Fields) -> Parsed<()> {
        let Tok::HistogramKey(key) = self.peek() else { return Err(Stop::Unexpected) };
        self.take();
        self.expect(Tok::Colon)?;
        let mut read = Fields::default();
        match key {
            HistogramKey::Schema => read.schema = self.signed_int()?,
            HistogramKey::Offset => read.offset = self.signed_int()?,
            HistogramKey::NegativeOffset => read.negative_offset = self.signed_int()?,
            HistogramKey::Sum => read.sum = self.signed_number()?,
            HistogramKey::Count => read.count = self.signed_number()?,
            HistogramKey::ZeroBucket => read.zero_count = self.signed_number()?,
            HistogramKey::ZeroBucketWidth => read.zero_threshold = self.signed_number()?,
            HistogramKey::CustomValues => read.custom_values = self.bucket_set()?,
            HistogramKey::Buckets => read.buckets = self.bucket_set()?,
            HistogramKey::NegativeBuckets => read.negative_buckets = self.bucket_set()?,
            HistogramKey::CounterResetHint => {
                let Tok::ResetHint(hint) = self.peek() else { return Err(Stop::Unexpected) };
                self.take();
                read.hint = hint;
            }
        }
        if fields.seen.contains(&key) {
            let message = format!("duplicate key {} in histogram", go_quote(key_name(key)));
            self.error(PosRange::default(), message);
            return Ok(());
        }
        fields.seen.push(key);
        match key {
            HistogramKey::Schema => fields.schema = read.schema,
            HistogramKey::Offset => fields.offset = read.offset,
            HistogramKey::NegativeOffset => fields.negative_offset = read.negative_offset,
            HistogramKey::Sum => fields.sum = read.sum,
            HistogramKey::Count => fields.count = read.count,
            HistogramKey::ZeroBucket => fields.zero_count = read.zero_count,
            HistogramKey::ZeroBucketWidth => fields.zero_threshold = read.zero_threshold,
            HistogramKey::CustomValues => fields.custom_values = read.custom_values,
            HistogramKey::Buckets => fields.buckets = read.buckets,
            HistogramKey::NegativeBuckets => fields.negative_buckets = read.negative_buckets,
            HistogramKey::CounterResetHint => fields.hint = read.hint,
        }
        Ok(())
    }

    fn signed_int(&mut self) -> Parsed<i64> {
        let minus = self.take_if(Tok::Op(BinaryOp::Sub)).is_some();
        let token = self.expect(Tok::Number)?;
        let value = i64::try_from(self.unsigned(token)).unwrap_or(i64::MAX);
        Ok(if minus { -value } else { value })
    }

    /// `[1 2 3]`
    fn bucket_set(&mut self) -> Parsed<Vec<f64>> {
        self.expect(Tok::LeftBracket)?;
        let mut values = vec![self.signed_number()?];
        loop {
            if self.take_if(Tok::RightBracket).is_some() {
                return Ok(values);
            }
            self.expect(Tok::Space)?;
            if self.peek() != Tok::RightBracket {
                values.push(self.signed_number()?);
            }
        }
    }
}

/// `a + b` or `a - b`, in the coarser of both resolutions. Only what a description needs: zero buckets and custom
/// bounds must agree.
pub(super) fn combine(
    a: &FloatHistogram,
    b: &FloatHistogram,
    subtract: bool,
) -> Result<FloatHistogram, String> {
    if a.schema > b.schema {
        return Err(format!(
            "error combining histograms: cannot merge from schema {} to {}",
            b.schema, a.schema
        ));
    }
    let custom = a.schema == CUSTOM_BUCKETS_SCHEMA;
    if custom != (b.schema == CUSTOM_BUCKETS_SCHEMA) {
        return Err("error combining histograms: custom and exponential buckets".to_owned());
    }
    if a.custom_values != b.custom_values {
        return Err("error combining histograms: different custom bounds".to_owned());
    }
    if a.zero_threshold.to_bits() != b.zero_threshold.to_bits() {
        return Err("error combining histograms: different zero bucket widths".to_owned());
    }
    let shift = if custom { 0 } else { b.schema.abs_diff(a.schema).min(31) };
    let factor = if subtract { -1.0 } else { 1.0 };
    let (positive_spans, positive_buckets) = combine_side(
        (&a.positive_spans, &a.positive_buckets),
        (&b.positive_spans, &b.positive_buckets),
        shift,
        factor,
    );
    let (negative_spans, negative_buckets) = combine_side(
        (&a.negative_spans, &a.negative_buckets),
        (&b.negative_spans, &b.negative_buckets),
        shift,
        factor,
    );
    Ok(FloatHistogram {
        counter_reset_hint: combine_hints(a.counter_reset_hint, b.counter_reset_hint),
        schema: a.schema,
        zero_threshold: a.zero_threshold,
        zero_count: a.zero_count + factor * b.zero_count,
        count: a.count + factor * b.count,
        sum: a.sum + factor * b.sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: Arc::clone(&a.custom_values),
    })
}

fn combine_hints(a: CounterResetHint, b: CounterResetHint) -> CounterResetHint {
    match (a, b) {
        (a, b) if a == b => a,
        (CounterResetHint::Gauge, _) | (_, CounterResetHint::Gauge) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn combine_side(
    a: (&[Span], &[f64]),
    b: (&[Span], &[f64]),
    shift: u32,
    factor: f64,
) -> (Vec<Span>, Vec<f64>) {
    let mut merged: BTreeMap<i64, f64> = indexed(a.0, a.1).collect();
    for (index, count) in indexed(b.0, b.1) {
        // A bucket of a finer schema lies within the coarser one that ends where it does or later.
        let index = ((index - 1) >> shift) + 1;
        *merged.entry(index).or_default() += factor * count;
    }
    let (mut spans, mut buckets): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (index, count) in merged {
        match spans.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => spans.push(Span { offset: (index - next) as i32, length: 1 }),
        }
        next = index + 1;
        buckets.push(count);
    }
    (spans, buckets)
}

/// Buckets with their indexes.
pub(crate) fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0i64;
    let indexes = spans.iter().flat_map(move |span| {
        let from = next + i64::from(span.offset);
        next = from + i64::from(span.length);
        from..next
    });
    indexes.zip(buckets.iter().copied())
}
