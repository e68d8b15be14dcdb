//! Makes a block of sorted series: pieces of Parquet files, in memory, ready to be uploaded.
//!
//! Series come sorted by (metric name, labels), each once; a piece is finished as soon as it is full, so
//! memory is bounded by one piece, encoded.

mod column;
mod decimal;
mod histograms;
mod samples;
mod series;
mod small;
mod table;
mod vectors;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::{BlockId, Exemplar, Labels, LogPosition, Metadata, SeriesId, SlotRange, TenantId, TimestampMs};

use crate::layout::{METADATA_FILE, PieceFile};
use crate::meta::{BlockMeta, Counts, FORMAT_VERSION, FileMeta, PieceMeta};
use crate::{BlockError, layout};
pub use histograms::BlockHistogram;
use samples::SamplesWriter;
pub(crate) use samples::{MANTISSA, START_TS, TS, VALUE};
use series::{HistogramsPlace, SamplesPlace, SeriesRow};
use table::Written;

/// Series of a piece at most.
pub const PIECE_SERIES_MAX: usize = 131_072;
/// Encoded bytes of samples after which a piece ends early.
const PIECE_BYTES_MAX: usize = 512 << 20;

/// What is known of a block before its series.
#[derive(Debug, Clone)]
pub struct BlockSpec {
    /// Whose.
    pub tenant: TenantId,
    /// A fresh ULID.
    pub block: BlockId,
    /// Slots of the group it is cut from.
    pub slots: SlotRange,
    /// First millisecond of the window.
    pub start: TimestampMs,
    /// First millisecond after the window.
    pub end: TimestampMs,
    /// 0 for the first cut of a window, then counting up.
    pub generation: u32,
    /// 0 as cut.
    pub level: u32,
    /// Samples were applied after this position,
    pub log_first: LogPosition,
    /// up to this one.
    pub log_last: LogPosition,
    /// The blocks it is merged from.
    pub sources: Vec<BlockId>,
}

/// One series with everything it has in the window. All slices ascend in time.
#[derive(Debug, Clone, Copy)]
pub struct BlockSeries<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its identity.
    pub id: SeriesId,
    /// What is known of its metric.
    pub metadata: Option<&'a Metadata>,
    /// Timestamps of the float samples. Equal slices of different series are stored once.
    pub timestamps: &'a [TimestampMs],
    /// Values, one per timestamp; every bit is kept.
    pub values: &'a [f64],
    /// Start timestamps, one per value, 0 when not told.
    pub start_ts: Option<&'a [TimestampMs]>,
    /// Native histograms.
    pub histograms: &'a [BlockHistogram],
    /// Exemplars.
    pub exemplars: &'a [Exemplar],
}

impl<'a> BlockSeries<'a> {
    /// A series of float samples and nothing else.
    pub fn floats(labels: &'a Labels, timestamps: &'a [TimestampMs], values: &'a [f64]) -> Self {
        BlockSeries {
            labels,
            id: labels.series_id(),
            metadata: None,
            timestamps,
            values,
            start_ts: None,
            histograms: &[],
            exemplars: &[],
        }
    }
}

/// A finished file of a block.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// Path below the block's folder.
    pub path: String,
    /// What it holds.
    pub bytes: Bytes,
}

/// The order of series in a block: by metric name, then by labels.
pub fn series_order(a: &Labels, b: &Labels) -> Ordering {
    a.metric_name().cmp(b.metric_name()).then_with(|| a.cmp(b))
}

struct Piece {
    rows: Vec<SeriesRow>,
    samples: SamplesWriter,
    vectors: vectors::Vectors,
    histograms: Option<histograms::HistogramsWriter>,
    histogram_samples: u64,
    exemplars: Vec<(u32, Exemplar)>,
}

impl Piece {
    fn new() -> Result<Self, BlockError> {
        Ok(Piece {
            rows: Vec::new(),
            samples: SamplesWriter::new(table::properties()?.build())?,
            vectors: vectors::Vectors::default(),
            histograms: None,
            histogram_samples: 0,
            exemplars: Vec::new(),
        })
    }
}

/// Makes one block.
pub struct BlockWriter {
    spec: BlockSpec,
    piece: Piece,
    pieces: Vec<PieceMeta>,
    files: Vec<FileMeta>,
    finished: Vec<EncodedFile>,
    metadata: BTreeMap<String, Metadata>,
    units: HashSet<Arc<str>>,
    last: Option<Labels>,
    counts: Counts,
    min_t: TimestampMs,
    max_t: TimestampMs,
}

impl std::fmt::Debug for BlockWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockWriter").field("block", &self.spec.block).finish_non_exhaustive()
    }
}

impl BlockWriter {
    /// Starts a block.
    pub fn new(spec: BlockSpec) -> Result<Self, BlockError> {
        if spec.end <= spec.start {
            return Err(BlockError::Input(format!("window [{}, {}) is empty", spec.start, spec.end)));
        }
        Ok(BlockWriter {
            spec,
            piece: Piece::new()?,
            pieces: Vec::new(),
            files: Vec::new(),
            finished: Vec::new(),
            metadata: BTreeMap::new(),
            units: HashSet::new(),
            last: None,
            counts: Counts::default(),
            min_t: TimestampMs::MAX,
            max_t: TimestampMs::MIN,
        })
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.piece.rows.is_empty() && self.metadata.is_empty()
    }

    /// Metadata of a metric, with or without series.
    pub fn metadata(&mut self, metric: &str, metadata: &Metadata) {
        if !self.metadata.contains_key(metric) {
            self.metadata.insert(metric.to_owned(), metadata.clone());
        }
    }

    fn check_times(&self, times: impl Iterator<Item = TimestampMs>, what: &str) -> Result<(), BlockError> {
        let mut previous = None;
        for t in times {
            if t < self.spec.start || t >= self.spec.end {
                return Err(BlockError::Input(format!(
                    "{what} at {t} lies outside of the window [{}, {})",
                    self.spec.start, self.spec.end
                )));
            }
            if previous.is_some_and(|p| p >= t) {
                return Err(BlockError::Input(format!("{what} at {t} is not later than the one before")));
            }
            previous = Some(t);
        }
        Ok(())
    }

    fn check(&self, series: &BlockSeries<'_>) -> Result<(), BlockError> {
        if let Some(last) = &self.last
            && series_order(last, series.labels) != Ordering::Less
        {
            return Err(BlockError::Input(format!("series {} comes after {last}", series.labels)));
        }
        let n = series.timestamps.len();
        if series.values.len() != n || series.start_ts.is_some_and(|s| s.len() != n) {
            return Err(BlockError::Input(format!("columns of series {} differ in length", series.labels)));
        }
        self.check_times(series.timestamps.iter().copied(), "sample")?;
        self.check_times(series.histograms.iter().map(|h| h.t), "histogram")?;
        for h in series.histograms {
            let spans = |spans: &[model::Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
            let fits = match &h.histogram {
                model::Histogram::Int(h) => {
                    spans(&h.positive_spans) == h.positive_deltas.len()
                        && spans(&h.negative_spans) == h.negative_deltas.len()
                }
                model::Histogram::Float(h) => {
                    spans(&h.positive_spans) == h.positive_buckets.len()
                        && spans(&h.negative_spans) == h.negative_buckets.len()
                }
            };
            if !fits {
                return Err(BlockError::Input(format!(
                    "a histogram of {} has other buckets than its spans say",
                    series.labels
                )));
            }
        }
        Ok(())
    }

    /// Adds a series. Series without anything are left out.
    pub fn push(&mut self, series: &BlockSeries<'_>) -> Result<(), BlockError> {
        self.check(series)?;
        if series.timestamps.is_empty() && series.histograms.is_empty() && series.exemplars.is_empty() {
            return Ok(());
        }
        let id = self.piece.rows.len() as u32;
        let times = || {
            let ends = |first: Option<i64>, last: Option<i64>| first.into_iter().chain(last);
            ends(series.timestamps.first().copied(), series.timestamps.last().copied())
                .chain(ends(series.histograms.first().map(|h| h.t), series.histograms.last().map(|h| h.t)))
                .chain(series.exemplars.iter().map(|e| e.t))
        };
        let min_t = times().min().unwrap_or(self.spec.start);
        let max_t = times().max().unwrap_or(self.spec.start);
        let samples = if series.timestamps.is_empty() {
            None
        } else {
            let vector = self.piece.vectors.place(series.timestamps);
            let placed = self.piece.samples.push(id, series.timestamps, series.values, series.start_ts)?;
            Some(SamplesPlace {
                row: placed.row,
                count: series.timestamps.len(),
                vector,
                scale: placed.scale,
            })
        };
        let histograms = self.push_histograms(id, series.histograms)?;
        self.piece.exemplars.extend(series.exemplars.iter().map(|e| (id, e.clone())));
        self.min_t = self.min_t.min(min_t);
        self.max_t = self.max_t.max(max_t);
        let unit = self.note_metadata(series);
        self.piece.rows.push(SeriesRow {
            labels: series.labels.clone(),
            id: series.id,
            metric_type: series.metadata.map(|m| m.metric_type).unwrap_or_default(),
            unit,
            min_t,
            max_t,
            samples,
            histograms,
        });
        self.last = Some(series.labels.clone());
        let full = self.piece.rows.len() == PIECE_SERIES_MAX || self.piece.samples.bytes() > PIECE_BYTES_MAX;
        if full { self.end_piece() } else { Ok(()) }
    }

    fn push_histograms(
        &mut self,
        id: u32,
        samples: &[BlockHistogram],
    ) -> Result<Option<HistogramsPlace>, BlockError> {
        if samples.is_empty() {
            return Ok(None);
        }
        let writer = match &mut self.piece.histograms {
            Some(writer) => writer,
            none => none.insert(histograms::HistogramsWriter::new()?),
        };
        let (row, rows) = writer.push(id, samples)?;
        self.piece.histogram_samples += samples.len() as u64;
        Ok(Some(HistogramsPlace { row, rows }))
    }

    fn note_metadata(&mut self, series: &BlockSeries<'_>) -> Arc<str> {
        let Some(metadata) = series.metadata else { return Arc::from("") };
        self.metadata(series.labels.metric_name(), metadata);
        match self.units.get(metadata.unit.as_str()) {
            Some(unit) => Arc::clone(unit),
            None => {
                let unit: Arc<str> = Arc::from(metadata.unit.as_str());
                self.units.insert(Arc::clone(&unit));
                unit
            }
        }
    }

    fn add_file(&mut self, path: String, written: Written) {
        let Written { bytes, tail_offset, rows, groups } = written;
        let tail = usize::try_from(tail_offset).unwrap_or(usize::MAX).min(bytes.len());
        self.files.push(FileMeta {
            path: path.clone(),
            size: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
            tail_offset,
            tail_crc32c: crc32c::crc32c(&bytes[tail..]),
            rows,
            groups,
        });
        self.counts.bytes += bytes.len() as u64;
        self.finished.push(EncodedFile { path, bytes });
    }

    fn end_piece(&mut self) -> Result<(), BlockError> {
        let piece = std::mem::replace(&mut self.piece, Piece::new()?);
        let (Some(first), Some(last)) = (piece.rows.first(), piece.rows.last()) else { return Ok(()) };
        let number = self.pieces.len();
        let mut meta = PieceMeta {
            series: piece.rows.len() as u64,
            samples: piece.samples.rows(),
            histograms: piece.histogram_samples,
            exemplars: piece.exemplars.len() as u64,
            first_name: first.labels.metric_name().to_owned(),
            last_name: last.labels.metric_name().to_owned(),
            promoted: Vec::new(),
            start_ts: piece.samples.any_start(),
        };
        let (written, promoted) = series::write_series(&piece.rows)?;
        meta.promoted = promoted;
        self.add_file(PieceFile::Series.path(number), written);
        if meta.samples > 0 {
            self.add_file(PieceFile::Samples.path(number), piece.samples.finish()?);
            self.add_file(PieceFile::Timestamps.path(number), small::write_timestamps(&piece.vectors)?);
        }
        if let Some(histograms) = piece.histograms {
            self.add_file(PieceFile::Histograms.path(number), histograms.finish()?);
        }
        if !piece.exemplars.is_empty() {
            self.add_file(PieceFile::Exemplars.path(number), small::write_exemplars(&piece.exemplars)?);
        }
        self.counts.series += meta.series;
        self.counts.samples += meta.samples;
        self.counts.histograms += meta.histograms;
        self.counts.exemplars += meta.exemplars;
        self.pieces.push(meta);
        Ok(())
    }

    /// The files finished since the last call: to upload while the next piece is made.
    pub fn take_files(&mut self) -> Vec<EncodedFile> {
        std::mem::take(&mut self.finished)
    }

    /// Ends the block: its description, and the files not taken yet, `meta.json` last.
    pub fn finish(mut self) -> Result<(BlockMeta, Vec<EncodedFile>), BlockError> {
        self.end_piece()?;
        if !self.metadata.is_empty() {
            let written = small::write_metadata(&self.metadata)?;
            self.add_file(METADATA_FILE.to_owned(), written);
        }
        let spec = self.spec;
        let empty = self.max_t < self.min_t;
        let meta = BlockMeta {
            format: FORMAT_VERSION,
            tenant: spec.tenant,
            block: spec.block,
            slots: spec.slots,
            start: spec.start,
            end: spec.end,
            generation: spec.generation,
            level: spec.level,
            log_first: spec.log_first,
            log_last: spec.log_last,
            cut: String::new(),
            min_t: if empty { spec.start } else { self.min_t },
            max_t: if empty { spec.start } else { self.max_t },
            slice_ends: vec![spec.end],
            counts: self.counts,
            pieces: self.pieces,
            files: self.files,
            sources: spec.sources,
        };
        let mut files = self.finished;
        files.push(EncodedFile { path: layout::META_FILE.to_owned(), bytes: Bytes::from(meta.to_json()) });
        Ok((meta, files))
    }
}
