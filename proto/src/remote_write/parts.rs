//! What a walk leaves undecoded: labels, exemplars, metadata. Texts are borrowed and not checked to be UTF-8.

use model::TimestampMs;

use crate::wire::{Reader, WireError};

/// A name and a value as sent, not checked to be UTF-8.
pub type LabelPair<'a> = (&'a [u8], &'a [u8]);

/// Name and value pairs of a 1.0 label span, in the order sent. Ends after the first error.
#[derive(Debug, Clone)]
pub struct LabelPairs<'a> {
    reader: Reader<'a>,
    failed: bool,
}

/// The pairs in `WalkedSeries::label_bytes` or an exemplar message; fields other than labels are passed over.
pub fn label_pairs(bytes: &[u8]) -> LabelPairs<'_> {
    LabelPairs { reader: Reader::new(bytes), failed: false }
}

impl<'a> LabelPairs<'a> {
    fn read(&mut self) -> Result<Option<LabelPair<'a>>, WireError> {
        while let Some((field, wire_type)) = self.reader.field()? {
            if field == 1 {
                return label(self.reader.slice(field, wire_type)?).map(Some);
            }
            self.reader.skip(field, wire_type)?;
        }
        Ok(None)
    }
}

fn label(bytes: &[u8]) -> Result<LabelPair<'_>, WireError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => name = reader.slice(field, wire_type)?,
            2 => value = reader.slice(field, wire_type)?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((name, value))
}

impl<'a> Iterator for LabelPairs<'a> {
    type Item = Result<LabelPair<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// An exemplar of 1.0.
#[derive(Debug, Clone)]
pub struct ExemplarV1<'a> {
    /// Its own labels.
    pub labels: LabelPairs<'a>,
    /// The observed value.
    pub value: f64,
    /// When; 0: not told.
    pub t: TimestampMs,
}

/// Reads an exemplar message of 1.0.
pub fn decode_exemplar_v1(bytes: &[u8]) -> Result<ExemplarV1<'_>, WireError> {
    let mut exemplar = ExemplarV1 { labels: label_pairs(bytes), value: 0.0, t: 0 };
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => {
                reader.span(field, wire_type)?;
            }
            2 => exemplar.value = reader.double(field, wire_type)?,
            3 => exemplar.t = reader.number(field, wire_type)? as i64,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(exemplar)
}

/// An exemplar of 2.0.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarV2 {
    /// Symbols of names and values in turn.
    pub refs: Vec<u32>,
    /// The observed value.
    pub value: f64,
    /// When; 0: not told.
    pub t: TimestampMs,
}

/// Reads an exemplar message of 2.0.
pub fn decode_exemplar_v2(bytes: &[u8]) -> Result<ExemplarV2, WireError> {
    let mut exemplar = ExemplarV2 { refs: Vec::new(), value: 0.0, t: 0 };
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => reader.repeated_varint(field, wire_type, |value| exemplar.refs.push(value as u32))?,
            2 => exemplar.value = reader.double(field, wire_type)?,
            3 => exemplar.t = reader.number(field, wire_type)? as i64,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(exemplar)
}

/// Metadata of 1.0, which comes without a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataV1<'a> {
    /// Number of the metric type.
    pub metric_type: u32,
    /// Which metric family.
    pub family: &'a [u8],
    /// Help text.
    pub help: &'a [u8],
    /// Unit.
    pub unit: &'a [u8],
}

/// Reads a metadata message of 1.0.
pub fn decode_metadata_v1(bytes: &[u8]) -> Result<MetadataV1<'_>, WireError> {
    let mut metadata = MetadataV1::default();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => metadata.metric_type = reader.number(field, wire_type)? as u32,
            2 => metadata.family = reader.slice(field, wire_type)?,
            4 => metadata.help = reader.slice(field, wire_type)?,
            5 => metadata.unit = reader.slice(field, wire_type)?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(metadata)
}
