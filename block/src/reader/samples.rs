//! Reads values by row number: only the pages that hold them, decoded by our own kernels.
//!
//! A page is checked and decompressed once and then kept packed: a read unpacks the values it wants and little more.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use super::series::SamplesAt;
use crate::pages::{DeltaPage, PAGE_VALUES_MAX, PageError, PageHeader, bss_decode, decode_runs};
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

/// A page of an optional or required column: checked, decompressed, any part of it quickly read.
#[derive(Debug)]
pub(crate) struct Page {
    rows: Range<u64>,
    /// The runs that have values: their rows within the page, and the first's value.
    runs: Box<[(Range<u32>, u32)]>,
    values: PageValues,
}

#[derive(Debug)]
enum PageValues {
    Delta(DeltaPage),
    Split { bytes: Box<[u8]>, total: usize },
}

impl Page {
    /// From the bytes in the file.
    pub(crate) fn decode(at: &PageAt, bytes: &[u8], zstd: &mut Decompressor) -> Result<Self, PageError> {
        let (header, start) = PageHeader::parse(bytes)?;
        let body = bytes.get(start..).filter(|b| b.len() == header.compressed_size);
        let body = body.ok_or(PageError("a page has another length than its header says"))?;
        if header.rows != at.rows {
            return Err(PageError("a page has another number of rows than the index says"));
        }
        let (levels, stored) = body.split_at(header.levels_size);
        let length = header.uncompressed_size - header.levels_size;
        let values: &[u8] = if header.is_compressed { zstd.decompress(stored, length)? } else { stored };
        let present = header.rows - header.nulls;
        let mut runs = Vec::new();
        if header.levels_size == 0 {
            if header.nulls != 0 {
                return Err(PageError("a page has nulls but no levels"));
            }
            runs.push((0..header.rows as u32, 0));
        } else {
            let (mut rows, mut count) = (0, 0);
            for run in decode_runs(levels, header.rows)? {
                if run.present {
                    runs.push((rows as u32..(rows + run.rows) as u32, count as u32));
                    count += run.rows;
                }
                rows += run.rows;
            }
            if count != present {
                return Err(PageError("a page has another number of values than its header says"));
            }
        }
        let (values, total) = if header.is_delta {
            let page = DeltaPage::parse(values)?;
            let total = page.len();
            (PageValues::Delta(page), total)
        } else {
            (PageValues::Split { bytes: Box::from(values), total: present }, values.len() / 8)
        };
        if total != present {
            return Err(PageError("a page has another number of values than its header says"));
        }
        Ok(Page { rows: at.first_row..at.first_row + at.rows as u64, runs: runs.into_boxed_slice(), values })
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let values = match &self.values {
            PageValues::Delta(page) => page.bytes(),
            PageValues::Split { bytes, .. } => bytes.len(),
        };
        values + self.runs.len() * size_of::<(Range<u32>, u32)>() + size_of::<Page>()
    }

    /// Calls `each` with (first row, values) of every run inside `rows`, which lie in the page.
    fn runs(
        &self,
        rows: Range<u64>,
        mut each: impl FnMut(u64, Range<usize>) -> Result<(), PageError>,
    ) -> Result<(), PageError> {
        let (from, to) = ((rows.start - self.rows.start) as u32, (rows.end - self.rows.start) as u32);
        let first = self.runs.partition_point(|(run, _)| run.end <= from);
        for (run, value) in &self.runs[first..] {
            if run.start >= to {
                break;
            }
            let (a, b) = (run.start.max(from), run.end.min(to));
            let values = (value + (a - run.start)) as usize..(value + (b - run.start)) as usize;
            each(self.rows.start + u64::from(a), values)?;
        }
        Ok(())
    }

    /// The byte of the values that reading from `row` on looks at first.
    fn first_byte(&self, row: u64) -> u8 {
        let row = (row - self.rows.start) as u32;
        let at = self.runs.partition_point(|(run, _)| run.end <= row);
        let Some((run, value)) = self.runs.get(at) else { return 0 };
        let value = (value + row.saturating_sub(run.start)) as usize;
        match &self.values {
            PageValues::Delta(page) => page.first_byte(value),
            PageValues::Split { bytes, .. } => bytes.get(value).copied().unwrap_or(0),
        }
    }

    fn integers(&self, range: Range<usize>, out: &mut [i64]) -> Result<(), PageError> {
        match &self.values {
            PageValues::Delta(page) => page.read(range, out),
            PageValues::Split { .. } => Err(PageError("a page has another encoding than its column")),
        }
    }

    fn bits(&self, range: Range<usize>, out: &mut Vec<u64>) -> Result<(), PageError> {
        out.clear();
        match &self.values {
            PageValues::Split { bytes, total } => bss_decode(bytes, *total, range, out),
            PageValues::Delta(_) => Err(PageError("a page has another encoding than its column")),
        }
    }
}

/// Decompresses page after page in one buffer.
#[derive(Default)]
pub(crate) struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    buffer: Vec<u8>,
}

impl Decompressor {
    fn decompress(&mut self, stored: &[u8], length: usize) -> Result<&[u8], PageError> {
        let broken = PageError("a page does not decompress, or its checksum is wrong");
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|_| broken)?),
        };
        self.buffer.clear();
        self.buffer.reserve(length);
        let done = zstd.decompress_to_buffer(stored, &mut self.buffer);
        if done.ok() == Some(length) { Ok(&self.buffer) } else { Err(broken) }
    }
}

/// The page that holds `row`; `last` is the one used last.
fn page_of<'a>(pages: &'a [Arc<Page>], last: &mut usize, row: u64) -> Option<&'a Page> {
    if !pages.get(*last).is_some_and(|page| page.rows.contains(&row)) {
        *last = pages.partition_point(|page| page.rows.end <= row);
    }
    pages.get(*last).map(|page| &**page).filter(|page| page.rows.start <= row)
}

/// Pages of one column, ascending by row.
#[derive(Debug)]
pub(crate) struct ColumnReader {
    pages: Vec<Arc<Page>>,
    /// The page used last: rows are mostly asked for in ascending order.
    last: usize,
    integers: Vec<i64>,
    bits: Vec<u64>,
}

impl ColumnReader {
    pub(crate) fn new(pages: Vec<Arc<Page>>) -> Self {
        ColumnReader { pages, last: 0, integers: Vec::new(), bits: Vec::new() }
    }

    /// Calls `each` with (page, first row, values) of every run of values inside `rows`; `last` is the page used last.
    fn visit(
        pages: &[Arc<Page>],
        last: &mut usize,
        rows: Range<u64>,
        mut each: impl FnMut(&Page, u64, Range<usize>) -> Result<(), PageError>,
    ) -> Result<(), PageError> {
        let mut at = rows.start;
        while at < rows.end {
            let page = page_of(pages, last, at).ok_or(PageError("a page is missing"))?;
            let end = page.rows.end.min(rows.end);
            page.runs(at..end, |row, values| each(page, row, values))?;
            at = end;
        }
        Ok(())
    }

    /// What reading from `row` on looks at first.
    fn first_byte(&mut self, row: u64) -> u8 {
        page_of(&self.pages, &mut self.last, row).map_or(0, |page| page.first_byte(row))
    }

    /// The integers of `rows`, `absent` where there is none.
    pub(crate) fn integers(&mut self, rows: Range<u64>, absent: i64) -> Result<Vec<i64>, PageError> {
        let start = rows.start;
        let mut out = vec![absent; (rows.end - rows.start) as usize];
        Self::visit(&self.pages, &mut self.last, rows, |page, row, values| {
            let at = (row - start) as usize;
            let target = &mut out[at..at + values.len()];
            page.integers(values, target)
        })?;
        Ok(out)
    }

    /// Puts the integers of `rows`, scaled, where they belong in `out`; how many there are.
    fn scaled(
        &mut self,
        rows: Range<u64>,
        (mul, den): (i64, f64),
        out: &mut [f64],
    ) -> Result<usize, PageError> {
        let (start, mut filled) = (rows.start, 0);
        let integers = &mut self.integers;
        Self::visit(&self.pages, &mut self.last, rows, |page, row, values| {
            let (at, n) = ((row - start) as usize, values.len());
            if integers.len() < n {
                integers.resize(n, 0);
            }
            page.integers(values, &mut integers[..n])?;
            scale(&integers[..n], mul, den, &mut out[at..at + n]);
            filled += n;
            Ok(())
        })?;
        Ok(filled)
    }

    /// The integers of `rows`, if all are there.
    fn all_integers(&mut self, rows: Range<u64>) -> Result<Option<&[i64]>, PageError> {
        let (start, n) = (rows.start, (rows.end - rows.start) as usize);
        let integers = &mut self.integers;
        if integers.len() < n {
            integers.resize(n, 0);
        }
        let mut filled = 0;
        Self::visit(&self.pages, &mut self.last, rows, |page, row, values| {
            let at = (row - start) as usize;
            filled += values.len();
            let target = &mut integers[at..at + values.len()];
            page.integers(values, target)
        })?;
        Ok((filled == n).then_some(&integers[..n]))
    }

    /// Puts the doubles of `rows` where they belong in `out`; how many there are.
    fn doubles(&mut self, rows: Range<u64>, out: &mut [f64]) -> Result<usize, PageError> {
        let (start, mut filled) = (rows.start, 0);
        let found = &mut self.bits;
        Self::visit(&self.pages, &mut self.last, rows, |page, row, values| {
            let (at, n) = ((row - start) as usize, values.len());
            page.bits(values, found)?;
            for (slot, bits) in out[at..at + n].iter_mut().zip(&*found) {
                *slot = f64::from_bits(*bits);
            }
            filled += n;
            Ok(())
        })?;
        Ok(filled)
    }
}

/// What is read of one series: `rows` of the file into `out`.
#[derive(Debug, Clone)]
pub(crate) struct ValueTask {
    pub(crate) at: SamplesAt,
    pub(crate) rows: Range<u64>,
    /// First value in the output.
    pub(crate) out: usize,
}

/// Runs whose values are asked for together.
const AHEAD: usize = 16;
/// Most values of series that lie one behind the other and are decoded in one go: they stay in the nearest cache.
const RUN_VALUES_MAX: u64 = 2048;

/// Whether all its values are scaled integers.
fn is_scaled(task: &ValueTask) -> bool {
    task.at.scale.is_some() && !task.at.exceptions
}

/// The first of the tasks, and those behind it that go on where the one before ends.
fn run_of(tasks: &[ValueTask]) -> &[ValueTask] {
    let Some(first) = tasks.first().filter(|task| is_scaled(task)) else {
        return &tasks[..tasks.len().min(1)];
    };
    let goes_on = |pair: &[ValueTask]| {
        is_scaled(&pair[1])
            && pair[0].rows.end == pair[1].rows.start
            && pair[1].rows.end - first.rows.start <= RUN_VALUES_MAX
    };
    &tasks[..1 + tasks.windows(2).take_while(|pair| goes_on(pair)).count()]
}

/// Decodes the values of `tasks` into `out`.
pub(crate) fn read_values(
    tasks: &mut [ValueTask],
    mantissa: &mut ColumnReader,
    value: &mut ColumnReader,
    out: &mut [f64],
) -> Result<(), PageError> {
    // page after page
    tasks.sort_by_key(|t| t.rows.start);
    let incomplete = PageError("mantissa and value do not complement each other");
    let (mut rest, mut ahead, mut number) = (&*tasks, &*tasks, 0);
    while !rest.is_empty() {
        let (run, behind) = rest.split_at(run_of(rest).len());
        if number % AHEAD == 0 {
            // Values lie far apart, so that each is waited for; asked for together, they are waited for together.
            let mut bytes = 0u8;
            for _ in 0..AHEAD {
                let Some(task) = ahead.first() else { break };
                bytes = bytes.wrapping_add(match task.at.scale {
                    Some(_) => mantissa.first_byte(task.rows.start),
                    None => value.first_byte(task.rows.start),
                });
                ahead = &ahead[run_of(ahead).len()..];
            }
            std::hint::black_box(bytes);
        }
        number += 1;
        rest = behind;
        if let [first, .., last] = run {
            let integers = mantissa.all_integers(first.rows.start..last.rows.end)?.ok_or(incomplete)?;
            for task in run {
                let Some((mul, den)) = task.at.scale else { continue };
                let from = (task.rows.start - first.rows.start) as usize;
                let n = (task.rows.end - task.rows.start) as usize;
                scale(&integers[from..from + n], mul, den, &mut out[task.out..task.out + n]);
            }
            continue;
        }
        let [task] = run else { continue };
        let n = (task.rows.end - task.rows.start) as usize;
        let target = &mut out[task.out..task.out + n];
        let mut filled = 0;
        if let Some(by) = task.at.scale {
            filled += mantissa.scaled(task.rows.clone(), by, target)?;
        }
        if task.at.scale.is_none() || task.at.exceptions {
            filled += value.doubles(task.rows.clone(), target)?;
        }
        if filled != n {
            return Err(incomplete);
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
