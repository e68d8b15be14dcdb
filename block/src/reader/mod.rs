//! Reads a block: series by matchers, samples by row number.
//!
//! Opening costs nothing: what is needed of a piece is fetched when it is first asked for, checked against
//! the checksums of the block's description, decoded on the CPU pool, and kept in the cache.

mod cache;
pub(crate) mod histograms;
mod read;
pub(crate) mod samples;
pub(crate) mod series;
pub(crate) mod small;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use model::{Exemplar, Labels, METRIC_NAME, Matcher, Metadata, SeriesId, TimeRange, TimestampMs};
use parquet::file::metadata::ParquetMetaData;
use runtime::Runtime;

use crate::layout::{METADATA_FILE, PieceFile};
use crate::meta::{BlockMeta, FileMeta};
use crate::{BlockError, Bucket, BucketError};
pub use cache::{BlockCache, BlockCacheOptions};
use cache::{Part, PartKey};
use samples::SamplesIndex;
use series::SeriesTable;

/// A series of a block: its piece and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRow {
    /// Which piece.
    pub piece: u32,
    /// Which row of its series file.
    pub row: u32,
}

/// Series that match, with their decoded labels at hand.
#[derive(Debug, Clone)]
pub struct BlockSelection {
    rows: Vec<BlockRow>,
    tables: Vec<Option<Arc<SeriesTable>>>,
    file: Arc<BlockMeta>,
}

impl BlockSelection {
    /// The series, in the block's order.
    pub fn rows(&self) -> &[BlockRow] {
        &self.rows
    }

    /// The identity of series `i`.
    pub fn id(&self, i: usize) -> SeriesId {
        let at = self.rows[i];
        self.table(at).id(at.row as usize)
    }

    /// Float samples and runs of histograms of series `i`: to estimate what reading it costs.
    pub fn sample_count(&self, i: usize) -> usize {
        let at = self.rows[i];
        let table = self.table(at);
        let row = at.row as usize;
        table.samples(row).map_or(0, |s| s.count) + table.histograms(row).map_or(0, |(_, runs)| runs)
    }

    fn table(&self, at: BlockRow) -> &SeriesTable {
        self.tables[at.piece as usize].as_ref().expect("pieces of selected rows are loaded")
    }

    /// The labels of each series of `which` that `wants` names.
    pub fn labels(
        &self,
        which: &[usize],
        wants: Option<&dyn Fn(&str) -> bool>,
    ) -> Result<Vec<Labels>, BlockError> {
        let mut masks: Vec<Option<Vec<bool>>> = vec![None; self.tables.len()];
        if let Some(wants) = wants {
            for (mask, table) in masks.iter_mut().zip(&self.tables) {
                *mask = table.as_ref().map(|t| t.wanted(wants));
            }
        }
        let mut out: Vec<Labels> = Vec::with_capacity(which.len());
        let (mut pairs, mut before, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        let mut piece = None;
        for i in which {
            let at = self.rows[*i];
            let (table, mask) = (self.table(at), masks[at.piece as usize].as_deref());
            table.kept_pairs(at.row as usize, mask, &mut pairs);
            // neighbours often agree in what is wanted
            let labels = match out.last() {
                Some(last) if piece == Some(at.piece) && pairs == before => last.clone(),
                _ => table
                    .labels(at.row as usize, &pairs, &mut buffer)
                    .map_err(|e| damaged(&self.file, &PieceFile::Series.path(at.piece as usize), e))?,
            };
            out.push(labels);
            std::mem::swap(&mut pairs, &mut before);
            piece = Some(at.piece);
        }
        Ok(out)
    }
}

/// A block ready to be read; cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct BlockReader {
    runtime: Runtime,
    bucket: Bucket,
    cache: BlockCache,
    meta: Arc<BlockMeta>,
}

fn damaged(meta: &BlockMeta, file: &str, reason: impl ToString) -> BlockError {
    BlockError::Damaged { block: meta.block.to_string(), file: file.to_owned(), reason: reason.to_string() }
}

impl BlockReader {
    /// Of the block `meta` describes. Reads nothing.
    pub fn new(runtime: Runtime, bucket: Bucket, cache: BlockCache, meta: Arc<BlockMeta>) -> Self {
        BlockReader { runtime, bucket, cache, meta }
    }

    /// What the block is.
    pub fn meta(&self) -> &Arc<BlockMeta> {
        &self.meta
    }

    fn file(&self, path: &str) -> Result<&FileMeta, BlockError> {
        self.meta.file(path).ok_or_else(|| damaged(&self.meta, path, "not listed in meta.json"))
    }

    /// A missing file of a live block is damage; an unreachable bucket is not.
    fn fetched<T>(&self, path: &str, result: Result<T, BucketError>) -> Result<T, BlockError> {
        result.map_err(|error| match error {
            BucketError::NotFound(_) => damaged(&self.meta, path, "the file is missing"),
            BucketError::Range { end, .. } => damaged(&self.meta, path, format!("ends before byte {end}")),
            other => other.into(),
        })
    }

    async fn whole(&self, path: &str) -> Result<Bytes, BlockError> {
        let file = self.file(path)?;
        let bytes = self.fetched(path, self.bucket.get(&self.meta.path(path)).await)?;
        if bytes.len() as u64 != file.size || crc32c::crc32c(&bytes) != file.crc32c {
            return Err(damaged(&self.meta, path, "its checksum is wrong"));
        }
        Ok(bytes)
    }

    async fn tail(&self, path: &str) -> Result<(Bytes, u64), BlockError> {
        let file = self.file(path)?;
        let range = file.tail_offset..file.size;
        let bytes = self.fetched(path, self.bucket.get_range(&self.meta.path(path), range).await)?;
        if crc32c::crc32c(&bytes) != file.tail_crc32c {
            return Err(damaged(&self.meta, path, "the checksum of its footer is wrong"));
        }
        Ok((bytes, file.size))
    }

    async fn part(
        &self,
        piece: usize,
        key: PartKey,
        load: impl Future<Output = Result<Part, BlockError>>,
    ) -> Result<Part, BlockError> {
        let key = (self.meta.block, piece, key);
        self.cache.parts.try_get_with(key, load).await.map_err(|e| (*e).clone())
    }

    async fn series_table(&self, piece: usize) -> Result<Arc<SeriesTable>, BlockError> {
        let path = PieceFile::Series.path(piece);
        let load = async {
            let bytes = self.whole(&path).await?;
            let rows = self.file(&path)?.rows;
            let decoded = self.runtime.cpu(move || SeriesTable::decode(&bytes, rows)).await;
            Ok(Part::Series(Arc::new(decoded.map_err(|reason| damaged(&self.meta, &path, reason))?)))
        };
        match self.part(piece, PartKey::Series, load).await? {
            Part::Series(table) => Ok(table),
            _ => Err(wrong_part()),
        }
    }

    async fn samples_index(&self, piece: usize) -> Result<Arc<SamplesIndex>, BlockError> {
        let path = PieceFile::Samples.path(piece);
        let load = async {
            let (tail, size) = self.tail(&path).await?;
            let decoded = SamplesIndex::decode(&tail, size);
            Ok(Part::Samples(Arc::new(decoded.map_err(|reason| damaged(&self.meta, &path, reason))?)))
        };
        match self.part(piece, PartKey::Samples, load).await? {
            Part::Samples(index) => Ok(index),
            _ => Err(wrong_part()),
        }
    }

    async fn timestamps(&self, piece: usize) -> Result<Arc<Vec<Arc<[TimestampMs]>>>, BlockError> {
        let path = PieceFile::Timestamps.path(piece);
        let load = async {
            let bytes = self.whole(&path).await?;
            let decoded = self.runtime.cpu(move || small::decode_timestamps(&bytes)).await;
            Ok(Part::Timestamps(Arc::new(decoded.map_err(|reason| damaged(&self.meta, &path, reason))?)))
        };
        match self.part(piece, PartKey::Timestamps, load).await? {
            Part::Timestamps(vectors) => Ok(vectors),
            _ => Err(wrong_part()),
        }
    }

    async fn histograms_footer(&self, piece: usize) -> Result<Arc<ParquetMetaData>, BlockError> {
        let path = PieceFile::Histograms.path(piece);
        let load = async {
            let (tail, size) = self.tail(&path).await?;
            let decoded = histograms::decode_footer(&tail, size);
            Ok(Part::Footer(decoded.map_err(|reason| damaged(&self.meta, &path, reason))?))
        };
        match self.part(piece, PartKey::Histograms, load).await? {
            Part::Footer(footer) => Ok(footer),
            _ => Err(wrong_part()),
        }
    }

    /// Whether a piece can hold what the matchers want, by its metric names.
    fn may_hold(&self, piece: usize, matchers: &[Matcher]) -> bool {
        let piece = &self.meta.pieces[piece];
        let (first, last) = (piece.first_name.as_str(), piece.last_name.as_str());
        matchers.iter().filter(|m| m.name() == METRIC_NAME).all(|matcher| match matcher.literal_values() {
            Some(names) => names.iter().any(|name| *name >= first && *name <= last),
            None => {
                let prefix = matcher.literal_prefix();
                prefix <= last && (first <= prefix || first.starts_with(prefix))
            }
        })
    }

    /// The series that pass all matchers and have anything in `range`.
    pub async fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BlockSelection, BlockError> {
        let mut rows = Vec::new();
        let mut tables = vec![None; self.meta.pieces.len()];
        for (piece, slot) in tables.iter_mut().enumerate() {
            if !self.may_hold(piece, matchers) {
                continue;
            }
            let table = self.series_table(piece).await?;
            let (inner, matchers) = (Arc::clone(&table), matchers.to_vec());
            let found = self.runtime.cpu(move || inner.matching(&matchers, &range)).await;
            let piece_number = u32::try_from(piece).unwrap_or(u32::MAX);
            rows.extend(found.into_iter().map(|row| BlockRow { piece: piece_number, row }));
            *slot = Some(table);
        }
        Ok(BlockSelection { rows, tables, file: Arc::clone(&self.meta) })
    }

    /// The names of labels of the series that match.
    pub async fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<BTreeSet<String>, BlockError> {
        let selection = self.select(matchers, range).await?;
        let mut names = BTreeSet::new();
        for (table, rows) in selection.by_piece() {
            names.extend(table.label_names(&rows).into_iter().map(str::to_owned));
        }
        Ok(names)
    }

    /// The values of label `name` of the series that match.
    pub async fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<BTreeSet<String>, BlockError> {
        let selection = self.select(matchers, range).await?;
        let mut values = BTreeSet::new();
        for (table, rows) in selection.by_piece() {
            values.extend(table.label_values(name, &rows).into_iter().map(str::to_owned));
        }
        Ok(values)
    }

    /// Type, help and unit of the block's metrics, sorted by name.
    pub async fn metadata(&self) -> Result<Arc<Vec<(String, Metadata)>>, BlockError> {
        if self.meta.file(METADATA_FILE).is_none() {
            return Ok(Arc::default());
        }
        let load = async {
            let bytes = self.whole(METADATA_FILE).await?;
            let decoded = small::decode_metadata(&bytes);
            Ok(Part::Metadata(Arc::new(decoded.map_err(|e| damaged(&self.meta, METADATA_FILE, e))?)))
        };
        match self.part(0, PartKey::Metadata, load).await? {
            Part::Metadata(metadata) => Ok(metadata),
            _ => Err(wrong_part()),
        }
    }

    /// The exemplars in `range` of the selected series: (index in the selection, exemplar), by series, time.
    pub async fn exemplars(
        &self,
        selection: &BlockSelection,
        range: TimeRange,
    ) -> Result<Vec<(usize, Exemplar)>, BlockError> {
        let mut out = Vec::new();
        for (piece, meta) in self.meta.pieces.iter().enumerate() {
            let number = u32::try_from(piece).unwrap_or(u32::MAX);
            let start = selection.rows.partition_point(|r| r.piece < number);
            let rows = &selection.rows[start..selection.rows.partition_point(|r| r.piece <= number)];
            if meta.exemplars == 0 || rows.is_empty() {
                continue;
            }
            let path = PieceFile::Exemplars.path(piece);
            let bytes = self.whole(&path).await?;
            let all = small::decode_exemplars(&bytes).map_err(|reason| damaged(&self.meta, &path, reason))?;
            for (row, exemplar) in all {
                if range.contains(exemplar.t)
                    && let Ok(at) = rows.binary_search_by_key(&row, |r| r.row)
                {
                    out.push((start + at, exemplar));
                }
            }
        }
        Ok(out)
    }
}

impl BlockSelection {
    fn by_piece(&self) -> Vec<(&SeriesTable, Vec<u32>)> {
        let mut out: Vec<(&SeriesTable, Vec<u32>)> = Vec::new();
        let mut last = None;
        for at in &self.rows {
            if last != Some(at.piece) {
                out.push((self.table(*at), Vec::new()));
                last = Some(at.piece);
            }
            if let Some((_, rows)) = out.last_mut() {
                rows.push(at.row);
            }
        }
        out
    }
}

fn wrong_part() -> BlockError {
    BlockError::Internal("the block cache holds another part under this key".into())
}
