//! Which blocks of a tenant are live: numbered objects, each a batch of edits, created by put-if-absent.
//!
//! Object n exists before object n+1. Who creates number n+1 first has committed; the others read it and try
//! again on top. Every hundredth state is written as a checkpoint. Nothing lists the bucket after the open.

mod edit;
pub mod invariants;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{BlockId, TenantId};
use parking_lot::RwLock;

use crate::meta::BlockMeta;
use crate::{BlockError, Bucket, BucketError, layout};
use edit::Commit;
pub use edit::{CatalogState, Edit, Retired, fuzz_catalog};

/// Commits between checkpoints.
const CHECKPOINT_EVERY: u64 = 100;
/// Commits lost in a row before a committer gives up.
const ATTEMPTS_MAX: usize = 64;
/// Objects listed at once.
const LIST_MAX: usize = 1000;
/// Open catalogs beyond which empty ones are closed.
const IDLE_MAX: usize = 10_000;
/// Objects applied in one refresh at most; the next goes on.
const REFRESH_MAX: u64 = 100_000;

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The edits are committed.
    Committed,
    /// A block of this key is live already, or one of the same cut is or was: this one. Nothing was committed.
    AlreadyPublished(Arc<BlockMeta>),
}

/// The catalog of one tenant. One instance per process and tenant.
#[derive(Debug)]
pub struct Catalog {
    bucket: Bucket,
    tenant: TenantId,
    state: RwLock<CatalogState>,
    committing: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// Reads the latest checkpoint and what was committed since.
    pub async fn open(bucket: Bucket, tenant: TenantId) -> Result<Self, BlockError> {
        let folder = layout::checkpoint_folder(&tenant);
        let mut after: Option<String> = None;
        let mut latest: Option<String> = None;
        loop {
            let listed = bucket.list(&folder, after.as_deref(), LIST_MAX).await?;
            let numbered = listed.iter().rev().find(|o| layout::number_of(&o.path).is_some());
            latest = numbered.map(|o| o.path.clone()).or(latest);
            if listed.len() < LIST_MAX {
                break;
            }
            after = listed.last().map(|o| o.path.clone());
        }
        let state = match latest {
            Some(path) => {
                let bytes = bucket.get(&path).await?;
                let number = layout::number_of(&path).unwrap_or(0);
                CatalogState::from_checkpoint(number, &bytes)
                    .and_then(|state| invariants::check(&state).map(|()| state))
                    .map_err(|reason| damaged(&tenant, &path, reason))?
            }
            None => CatalogState::default(),
        };
        let catalog =
            Catalog { bucket, tenant, state: RwLock::new(state), committing: tokio::sync::Mutex::new(()) };
        catalog.refresh().await?;
        Ok(catalog)
    }

    /// Whose.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The bucket it lies in.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The live blocks as of the last refresh or commit, by window.
    pub fn live(&self) -> Arc<Vec<Arc<BlockMeta>>> {
        Arc::clone(&self.state.read().live)
    }

    /// Number of the last commit known; 0 when there is none.
    pub fn version(&self) -> u64 {
        self.state.read().version
    }

    /// Everything known.
    pub fn state(&self) -> CatalogState {
        self.state.read().clone()
    }

    /// Reads what others committed since; true when there was something.
    pub async fn refresh(&self) -> Result<bool, BlockError> {
        let before = self.state.read().version;
        for _ in 0..REFRESH_MAX {
            let next = self.state.read().version + 1;
            match self.load(next).await? {
                Some(commit) => self.advance(next, &commit)?,
                None => break,
            }
        }
        Ok(self.state.read().version != before)
    }

    async fn load(&self, number: u64) -> Result<Option<Commit>, BlockError> {
        let path = self.path(number);
        match self.bucket.get(&path).await {
            Ok(bytes) => {
                Commit::from_json(&bytes).map(Some).map_err(|reason| damaged(&self.tenant, &path, reason))
            }
            Err(BucketError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self, number: u64) -> String {
        layout::numbered(&layout::catalog_folder(&self.tenant), number)
    }

    /// Takes commit `number` into the state, unless someone else has.
    fn advance(&self, number: u64, commit: &Commit) -> Result<(), BlockError> {
        let mut state = self.state.write();
        if state.version >= number {
            return Ok(());
        }
        let next = state
            .apply(&self.tenant, &commit.edits)
            .and_then(|next| invariants::check(&next).map(|()| next))
            .map_err(|reason| damaged(&self.tenant, &self.path(number), reason))?;
        *state = next;
        Ok(())
    }

    /// Publishes one block: it is live when this returns `Committed`.
    pub async fn publish_block(&self, meta: Arc<BlockMeta>) -> Result<Published, BlockError> {
        self.publish(vec![Edit::Add(meta)]).await
    }

    /// Commits `edits`, all or none. The second publish of a key loses. Publishing the same block again is
    /// fine: so a committer that does not know whether it succeeded just asks again.
    pub async fn publish(&self, edits: Vec<Edit>) -> Result<Published, BlockError> {
        let _alone = self.committing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let state = self.state.read().clone();
            let fresh: Vec<Edit> = edits.iter().filter(|edit| !already(&state, edit)).cloned().collect();
            for edit in &fresh {
                if let Edit::Add(meta) = edit
                    && let Some(existing) = state.with_cut(meta).or_else(|| state.with_key(&meta.key()))
                {
                    return Ok(Published::AlreadyPublished(Arc::clone(existing)));
                }
            }
            if fresh.is_empty() {
                return Ok(Published::Committed);
            }
            state
                .apply(&self.tenant, &fresh)
                .and_then(|next| invariants::check(&next))
                .map_err(|reason| BlockError::Edit { tenant: self.tenant.to_string(), reason })?;
            if self.commit(&state, fresh).await? {
                return Ok(Published::Committed);
            }
        }
        Err(BlockError::Contention { tenant: self.tenant.to_string(), attempts: ATTEMPTS_MAX })
    }

    /// Tries to be commit `state.version + 1`; false when someone else was.
    async fn commit(&self, state: &CatalogState, edits: Vec<Edit>) -> Result<bool, BlockError> {
        let number = state.version + 1;
        let commit = Commit::new(edits);
        let put = self.bucket.put_if_absent(&self.path(number), Bytes::from(commit.to_json())).await;
        match put {
            Ok(()) => {
                self.advance(number, &commit)?;
                self.checkpoint(number).await;
                Ok(true)
            }
            // a retried request may meet its own first attempt; so what lies there decides, and equal edits
            // are as good from anybody
            Err(error) => match self.load(number).await {
                Ok(Some(there)) => {
                    self.advance(number, &there)?;
                    Ok(there.edits == commit.edits)
                }
                _ if matches!(error, BucketError::AlreadyExists(_)) => Ok(false),
                _ => Err(error.into()),
            },
        }
    }

    /// Writes the state as checkpoint when it is time; a failure costs only the next open's time.
    async fn checkpoint(&self, number: u64) {
        if !number.is_multiple_of(CHECKPOINT_EVERY) {
            return;
        }
        let state = self.state.read().clone();
        if state.version != number {
            return;
        }
        let path = layout::numbered(&layout::checkpoint_folder(&self.tenant), number);
        match self.bucket.put_if_absent(&path, Bytes::from(state.to_checkpoint())).await {
            Ok(()) | Err(BucketError::AlreadyExists(_)) => {}
            Err(error) => tracing::warn!(%error, "checkpoint not written"),
        }
    }
}

/// Whether an edit is in force already.
fn already(state: &CatalogState, edit: &Edit) -> bool {
    match edit {
        Edit::Add(meta) => {
            state.live_block(meta.block).is_some()
                || state.removed.contains_key(&meta.block)
                || state.set_aside.contains_key(&meta.block)
        }
        Edit::Remove { block, .. } => BlockId::parse(block).is_some_and(|id| state.removed.contains_key(&id)),
        Edit::SetAside { block, .. } => {
            BlockId::parse(block).is_some_and(|id| state.set_aside.contains_key(&id))
        }
        Edit::Deleted { block } => BlockId::parse(block).is_none_or(|id| !state.removed.contains_key(&id)),
    }
}

fn damaged(tenant: &TenantId, path: &str, reason: String) -> BlockError {
    let object = path.rsplit('/').next().unwrap_or(path).to_owned();
    BlockError::Catalog { tenant: tenant.to_string(), object, reason }
}

/// The tenants that have anything in the bucket, sorted.
pub async fn list_tenants(bucket: &Bucket) -> Result<Vec<TenantId>, BlockError> {
    let folders = bucket.list_folders("").await?;
    Ok(folders.iter().filter_map(|name| layout::tenant_of_folder(name)).collect())
}

/// The catalogs of all tenants, each opened once: committers and readers of one process share them.
#[derive(Debug)]
pub struct Catalogs {
    bucket: Bucket,
    open: tokio::sync::Mutex<BTreeMap<TenantId, Arc<tokio::sync::OnceCell<Arc<Catalog>>>>>,
}

impl Catalogs {
    /// Of this bucket; nothing is read yet.
    pub fn new(bucket: Bucket) -> Self {
        Catalogs { bucket, open: tokio::sync::Mutex::new(BTreeMap::new()) }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The catalog of `tenant`, opened when it was not.
    pub async fn get(&self, tenant: &TenantId) -> Result<Arc<Catalog>, BlockError> {
        let cell = {
            let mut open = self.open.lock().await;
            if open.len() >= IDLE_MAX && !open.contains_key(tenant) {
                // tenants that were only asked for
                open.retain(|_, cell| cell.get().is_none_or(|c| c.version() > 0 || Arc::strong_count(c) > 1));
            }
            Arc::clone(open.entry(tenant.clone()).or_default())
        };
        let open = || async { Ok(Arc::new(Catalog::open(self.bucket.clone(), tenant.clone()).await?)) };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Reads what others committed, for every catalog that is open.
    pub async fn refresh(&self) -> Result<(), BlockError> {
        let open: Vec<Arc<Catalog>> =
            self.open.lock().await.values().filter_map(|cell| cell.get().cloned()).collect();
        for catalog in open {
            catalog.refresh().await?;
        }
        Ok(())
    }

    /// Tenants with anything in the bucket (by a listing: not on a query's path).
    pub async fn tenants(&self) -> Result<Vec<TenantId>, BlockError> {
        list_tenants(&self.bucket).await
    }
}
