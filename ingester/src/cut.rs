//! Decides when windows are cut, makes their blocks, publishes them, and lets heads drop them.
//!
//! Only the leader of a group does this; every step is an entry of the log. A step that fails, or is
//! interrupted by a restart, is taken again: a cut has an identity that its block carries, and the catalog
//! takes one block per identity, whoever tries.
//! Order: cut → block uploaded → log flushed past the cut → published in the catalog → `Published` in the
//! log → dropped after the overlap.

use std::sync::Arc;
use std::time::Duration;

use block::{
    BlockError, BlockHistogram, BlockMeta, BlockSeries, BlockSpec, BlockWriter, Catalogs, Published,
};
use cluster::Group;
use futures::{StreamExt, stream};
use model::{BlockId, Exemplar, Labels, Metadata, SampleBatch, SeriesId, SlotRange, TenantId, TimestampMs};
use runtime::Runtime;

use crate::entry::{Command, EntryWriter};
use crate::error::IngesterError;
use crate::head::{Cut, HAS_HISTOGRAMS, HAS_LATE, LateWanted, TenantHead, WINDOW_MS, window_of};
use crate::machine::{Heads, SharedHead};

/// A window is cut so long after its end, by the newest sample.
const CUT_AFTER_MS: i64 = 15 * 60_000;
/// A head without writes for so long is cut.
const IDLE_MS: i64 = 3_600_000;
/// Groups and tenants are spread over so much time.
const JITTER_MS: u64 = 60_000;
/// Late samples are cut with their tenant's next window, or once they are so old, or so many bytes.
const LATE_AGE_MS: i64 = 2 * 3_600_000;
const LATE_BYTES_MAX: usize = 128 << 20;
/// Tenants of a group that are cut at the same time.
const TENANTS_AT_ONCE: usize = 8;
/// Generations of one window tried one after the other before a publish is given up for now.
const GENERATIONS_TRIED_MAX: usize = 16;
/// Series copied under one hold of a head's lock, and decoded and encoded at once.
const SERIES_PER_BATCH: usize = 1024;

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Blocks published.
    pub blocks: u64,
    /// Series in them.
    pub series: u64,
    /// Samples in them, histograms included.
    pub samples: u64,
}

impl FlushReport {
    pub(crate) fn add(&mut self, more: FlushReport) {
        self.blocks += more.blocks;
        self.series += more.series;
        self.samples += more.samples;
    }
}

/// Cuts the heads of one group.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) runtime: Runtime,
    pub(crate) group: Group,
    pub(crate) slots: SlotRange,
    pub(crate) heads: Arc<Heads>,
    pub(crate) catalogs: Arc<Catalogs>,
    pub(crate) query_overlap: Duration,
    /// Rounds and flushes of one group happen one after the other.
    pub(crate) alone: tokio::sync::Mutex<()>,
}

impl Cutter {
    /// One round over all tenants: what is due is cut, what is cut is published, what is old is dropped.
    pub(crate) async fn round(&self) {
        let _alone = self.alone.lock().await;
        let rounds: Vec<_> = self
            .heads
            .all()
            .into_iter()
            .map(|(tenant, head)| async move {
                if !self.group.is_leader() {
                    return;
                }
                if let Err(error) = self.round_of(&tenant, &head).await {
                    tracing::warn!(group = %self.group.id(), %tenant, %error, "cut not finished, will be tried again");
                }
            })
            .collect();
        stream::iter(rounds).buffer_unordered(TENANTS_AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn round_of(&self, tenant: &TenantId, head: &SharedHead) -> Result<(), IngesterError> {
        let due = due(&head.read(), self.runtime.now_ms(), self.jitter_ms(tenant));
        if let Some(until) = due {
            self.propose(self.cut_of(tenant, until)).await?;
        }
        self.publish_pending(tenant, head, &mut FlushReport::default()).await?;
        let overlap = i64::try_from(self.query_overlap.as_millis()).unwrap_or(i64::MAX);
        let floor = droppable(&head.read(), self.runtime.now_ms(), overlap);
        if let Some(floor) = floor {
            self.propose(Command::Drop { tenant: tenant.clone(), floor }).await?;
        }
        Ok(())
    }

    fn cut_of(&self, tenant: &TenantId, until: TimestampMs) -> Command {
        Command::Cut { tenant: tenant.clone(), until, identity: self.runtime.random_u128() }
    }

    /// Cuts everything now, partial windows too; with `drop` also lets it go from the heads.
    pub(crate) async fn flush(&self, drop: bool) -> Result<FlushReport, IngesterError> {
        let _alone = self.alone.lock().await;
        let flushes: Vec<_> = self
            .heads
            .all()
            .into_iter()
            .map(|(tenant, head)| async move { self.flush_of(&tenant, &head, drop).await })
            .collect();
        // All are finished, even when one fails.
        let made: Vec<Result<FlushReport, IngesterError>> =
            stream::iter(flushes).buffer_unordered(TENANTS_AT_ONCE).collect().await;
        let mut report = FlushReport::default();
        for made in made {
            report.add(made?);
        }
        Ok(report)
    }

    async fn flush_of(
        &self,
        tenant: &TenantId,
        head: &SharedHead,
        drop: bool,
    ) -> Result<FlushReport, IngesterError> {
        let mut report = FlushReport::default();
        let (until, is_cut_needed) = {
            let head = head.read();
            if head.max_t == TimestampMs::MIN {
                return Ok(report);
            }
            // What is ahead of the clock stays open, or all that follows would be late.
            let until = head.max_t.min(self.runtime.now_ms()).saturating_add(1);
            (until, !head.late.is_empty() || (until > head.frozen_until && head.has_open()))
        };
        if is_cut_needed {
            self.propose(self.cut_of(tenant, until)).await?;
        }
        self.publish_pending(tenant, head, &mut report).await?;
        let is_drop_needed = drop && {
            let head = head.read();
            lets_go(&head, until.min(head.floor_max()))
        };
        if is_drop_needed {
            self.propose(Command::Drop { tenant: tenant.clone(), floor: until }).await?;
        }
        Ok(report)
    }

    fn jitter_ms(&self, tenant: &TenantId) -> i64 {
        let mut key = tenant.as_str().as_bytes().to_vec();
        key.extend_from_slice(&self.group.id().0.to_le_bytes());
        (xxhash_rust::xxh3::xxh3_64(&key) % JITTER_MS) as i64
    }

    async fn propose(&self, command: Command) -> Result<(), IngesterError> {
        let entry = EntryWriter::command(self.runtime.now_ms(), &command);
        Box::pin(self.group.propose(entry)).await?;
        Ok(())
    }

    async fn publish_pending(
        &self,
        tenant: &TenantId,
        head: &SharedHead,
        report: &mut FlushReport,
    ) -> Result<(), IngesterError> {
        let pending: Vec<Arc<Cut>> = head.read().pending_cuts().cloned().collect();
        for cut in pending {
            let (block, made) = Box::pin(self.publish(tenant, head, &cut)).await?;
            report.add(made);
            let (window, generation) = (cut.window, cut.generation);
            self.propose(Command::Published { tenant: tenant.clone(), window, generation, block }).await?;
        }
        Ok(())
    }

    /// Makes the block of a cut, uploads and publishes it: the block that is live for the cut, by this or an
    /// earlier attempt, and what was made now. No block when the cut is empty.
    async fn publish(
        &self,
        tenant: &TenantId,
        head: &SharedHead,
        cut: &Arc<Cut>,
    ) -> Result<(Option<BlockId>, FlushReport), IngesterError> {
        let block_error = |source: BlockError| IngesterError::Block { tenant: tenant.clone(), source };
        let random = self.runtime.random_u128();
        let spec = BlockSpec {
            tenant: tenant.clone(),
            block: BlockId::new(self.runtime.now_ms().unsigned_abs(), random),
            slots: self.slots,
            start: cut.window,
            end: cut.window + WINDOW_MS,
            generation: cut.generation,
            level: 0,
            log_first: cut.log.0,
            log_last: cut.log.1,
            sources: Vec::new(),
        };
        let mut job = Box::new(BlockJob {
            writer: BlockWriter::new(spec).map_err(block_error)?,
            head: Arc::clone(head),
            cut: Arc::clone(cut),
        });
        let (shared, wanted) = (Arc::clone(head), Arc::clone(cut));
        let series = self.runtime.cpu(move || series_of(&shared, &wanted)).await;
        let mut rest = series.into_iter();
        loop {
            let batch: Vec<Entry> = rest.by_ref().take(SERIES_PER_BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let (back, result) = self
                .runtime
                .cpu(move || {
                    let result = job.push(&batch);
                    (job, result)
                })
                .await;
            job = back;
            match result {
                Ok(()) => {}
                Err(Some(source)) => return Err(block_error(source)),
                Err(None) => return Err(IngesterError::Damaged { tenant: tenant.clone() }),
            }
        }
        let writer = job.writer;
        let (mut meta, mut files) = self.runtime.cpu(move || writer.finish()).await.map_err(block_error)?;
        let counts = meta.counts;
        if counts.series == 0 {
            return Ok((None, FlushReport::default()));
        }
        // The last one is `meta.json`: it waits until the generation is known.
        files.pop();
        meta.cut = format!("{:032x}", cut.identity);
        block::upload(self.catalogs.bucket(), &meta.folder(), files).await.map_err(block_error)?;
        // What is published must never be ahead of what a restart would find in the log.
        self.group.wait_flushed(cut.log.1).await;
        let live = self.publish_once(meta).await.map_err(block_error)?;
        let report = match live {
            Live::This(_) => {
                FlushReport { blocks: 1, series: counts.series, samples: counts.samples + counts.histograms }
            }
            Live::Earlier(_) => FlushReport::default(),
        };
        let (Live::This(block) | Live::Earlier(block)) = live;
        Ok((Some(block), report))
    }

    /// Publishes a block whose files lie in the bucket, but for `meta.json`, unless its cut is published
    /// already. Where another store has published the same window and generation, those are other samples:
    /// ours go beside them as the next generation that is free.
    async fn publish_once(&self, mut meta: BlockMeta) -> Result<Live, BlockError> {
        let bucket = self.catalogs.bucket();
        let catalog = self.catalogs.get(&meta.tenant).await?;
        for _ in 0..GENERATIONS_TRIED_MAX {
            meta.generation = catalog.state().free_generation(&meta);
            block::upload_meta(bucket, &meta).await?;
            match catalog.publish_block(Arc::new(meta.clone())).await {
                Ok(Published::Committed) => return Ok(Live::This(meta.block)),
                Ok(Published::AlreadyPublished(other)) if other.is_same_cut(&meta) => {
                    tracing::info!(tenant = %meta.tenant, block = %other.block, "cut was published before, this block is not needed");
                    if let Err(error) = block::delete_files(bucket, &meta).await {
                        tracing::warn!(tenant = %meta.tenant, %error, "files of an unneeded block not deleted");
                    }
                    return Ok(Live::Earlier(other.block));
                }
                // Somebody was faster; the catalog knows by now.
                Ok(Published::AlreadyPublished(_)) | Err(BlockError::Edit { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(BlockError::Contention { tenant: meta.tenant.to_string(), attempts: GENERATIONS_TRIED_MAX })
    }
}

/// Which block holds a cut now.
enum Live {
    /// The one just made.
    This(BlockId),
    /// One of an earlier attempt.
    Earlier(BlockId),
}

/// Until when to cut now, if at all.
fn due(head: &TenantHead, now: TimestampMs, jitter: i64) -> Option<TimestampMs> {
    let has_open = head.max_t >= head.frozen_until && head.max_t > TimestampMs::MIN && head.has_open();
    let late_since = head.late.values().map(|late| late.since).min();
    if !has_open && late_since.is_none() {
        return None;
    }
    let by_watermark = window_of(head.max_t.saturating_sub(CUT_AFTER_MS + jitter));
    let is_idle = now.saturating_sub(head.last_write) >= IDLE_MS + jitter;
    if has_open && is_idle {
        return Some(head.max_t.min(now).saturating_add(1));
    }
    if has_open && by_watermark > head.frozen_until && head.oldest().is_some_and(|t| t < by_watermark) {
        return Some(by_watermark);
    }
    let is_late_due = late_since.is_some_and(|since| now.saturating_sub(since) >= LATE_AGE_MS + jitter)
        || (late_since.is_some() && is_idle)
        || head.late.values().map(|late| late.bytes()).sum::<usize>() > LATE_BYTES_MAX;
    is_late_due.then_some(head.frozen_until)
}

/// The floor to drop to, when that lets something go.
fn droppable(head: &TenantHead, now: TimestampMs, overlap: i64) -> Option<TimestampMs> {
    if head.max_t == TimestampMs::MIN {
        return None;
    }
    // Event time decides, unless the senders have stopped.
    let is_idle = now.saturating_sub(head.last_write) >= IDLE_MS;
    let watermark = if is_idle { head.max_t.max(now.saturating_sub(IDLE_MS)) } else { head.max_t };
    let wanted = window_of(watermark.saturating_sub(overlap)).min(head.floor_max());
    lets_go(head, wanted).then_some(wanted.max(head.floor))
}

/// Whether dropping to `floor` lets anything go.
fn lets_go(head: &TenantHead, floor: TimestampMs) -> bool {
    let oldest = head.oldest();
    let is_cut_over =
        head.cuts.iter().any(|state| state.is_published && state.cut.until <= floor.max(head.floor));
    is_cut_over
        || (floor > head.floor && head.frozen_until > TimestampMs::MIN && oldest.is_some_and(|t| t < floor))
        // A second time, for the last series.
        || (oldest.is_none() && head.series.len() > 0 && head.previous_floor < head.floor)
}

/// One series of a block.
struct Entry {
    labels: Labels,
    id: SeriesId,
    reference: u32,
}

/// The series that may have something in the cut, in the order of the block.
fn series_of(head: &SharedHead, cut: &Cut) -> Vec<Entry> {
    let head = head.read();
    let mut entries = Vec::new();
    let mut add = |row: u32| {
        entries.push(Entry {
            labels: head.labels(row),
            id: head.series.id[row as usize],
            reference: head.series.reference[row as usize],
        });
    };
    if cut.in_order.is_empty() {
        let late = cut.late.series.keys().copied();
        let mut references: Vec<u32> = late.chain(cut.exemplars.iter().map(|e| e.reference)).collect();
        references.sort_unstable();
        references.dedup();
        references.into_iter().filter_map(|reference| head.series.row_of(reference)).for_each(&mut add);
    } else {
        for row in &head.series.rows {
            let at = row as usize;
            if head.series.last_t[at] >= cut.in_order.start
                || head.series.flags[at] & (HAS_LATE | HAS_HISTOGRAMS) != 0
            {
                add(row);
            }
        }
    }
    drop(head);
    entries.sort_by(|a, b| block::series_order(&a.labels, &b.labels));
    entries
}

struct BlockJob {
    writer: BlockWriter,
    head: SharedHead,
    cut: Arc<Cut>,
}

impl BlockJob {
    /// Reads, decodes and encodes a run of series. `Err(None)`: a chunk in memory is damaged.
    fn push(&mut self, batch: &[Entry]) -> Result<(), Option<BlockError>> {
        let (read, metadata) = {
            let head = self.head.read();
            let references = batch.iter().map(|entry| entry.reference);
            let read = head.prepare_read(references, self.cut.in_order, LateWanted::OfCut(&self.cut));
            let known = |entry: &Entry| head.metadata.get(entry.labels.metric_name()).cloned();
            let metadata: Vec<Option<Metadata>> = batch.iter().map(known).collect();
            for entry in batch {
                note_family(&head, &mut self.writer, entry.labels.metric_name());
            }
            (read, metadata)
        };
        let samples: SampleBatch = read.decode().ok_or(None)?;
        for (i, entry) in batch.iter().enumerate() {
            let histograms: Vec<BlockHistogram> = read
                .stored_histograms(i)
                .iter()
                .map(|stored| BlockHistogram {
                    t: stored.t,
                    start_t: stored.start_t,
                    histogram: (*stored.histogram).clone(),
                })
                .collect();
            let own = self.cut.exemplars.iter().filter(|e| e.reference == entry.reference);
            let mut exemplars: Vec<Exemplar> = own.map(|stored| stored.exemplar.clone()).collect();
            exemplars.sort_by_key(|exemplar| exemplar.t);
            let series = BlockSeries {
                labels: &entry.labels,
                id: entry.id,
                metadata: metadata[i].as_ref(),
                timestamps: samples.timestamps_of(i),
                values: samples.values_of(i),
                start_ts: samples.series[i].start_ts.as_deref(),
                histograms: &histograms,
                exemplars: &exemplars,
            };
            self.writer.push(&series).map_err(Some)?;
        }
        Ok(())
    }
}

/// Metadata of the family that a part of a histogram or summary belongs to.
fn note_family(head: &TenantHead, writer: &mut BlockWriter, name: &str) {
    for part in ["_bucket", "_count", "_sum", "_total", "_info", "_created"] {
        if let Some(family) = name.strip_suffix(part)
            && let Some(metadata) = head.metadata.get(family)
        {
            writer.metadata(family, metadata);
        }
    }
}
