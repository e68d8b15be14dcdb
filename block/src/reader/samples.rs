//! Reads values by row number: only the pages that hold them, decoded by our own kernels.

use std::ops::Range;

use bytes::Bytes;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use super::series::SamplesAt;
use crate::pages::{PAGE_VALUES_MAX, PageError, PageHeader, Run, bss_decode, dbp_decode, decode_runs};
use crate::writer::{MANTISSA, START_TS, TS, VALUE};

/// A column of the samples file that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SampleColumn {
    Ts,
    Mantissa,
    Value,
    StartTs,
}

/// Where a page is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageAt {
    pub(crate) first_row: u64,
    pub(crate) rows: usize,
    pub(crate) offset: u64,
    pub(crate) size: usize,
}

/// Where all pages of the samples file are.
#[derive(Debug)]
pub(crate) struct SamplesIndex {
    pages: [Vec<PageAt>; 4],
    rows: u64,
}

impl SamplesIndex {
    /// From the tail of the file (its checksum was verified).
    pub(crate) fn decode(tail: &Bytes, file_size: u64) -> Result<Self, String> {
        let mut reader = ParquetMetaDataReader::new().with_offset_index_policy(PageIndexPolicy::Required);
        reader.try_parse_sized(tail, file_size).map_err(|e| e.to_string())?;
        let metadata = reader.finish().map_err(|e| e.to_string())?;
        let offsets = metadata.offset_index().ok_or("no page index")?;
        let mut pages = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        let mut first = 0u64;
        for (group, columns) in metadata.row_groups().iter().zip(offsets) {
            let rows = u64::try_from(group.num_rows()).map_err(|e| e.to_string())?;
            for (into, column) in pages.iter_mut().zip([TS, MANTISSA, VALUE, START_TS]) {
                let locations = columns.get(column).ok_or("a column is missing")?.page_locations();
                for (i, page) in locations.iter().enumerate() {
                    let at = u64::try_from(page.first_row_index).map_err(|e| e.to_string())?;
                    let end = match locations.get(i + 1) {
                        Some(next) => u64::try_from(next.first_row_index).map_err(|e| e.to_string())?,
                        None => rows,
                    };
                    let count = usize::try_from(end.checked_sub(at).ok_or("pages are not ascending")?);
                    into.push(PageAt {
                        first_row: first + at,
                        rows: count.ok().filter(|n| *n <= PAGE_VALUES_MAX).ok_or("a page is too large")?,
                        offset: u64::try_from(page.offset).map_err(|e| e.to_string())?,
                        size: usize::try_from(page.compressed_page_size).map_err(|e| e.to_string())?,
                    });
                }
            }
            first = first.checked_add(rows).ok_or("too many rows")?;
        }
        Ok(SamplesIndex { pages, rows: first })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pages.iter().map(|p| p.len() * size_of::<PageAt>()).sum()
    }

    pub(crate) fn pages(&self, column: SampleColumn) -> &[PageAt] {
        &self.pages[column as usize]
    }

    /// Numbers of the pages that hold `rows`.
    pub(crate) fn pages_of(&self, column: SampleColumn, rows: &Range<u64>) -> Range<usize> {
        let pages = self.pages(column);
        let first = pages.partition_point(|p| p.first_row + p.rows as u64 <= rows.start);
        let end = pages.partition_point(|p| p.first_row < rows.end);
        first..end.max(first)
    }
}

/// A page of an optional or required column, decoded.
#[derive(Debug, Default)]
struct Decoded {
    page: Option<usize>,
    first_row: u64,
    /// Row after each run, and value index at each run's start.
    runs: Vec<(Run, usize, usize)>,
    integers: Vec<i64>,
    bits: Vec<u64>,
}

/// Pages of one column, ascending by number, and the one that is open.
#[derive(Debug)]
pub(crate) struct ColumnReader {
    pages: Vec<(usize, PageAt, Bytes)>,
    open: Decoded,
    scratch: Vec<u8>,
}

impl ColumnReader {
    pub(crate) fn new(pages: Vec<(usize, PageAt, Bytes)>) -> Self {
        ColumnReader { pages, open: Decoded::default(), scratch: Vec::new() }
    }

    /// Makes the page that holds `row` the open one; tells the rows it holds.
    fn open(&mut self, row: u64) -> Result<Range<u64>, PageError> {
        let index = self.pages.partition_point(|(_, at, _)| at.first_row + at.rows as u64 <= row);
        let (number, at, bytes) =
            self.pages.get(index).filter(|p| p.1.first_row <= row).ok_or(PageError("a page is missing"))?;
        if self.open.page != Some(*number) {
            decode(at, bytes, &mut self.open, &mut self.scratch)?;
            self.open.page = Some(*number);
        }
        Ok(at.first_row..at.first_row + at.rows as u64)
    }

    /// Calls `each` with (first row, integers, bits) of every run of values inside `rows`.
    fn visit(
        &mut self,
        rows: Range<u64>,
        mut each: impl FnMut(u64, &[i64], &[u64]),
    ) -> Result<(), PageError> {
        let mut at = rows.start;
        while at < rows.end {
            let page = self.open(at)?;
            let end = page.end.min(rows.end);
            let (from, to) = ((at - page.start) as usize, (end - page.start) as usize);
            let first = self.open.runs.partition_point(|(_, end, _)| *end <= from);
            for &(run, run_end, values) in &self.open.runs[first..] {
                let run_start = run_end - run.rows;
                if run_start >= to {
                    break;
                }
                if run.present {
                    let (a, b) = (run_start.max(from), run_end.min(to));
                    let inside = values + (a - run_start)..values + (b - run_start);
                    let empty_or = |n: usize| if n == 0 { 0..0 } else { inside.clone() };
                    each(
                        self.open.first_row + a as u64,
                        &self.open.integers[empty_or(self.open.integers.len())],
                        &self.open.bits[empty_or(self.open.bits.len())],
                    );
                }
            }
            at = end;
        }
        Ok(())
    }

    /// The integers of `rows`, `absent` where there is none.
    pub(crate) fn integers(&mut self, rows: Range<u64>, absent: i64) -> Result<Vec<i64>, PageError> {
        let start = rows.start;
        let mut out = vec![absent; (rows.end - rows.start) as usize];
        self.visit(rows, |row, integers, _| {
            let at = (row - start) as usize;
            out[at..at + integers.len()].copy_from_slice(integers);
        })?;
        Ok(out)
    }
}

fn decode(at: &PageAt, bytes: &Bytes, into: &mut Decoded, scratch: &mut Vec<u8>) -> Result<(), PageError> {
    into.page = None;
    let (header, start) = PageHeader::parse(bytes)?;
    let body = bytes.get(start..).filter(|b| b.len() == header.compressed_size);
    let body = body.ok_or(PageError("a page has another length than its header says"))?;
    if header.rows != at.rows {
        return Err(PageError("a page has another number of rows than the index says"));
    }
    let (levels, stored) = body.split_at(header.levels_size);
    let length = header.uncompressed_size - header.levels_size;
    let values: &[u8] = if header.is_compressed {
        scratch.clear();
        scratch.reserve(length);
        let done = zstd::bulk::Decompressor::new().and_then(|mut d| d.decompress_to_buffer(stored, scratch));
        if done.ok() != Some(length) {
            return Err(PageError("a page does not decompress, or its checksum is wrong"));
        }
        scratch
    } else {
        stored
    };
    let present = header.rows - header.nulls;
    into.first_row = at.first_row;
    into.runs.clear();
    if header.levels_size == 0 {
        if header.nulls != 0 {
            return Err(PageError("a page has nulls but no levels"));
        }
        into.runs.push((Run { present: true, rows: header.rows }, header.rows, 0));
    } else {
        let (mut rows, mut count) = (0, 0);
        for run in decode_runs(levels, header.rows)? {
            rows += run.rows;
            into.runs.push((run, rows, count));
            count += if run.present { run.rows } else { 0 };
        }
        if count != present {
            return Err(PageError("a page has another number of values than its header says"));
        }
    }
    into.integers.clear();
    into.bits.clear();
    if header.is_delta {
        if dbp_decode(values, present, &mut into.integers)? != present {
            return Err(PageError("a page has another number of values than its header says"));
        }
    } else {
        bss_decode(values, present, 0..present, &mut into.bits)?;
    }
    Ok(())
}

/// What is read of one series: `rows` of the file into `out`.
#[derive(Debug, Clone)]
pub(crate) struct ValueTask {
    pub(crate) at: SamplesAt,
    pub(crate) rows: Range<u64>,
    /// First value in the output.
    pub(crate) out: usize,
}

/// Decodes the values of `tasks` into `out`.
pub(crate) fn read_values(
    tasks: &mut [ValueTask],
    mantissa: &mut ColumnReader,
    value: &mut ColumnReader,
    out: &mut [f64],
) -> Result<(), PageError> {
    // pages are opened once when rows ascend
    tasks.sort_by_key(|t| t.rows.start);
    for task in tasks.iter() {
        let n = (task.rows.end - task.rows.start) as usize;
        let target = &mut out[task.out..task.out + n];
        let start = task.rows.start;
        let mut filled = 0;
        if let Some((mul, den)) = task.at.scale {
            mantissa.visit(task.rows.clone(), |row, integers, _| {
                let at = (row - start) as usize;
                filled += integers.len();
                scale(integers, mul, den, &mut target[at..at + integers.len()]);
            })?;
        }
        if task.at.scale.is_none() || task.at.exceptions {
            value.visit(task.rows.clone(), |row, _, bits| {
                let at = (row - start) as usize;
                filled += bits.len();
                for (slot, bits) in target[at..at + bits.len()].iter_mut().zip(bits) {
                    *slot = f64::from_bits(*bits);
                }
            })?;
        }
        if filled != n {
            return Err(PageError("mantissa and value do not complement each other"));
        }
    }
    Ok(())
}

fn scale(mantissas: &[i64], mul: i64, den: f64, out: &mut [f64]) {
    let pairs = out.iter_mut().zip(mantissas);
    #[expect(clippy::float_cmp, reason = "a divisor of exactly one changes nothing")]
    match (mul, den == 1.0) {
        (1, true) => pairs.for_each(|(slot, m)| *slot = *m as f64),
        (_, true) => pairs.for_each(|(slot, m)| *slot = m.wrapping_mul(mul) as f64),
        (1, false) => pairs.for_each(|(slot, m)| *slot = *m as f64 / den),
        _ => pairs.for_each(|(slot, m)| *slot = m.wrapping_mul(mul) as f64 / den),
    }
}
