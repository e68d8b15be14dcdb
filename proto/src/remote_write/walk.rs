//! One pass over a request of either version: spans for the texts, columns for the samples.
//!
//! Invariant: every span lies inside the body it was read from, every range inside its column.

use model::TimestampMs;

use crate::wire::{Reader, WireError};

/// Which message a sender posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteVersion {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// Where bytes lie in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSpan {
    start: u32,
    end: u32,
}

impl ByteSpan {
    fn new((start, end): (usize, usize)) -> Self {
        // `Walk::read` refuses bodies of 4 GiB
        ByteSpan { start: start as u32, end: end as u32 }
    }

    /// The bytes; empty when `body` is another one and too short.
    #[inline]
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }
}

/// A range of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexRange {
    /// First index.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl IndexRange {
    /// The same as a range of `usize`.
    #[inline]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Metadata of a 2.0 series: a type and two symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataRefs {
    /// Number of the metric type.
    pub metric_type: u32,
    /// Symbol of the help text.
    pub help: u32,
    /// Symbol of the unit.
    pub unit: u32,
}

/// One `TimeSeries`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WalkedSeries {
    /// 1.0: bytes of the labels, tags included. 2.0: range in `Walk::refs`.
    labels: IndexRange,
    /// 1.0: other fields stand between the labels, so that equal label sets can have unequal bytes.
    pub scattered: bool,
    /// Range in the float columns.
    pub floats: IndexRange,
    /// Range in `Walk::histograms`.
    pub histograms: IndexRange,
    /// Range in `Walk::exemplars`.
    pub exemplars: IndexRange,
    /// 2.0: what it says of its metric.
    pub metadata: MetadataRefs,
    /// 2.0, senders of release candidates: start of everything that has no start of its own; 0: not told.
    pub created: TimestampMs,
}

impl WalkedSeries {
    /// 1.0: the raw bytes of the labels (see `label_pairs`).
    #[inline]
    pub fn label_bytes<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.labels.range()).unwrap_or(&[])
    }

    /// 2.0: symbols of names and values in turn.
    #[inline]
    pub fn label_refs<'a>(&self, refs: &'a [u32]) -> &'a [u32] {
        refs.get(self.labels.range()).unwrap_or(&[])
    }

    /// A series whose floats stand in this range of the columns, and nothing else.
    pub fn of_floats(floats: IndexRange) -> Self {
        WalkedSeries { floats, ..WalkedSeries::default() }
    }

    /// Whether the series brings nothing at all.
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty()
    }
}

/// Most items (samples, exemplars, symbols, metadata; a series counts for two, a histogram for eight) in a request:
/// a body of many empty messages must not grow into a hundred times its size.
const ITEMS_MAX: usize = 2 << 20;
/// What a series counts for.
const SERIES_ITEMS: usize = 2;
/// What a histogram counts for: it takes some 200 bytes once it is decoded.
const HISTOGRAM_ITEMS: usize = 8;

/// What a request holds. Empty columns to begin with; `read` replaces the content and keeps the memory.
#[derive(Debug, Default)]
pub struct Walk {
    /// The series in the order sent.
    pub series: Vec<WalkedSeries>,
    /// Timestamps of the floats of all series, in the order sent.
    pub timestamps: Vec<TimestampMs>,
    /// Their values, bit by bit.
    pub values: Vec<f64>,
    /// Their start timestamps (0: not told); empty when none was told.
    pub start_timestamps: Vec<TimestampMs>,
    /// Histogram messages (see `decode_histogram`).
    pub histograms: Vec<ByteSpan>,
    /// Exemplar messages (see `decode_exemplar_v1`, `decode_exemplar_v2`).
    pub exemplars: Vec<ByteSpan>,
    /// 1.0: metadata messages (see `decode_metadata_v1`).
    pub metadata: Vec<ByteSpan>,
    /// 2.0: the strings of the request; not checked to be UTF-8.
    pub symbols: Vec<ByteSpan>,
    /// 2.0: label references of all series.
    pub refs: Vec<u32>,
    items: usize,
}

impl Walk {
    /// Forgets the content, keeps the memory.
    pub fn clear(&mut self) {
        self.series.clear();
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.symbols.clear();
        self.refs.clear();
        self.items = 0;
    }

    /// Goes over `body`. After an error the content is undefined but safe to look at.
    pub fn read(&mut self, version: WriteVersion, body: &[u8]) -> Result<(), WireError> {
        self.clear();
        if u32::try_from(body.len()).is_err() {
            return Err(WireError::TooMany(ITEMS_MAX));
        }
        match version {
            WriteVersion::V1 => self.read_v1(body),
            WriteVersion::V2 => self.read_v2(body),
        }
    }

    /// Bytes the columns hold, used or not.
    pub fn bytes(&self) -> usize {
        self.series.capacity() * size_of::<WalkedSeries>()
            + (self.timestamps.capacity() + self.values.capacity() + self.start_timestamps.capacity()) * 8
            + (self.histograms.capacity()
                + self.exemplars.capacity()
                + self.metadata.capacity()
                + self.symbols.capacity())
                * size_of::<ByteSpan>()
            + self.refs.capacity() * 4
    }

    #[inline]
    fn count(&mut self, items: usize) -> Result<(), WireError> {
        self.items += items;
        if self.items > ITEMS_MAX { Err(WireError::TooMany(ITEMS_MAX)) } else { Ok(()) }
    }

    /// A series that starts where the columns end.
    fn begin(&self) -> WalkedSeries {
        let at = |length: usize| IndexRange { start: length as u32, end: length as u32 };
        WalkedSeries {
            floats: at(self.values.len()),
            histograms: at(self.histograms.len()),
            exemplars: at(self.exemplars.len()),
            ..WalkedSeries::default()
        }
    }

    /// Enters the series into the list, with everything that came since `begin`.
    fn finish(&mut self, mut series: WalkedSeries) {
        series.floats.end = self.values.len() as u32;
        series.histograms.end = self.histograms.len() as u32;
        series.exemplars.end = self.exemplars.len() as u32;
        self.series.push(series);
    }

    fn read_v1(&mut self, body: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(body);
        while let Some((field, wire_type)) = reader.field()? {
            match field {
                1 => {
                    let (start, end) = reader.span(field, wire_type)?;
                    self.count(SERIES_ITEMS)?;
                    self.series_v1(body, start, end)?;
                }
                3 => {
                    self.count(1)?;
                    self.metadata.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                _ => reader.skip(field, wire_type)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn series_v1(&mut self, body: &[u8], start: usize, end: usize) -> Result<(), WireError> {
        let mut series = self.begin();
        let (mut first, mut last) = (usize::MAX, start);
        let mut reader = Reader::within(body, start, end);
        loop {
            let at = reader.position();
            let Some((field, wire_type)) = reader.field()? else { break };
            match field {
                1 => {
                    let (_, label_end) = reader.span(field, wire_type)?;
                    if first == usize::MAX {
                        first = at;
                    } else if last != at {
                        series.scattered = true;
                    }
                    last = label_end;
                }
                2 => {
                    let (from, to) = reader.span(field, wire_type)?;
                    self.count(1)?;
                    let (t, value) = sample_v1(body, from, to)?;
                    self.timestamps.push(t);
                    self.values.push(value);
                }
                3 => {
                    self.count(1)?;
                    self.exemplars.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                4 => {
                    self.count(HISTOGRAM_ITEMS)?;
                    self.histograms.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                _ => reader.skip(field, wire_type)?,
            }
        }
        let first = first.min(last);
        series.labels = IndexRange { start: first as u32, end: last as u32 };
        self.finish(series);
        Ok(())
    }

    fn read_v2(&mut self, body: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(body);
        while let Some((field, wire_type)) = reader.field()? {
            match field {
                4 => {
                    self.count(1)?;
                    self.symbols.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                5 => {
                    let (start, end) = reader.span(field, wire_type)?;
                    self.count(SERIES_ITEMS)?;
                    self.series_v2(body, start, end)?;
                }
                _ => reader.skip(field, wire_type)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn series_v2(&mut self, body: &[u8], start: usize, end: usize) -> Result<(), WireError> {
        let mut series = self.begin();
        series.labels.start = self.refs.len() as u32;
        let mut reader = Reader::within(body, start, end);
        while let Some((field, wire_type)) = reader.field()? {
            match field {
                1 => {
                    let refs = &mut self.refs;
                    reader.repeated_varint(field, wire_type, |value| refs.push(value as u32))?;
                }
                2 => {
                    let (from, to) = reader.span(field, wire_type)?;
                    self.count(1)?;
                    self.sample_v2(body, from, to)?;
                }
                3 => {
                    self.count(HISTOGRAM_ITEMS)?;
                    self.histograms.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                4 => {
                    self.count(1)?;
                    self.exemplars.push(ByteSpan::new(reader.span(field, wire_type)?));
                }
                5 => {
                    let (from, to) = reader.span(field, wire_type)?;
                    metadata_refs(&mut series.metadata, Reader::within(body, from, to))?;
                }
                6 => series.created = reader.number(field, wire_type)? as i64,
                _ => reader.skip(field, wire_type)?,
            }
        }
        series.labels.end = self.refs.len() as u32;
        if series.created != 0 {
            self.fill_starts(series.floats.start as usize, series.created);
        }
        self.finish(series);
        Ok(())
    }

    #[inline]
    fn sample_v2(&mut self, body: &[u8], start: usize, end: usize) -> Result<(), WireError> {
        let (mut t, mut value, mut start_t) = (0i64, 0f64, 0i64);
        let mut reader = Reader::within(body, start, end);
        while let Some((field, wire_type)) = reader.field()? {
            match field {
                1 => value = reader.double(field, wire_type)?,
                2 => t = reader.number(field, wire_type)? as i64,
                3 => start_t = reader.number(field, wire_type)? as i64,
                _ => reader.skip(field, wire_type)?,
            }
        }
        if start_t != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if start_t != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start_t);
        }
        self.timestamps.push(t);
        self.values.push(value);
        Ok(())
    }

    /// Gives `created` to the floats from `first` on that have no start of their own.
    fn fill_starts(&mut self, first: usize, created: TimestampMs) {
        if first == self.timestamps.len() {
            return;
        }
        self.start_timestamps.resize(self.timestamps.len(), 0);
        for start in self.start_timestamps.iter_mut().skip(first).filter(|start| **start == 0) {
            *start = created;
        }
    }
}

#[inline]
fn sample_v1(body: &[u8], start: usize, end: usize) -> Result<(TimestampMs, f64), WireError> {
    let (mut t, mut value) = (0i64, 0f64);
    let mut reader = Reader::within(body, start, end);
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => value = reader.double(field, wire_type)?,
            2 => t = reader.number(field, wire_type)? as i64,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((t, value))
}

/// Reads a metadata message over what an earlier one said, as protobuf merges.
fn metadata_refs(metadata: &mut MetadataRefs, mut reader: Reader<'_>) -> Result<(), WireError> {
    while let Some((field, wire_type)) = reader.field()? {
        match field {
            1 => metadata.metric_type = reader.number(field, wire_type)? as u32,
            3 => metadata.help = reader.number(field, wire_type)? as u32,
            4 => metadata.unit = reader.number(field, wire_type)? as u32,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(())
}
