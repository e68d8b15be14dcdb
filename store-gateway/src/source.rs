//! The source of old data: finds the blocks of a request, asks each, puts the answers together.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use block::{
    BlockCache, BlockCacheOptions, BlockError, BlockMeta, BlockReader, BlockSelection, Catalogs, Edit,
};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use model::{BlockId, Exemplar, Labels, Matcher, Metadata, SeriesId, TenantId, TimeRange, TimestampMs};
use proto::{
    DataChanges, DataVersion, LabelsWanted, MetadataRequest, PartUse, SelectRequest, SelectedSeries,
    Selection, SeriesExemplars, Source, SourceError,
};
use runtime::Runtime;
use tokio::sync::Semaphore;

use crate::changes::SeenCatalogs;
use crate::damage::{Damage, DamagedBlock, source_error};
use crate::selection::{Bounds, Found, MergedSelection, PERMIT_BYTES, Told};

/// Blocks of each kind that are told of when it is asked what a selection reads.
const PARTS_TOLD_MAX: usize = 1000;
/// Fewer series than these are gathered at once: that is over before another thread would have begun.
const INLINE_SERIES: usize = 1 << 11;
/// Blocks whose metadata is looked at, newest first.
const METADATA_BLOCKS_MAX: usize = 64;

/// How much the source may use.
#[derive(Debug, Clone)]
pub struct BlockSourceOptions {
    /// What is kept in memory.
    pub cache: BlockCacheOptions,
    /// Blocks asked at once.
    pub concurrency: usize,
    /// Bytes of samples being read at once; a larger read waits until it is alone.
    pub read_bytes: usize,
}

impl Default for BlockSourceOptions {
    fn default() -> Self {
        BlockSourceOptions { cache: BlockCacheOptions::default(), concurrency: 16, read_bytes: 1 << 30 }
    }
}

/// Reads from blocks.
#[derive(Debug)]
pub struct BlockSource {
    runtime: Runtime,
    catalogs: Arc<Catalogs>,
    cache: BlockCache,
    concurrency: usize,
    bounds: Arc<Bounds>,
    damage: Arc<Damage>,
    seen: SeenCatalogs,
}

impl BlockSource {
    /// Over the blocks of `catalogs`. Reads nothing yet.
    pub fn new(runtime: Runtime, catalogs: Arc<Catalogs>, options: &BlockSourceOptions) -> Self {
        let concurrency = options.concurrency.max(1);
        let permits = u32::try_from(options.read_bytes / PERMIT_BYTES).unwrap_or(u32::MAX >> 4).max(1);
        BlockSource {
            runtime,
            catalogs,
            cache: BlockCache::new(&options.cache),
            concurrency,
            bounds: Arc::new(Bounds {
                readers: Semaphore::new(concurrency),
                budget: Semaphore::new(permits as usize),
                budget_permits: permits,
            }),
            damage: Arc::default(),
            seen: SeenCatalogs::default(),
        }
    }

    /// What is kept in memory.
    pub fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// Blocks found damaged since the start.
    pub fn damaged_blocks(&self) -> Vec<DamagedBlock> {
        self.damage.all()
    }

    /// Sets the damaged blocks aside in their catalogs, so that nobody asks them again; how many.
    pub async fn set_aside_damaged(&self) -> Result<usize, BlockError> {
        let mut done = 0;
        for damaged in self.damage.all() {
            let catalog = self.catalogs.get(&damaged.tenant).await?;
            if catalog.state().live_block(damaged.block).is_some() {
                let (block, at) = (damaged.block.to_string(), self.runtime.now_ms());
                catalog.publish(vec![Edit::SetAside { block, at, reason: damaged.reason }]).await?;
                done += 1;
            }
            self.damage.forget(damaged.block);
        }
        Ok(done)
    }

    /// Selects from all blocks but those in `except`: the reader has their samples already.
    pub async fn select_except(
        &self,
        request: &SelectRequest,
        except: &BTreeSet<BlockId>,
    ) -> Result<Arc<dyn Selection>, SourceError> {
        let matchers: Arc<[Matcher]> = Arc::from(request.matchers.clone());
        let range = request.range;
        let ask = |reader: BlockReader| {
            let matchers = Arc::clone(&matchers);
            async move {
                let selection = reader.select(&matchers, range).await?;
                Ok(Found { reader, selection })
            }
        };
        let (mut blocks, warnings) = self.ask(&request.tenant, range, except, ask).await?;
        let mut storage = self.other_times(&request.tenant, range, except).await?;
        storage.extend(blocks.iter().map(Found::told).take(PARTS_TOLD_MAX));
        blocks.retain(|found| !found.selection.rows().is_empty());
        let selections: Vec<BlockSelection> = blocks.iter().map(|f| f.selection.clone()).collect();
        let (wanted, series_max) = (request.labels.clone(), request.series_max);
        let count: usize = selections.iter().map(|selection| selection.rows().len()).sum();
        let gather = move || gather(&selections, &wanted, series_max);
        let gathered = if count < INLINE_SERIES { gather() } else { self.runtime.cpu(gather).await }?;
        Ok(Arc::new(MergedSelection {
            runtime: self.runtime.clone(),
            range,
            blocks,
            series: gathered.series,
            parts: gathered.parts,
            warnings,
            storage,
            bounds: Arc::clone(&self.bounds),
            damage: Arc::clone(&self.damage),
        }))
    }

    /// Behind the last sample of all blocks but those in `except`, damaged ones included; `TimestampMs::MIN` when
    /// there are none.
    pub async fn end_except(
        &self,
        tenant: &TenantId,
        except: &BTreeSet<BlockId>,
    ) -> Result<TimestampMs, SourceError> {
        let catalog = self.catalogs.get(tenant).await.map_err(|e| source_error(&e))?;
        let state = catalog.state();
        let live = state.live.iter().map(|meta| (meta.block, meta.max_t));
        let aside = state.set_aside.values().map(|retired| (retired.meta.block, retired.meta.max_t));
        let others = live.chain(aside).filter(|(block, _)| !except.contains(block));
        Ok(others.map(|(_, max_t)| max_t.saturating_add(1)).max().unwrap_or(TimestampMs::MIN))
    }

    /// The live blocks of a tenant that have anything in `range`, and warnings about those left out.
    async fn blocks(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        except: &BTreeSet<BlockId>,
    ) -> Result<(Vec<Arc<BlockMeta>>, Vec<String>), SourceError> {
        let catalog = self.catalogs.get(tenant).await.map_err(|e| source_error(&e))?;
        let (mut blocks, mut warnings) = (Vec::new(), Vec::new());
        for meta in catalog.live().iter() {
            if meta.min_t >= range.end || meta.max_t < range.start || except.contains(&meta.block) {
                continue;
            }
            match self.damage.reason(meta.block) {
                Some(reason) => warnings.push(left_out(&reason)),
                None => blocks.push(Arc::clone(meta)),
            }
        }
        let set_aside = catalog.state().set_aside;
        for retired in set_aside.values().filter(|r| r.meta.window().overlaps(&range)) {
            warnings.push(left_out(&retired.reason));
        }
        Ok((blocks, warnings))
    }

    /// The live blocks that hold other times, as far as they are told.
    async fn other_times(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        except: &BTreeSet<BlockId>,
    ) -> Result<Vec<Told>, SourceError> {
        let catalog = self.catalogs.get(tenant).await.map_err(|e| source_error(&e))?;
        let is_other = |meta: &&Arc<BlockMeta>| {
            (meta.min_t >= range.end || meta.max_t < range.start) && !except.contains(&meta.block)
        };
        let told =
            |meta: &Arc<BlockMeta>| Told { meta: Arc::clone(meta), used: PartUse::OtherTime, series: 0 };
        Ok(catalog.live().iter().filter(is_other).take(PARTS_TOLD_MAX).map(told).collect())
    }

    fn reader(&self, meta: Arc<BlockMeta>) -> BlockReader {
        BlockReader::new(self.runtime.clone(), self.catalogs.bucket().clone(), self.cache.clone(), meta)
    }

    /// Asks every block; a damaged one is left out with a warning. Answers in the order of the blocks.
    async fn ask<T, F>(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        except: &BTreeSet<BlockId>,
        ask: impl Fn(BlockReader) -> F + Sync,
    ) -> Result<(Vec<T>, Vec<String>), SourceError>
    where
        T: Send,
        F: Future<Output = Result<T, BlockError>> + Send,
    {
        let (blocks, mut warnings) = self.blocks(tenant, range, except).await?;
        let asks: Vec<_> = blocks
            .into_iter()
            .map(|meta| {
                let block = meta.block;
                let asked = ask(self.reader(meta));
                async move {
                    let _slot = self.bounds.readers.acquire().await.expect("the semaphore is never closed");
                    match asked.await {
                        Ok(answer) => Ok(Ok(answer)),
                        Err(error) if self.damage.note(tenant, block, &error) => {
                            Ok(Err(left_out(&error.to_string())))
                        }
                        Err(error) => Err(source_error(&error)),
                    }
                }
            })
            .collect();
        let answers: Vec<Result<T, String>> =
            futures::stream::iter(asks).buffered(self.concurrency).try_collect().await?;
        let mut out = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(answer) => out.push(answer),
                Err(warning) => warnings.push(warning),
            }
        }
        Ok((out, warnings))
    }

    /// Every block's selection for each of the matcher sets.
    async fn select_any(
        &self,
        request: &MetadataRequest,
    ) -> Result<Vec<(BlockReader, Vec<BlockSelection>)>, SourceError> {
        let sets = sets(request);
        let range = request.range;
        let ask = |reader: BlockReader| {
            let sets = sets.clone();
            async move {
                let mut found = Vec::with_capacity(sets.len());
                for matchers in sets.iter() {
                    found.push(reader.select(matchers, range).await?);
                }
                Ok((reader, found))
            }
        };
        Ok(self.ask(&request.tenant, range, &BTreeSet::new(), ask).await?.0)
    }
}

fn left_out(reason: &str) -> String {
    format!("a damaged block was left out: {reason}")
}

/// The matcher sets of a request; none means everything.
fn sets(request: &MetadataRequest) -> Arc<Vec<Vec<Matcher>>> {
    Arc::new(if request.matchers.is_empty() { vec![Vec::new()] } else { request.matchers.clone() })
}

fn limited<T>(set: BTreeSet<T>, limit: usize) -> Vec<T> {
    let max = if limit == 0 { usize::MAX } else { limit };
    set.into_iter().take(max).collect()
}

/// Gathers series from blocks: each once, by identity.
struct Gathered {
    series: Vec<SelectedSeries>,
    /// Where each lies; empty when there is one block, which holds all in its order.
    parts: Vec<Vec<(u32, u32)>>,
}

fn gather(
    blocks: &[BlockSelection],
    wanted: &LabelsWanted,
    series_max: usize,
) -> Result<Gathered, SourceError> {
    let mut known: HashMap<SeriesId, usize> = HashMap::new();
    let mut out = Gathered { series: Vec::new(), parts: Vec::new() };
    let wants = |name: &str| wanted.wants(name);
    let projection: Option<&dyn Fn(&str) -> bool> =
        if *wanted == LabelsWanted::All { None } else { Some(&wants) };
    let too_many = || SourceError::too_many_series(series_max);
    if let [selection] = blocks {
        let count = selection.rows().len();
        if series_max > 0 && count > series_max {
            return Err(too_many());
        }
        let all: Vec<usize> = (0..count).collect();
        let labels = selection.labels(&all, projection).map_err(|e| source_error(&e))?;
        let with_id = |(i, labels)| SelectedSeries { id: selection.id(i), labels };
        out.series = labels.into_iter().enumerate().map(with_id).collect();
        return Ok(out);
    }
    for (number, selection) in blocks.iter().enumerate() {
        let mut fresh = Vec::new();
        for i in 0..selection.rows().len() {
            let id = selection.id(i);
            let part = (number as u32, i as u32);
            match known.get(&id) {
                Some(at) => out.parts[*at].push(part),
                None => {
                    known.insert(id, out.parts.len());
                    out.parts.push(vec![part]);
                    fresh.push(i);
                }
            }
        }
        if series_max > 0 && out.parts.len() > series_max {
            return Err(too_many());
        }
        let labels = selection.labels(&fresh, projection).map_err(|e| source_error(&e))?;
        let ids = fresh.iter().map(|i| selection.id(*i));
        out.series.extend(ids.zip(labels).map(|(id, labels)| SelectedSeries { id, labels }));
    }
    Ok(out)
}

#[async_trait]
impl Source for BlockSource {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.select_except(request, &BTreeSet::new()).await
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let (sets, range) = (sets(request), request.range);
        let ask = |reader: BlockReader| {
            let sets = Arc::clone(&sets);
            async move {
                let mut names = BTreeSet::new();
                for matchers in sets.iter() {
                    names.append(&mut reader.label_names(matchers, range).await?);
                }
                Ok(names)
            }
        };
        let (answers, _) = self.ask(&request.tenant, range, &BTreeSet::new(), ask).await?;
        Ok(limited(answers.into_iter().flatten().collect(), request.limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let (sets, range) = (sets(request), request.range);
        let name: Arc<str> = Arc::from(name);
        let ask = |reader: BlockReader| {
            let (sets, name) = (Arc::clone(&sets), Arc::clone(&name));
            async move {
                let mut values = BTreeSet::new();
                for matchers in sets.iter() {
                    values.append(&mut reader.label_values(&name, matchers, range).await?);
                }
                Ok(values)
            }
        };
        let (answers, _) = self.ask(&request.tenant, range, &BTreeSet::new(), ask).await?;
        Ok(limited(answers.into_iter().flatten().collect(), request.limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let found = self.select_any(request).await?;
        let selections: Vec<BlockSelection> = found.into_iter().flat_map(|(_, s)| s).collect();
        let gathered = self.runtime.cpu(move || gather(&selections, &LabelsWanted::All, 0)).await?;
        let mut labels: Vec<Labels> = gathered.series.into_iter().map(|s| s.labels).collect();
        // a block's order is nearly this one
        labels.sort();
        labels.dedup();
        if request.limit > 0 {
            labels.truncate(request.limit);
        }
        Ok(labels)
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let catalog = self.catalogs.get(tenant).await.map_err(|e| source_error(&e))?;
        let live = catalog.live();
        let newest = live.iter().rev().filter(|m| self.damage.reason(m.block).is_none());
        let mut out: BTreeMap<String, Metadata> = BTreeMap::new();
        for meta in newest.take(METADATA_BLOCKS_MAX) {
            let all = match self.reader(Arc::clone(meta)).metadata().await {
                Ok(all) => all,
                Err(error) if self.damage.note(tenant, meta.block, &error) => continue,
                Err(error) => return Err(source_error(&error)),
            };
            for (name, metadata) in all.iter() {
                if metric.is_none_or(|m| m == name) && !out.contains_key(name) {
                    out.insert(name.clone(), metadata.clone());
                }
            }
        }
        Ok(out.into_iter().collect())
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let mut out: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for (reader, selections) in self.select_any(request).await? {
            for selection in selections {
                let found = reader.exemplars(&selection, request.range).await.map_err(|error| {
                    self.damage.note(&request.tenant, reader.meta().block, &error);
                    source_error(&error)
                })?;
                for (i, exemplar) in found {
                    let labels = selection.labels(&[i], None).map_err(|e| source_error(&e))?;
                    out.entry(labels.into_iter().next().unwrap_or_else(Labels::empty))
                        .or_default()
                        .push(exemplar);
                }
            }
        }
        let sorted = out.into_iter().map(|(labels, mut exemplars)| {
            exemplars.sort_by(|a, b| a.t.cmp(&b.t).then_with(|| a.labels.cmp(&b.labels)));
            exemplars.dedup_by(|a, b| {
                a.t == b.t && a.labels == b.labels && a.value.to_bits() == b.value.to_bits()
            });
            SeriesExemplars { labels, exemplars }
        });
        Ok(sorted.collect())
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        let damage = self.damage.version();
        let catalog = self.catalogs.get(tenant).await.ok()?;
        Some(self.seen.changes(tenant, &catalog.state(), damage, since))
    }
}
