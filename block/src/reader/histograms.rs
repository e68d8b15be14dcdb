//! Reads native histograms back, exactly as they were written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use model::{CounterResetHint, FloatHistogram, Histogram, IntHistogram, Span};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::writer::BlockHistogram;

/// Rows decoded at once.
const BATCH_ROWS: usize = 4096;

/// A part of a file, addressed as the whole.
#[derive(Debug, Clone)]
struct Part {
    offset: u64,
    bytes: Bytes,
    file_size: u64,
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.file_size
    }
}

impl ChunkReader for Part {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        use bytes::Buf;
        let at = start.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len()).ok_or_else(outside)?;
        Ok(self.bytes.slice(at..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let at =
            start.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
        let end = at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or_else(outside)?;
        Ok(self.bytes.slice(at..end))
    }
}

fn outside() -> ParquetError {
    ParquetError::EOF("a read outside of the part that was fetched".into())
}

/// The footer, from the tail of the file (its checksum was verified).
pub(crate) fn decode_footer(tail: &Bytes, file_size: u64) -> Result<Arc<ParquetMetaData>, String> {
    let mut reader = ParquetMetaDataReader::new();
    reader.try_parse_sized(tail, file_size).map_err(|e| e.to_string())?;
    Ok(Arc::new(reader.finish().map_err(|e| e.to_string())?))
}

/// Decodes a row group (its checksum was verified): per row the histograms of its run.
pub(crate) fn decode_group(
    footer: &Arc<ParquetMetaData>,
    group: usize,
    offset: u64,
    bytes: Bytes,
    file_size: u64,
) -> Result<Vec<Vec<BlockHistogram>>, String> {
    let text = |e: ParquetError| e.to_string();
    let metadata =
        ArrowReaderMetadata::try_new(Arc::clone(footer), ArrowReaderOptions::new()).map_err(text)?;
    let part = Part { offset, bytes, file_size };
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(part, metadata)
        .with_row_groups(vec![group])
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(text)?;
    let mut out = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| e.to_string())?;
        let columns = Columns::of(&batch)?;
        for row in 0..batch.num_rows() {
            out.push(columns.row(row).ok_or_else(|| format!("run {row} has lists that do not fit"))?);
        }
    }
    Ok(out)
}

struct Columns<'a> {
    batch: &'a RecordBatch,
    n: &'a Int32Array,
    schema: &'a Int32Array,
    zero_threshold: &'a Float64Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let missing = || "a column is missing or has another type".to_owned();
        let n = batch.column_by_name("n").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let schema = batch.column_by_name("schema").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let zero = batch.column_by_name("zero_threshold").and_then(|c| c.as_primitive_opt::<Float64Type>());
        Ok(Columns {
            batch,
            n: n.ok_or_else(missing)?,
            schema: schema.ok_or_else(missing)?,
            zero_threshold: zero.ok_or_else(missing)?,
        })
    }

    fn list(&self, name: &str, row: usize) -> Option<ArrayRef> {
        let lists = self.batch.column_by_name(name)?.as_list_opt::<i32>()?;
        lists.is_valid(row).then(|| lists.value(row))
    }

    fn doubles(&self, name: &str, row: usize) -> Option<Vec<f64>> {
        Some(self.list(name, row)?.as_primitive_opt::<Float64Type>()?.values().to_vec())
    }

    fn integers(&self, name: &str, row: usize) -> Option<Vec<i64>> {
        Some(self.list(name, row)?.as_primitive_opt::<Int64Type>()?.values().to_vec())
    }

    fn small(&self, name: &str, row: usize) -> Option<Vec<i32>> {
        Some(self.list(name, row)?.as_primitive_opt::<Int32Type>()?.values().to_vec())
    }

    fn times(&self, name: &str, row: usize) -> Option<Vec<i64>> {
        Some(self.list(name, row)?.as_primitive_opt::<TimestampMillisecondType>()?.values().to_vec())
    }

    fn spans(&self, side: &str, row: usize) -> Option<(Vec<Span>, usize)> {
        let offsets = self.small(&format!("{side}_span_offset"), row)?;
        let lengths = self.small(&format!("{side}_span_length"), row)?;
        if offsets.len() != lengths.len() {
            return None;
        }
        let spans: Vec<Span> = offsets
            .into_iter()
            .zip(lengths)
            .map(|(offset, length)| Span { offset, length: length.cast_unsigned() })
            .collect();
        let buckets = spans.iter().try_fold(0usize, |sum, s| sum.checked_add(s.length as usize))?;
        Some((spans, buckets))
    }

    /// The histograms of a row; `None` when its lists do not fit together.
    fn row(&self, row: usize) -> Option<Vec<BlockHistogram>> {
        let n = usize::try_from(self.n.value(row)).ok()?;
        let run = Run {
            n,
            schema: self.schema.value(row),
            zero_threshold: self.zero_threshold.value(row),
            custom: Arc::from(self.doubles("custom_values", row)?),
            positive: self.spans("pos", row)?,
            negative: self.spans("neg", row)?,
            hints: self.small("reset_hint", row)?,
            sums: self.doubles("sum", row)?,
        };
        let times = self.times("ts", row)?;
        let starts = self.times("start_ts", row).unwrap_or_else(|| vec![0; n]);
        if [times.len(), starts.len(), run.hints.len(), run.sums.len()] != [n; 4] {
            return None;
        }
        let histograms = if let Some(counts) = self.integers("count", row) {
            run.integers(
                &counts,
                &self.integers("zero_count", row)?,
                &self.integers("pos_buckets", row)?,
                &self.integers("neg_buckets", row)?,
            )?
        } else {
            run.floats(
                &self.doubles("f_count", row)?,
                &self.doubles("f_zero_count", row)?,
                &self.doubles("f_pos_buckets", row)?,
                &self.doubles("f_neg_buckets", row)?,
            )?
        };
        let samples = times.into_iter().zip(starts).zip(histograms);
        Some(samples.map(|((t, start_t), histogram)| BlockHistogram { t, start_t, histogram }).collect())
    }
}

struct Run {
    n: usize,
    schema: i32,
    zero_threshold: f64,
    custom: Arc<[f64]>,
    positive: (Vec<Span>, usize),
    negative: (Vec<Span>, usize),
    hints: Vec<i32>,
    sums: Vec<f64>,
}

fn hint(number: i32) -> CounterResetHint {
    CounterResetHint::from_wire(u64::try_from(number).unwrap_or(0))
}

impl Run {
    fn fits<T>(&self, counts: &[T], zeros: &[T], positive: &[T], negative: &[T]) -> Option<()> {
        let fits = counts.len() == self.n
            && zeros.len() == self.n
            && Some(positive.len()) == self.n.checked_mul(self.positive.1)
            && Some(negative.len()) == self.n.checked_mul(self.negative.1);
        fits.then_some(())
    }

    fn integers(
        &self,
        counts: &[i64],
        zeros: &[i64],
        positive: &[i64],
        negative: &[i64],
    ) -> Option<Vec<Histogram>> {
        self.fits(counts, zeros, positive, negative)?;
        let deltas = |all: &[i64], buckets: usize, i: usize| {
            let mut before = 0i64;
            (0..buckets)
                .map(|b| {
                    let now = all[b * self.n + i];
                    let delta = now.wrapping_sub(before);
                    before = now;
                    delta
                })
                .collect()
        };
        let one = |i: usize| {
            Histogram::Int(Box::new(IntHistogram {
                counter_reset_hint: hint(self.hints[i]),
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: zeros[i].cast_unsigned(),
                count: counts[i].cast_unsigned(),
                sum: self.sums[i],
                positive_spans: self.positive.0.clone(),
                negative_spans: self.negative.0.clone(),
                positive_deltas: deltas(positive, self.positive.1, i),
                negative_deltas: deltas(negative, self.negative.1, i),
                custom_values: Arc::clone(&self.custom),
            }))
        };
        Some((0..self.n).map(one).collect())
    }

    fn floats(
        &self,
        counts: &[f64],
        zeros: &[f64],
        positive: &[f64],
        negative: &[f64],
    ) -> Option<Vec<Histogram>> {
        self.fits(counts, zeros, positive, negative)?;
        let buckets =
            |all: &[f64], buckets: usize, i: usize| (0..buckets).map(|b| all[b * self.n + i]).collect();
        let one = |i: usize| {
            Histogram::Float(Box::new(FloatHistogram {
                counter_reset_hint: hint(self.hints[i]),
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: zeros[i],
                count: counts[i],
                sum: self.sums[i],
                positive_spans: self.positive.0.clone(),
                negative_spans: self.negative.0.clone(),
                positive_buckets: buckets(positive, self.positive.1, i),
                negative_buckets: buckets(negative, self.negative.1, i),
                custom_values: Arc::clone(&self.custom),
            }))
        };
        Some((0..self.n).map(one).collect())
    }
}
