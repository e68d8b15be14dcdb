//! The ingester of a node: its data groups, their heads, writers and cutters.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use block::Catalogs;
use cluster::{Cluster, Group};
use model::{BlockId, GroupId, SeriesId, SlotRange, TenantId, TimestampMs};
use parking_lot::Mutex;
use proto::{AppendBatch, AppendError, AppendOutcome, AppendSamples};
use runtime::{Runtime, Shutdown, Task};

use crate::config::IngesterConfig;
use crate::cut::{Cutter, FlushReport};
use crate::error::IngesterError;
use crate::machine::{Heads, Machine};
use crate::select::HeadSource;
use crate::stats::{self, HeadStatus, IngesterStats};
use crate::writer::GroupWriter;

/// Slots of a tenant.
const SLOTS: u32 = 4096;

#[derive(Debug)]
struct DataGroup {
    id: GroupId,
    heads: Arc<Heads>,
    writer: GroupWriter,
    cutter: Arc<Cutter>,
}

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    groups: Vec<DataGroup>,
    shutdown: Shutdown,
    cutting: Mutex<Option<Task<()>>>,
}

/// The ingester; clones are the same one.
#[derive(Debug, Clone)]
pub struct Ingester {
    inner: Arc<Inner>,
}

/// The slots of group `index` of `count`.
fn slots_of(index: u32, count: u32) -> SlotRange {
    let first = index * SLOTS / count;
    let last = (index + 1) * SLOTS / count - 1;
    SlotRange { first: first as u16, last: last as u16 }
}

impl Ingester {
    /// Starts the data groups on `cluster`, restores their heads, and waits until they take writes.
    /// Cuts that were not finished are finished in the background.
    pub async fn start(
        runtime: Runtime,
        cluster: &Cluster,
        catalogs: Arc<Catalogs>,
        config: IngesterConfig,
    ) -> Result<Self, IngesterError> {
        let count = config.groups.clamp(1, SLOTS);
        let mut groups = Vec::new();
        for index in 0..count {
            let id = GroupId(GroupId::FIRST_DATA.0 + index);
            let heads = Arc::new(Heads::default());
            let machine = Box::new(Machine::new(Arc::clone(&heads)));
            let group: Group = Box::pin(cluster.start_group(id, machine)).await?;
            let cutter = Arc::new(Cutter {
                runtime: runtime.clone(),
                group: group.clone(),
                slots: slots_of(index, count),
                heads: Arc::clone(&heads),
                catalogs: Arc::clone(&catalogs),
                query_overlap: config.query_overlap,
                alone: tokio::sync::Mutex::new(()),
            });
            let writer = GroupWriter::start(&runtime, group, Arc::clone(&config.limits));
            groups.push(DataGroup { id, heads, writer, cutter });
        }
        for group in &groups {
            Box::pin(group.cutter.group.is_ready()).await?;
        }
        let shutdown = Shutdown::new();
        let inner = Arc::new(Inner {
            runtime: runtime.clone(),
            groups,
            shutdown: shutdown.clone(),
            cutting: Mutex::new(None),
        });
        let cutters: Vec<Arc<Cutter>> = inner.groups.iter().map(|group| Arc::clone(&group.cutter)).collect();
        let every = config.cut_check;
        let clock = runtime.clone();
        let task = runtime.spawn("cutter", async move {
            loop {
                tokio::select! { biased;
                    () = shutdown.cancelled() => return,
                    () = clock.sleep(every) => {}
                }
                for cutter in &cutters {
                    Box::pin(cutter.round()).await;
                }
            }
        });
        *inner.cutting.lock() = Some(task);
        Ok(Ingester { inner })
    }

    /// Looks once at every head for what is due to be cut, published or dropped, as the background task
    /// does by itself.
    pub async fn cut_due(&self) {
        for group in &self.inner.groups {
            Box::pin(group.cutter.round()).await;
        }
    }

    /// Cuts everything now, partial windows too, and publishes it; with `drop` also lets it go from the
    /// heads at once.
    pub async fn flush(&self, drop: bool) -> Result<FlushReport, IngesterError> {
        let mut report = FlushReport::default();
        for group in &self.inner.groups {
            let made = Box::pin(group.cutter.flush(drop)).await?;
            report.add(made);
        }
        Ok(report)
    }

    /// The heads as a source for the query engine.
    pub fn source(&self) -> HeadSource {
        let groups = self.inner.groups.iter().map(|group| Arc::clone(&group.heads)).collect();
        HeadSource::new(self.inner.runtime.clone(), groups)
    }

    /// Every sample of `tenant` from this time on that is stored at all is in the heads; what lies before
    /// may be in blocks only. `TimestampMs::MIN` when nothing was ever dropped. Look at it *before* the
    /// catalog: data is published before it is dropped.
    pub fn head_min_time(&self, tenant: &TenantId) -> TimestampMs {
        let heads = self.inner.groups.iter().filter_map(|group| group.heads.get(tenant));
        heads.map(|head| head.read().floor).max().unwrap_or(TimestampMs::MIN)
    }

    /// Every sample of `tenant` before this time that is stored at all is in published blocks: the first that is not
    /// lies here or later. `TimestampMs::MAX` when blocks hold everything. Look at it *before* the catalog.
    pub fn blocks_until(&self, tenant: &TenantId) -> TimestampMs {
        let heads = self.inner.groups.iter().filter_map(|group| group.heads.get(tenant));
        heads.map(|head| head.read().unpublished_from()).min().unwrap_or(TimestampMs::MAX)
    }

    /// The published blocks whose every sample the heads still hold: a reader that selects from the heads
    /// first and looks here after can leave them out.
    pub fn held_blocks(&self, tenant: &TenantId) -> BTreeSet<BlockId> {
        let heads = self.inner.groups.iter().filter_map(|group| group.heads.get(tenant));
        let mut held = BTreeSet::new();
        heads.for_each(|head| held.extend(head.read().held_blocks()));
        held
    }

    /// Tenants with a head, sorted.
    pub fn tenants(&self) -> Vec<TenantId> {
        let all = self.inner.groups.iter().flat_map(|group| group.heads.all());
        let mut tenants: Vec<TenantId> = all.map(|(tenant, _)| tenant).collect();
        tenants.sort();
        tenants.dedup();
        tenants
    }

    /// Series in memory per tenant, sorted by tenant.
    pub fn series_by_tenant(&self) -> Vec<(String, u64)> {
        let mut sums = std::collections::BTreeMap::new();
        for (tenant, head) in self.inner.groups.iter().flat_map(|group| group.heads.all()) {
            *sums.entry(tenant.to_string()).or_insert(0) += head.read().series.len() as u64;
        }
        sums.into_iter().collect()
    }

    /// Counts over all heads; walks all groups of series.
    pub fn stats(&self) -> IngesterStats {
        stats::stats(self.inner.groups.iter().map(|group| &*group.heads))
    }

    /// The status of one tenant's heads, with at most `limit` entries per list.
    pub fn status(&self, tenant: &TenantId, limit: usize) -> HeadStatus {
        stats::status(self.inner.groups.iter().map(|group| &*group.heads), tenant, limit)
    }

    /// A number per group that is equal on replicas that applied the same entries.
    pub fn state_hashes(&self) -> Vec<(GroupId, u64)> {
        self.inner.groups.iter().map(|group| (group.id, group.heads.state_hash())).collect()
    }

    /// Stops cutting; waits for the cut under way. The groups are the cluster's to stop.
    pub async fn shutdown(&self) {
        self.inner.shutdown.trigger();
        let task = self.inner.cutting.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "cutter did not end cleanly");
        }
    }
}

#[async_trait]
impl AppendSamples for Ingester {
    fn place(&self, _tenant: &TenantId, series: SeriesId) -> GroupId {
        let count = self.inner.groups.len() as u32;
        // The inverse of `slots_of`.
        let index = ((u32::from(series.slot()) + 1) * count - 1) / SLOTS;
        GroupId(GroupId::FIRST_DATA.0 + index)
    }

    fn place_all(&self, _tenant: &TenantId) -> Option<GroupId> {
        match &self.inner.groups[..] {
            [only] => Some(only.id),
            _ => None,
        }
    }

    async fn append(
        &self,
        tenant: &TenantId,
        group: GroupId,
        batch: AppendBatch,
    ) -> Result<AppendOutcome, AppendError> {
        match self.inner.groups.iter().find(|other| other.id == group) {
            Some(found) => found.writer.append(tenant, batch).await,
            None => {
                Err(AppendError::Failed { group, reason: "it is not a data group of this node".to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_belongs_to_the_group_that_place_names() {
        for count in [1, 2, 3, 5, 7, 4096] {
            for slot in 0..SLOTS {
                let index = ((slot + 1) * count - 1) / SLOTS;
                assert!(slots_of(index, count).contains(slot as u16), "{slot} of {count}");
            }
        }
    }
}
