//! Which blocks came and went: what that changes in the answers of a tenant's queries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockMeta, CatalogState};
use model::{BlockId, TenantId, TimeRange, TimestampMs};
use parking_lot::Mutex;
use proto::{ChangeLog, DataChanges, DataVersion};

/// Tenants whose changes are followed; beyond, all are followed anew.
const TENANTS_MAX: usize = 10_000;

/// What was seen of each tenant's catalog last.
#[derive(Debug, Default)]
pub(crate) struct SeenCatalogs(Mutex<BTreeMap<TenantId, Seen>>);

#[derive(Debug)]
struct Seen {
    version: u64,
    damage: u64,
    live: Arc<Vec<Arc<BlockMeta>>>,
    log: ChangeLog,
}

impl SeenCatalogs {
    /// Looks at a catalog; what changed since `since`. `damage` changes whenever a block is found damaged.
    pub(crate) fn changes(
        &self,
        tenant: &TenantId,
        state: &CatalogState,
        damage: u64,
        since: Option<&DataVersion>,
    ) -> DataChanges {
        let mut all = self.0.lock();
        if let Some(seen) = all.get_mut(tenant) {
            seen.look(state, damage);
            return seen.log.changes(since);
        }
        if all.len() >= TENANTS_MAX {
            all.clear();
        }
        let fresh =
            Seen { version: state.version, damage, live: Arc::clone(&state.live), log: ChangeLog::default() };
        all.entry(tenant.clone()).or_insert(fresh).log.changes(since)
    }
}

impl Seen {
    fn look(&mut self, state: &CatalogState, damage: u64) {
        if self.damage != damage {
            self.damage = damage;
            self.log.note(TimeRange::all());
        }
        // a state read a moment earlier than one that was looked at already tells nothing
        if self.version >= state.version {
            return;
        }
        let ids =
            |blocks: &[Arc<BlockMeta>]| blocks.iter().map(|meta| meta.block).collect::<BTreeSet<BlockId>>();
        let (before, now) = (ids(&self.live), ids(&state.live));
        let gone = self.live.iter().filter(|meta| !now.contains(&meta.block));
        let fresh = state.live.iter().filter(|meta| !before.contains(&meta.block));
        for meta in gone.chain(fresh) {
            self.log.note(reach(meta));
        }
        self.version = state.version;
        self.live = Arc::clone(&state.live);
    }
}

/// Where a block that comes or goes changes answers. A histogram is told apart from a reset by the one before it,
/// which may lie in an earlier block.
fn reach(meta: &BlockMeta) -> TimeRange {
    let start = meta.start.min(meta.min_t);
    let end = meta.end.max(meta.max_t.saturating_add(1));
    TimeRange::new(start, if meta.counts.histograms > 0 { TimestampMs::MAX } else { end })
}
