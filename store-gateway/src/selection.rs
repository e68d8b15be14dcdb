//! Series found in several blocks, and their samples.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use block::{BlockMeta, BlockReader, BlockSelection};
use futures::future::try_join_all;
use model::{SampleBatch, TimeRange};
use proto::{PartUse, SelectedSeries, Selection, SourceError, StoragePart};
use runtime::Runtime;
use tokio::sync::Semaphore;

use crate::damage::{Damage, source_error};
use crate::merge::{Part, merge};

/// Bytes a float sample takes while it is read and merged.
const SAMPLE_BYTES: usize = 24;
/// How far before its range a read looks for the histogram that the first one follows.
const EARLIER_MS: i64 = 10 * 60_000;
/// Fewer values than these are merged at once: that is over before another thread would have begun.
const INLINE_VALUES: usize = 1 << 17;
/// Bytes of a permit of the budget.
pub(crate) const PERMIT_BYTES: usize = 64 << 10;

/// One block with what matched in it.
pub(crate) struct Found {
    pub(crate) reader: BlockReader,
    pub(crate) selection: BlockSelection,
}

/// A block, for people who ask what a selection reads.
pub(crate) struct Told {
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) used: PartUse,
    /// That match in it.
    pub(crate) series: usize,
}

impl Told {
    fn shown(&self) -> StoragePart {
        let meta = &self.meta;
        let name = format!("block {} of {}..{} s", meta.block, meta.start / 1000, meta.end / 1000);
        StoragePart { name, used: self.used, series: self.series }
    }
}

impl Found {
    pub(crate) fn told(&self) -> Told {
        let series = self.selection.rows().len();
        let used = if series == 0 { PartUse::NoMatch } else { PartUse::Read };
        Told { meta: Arc::clone(self.reader.meta()), used, series }
    }
}

/// What all reads of a process share.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Blocks read at once.
    pub(crate) readers: Semaphore,
    /// Bytes being read and merged, in permits.
    pub(crate) budget: Semaphore,
    pub(crate) budget_permits: u32,
}

/// The answer to a select.
pub(crate) struct MergedSelection {
    pub(crate) runtime: Runtime,
    pub(crate) range: TimeRange,
    /// By window, then generation.
    pub(crate) blocks: Vec<Found>,
    pub(crate) series: Vec<SelectedSeries>,
    /// Per series: (block, index in its selection), in the order of the blocks; empty when there is one block,
    /// whose series are these.
    pub(crate) parts: Vec<Vec<(u32, u32)>>,
    pub(crate) warnings: Vec<String>,
    pub(crate) storage: Vec<Told>,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) damage: Arc<Damage>,
}

impl MergedSelection {
    fn permits(&self, wanted: &[Vec<usize>]) -> u32 {
        let samples: usize = wanted
            .iter()
            .zip(&self.blocks)
            .flat_map(|(rows, block)| rows.iter().map(|i| block.selection.sample_count(*i)))
            .sum();
        let permits = samples.saturating_mul(SAMPLE_BYTES) / PERMIT_BYTES + 1;
        u32::try_from(permits).unwrap_or(u32::MAX).min(self.bounds.budget_permits)
    }

    async fn read_block(
        &self,
        block: &Found,
        wanted: &[usize],
        times: TimeRange,
    ) -> Result<SampleBatch, SourceError> {
        let _slot = self.bounds.readers.acquire().await.expect("the semaphore is never closed");
        let rows: Vec<_> = wanted.iter().map(|i| block.selection.rows()[*i]).collect();
        block.reader.read(&rows, times).await.map_err(|error| {
            let meta = block.reader.meta();
            self.damage.note(&meta.tenant, meta.block, &error);
            source_error(&error)
        })
    }

    /// Reads the series `range` between these times; hints of histograms are as they were written.
    async fn read_times(&self, range: Range<usize>, times: TimeRange) -> Result<SampleBatch, SourceError> {
        // of each block, the wanted series; and where each series' parts are in them
        let mut wanted: Vec<Vec<usize>> = vec![Vec::new(); self.blocks.len()];
        let count = range.len();
        let mut parts: Vec<Vec<Part>> = Vec::new();
        if let [only] = &mut wanted[..] {
            only.extend(range.clone());
        }
        for of in self.parts.get(range).unwrap_or_default() {
            let place = |(block, i): &(u32, u32)| {
                let rows = &mut wanted[*block as usize];
                rows.push(*i as usize);
                Part { batch: *block as usize, index: rows.len() - 1 }
            };
            parts.push(of.iter().map(place).collect());
        }
        let permits = self.permits(&wanted);
        let _budget = self.bounds.budget.acquire_many(permits).await.expect("the semaphore is never closed");
        let reads = self.blocks.iter().zip(&wanted).map(|(block, wanted)| async move {
            if wanted.is_empty() {
                Ok(SampleBatch::default())
            } else {
                self.read_block(block, wanted, times).await
            }
        });
        let mut batches = try_join_all(reads).await?;
        let alone = batches.iter().position(|b| b.series.len() == count);
        if let Some(alone) = alone
            && batches.iter().enumerate().all(|(i, b)| i == alone || b.series.is_empty())
        {
            return Ok(batches.swap_remove(alone));
        }
        let values: usize = batches.iter().map(|batch| batch.values.len() + batch.histograms.len()).sum();
        if values < INLINE_VALUES {
            return Ok(merge(&batches, &parts));
        }
        Ok(self.runtime.cpu(move || merge(&batches, &parts)).await)
    }
}

#[async_trait]
impl Selection for MergedSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let mut batch = self.read_times(range.clone(), self.range).await?;
        if !batch.histograms.is_empty() {
            let start = self.range.start;
            let earlier = TimeRange::new(start.saturating_sub(EARLIER_MS), start);
            let earlier = if earlier.is_empty() {
                SampleBatch::default()
            } else {
                self.read_times(range, earlier).await?
            };
            batch.hint_counter_resets_after(&earlier.last_histograms());
        }
        Ok(batch)
    }

    fn bytes_estimate(&self) -> Option<usize> {
        let of = |block: &Found| {
            let rows = 0..block.selection.rows().len();
            let samples: usize = rows.map(|i| block.selection.sample_count(i)).sum();
            let (first, last) = (block.reader.meta().min_t, block.reader.meta().max_t);
            let wanted = last.min(self.range.end).saturating_sub(first.max(self.range.start)).max(0) as f64;
            let part = (wanted / (last - first).max(1) as f64).min(1.0);
            (samples as f64 * part) as usize * SAMPLE_BYTES
        };
        Some(self.blocks.iter().map(of).sum())
    }

    fn storage(&self) -> Vec<StoragePart> {
        self.storage.iter().map(Told::shown).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
