//! Looks at everything: what `blocks ls` and `blocks verify` print.
//!
//! A block is sound when its files have the sizes and checksums of its description, every row decodes, by our
//! kernels and by Arrow's reader to the same bits, orders and counts hold, and every series is what its hash says.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use model::{Labels, TenantId, TimeRange, TimestampMs};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use runtime::Runtime;

use crate::catalog::Catalog;
use crate::layout::{META_FILE, METADATA_FILE, PieceFile};
use crate::meta::{BlockMeta, FileMeta};
use crate::reader::{BlockCache, BlockCacheOptions, BlockReader, BlockRow};
use crate::{BlockError, Bucket, BucketError, list_tenants, series_order};

/// Series read at once.
const CHUNK_SERIES: usize = 1000;
/// Rows Arrow decodes at once.
const BATCH_ROWS: usize = 65_536;
/// Problems told per block.
const PROBLEMS_MAX: usize = 20;
/// Files of a block's folder that are looked at.
const FILES_MAX: usize = 10_000;

/// What a catalog says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    /// Queries read it.
    Live,
    /// Dropped; its files are deleted after the grace period.
    Removed,
    /// Damaged.
    SetAside,
}

/// A block of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlock {
    /// Its description.
    pub meta: Arc<BlockMeta>,
    /// What the catalog says.
    pub state: BlockState,
    /// Why it is no longer live.
    pub reason: Option<String>,
}

/// What verification found of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlock {
    /// The block.
    pub listed: ListedBlock,
    /// What is wrong, naming files; empty: sound.
    pub problems: Vec<String>,
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Every live block and those set aside.
    pub blocks: Vec<VerifiedBlock>,
    /// Catalogs that cannot be read.
    pub catalogs: Vec<String>,
}

impl Verified {
    /// Whether nothing is wrong with any live block and any catalog. Blocks set aside do not count: they were
    /// reported when they were.
    pub fn is_sound(&self) -> bool {
        let live = self.blocks.iter().filter(|b| b.listed.state == BlockState::Live);
        self.catalogs.is_empty() && live.into_iter().all(|b| b.problems.is_empty())
    }
}

/// The tenants asked for: this one, or all.
async fn tenants(bucket: &Bucket, only: Option<&TenantId>) -> Result<Vec<TenantId>, BlockError> {
    match only {
        Some(tenant) => Ok(vec![tenant.clone()]),
        None => list_tenants(bucket).await,
    }
}

fn listed(catalog: &Catalog) -> Vec<ListedBlock> {
    let state = catalog.state();
    let live = state.live.iter().map(|meta| ListedBlock {
        meta: Arc::clone(meta),
        state: BlockState::Live,
        reason: None,
    });
    let mut out: Vec<ListedBlock> = live.collect();
    for (retired, of) in [(&state.removed, BlockState::Removed), (&state.set_aside, BlockState::SetAside)] {
        out.extend(retired.values().map(|r| ListedBlock {
            meta: Arc::clone(&r.meta),
            state: of,
            reason: Some(r.reason.clone()),
        }));
    }
    out
}

/// The blocks of the catalogs, by tenant, then window.
pub async fn list_blocks(bucket: &Bucket, only: Option<&TenantId>) -> Result<Vec<ListedBlock>, BlockError> {
    let mut out = Vec::new();
    for tenant in tenants(bucket, only).await? {
        out.extend(listed(&Catalog::open(bucket.clone(), tenant).await?));
    }
    Ok(out)
}

/// Verifies every block that is live or set aside. Errors are the bucket's own; damage is in the answer.
pub async fn verify_blocks(
    runtime: &Runtime,
    bucket: &Bucket,
    only: Option<&TenantId>,
) -> Result<Verified, BlockError> {
    let mut verified = Verified::default();
    for tenant in tenants(bucket, only).await? {
        let catalog = match Catalog::open(bucket.clone(), tenant).await {
            Ok(catalog) => catalog,
            Err(error @ BlockError::Catalog { .. }) => {
                verified.catalogs.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        for listed in listed(&catalog).into_iter().filter(|b| b.state != BlockState::Removed) {
            let problems = verify_block(runtime, bucket, &listed.meta).await?;
            verified.blocks.push(VerifiedBlock { listed, problems });
        }
    }
    Ok(verified)
}

/// Verifies one block; what is wrong with it.
pub async fn verify_block(
    runtime: &Runtime,
    bucket: &Bucket,
    meta: &Arc<BlockMeta>,
) -> Result<Vec<String>, BlockError> {
    let mut problems = Vec::new();
    description(bucket, meta, &mut problems).await?;
    for file in &meta.files {
        check_file(bucket, meta, file, &mut problems).await?;
    }
    if problems.is_empty() {
        let cache = BlockCache::new(&BlockCacheOptions::default());
        let reader = BlockReader::new(runtime.clone(), bucket.clone(), cache, Arc::clone(meta));
        match contents(&reader, bucket, &mut problems).await {
            Ok(()) => {}
            Err(error @ BlockError::Damaged { .. }) => problems.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    problems.truncate(PROBLEMS_MAX);
    Ok(problems)
}

async fn description(
    bucket: &Bucket,
    meta: &BlockMeta,
    problems: &mut Vec<String>,
) -> Result<(), BlockError> {
    match bucket.get(&meta.path(META_FILE)).await {
        Ok(bytes) => match BlockMeta::from_json(&bytes) {
            Ok(there) if there == *meta => {}
            Ok(_) => problems.push(format!("file `{META_FILE}`: differs from the catalog's entry")),
            Err(reason) => problems.push(format!("file `{META_FILE}`: {reason}")),
        },
        Err(BucketError::NotFound(_)) => problems.push(format!("file `{META_FILE}` is missing")),
        Err(error) => return Err(error.into()),
    }
    let folder = meta.folder();
    for object in bucket.list(&folder, None, FILES_MAX).await? {
        let name = object.path.strip_prefix(&format!("{folder}/")).unwrap_or(&object.path);
        if name != META_FILE && meta.file(name).is_none() {
            problems.push(format!("file `{name}` is not in `{META_FILE}`"));
        }
    }
    Ok(())
}

async fn check_file(
    bucket: &Bucket,
    meta: &BlockMeta,
    file: &FileMeta,
    problems: &mut Vec<String>,
) -> Result<(), BlockError> {
    let bytes = match bucket.get(&meta.path(&file.path)).await {
        Ok(bytes) => bytes,
        Err(BucketError::NotFound(_)) => {
            problems.push(format!("file `{}` is missing", file.path));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if bytes.len() as u64 != file.size {
        problems.push(format!("file `{}` has {} bytes instead of {}", file.path, bytes.len(), file.size));
    } else if crc32c::crc32c(&bytes) != file.crc32c {
        problems.push(format!("file `{}`: its checksum is wrong", file.path));
    }
    Ok(())
}

/// Rows of the samples file as Arrow's reader gives them, one after the other.
struct ArrowRows {
    batches: Option<ParquetRecordBatchReader>,
    batch: Option<RecordBatch>,
    at: usize,
}

impl ArrowRows {
    fn new(bytes: Option<Bytes>) -> Result<Self, String> {
        let open = |bytes| {
            ParquetRecordBatchReaderBuilder::try_new(bytes)
                .and_then(|b| b.with_batch_size(BATCH_ROWS).build())
                .map_err(|e| e.to_string())
        };
        Ok(ArrowRows { batches: bytes.map(open).transpose()?, batch: None, at: 0 })
    }

    /// (series, time, bits) of the next row.
    fn next(&mut self) -> Result<Option<(i32, TimestampMs, u64)>, String> {
        while self.batch.as_ref().is_none_or(|b| self.at >= b.num_rows()) {
            match self.batches.as_mut().and_then(Iterator::next) {
                Some(batch) => (self.batch, self.at) = (Some(batch.map_err(|e| e.to_string())?), 0),
                None => return Ok(None),
            }
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let row = row_of(batch, self.at).ok_or("a row has both mantissa and value, or neither")?;
        self.at += 1;
        Ok(Some(row))
    }
}

fn row_of(batch: &RecordBatch, row: usize) -> Option<(i32, TimestampMs, u64)> {
    let column = |name: &str| batch.column_by_name(name);
    let mantissa = column("mantissa")?.as_primitive_opt::<Int64Type>()?;
    let value = column("value")?.as_primitive_opt::<Float64Type>()?;
    let bits = match (mantissa.is_valid(row), value.is_valid(row)) {
        (true, false) => {
            let mul = column("mul")?.as_primitive_opt::<Int64Type>()?.value(row);
            let den = column("den")?.as_primitive_opt::<Float64Type>()?.value(row);
            (mantissa.value(row).checked_mul(mul)? as f64 / den).to_bits()
        }
        (false, true) => value.value(row).to_bits(),
        _ => return None,
    };
    let series = column("series_id")?.as_primitive_opt::<Int32Type>()?.value(row);
    let t = column("ts")?.as_primitive_opt::<TimestampMillisecondType>()?.value(row);
    Some((series, t, bits))
}

async fn contents(
    reader: &BlockReader,
    bucket: &Bucket,
    problems: &mut Vec<String>,
) -> Result<(), BlockError> {
    let meta = Arc::clone(reader.meta());
    let selection = reader.select(&[], TimeRange::all()).await?;
    let all = selection.rows();
    if all.len() as u64 != meta.counts.series {
        problems.push(format!("{} series instead of {}", all.len(), meta.counts.series));
    }
    let mut last: Option<Labels> = None;
    for (piece, counted) in meta.pieces.iter().enumerate() {
        let samples = PieceFile::Samples.path(piece);
        let bytes = match meta.file(&samples) {
            Some(_) => Some(bucket.get(&meta.path(&samples)).await?),
            None => None,
        };
        let mut rows = ArrowRows::new(bytes).map_err(|e| damage(&meta, &samples, e))?;
        let first = all.partition_point(|r| (r.piece as usize) < piece);
        let end = all.partition_point(|r| r.piece as usize <= piece);
        let (mut floats, mut histograms) = (0u64, 0u64);
        for start in (first..end).step_by(CHUNK_SERIES) {
            let which: Vec<usize> = (start..end.min(start + CHUNK_SERIES)).collect();
            for (i, labels) in which.iter().zip(selection.labels(&which, None)?) {
                if labels.series_id() != selection.id(*i) {
                    problems.push(format!("series {labels} has another hash"));
                }
                if last.as_ref().is_some_and(|last| series_order(last, &labels).is_ge()) {
                    problems.push(format!("series {labels} is out of order"));
                }
                last = Some(labels);
            }
            let chunk: Vec<BlockRow> = which.iter().map(|i| all[*i]).collect();
            let batch = reader.read(&chunk, TimeRange::all()).await?;
            for (i, at) in chunk.iter().enumerate() {
                floats += batch.values_of(i).len() as u64;
                histograms += batch.histograms_of(i).len() as u64;
                let found = compare(&batch, i, at.row, &meta, &mut rows);
                if let Err(reason) = found.map_err(|e| damage(&meta, &samples, e))? {
                    problems.push(format!("file `{samples}`: {reason}"));
                    return Ok(());
                }
            }
        }
        if rows.next().map_err(|e| damage(&meta, &samples, e))?.is_some() {
            problems.push(format!("file `{samples}` has rows that belong to no series"));
        }
        for (what, got, expected) in
            [("samples", floats, counted.samples), ("histograms", histograms, counted.histograms)]
        {
            if got != expected {
                problems.push(format!("piece {piece}: {got} {what} instead of {expected}"));
            }
        }
    }
    let exemplars = reader.exemplars(&selection, TimeRange::all()).await?.len() as u64;
    if exemplars != meta.counts.exemplars {
        problems.push(format!("{exemplars} exemplars instead of {}", meta.counts.exemplars));
    }
    if meta.file(METADATA_FILE).is_some() {
        reader.metadata().await?;
    }
    Ok(())
}

fn damage(meta: &BlockMeta, file: &str, reason: impl ToString) -> BlockError {
    BlockError::Damaged { block: meta.block.to_string(), file: file.into(), reason: reason.to_string() }
}

/// Series `i` of the batch against the next rows by Arrow; the inner error is a difference.
fn compare(
    batch: &model::SampleBatch,
    i: usize,
    series: u32,
    meta: &BlockMeta,
    rows: &mut ArrowRows,
) -> Result<Result<(), String>, String> {
    let mut previous = None;
    for (t, value) in batch.timestamps_of(i).iter().zip(batch.values_of(i)) {
        if previous.is_some_and(|p| p >= *t) || !meta.window().contains(*t) {
            return Ok(Err(format!("series {series}: a sample at {t} is out of order or out of the window")));
        }
        previous = Some(*t);
        if rows.next()? != Some((series.cast_signed(), *t, value.to_bits())) {
            return Ok(Err(format!("series {series}: our reader and Arrow's differ at {t}")));
        }
    }
    let points = batch.histograms_of(i);
    if points.windows(2).any(|w| w[0].t >= w[1].t) || points.iter().any(|p| !meta.window().contains(p.t)) {
        return Ok(Err(format!("series {series}: a histogram is out of order or out of the window")));
    }
    Ok(Ok(()))
}
