//! Samples of selected series, as a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{HistogramPoint, SampleBatch, SeriesSamples, TimeRange, TimestampMs};

use super::samples::{ColumnReader, PageAt, SampleColumn, SamplesIndex, ValueTask, read_values};
use super::series::{SamplesAt, SeriesTable};
use super::{BlockReader, BlockRow, damaged, histograms};
use crate::BlockError;
use crate::layout::PieceFile;
use crate::pages::PageError;
use crate::writer::BlockHistogram;

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
        let mut found: BTreeMap<usize, Bytes> = BTreeMap::new();
        let mut missing: Vec<(usize, PageAt)> = Vec::new();
        for &page in wanted {
            match self.cache.pages.get(&key(page)) {
                Some(bytes) => drop(found.insert(page, bytes)),
                None => missing.push((page, pages[page])),
            }
        }
        if !missing.is_empty() {
            let path = PieceFile::Samples.path(piece);
            let ranges: Vec<_> =
                missing.iter().map(|(_, at)| at.offset..at.offset + at.size as u64).collect();
            let fetched =
                self.fetched(&path, self.bucket.get_ranges(&self.meta.path(&path), &ranges).await)?;
            for ((page, _), bytes) in missing.iter().zip(fetched) {
                // not a slice of what was fetched together: that would keep all of it
                self.cache.pages.insert(key(*page), Bytes::copy_from_slice(&bytes));
                found.insert(*page, bytes);
            }
        }
        Ok(ColumnReader::new(found.into_iter().map(|(page, bytes)| (page, pages[page], bytes)).collect()))
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
        let mut pages = [BTreeSet::new(), BTreeSet::new()];
        for series in &wanted {
            if series.at.scale.is_some() {
                pages[0].extend(index.pages_of(SampleColumn::Mantissa, &series.rows));
            }
            if series.at.scale.is_none() || series.at.exceptions {
                pages[1].extend(index.pages_of(SampleColumn::Value, &series.rows));
            }
            tasks.push(ValueTask { at: series.at, rows: series.rows.clone(), out: values });
            let n = (series.rows.end - series.rows.start) as usize;
            batch.series[series.index].values = first_value + values..first_value + values + n;
            batch.series[series.index].vector = series.vector;
            batch.series[series.index].vector_offset = series.vector_offset;
            values += n;
        }
        let mut mantissa = self.fetch(piece, &index, SampleColumn::Mantissa, &pages[0]).await?;
        let mut value = self.fetch(piece, &index, SampleColumn::Value, &pages[1]).await?;
        let decoded = self.runtime.cpu(move || -> Result<Vec<f64>, PageError> {
            let mut out = vec![0.0; values];
            read_values(&mut tasks, &mut mantissa, &mut value, &mut out)?;
            Ok(out)
        });
        let decoded = decoded.await.map_err(|error| damaged(&self.meta, &path, error))?;
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
        let mut out = Vec::with_capacity(placed.len());
        for (i, at) in placed {
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
