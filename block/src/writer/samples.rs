//! `samples.parquet`: one row per float sample, by series, then time.
//!
//! Exactly one of `mantissa` and `value` is set in a row. Pages of these two are cut by rows, so that a
//! reader reaches a series by its row number; the others are for engines that read whole columns.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

use super::column::{ColumnChunk, PageBody};
use super::decimal::{self, EXCEPTION, Scale};
use super::table::Written;
use crate::BlockError;
use crate::pages::{Run, append_run, bss_encode, dbp_encode, encode_index_runs, encode_runs};

/// Rows of a page of `mantissa` and of `value`: what reading one series costs at most.
pub(crate) const VALUE_PAGE_ROWS: usize = 32_768;
/// Rows of a page of the other columns.
const WIDE_PAGE_ROWS: usize = 1 << 20;
/// Rows after which a row group ends with the series.
const ROW_GROUP_ROWS: usize = 8 << 20;

pub(crate) const SERIES_ID: usize = 0;
pub(crate) const TS: usize = 1;
pub(crate) const MANTISSA: usize = 2;
pub(crate) const MUL: usize = 3;
pub(crate) const DEN: usize = 4;
pub(crate) const VALUE: usize = 5;
pub(crate) const START_TS: usize = 6;

/// The columns of the samples file.
pub(crate) fn samples_schema() -> Result<TypePtr, BlockError> {
    let timestamp = || LogicalType::timestamp(true, TimeUnit::MILLIS);
    let plain = |name: &str, kind, repetition: Repetition| {
        Type::primitive_type_builder(name, kind).with_repetition(repetition).build().map(Arc::new)
    };
    let time = |name: &str, repetition: Repetition| {
        Type::primitive_type_builder(name, Physical::INT64)
            .with_repetition(repetition)
            .with_logical_type(Some(timestamp()))
            .build()
            .map(Arc::new)
    };
    const OPTIONAL: Repetition = Repetition::OPTIONAL;
    const REQUIRED: Repetition = Repetition::REQUIRED;
    let fields = vec![
        plain("series_id", Physical::INT32, REQUIRED)?,
        time("ts", REQUIRED)?,
        plain("mantissa", Physical::INT64, OPTIONAL)?,
        plain("mul", Physical::INT64, REQUIRED)?,
        plain("den", Physical::DOUBLE, REQUIRED)?,
        plain("value", Physical::DOUBLE, OPTIONAL)?,
        time("start_ts", OPTIONAL)?,
    ];
    Ok(Arc::new(Type::group_type_builder("samples").with_fields(fields).build()?))
}

/// Where a series' samples lie and how to read them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) row: u64,
    /// `None`: all in `value`.
    pub(super) scale: Option<Scale>,
}

/// Values of an optional column on their way into a page.
struct Optional<T> {
    values: Vec<T>,
    runs: Vec<Run>,
    rows: usize,
    nulls: usize,
}

impl<T> Optional<T> {
    fn new() -> Self {
        Optional { values: Vec::new(), runs: Vec::new(), rows: 0, nulls: 0 }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.runs.clear();
        (self.rows, self.nulls) = (0, 0);
    }

    fn add(&mut self, present: bool, rows: usize) {
        append_run(&mut self.runs, present, rows);
        self.rows += rows;
        self.nulls += if present { 0 } else { rows };
    }
}

/// A column of long runs: dictionary and (index, rows).
#[derive(Default)]
struct Runs {
    entries: HashMap<u64, u32, std::hash::BuildHasherDefault<BitsHasher>>,
    plain: Vec<u8>,
    runs: Vec<(u32, usize)>,
}

/// Mixes the one number a key is.
#[derive(Default)]
struct BitsHasher(u64);

impl std::hash::Hasher for BitsHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl Runs {
    fn add(&mut self, bits: u64, rows: usize) {
        let next = self.entries.len() as u32;
        let index = *self.entries.entry(bits).or_insert_with(|| {
            self.plain.extend_from_slice(&bits.to_le_bytes());
            next
        });
        match self.runs.last_mut() {
            Some((last, n)) if *last == index => *n += rows,
            _ => self.runs.push((index, rows)),
        }
    }

    /// Writes dictionary and pages, and empties itself.
    fn write(&mut self, chunk: &mut ColumnChunk) -> Result<(), BlockError> {
        chunk.dictionary(&self.plain, self.entries.len())?;
        let mut page = Vec::new();
        let mut rows = 0;
        let mut body = Vec::new();
        let mut runs = self.runs.drain(..).peekable();
        while let Some((index, mut n)) = runs.next() {
            while n > 0 {
                let take = n.min(WIDE_PAGE_ROWS - rows);
                page.push((index, take));
                rows += take;
                n -= take;
                if rows == WIDE_PAGE_ROWS || (n == 0 && runs.peek().is_none()) {
                    body.clear();
                    encode_index_runs(&page, self.entries.len(), &mut body);
                    chunk.page(&PageBody {
                        encoding: Encoding::RLE_DICTIONARY,
                        rows,
                        nulls: 0,
                        levels: &[],
                        values: &body,
                        bounds: None,
                    })?;
                    page.clear();
                    rows = 0;
                }
            }
        }
        drop(runs);
        self.entries.clear();
        self.plain.clear();
        Ok(())
    }
}

/// Writes the samples of one piece.
pub(super) struct SamplesWriter {
    schema: SchemaDescPtr,
    file: SerializedFileWriter<Vec<u8>>,
    chunks: Vec<ColumnChunk>,
    ids: Vec<i64>,
    timestamps: Vec<i64>,
    mantissa: Optional<i64>,
    value: Optional<f64>,
    start: Optional<i64>,
    mul: Runs,
    den: Runs,
    group_rows: usize,
    rows: u64,
    any_start: bool,
    scratch: Vec<i64>,
    levels: Vec<u8>,
    body: Vec<u8>,
}

fn new_chunks(schema: &SchemaDescPtr) -> Result<Vec<ColumnChunk>, BlockError> {
    (0..schema.num_columns()).map(|i| ColumnChunk::new(schema.column(i), i == SERIES_ID || i == TS)).collect()
}

impl SamplesWriter {
    pub(super) fn new(properties: WriterProperties) -> Result<Self, BlockError> {
        let root = samples_schema()?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::clone(&root)));
        Ok(SamplesWriter {
            file: SerializedFileWriter::new(Vec::new(), root, Arc::new(properties))?,
            chunks: new_chunks(&schema)?,
            schema,
            ids: Vec::new(),
            timestamps: Vec::new(),
            mantissa: Optional::new(),
            value: Optional::new(),
            start: Optional::new(),
            mul: Runs::default(),
            den: Runs::default(),
            group_rows: 0,
            rows: 0,
            any_start: false,
            scratch: Vec::new(),
            levels: Vec::new(),
            body: Vec::new(),
        })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn any_start(&self) -> bool {
        self.any_start
    }

    /// Bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        self.file.bytes_written()
    }

    /// Adds the samples of a series; `timestamps` and `values` are of one length, not empty.
    pub(super) fn push(
        &mut self,
        id: u32,
        timestamps: &[i64],
        values: &[f64],
        start_ts: Option<&[i64]>,
    ) -> Result<Placed, BlockError> {
        let row = self.rows;
        let n = values.len();
        let mut mantissas = std::mem::take(&mut self.scratch);
        let scale = decimal::classify(values, &mut mantissas);
        match scale {
            None => self.push_plain(values)?,
            Some(scale) if scale.exceptions == 0 => self.push_mantissas(&mantissas)?,
            Some(_) => self.push_mixed(&mantissas, values)?,
        }
        self.scratch = mantissas;
        let (mul, den) = scale.map_or((1, 1.0), |s| (s.mul, s.den));
        self.mul.add(mul.cast_unsigned(), n);
        self.den.add(f64::to_bits(den), n);
        self.push_wide(id, timestamps, start_ts)?;
        self.rows += n as u64;
        self.group_rows += n;
        if self.group_rows >= ROW_GROUP_ROWS {
            self.end_group()?;
        }
        Ok(Placed { row, scale })
    }

    fn push_plain(&mut self, mut values: &[f64]) -> Result<(), BlockError> {
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(VALUE_PAGE_ROWS - self.value.rows));
            self.value.values.extend_from_slice(now);
            self.add_levels(false, now.len())?;
            values = later;
        }
        Ok(())
    }

    fn push_mantissas(&mut self, mut mantissas: &[i64]) -> Result<(), BlockError> {
        while !mantissas.is_empty() {
            let (now, later) = mantissas.split_at(mantissas.len().min(VALUE_PAGE_ROWS - self.mantissa.rows));
            self.mantissa.values.extend_from_slice(now);
            self.add_levels(true, now.len())?;
            mantissas = later;
        }
        Ok(())
    }

    fn push_mixed(&mut self, mantissas: &[i64], values: &[f64]) -> Result<(), BlockError> {
        let mut at = 0;
        while at < mantissas.len() {
            let exception = mantissas[at] == EXCEPTION;
            let n = mantissas[at..].iter().take_while(|m| (**m == EXCEPTION) == exception).count();
            if exception {
                self.push_plain(&values[at..at + n])?;
            } else {
                self.push_mantissas(&mantissas[at..at + n])?;
            }
            at += n;
        }
        Ok(())
    }

    /// Both columns go forward together; their pages end at the same rows.
    fn add_levels(&mut self, is_mantissa: bool, rows: usize) -> Result<(), BlockError> {
        self.mantissa.add(is_mantissa, rows);
        self.value.add(!is_mantissa, rows);
        if self.value.rows == VALUE_PAGE_ROWS { self.end_value_pages() } else { Ok(()) }
    }

    fn end_value_pages(&mut self) -> Result<(), BlockError> {
        if self.value.rows == 0 {
            return Ok(());
        }
        self.body.clear();
        dbp_encode(&self.mantissa.values, &mut self.body);
        write_optional(
            &mut self.chunks[MANTISSA],
            Encoding::DELTA_BINARY_PACKED,
            &mut self.mantissa,
            &self.body,
            &mut self.levels,
        )?;
        self.body.clear();
        bss_encode(&self.value.values, &mut self.body);
        write_optional(
            &mut self.chunks[VALUE],
            Encoding::BYTE_STREAM_SPLIT,
            &mut self.value,
            &self.body,
            &mut self.levels,
        )
    }

    fn push_wide(
        &mut self,
        id: u32,
        mut timestamps: &[i64],
        start_ts: Option<&[i64]>,
    ) -> Result<(), BlockError> {
        let mut start = start_ts;
        while !timestamps.is_empty() {
            let take = timestamps.len().min(WIDE_PAGE_ROWS - self.timestamps.len());
            let (now, later) = timestamps.split_at(take);
            self.timestamps.extend_from_slice(now);
            self.ids.resize(self.timestamps.len(), i64::from(id));
            match start {
                Some(all) => {
                    let (these, rest) = all.split_at(take);
                    for &t in these {
                        self.start.add(t != 0, 1);
                        if t != 0 {
                            self.start.values.push(t);
                            self.any_start = true;
                        }
                    }
                    start = Some(rest);
                }
                None => self.start.add(false, take),
            }
            if self.timestamps.len() == WIDE_PAGE_ROWS {
                self.end_wide_pages()?;
            }
            timestamps = later;
        }
        Ok(())
    }

    fn end_wide_pages(&mut self) -> Result<(), BlockError> {
        if self.timestamps.is_empty() {
            return Ok(());
        }
        for (column, values) in [(SERIES_ID, &mut self.ids), (TS, &mut self.timestamps)] {
            self.body.clear();
            dbp_encode(values, &mut self.body);
            let least = values.iter().copied().min().unwrap_or(0);
            let greatest = values.iter().copied().max().unwrap_or(0);
            self.chunks[column].page(&PageBody {
                encoding: Encoding::DELTA_BINARY_PACKED,
                rows: values.len(),
                nulls: 0,
                levels: &[],
                values: &self.body,
                bounds: Some((least, greatest)),
            })?;
            values.clear();
        }
        self.body.clear();
        dbp_encode(&self.start.values, &mut self.body);
        write_optional(
            &mut self.chunks[START_TS],
            Encoding::DELTA_BINARY_PACKED,
            &mut self.start,
            &self.body,
            &mut self.levels,
        )
    }

    fn end_group(&mut self) -> Result<(), BlockError> {
        if self.group_rows == 0 {
            return Ok(());
        }
        self.end_value_pages()?;
        self.end_wide_pages()?;
        self.mul.write(&mut self.chunks[MUL])?;
        self.den.write(&mut self.chunks[DEN])?;
        let chunks = std::mem::replace(&mut self.chunks, new_chunks(&self.schema)?);
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            let (bytes, close) = chunk.finish()?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        self.group_rows = 0;
        Ok(())
    }

    /// The finished file.
    pub(super) fn finish(mut self) -> Result<Written, BlockError> {
        self.end_group()?;
        let tail_offset = self.file.bytes_written() as u64;
        let bytes = Bytes::from(self.file.into_inner()?);
        Ok(Written { bytes, tail_offset, rows: self.rows, groups: Vec::new() })
    }
}

fn write_optional<T>(
    chunk: &mut ColumnChunk,
    encoding: Encoding,
    column: &mut Optional<T>,
    body: &[u8],
    levels: &mut Vec<u8>,
) -> Result<(), BlockError> {
    levels.clear();
    encode_runs(&column.runs, levels);
    chunk.page(&PageBody {
        encoding,
        rows: column.rows,
        nulls: column.nulls,
        levels,
        values: body,
        bounds: None,
    })?;
    column.clear();
    Ok(())
}
