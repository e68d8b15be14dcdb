//! A section: what one request brings for one tenant, as columns.

use model::{Exemplar, Labels, Metadata, MetricType, TenantId, TimestampMs};
use proto::{AppendBatch, ExemplarAppend, HistogramAppend, MetadataAppend, SeriesRef};

use super::command::read_tenant;
use super::floats::{put_values, read_values};
use super::histograms::{put_histogram, read_histogram};
use crate::wire::{Malformed, Reader, put_bytes, put_f64, put_varint, put_zigzag};

/// Most samples of a section that is not mere runs of equal values; a cap for the decoder.
const SAMPLES_MAX: usize = 16 << 20;

/// The limits in force when an entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most series of the tenant in this group; 0: no limit.
    pub series_max: u64,
    /// How far behind the tenant's newest sample a sample may be, in milliseconds; 0: samples must be in
    /// order.
    pub out_of_order_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { series_max: 0, out_of_order_ms: 24 * 3_600_000 }
    }
}

/// So many samples of one timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampRun {
    /// When.
    pub t: TimestampMs,
    /// How many.
    pub count: u32,
}

/// Float samples of a section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floats {
    /// Which series.
    pub series: Vec<SeriesRef>,
    /// When; the counts add up to the length of the other columns.
    pub runs: Vec<TimestampRun>,
    /// What.
    pub values: Vec<f64>,
    /// Start timestamps; empty when none was told.
    pub start_timestamps: Vec<TimestampMs>,
}

/// What one request brings for one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Whose.
    pub tenant: TenantId,
    /// Limits in force.
    pub limits: Limits,
    /// Label sets that `NEW_SERIES` references point to.
    pub new_series: Vec<Labels>,
    /// Float samples.
    pub floats: Floats,
    /// Histogram samples.
    pub histograms: Vec<(SeriesRef, TimestampMs, TimestampMs, model::Histogram)>,
    /// Exemplars.
    pub exemplars: Vec<(SeriesRef, Exemplar)>,
    /// Metadata.
    pub metadata: Vec<(String, Metadata)>,
}

pub(super) fn put_section(out: &mut Vec<u8>, tenant: &TenantId, limits: Limits, batch: &AppendBatch) {
    put_bytes(out, tenant.as_str().as_bytes());
    put_varint(out, limits.series_max);
    put_zigzag(out, limits.out_of_order_ms);
    put_varint(out, batch.new_series.len() as u64);
    for labels in &batch.new_series {
        put_bytes(out, labels.as_bytes());
    }
    let floats = &batch.floats;
    put_varint(out, floats.series.len() as u64);
    if !floats.series.is_empty() {
        put_references(out, &floats.series);
        put_timestamps(out, &floats.timestamps);
        if floats.start_timestamps.iter().any(|t| *t != 0) {
            out.push(1);
            put_timestamps(out, &floats.start_timestamps);
        } else {
            out.push(0);
        }
        put_values(out, &floats.values);
    }
    put_varint(out, batch.histograms.len() as u64);
    for HistogramAppend { series, t, start_t, histogram } in &batch.histograms {
        put_varint(out, u64::from(*series));
        put_zigzag(out, *t);
        put_zigzag(out, *start_t);
        put_histogram(out, histogram);
    }
    put_varint(out, batch.exemplars.len() as u64);
    for ExemplarAppend { series, exemplar } in &batch.exemplars {
        put_varint(out, u64::from(*series));
        put_bytes(out, exemplar.labels.as_bytes());
        put_f64(out, exemplar.value);
        put_zigzag(out, exemplar.t);
    }
    put_varint(out, batch.metadata.len() as u64);
    for MetadataAppend { metric, metadata } in &batch.metadata {
        put_bytes(out, metric.as_bytes());
        put_metadata(out, metadata);
    }
}

pub(crate) fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.push(metadata.metric_type as u8);
    put_bytes(out, metadata.help.as_bytes());
    put_bytes(out, metadata.unit.as_bytes());
}

pub(crate) fn read_metadata(reader: &mut Reader<'_>) -> Result<Metadata, Malformed> {
    let metric_type = MetricType::from_wire(u64::from(reader.byte()?));
    let help = reader.text()?.to_owned();
    let unit = reader.text()?.to_owned();
    Ok(Metadata { metric_type, help, unit })
}

/// Runs of consecutive references: the gap to the run before, then the length.
fn put_references(out: &mut Vec<u8>, references: &[SeriesRef]) {
    let mut expected = 0_u32;
    let mut at = 0;
    while at < references.len() {
        let first = references[at];
        let mut length = 1;
        while at + length < references.len() && references[at + length] == first.wrapping_add(length as u32) {
            length += 1;
        }
        put_zigzag(out, i64::from(first) - i64::from(expected));
        put_varint(out, length as u64);
        expected = first.wrapping_add(length as u32);
        at += length;
    }
}

fn read_references(reader: &mut Reader<'_>, count: usize) -> Result<Vec<SeriesRef>, Malformed> {
    let mut out = Vec::with_capacity(count.min(1 << 16));
    let mut expected = 0_u32;
    while out.len() < count {
        let first = i64::from(expected)
            .checked_add(reader.zigzag()?)
            .and_then(|v| u32::try_from(v).ok())
            .ok_or(Malformed("reference"))?;
        let length = reader.varint()?;
        if length == 0 || length > (count - out.len()) as u64 {
            return Err(Malformed("run of references"));
        }
        let end = first.checked_add(length as u32 - 1).ok_or(Malformed("reference"))?;
        out.extend(first..=end);
        expected = end.wrapping_add(1);
    }
    Ok(out)
}

fn put_timestamps(out: &mut Vec<u8>, timestamps: &[TimestampMs]) {
    let mut before = 0_i64;
    let mut rest = timestamps;
    while let Some(t) = rest.first() {
        let length = rest.iter().take_while(|x| *x == t).count();
        put_zigzag(out, t.wrapping_sub(before));
        put_varint(out, length as u64);
        before = *t;
        rest = &rest[length..];
    }
}

fn read_timestamps(reader: &mut Reader<'_>, count: usize) -> Result<Vec<TimestampRun>, Malformed> {
    let mut out = Vec::new();
    let mut t = 0_i64;
    let mut seen = 0;
    while seen < count {
        t = t.wrapping_add(reader.zigzag()?);
        let length = reader.u32()?;
        if length == 0 || length as usize > count - seen {
            return Err(Malformed("run of timestamps"));
        }
        seen += length as usize;
        out.push(TimestampRun { t, count: length });
    }
    Ok(out)
}

impl Section {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tenant = read_tenant(reader)?;
        let limits = Limits { series_max: reader.varint()?, out_of_order_ms: reader.zigzag()? };
        let count = reader.count(1)?;
        let mut new_series = Vec::with_capacity(count.min(1 << 16));
        for _ in 0..count {
            new_series.push(read_labels(reader)?);
        }
        let count = usize::try_from(reader.varint()?).map_err(|_| Malformed("count"))?;
        // Every sample takes at least half a byte.
        if count > SAMPLES_MAX || count / 2 > reader.rest().len() {
            return Err(Malformed("count of samples"));
        }
        let mut floats = Floats::default();
        if count > 0 {
            floats.series = read_references(reader, count)?;
            floats.runs = read_timestamps(reader, count)?;
            if reader.byte()? != 0 {
                let runs = read_timestamps(reader, count)?;
                floats.start_timestamps =
                    runs.iter().flat_map(|run| std::iter::repeat_n(run.t, run.count as usize)).collect();
            }
            floats.values = read_values(reader, count)?;
        }
        let count = reader.count(24)?;
        let mut histograms = Vec::with_capacity(count.min(1 << 12));
        for _ in 0..count {
            histograms.push((reader.u32()?, reader.zigzag()?, reader.zigzag()?, read_histogram(reader)?));
        }
        let count = reader.count(11)?;
        let mut exemplars = Vec::with_capacity(count.min(1 << 12));
        for _ in 0..count {
            let series = reader.u32()?;
            let labels = read_labels(reader)?;
            exemplars.push((series, Exemplar { labels, value: reader.f64()?, t: reader.zigzag()? }));
        }
        let count = reader.count(4)?;
        let mut metadata = Vec::with_capacity(count.min(1 << 12));
        for _ in 0..count {
            let metric = reader.text()?.to_owned();
            metadata.push((metric, read_metadata(reader)?));
        }
        Ok(Section { tenant, limits, new_series, floats, histograms, exemplars, metadata })
    }
}

fn read_labels(reader: &mut Reader<'_>) -> Result<Labels, Malformed> {
    Labels::from_canonical(reader.prefixed()?).map_err(|_| Malformed("labels"))
}
