//! Samples of selected series, as a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{HistogramPoint, SampleBatch, SeriesSamples, TimeRange, TimestampMs};

use super::samples::{
    ColumnReader, Decompressor, Page, PageAt, SampleColumn, SamplesIndex, ValueTask, read_values,
};
use super::series::{SamplesAt, SeriesTable};
use super::{BlockReader, BlockRow, damaged, histograms};
use crate::BlockError;
use crate::layout::PieceFile;
use crate::pages::PageError;
use crate::writer::BlockHistogram;

/// Fewer values than these are decoded at once: that is over before another thread would have begun.
const INLINE_VALUES: usize = 1 << 17;

/// A series that has float samples in the range.
struct Wanted {
    /// Index in the request.
    index: usize,
    at: SamplesAt,
    /// Rows of the samples file inside the range.
    rows: Range<u64>,
    vector: usize,
    vector_offset: usize,
}

/// Where timestamps lie in the piece's vectors: vector, offset, count.
type Place = (usize, usize, usize);
/// Which of them are in the range, and the vector's number in the batch.
type Inside = (Range<usize>, usize);

/// Pages of a column that are wanted.
#[derive(Default)]
struct Wants {
    pages: BTreeSet<usize>,
    /// Rows of the page added last.
    last: Range<u64>,
}

impl Wants {
    fn add(&mut self, index: &SamplesIndex, column: SampleColumn, rows: &Range<u64>) {
        if self.last.start <= rows.start && rows.end <= self.last.end {
            return;
        }
        let pages = index.pages_of(column, rows);
        if let Some(at) = pages.clone().last().and_then(|last| index.pages(column).get(last)) {
            self.last = at.first_row..at.first_row + at.rows as u64;
        }
        self.pages.extend(pages);
    }
}

impl BlockReader {
    /// The samples of `rows` (of a selection of this block, in any order) inside `range`.
    pub async fn read(&self, rows: &[BlockRow], range: TimeRange) -> Result<SampleBatch, BlockError> {
        let mut batch =
            SampleBatch { series: vec![SeriesSamples::default(); rows.len()], ..Default::default() };
        let mut by_piece: BTreeMap<u32, Vec<(usize, u32)>> = BTreeMap::new();
        for (index, at) in rows.iter().enumerate() {
            by_piece.entry(at.piece).or_default().push((index, at.row));
        }
        for (piece, rows) in by_piece {
            let piece = piece as usize;
            let table = self.series_table(piece).await?;
            self.read_floats(piece, &table, &rows, range, &mut batch).await?;
            self.read_histograms(piece, &table, &rows, range, &mut batch).await?;
        }
        Ok(batch)
    }

    async fn fetch(
        &self,
        piece: usize,
        index: &SamplesIndex,
        column: SampleColumn,
        wanted: &BTreeSet<usize>,
    ) -> Result<ColumnReader, BlockError> {
        let pages = index.pages(column);
        let key = |page: usize| (self.meta.block, piece, column as u8, page);
        let mut found: Vec<(usize, Arc<Page>)> = Vec::with_capacity(wanted.len());
        let mut missing: Vec<(usize, PageAt)> = Vec::new();
        for &page in wanted {
            match self.cache.pages.get(&key(page)) {
                Some(cached) => found.push((page, cached)),
                None => missing.push((page, pages[page])),
            }
        }
        if !missing.is_empty() {
            let path = PieceFile::Samples.path(piece);
            let ranges: Vec<_> =
                missing.iter().map(|(_, at)| at.offset..at.offset + at.size as u64).collect();
            let fetched =
                self.fetched(&path, self.bucket.get_ranges(&self.meta.path(&path), &ranges).await)?;
            let decode = move || -> Result<Vec<(usize, Arc<Page>)>, PageError> {
                let mut zstd = Decompressor::default();
                let pages = missing.iter().zip(fetched);
                pages
                    .map(|((n, at), bytes)| Ok((*n, Arc::new(Page::decode(at, &bytes, &mut zstd)?))))
                    .collect()
            };
            let decoded = self.runtime.cpu(decode).await.map_err(|e| damaged(&self.meta, &path, e))?;
            for (page, decoded) in decoded {
                self.cache.pages.insert(key(page), Arc::clone(&decoded));
                found.push((page, decoded));
            }
            found.sort_unstable_by_key(|(page, _)| *page);
        }
        Ok(ColumnReader::new(found.into_iter().map(|(_, page)| page).collect()))
    }

    async fn read_integers(
        &self,
        piece: usize,
        index: &SamplesIndex,
        column: SampleColumn,
        rows: &[Range<u64>],
        absent: i64,
    ) -> Result<Vec<Vec<i64>>, BlockError> {
        let wanted: BTreeSet<usize> = rows.iter().flat_map(|r| index.pages_of(column, r)).collect();
        let mut reader = self.fetch(piece, index, column, &wanted).await?;
        let mut order: Vec<(usize, Range<u64>)> = rows.iter().cloned().enumerate().collect();
        order.sort_by_key(|(_, r)| r.start);
        let decoded = self.runtime.cpu(move || -> Result<Vec<Vec<i64>>, PageError> {
            let mut out = vec![Vec::new(); order.len()];
            for (i, rows) in order {
                out[i] = reader.integers(rows, absent)?;
            }
            Ok(out)
        });
        decoded.await.map_err(|error| damaged(&self.meta, &PieceFile::Samples.path(piece), error))
    }

    async fn read_floats(
        &self,
        piece: usize,
        table: &SeriesTable,
        rows: &[(usize, u32)],
        range: TimeRange,
        batch: &mut SampleBatch,
    ) -> Result<(), BlockError> {
        let placed: Vec<(usize, SamplesAt)> =
            rows.iter().filter_map(|(i, row)| Some((*i, table.samples(*row as usize)?))).collect();
        if placed.is_empty() {
            return Ok(());
        }
        let path = PieceFile::Samples.path(piece);
        let index = self.samples_index(piece).await?;
        let outside = placed
            .iter()
            .any(|(_, at)| at.row.checked_add(at.count as u64).is_none_or(|end| end > index.rows()));
        if outside {
            return Err(damaged(&self.meta, &path, "a series lies outside of it"));
        }
        let wanted = self.locate(piece, &index, &placed, range, batch).await?;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut tasks = Vec::with_capacity(wanted.len());
        let first_value = batch.values.len();
        let mut values = 0;
        let mut pages = [Wants::default(), Wants::default()];
        for series in &wanted {
            if series.at.scale.is_some() {
                pages[0].add(&index, SampleColumn::Mantissa, &series.rows);
            }
            if series.at.scale.is_none() || series.at.exceptions {
                pages[1].add(&index, SampleColumn::Value, &series.rows);
            }
            tasks.push(ValueTask { at: series.at, rows: series.rows.clone(), out: values });
            let n = (series.rows.end - series.rows.start) as usize;
            batch.series[series.index].values = first_value + values..first_value + values + n;
            batch.series[series.index].vector = series.vector;
            batch.series[series.index].vector_offset = series.vector_offset;
            values += n;
        }
        let mut mantissa = self.fetch(piece, &index, SampleColumn::Mantissa, &pages[0].pages).await?;
        let mut value = self.fetch(piece, &index, SampleColumn::Value, &pages[1].pages).await?;
        let mut decode = move || -> Result<Vec<f64>, PageError> {
            let mut out = vec![0.0; values];
            read_values(&mut tasks, &mut mantissa, &mut value, &mut out)?;
            Ok(out)
        };
        let decoded = if values < INLINE_VALUES { decode() } else { self.runtime.cpu(decode).await };
        let decoded = decoded.map_err(|error| damaged(&self.meta, &path, error))?;
        if batch.values.is_empty() {
            batch.values = decoded;
        } else {
            batch.values.extend_from_slice(&decoded);
        }
        if self.meta.pieces[piece].start_ts {
            let rows: Vec<_> = wanted.iter().map(|w| w.rows.clone()).collect();
            let starts = self.read_integers(piece, &index, SampleColumn::StartTs, &rows, 0).await?;
            for (series, starts) in wanted.iter().zip(starts) {
                if starts.iter().any(|t| *t != 0) {
                    batch.series[series.index].start_ts = Some(Arc::from(starts));
                }
            }
        }
        Ok(())
    }

    /// Finds the rows inside `range` by timestamps, and notes the vectors in the batch.
    async fn locate(
        &self,
        piece: usize,
        index: &SamplesIndex,
        placed: &[(usize, SamplesAt)],
        range: TimeRange,
        batch: &mut SampleBatch,
    ) -> Result<Vec<Wanted>, BlockError> {
        let vectors = self.timestamps(piece).await?;
        let own: Vec<Range<u64>> = placed
            .iter()
            .filter(|(_, at)| at.vector.is_none())
            .map(|(_, at)| at.row..at.row + at.count as u64)
            .collect();
        let mut own_times = if own.is_empty() {
            Vec::new()
        } else {
            self.read_integers(piece, index, SampleColumn::Ts, &own, i64::MIN).await?
        }
        .into_iter();
        let mut known: HashMap<usize, usize> = HashMap::new();
        let mut out: Vec<Wanted> = Vec::with_capacity(placed.len());
        // neighbours mostly lie at the same place of the same vector
        let mut before: Option<(Place, Option<Inside>)> = None;
        for (i, at) in placed {
            let place = at.vector.map(|(id, offset)| (id, offset, at.count));
            if let (Some(place), Some((known, inside))) = (place, &before)
                && place == *known
            {
                if let Some((inside, vector)) = inside {
                    let rows = at.row + inside.start as u64..at.row + inside.end as u64;
                    let vector_offset = place.1 + inside.start;
                    out.push(Wanted { index: *i, at: *at, rows, vector: *vector, vector_offset });
                }
                continue;
            }
            let own: Arc<[TimestampMs]>;
            let (times, shared, offset) = match at.vector {
                Some((id, offset)) => {
                    let vector = vectors.get(id);
                    let end = offset.checked_add(at.count);
                    let times = vector.zip(end).and_then(|(v, end)| v.get(offset..end));
                    let times = times.ok_or_else(|| {
                        let path = PieceFile::Timestamps.path(piece);
                        damaged(&self.meta, &path, "a series lies outside of its vector")
                    })?;
                    (times, Some(id), offset)
                }
                None => {
                    own = Arc::from(own_times.next().unwrap_or_default());
                    (&own[..], None, 0)
                }
            };
            let from = times.partition_point(|t| *t < range.start);
            let to = times.partition_point(|t| *t < range.end);
            if from >= to {
                before = place.map(|place| (place, None));
                continue;
            }
            let vector = match shared {
                Some(id) => *known.entry(id).or_insert_with(|| {
                    batch.vectors.push(Arc::clone(&vectors[id]));
                    batch.vectors.len() - 1
                }),
                None => {
                    batch.vectors.push(Arc::from(times));
                    batch.vectors.len() - 1
                }
            };
            if let Some(place) = place {
                before = Some((place, Some((from..to, vector))));
            }
            let rows = at.row + from as u64..at.row + to as u64;
            out.push(Wanted { index: *i, at: *at, rows, vector, vector_offset: offset + from });
        }
        Ok(out)
    }

    async fn read_histograms(
        &self,
        piece: usize,
        table: &SeriesTable,
        rows: &[(usize, u32)],
        range: TimeRange,
        batch: &mut SampleBatch,
    ) -> Result<(), BlockError> {
        let placed: Vec<(usize, u64, usize)> = rows
            .iter()
            .filter_map(|(i, row)| table.histograms(*row as usize).map(|(first, n)| (*i, first, n)))
            .collect();
        if placed.is_empty() {
            return Ok(());
        }
        for (index, runs) in self.histogram_runs(piece, &placed).await? {
            let first = batch.histograms.len();
            let inside = runs.into_iter().flatten().filter(|h| range.contains(h.t));
            batch.histograms.extend(inside.map(|sample| HistogramPoint {
                t: sample.t,
                h: Arc::new(sample.histogram.to_float()),
                start_t: sample.start_t,
            }));
            batch.series[index].histograms = first..batch.histograms.len();
        }
        Ok(())
    }

    /// The histograms of one series in `range`, in the form they were written: for what copies blocks.
    pub async fn exact_histograms(
        &self,
        at: BlockRow,
        range: TimeRange,
    ) -> Result<Vec<BlockHistogram>, BlockError> {
        let piece = at.piece as usize;
        let table = self.series_table(piece).await?;
        let Some((first, n)) = table.histograms(at.row as usize) else { return Ok(Vec::new()) };
        let runs = self.histogram_runs(piece, &[(0, first, n)]).await?;
        let all = runs.into_iter().flat_map(|(_, runs)| runs).flatten();
        Ok(all.filter(|h| range.contains(h.t)).collect())
    }

    /// The runs of each (index, first row, rows), group by group.
    async fn histogram_runs(
        &self,
        piece: usize,
        placed: &[(usize, u64, usize)],
    ) -> Result<Vec<(usize, Vec<Vec<BlockHistogram>>)>, BlockError> {
        let path = PieceFile::Histograms.path(piece);
        let file = self.file(&path)?;
        let footer = self.histograms_footer(piece).await?;
        let mut out: Vec<(usize, Vec<Vec<BlockHistogram>>)> =
            placed.iter().map(|(i, _, _)| (*i, Vec::new())).collect();
        let mut group_first = 0u64;
        for (number, group) in file.groups.iter().enumerate() {
            let group_rows = group_first..group_first.saturating_add(group.rows);
            group_first = group_rows.end;
            let part = |first: u64, n: usize| {
                let end = first.saturating_add(n as u64).min(group_rows.end);
                (first.max(group_rows.start), end)
            };
            if !placed.iter().any(|(_, first, n)| part(*first, *n).0 < part(*first, *n).1) {
                continue;
            }
            let range = group.offset..group.offset + group.size;
            let bytes = self.fetched(&path, self.bucket.get_range(&self.meta.path(&path), range).await)?;
            if crc32c::crc32c(&bytes) != group.crc32c {
                return Err(damaged(&self.meta, &path, "the checksum of a row group is wrong"));
            }
            let (footer, offset, size) = (Arc::clone(&footer), group.offset, file.size);
            let work = move || histograms::decode_group(&footer, number, offset, bytes, size);
            let decoded =
                self.runtime.cpu(work).await.map_err(|reason| damaged(&self.meta, &path, reason))?;
            for ((_, first, n), (_, runs)) in placed.iter().zip(&mut out) {
                let (from, to) = part(*first, *n);
                if from < to {
                    let (a, b) = ((from - group_rows.start) as usize, (to - group_rows.start) as usize);
                    let these = decoded.get(a..b);
                    let these =
                        these.ok_or_else(|| damaged(&self.meta, &path, "a row group is too short"))?;
                    runs.extend_from_slice(these);
                }
            }
        }
        for ((_, _, n), (_, runs)) in placed.iter().zip(&out) {
            if runs.len() != *n {
                return Err(damaged(&self.meta, &path, "a series lies outside of it"));
            }
        }
        Ok(out)
    }
}
