//! What a commit may change, and the state all commits add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{BlockId, TenantId, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::meta::{BlockKey, BlockMeta};

/// Version of the catalog's objects.
const CATALOG_VERSION: u32 = 1;
/// Removed blocks remembered until their files are deleted; beyond, the oldest are forgotten.
const REMOVED_MAX: usize = 10_000;

/// One change to the set of live blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The block is live from now on.
    Add(Arc<BlockMeta>),
    /// The block is no longer live; its files may be deleted after a grace period.
    Remove {
        /// Its ULID.
        block: String,
        /// When, in milliseconds.
        at: TimestampMs,
        /// Why: `retention`, `compaction`.
        reason: String,
    },
    /// The block is damaged: kept, reported, not read.
    SetAside {
        /// Its ULID.
        block: String,
        /// When, in milliseconds.
        at: TimestampMs,
        /// What is wrong with it.
        reason: String,
    },
    /// The files of a removed block are deleted.
    Deleted {
        /// Its ULID.
        block: String,
    },
}

/// A block that is no longer live but whose files may still lie there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Its description.
    pub meta: Arc<BlockMeta>,
    /// When it was removed or set aside.
    pub at: TimestampMs,
    /// Why.
    pub reason: String,
}

/// One catalog object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Commit {
    version: u32,
    pub(super) edits: Vec<Edit>,
}

/// Every so many commits the whole state, so that a reader need not start at the first.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    live: Vec<Arc<BlockMeta>>,
    removed: Vec<Retired>,
    set_aside: Vec<Retired>,
}

impl Commit {
    pub(super) fn new(edits: Vec<Edit>) -> Self {
        Commit { version: CATALOG_VERSION, edits }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("edits are plain data")
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let commit: Commit = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if commit.version != CATALOG_VERSION {
            return Err(format!(
                "version {} is not known; this build reads {CATALOG_VERSION}",
                commit.version
            ));
        }
        for edit in &commit.edits {
            if let Edit::Add(meta) = edit {
                meta.check()?;
            }
        }
        Ok(commit)
    }
}

/// The catalog of a tenant after some number of commits.
#[derive(Debug, Clone, Default)]
pub struct CatalogState {
    /// Commits so far; the number of the last one.
    pub version: u64,
    /// Live blocks, by window, slots, generation.
    pub live: Arc<Vec<Arc<BlockMeta>>>,
    /// Removed blocks whose files are not deleted yet, by ULID.
    pub removed: Arc<BTreeMap<BlockId, Retired>>,
    /// Damaged blocks, by ULID.
    pub set_aside: Arc<BTreeMap<BlockId, Retired>>,
}

impl CatalogState {
    /// The live block of this key.
    pub fn with_key(&self, key: &BlockKey) -> Option<&Arc<BlockMeta>> {
        self.live.iter().find(|meta| meta.key() == *key)
    }

    /// The block made from the same cut as `meta`, live or removed since. One that was set aside does not count:
    /// who still has the samples may publish them again.
    pub fn with_cut(&self, meta: &BlockMeta) -> Option<&Arc<BlockMeta>> {
        let removed = self.removed.values().map(|retired| &retired.meta);
        self.live.iter().chain(removed).find(|other| other.is_same_cut(meta))
    }

    /// The lowest generation from `meta`'s on that no live block of its level has in its slots and window.
    pub fn free_generation(&self, meta: &BlockMeta) -> u32 {
        let in_its_place = |other: &&Arc<BlockMeta>| {
            other.level == meta.level
                && other.window().overlaps(&meta.window())
                && other.slots.first <= meta.slots.last
                && meta.slots.first <= other.slots.last
        };
        let taken: BTreeSet<u32> = self.live.iter().filter(in_its_place).map(|o| o.generation).collect();
        (meta.generation..u32::MAX).find(|generation| !taken.contains(generation)).unwrap_or(u32::MAX)
    }

    /// The live block of this ULID.
    pub fn live_block(&self, block: BlockId) -> Option<&Arc<BlockMeta>> {
        self.live.iter().find(|meta| meta.block == block)
    }

    /// The state after `edits`; what cannot be is told.
    pub(super) fn apply(&self, tenant: &TenantId, edits: &[Edit]) -> Result<CatalogState, String> {
        let mut live: Vec<Arc<BlockMeta>> = self.live.to_vec();
        let mut removed = (*self.removed).clone();
        let mut set_aside = (*self.set_aside).clone();
        for edit in edits {
            let id = |text: &str| BlockId::parse(text).ok_or_else(|| format!("`{text}` is no block"));
            match edit {
                Edit::Add(meta) => {
                    if meta.tenant != *tenant {
                        return Err(format!("block {} belongs to tenant `{}`", meta.block, meta.tenant));
                    }
                    live.push(Arc::clone(meta));
                }
                Edit::Remove { block, at, reason } | Edit::SetAside { block, at, reason } => {
                    let id = id(block)?;
                    let found = live.iter().position(|meta| meta.block == id);
                    let index = found.ok_or_else(|| format!("block {block} is not live"))?;
                    let meta = live.remove(index);
                    let to = if matches!(edit, Edit::Remove { .. }) { &mut removed } else { &mut set_aside };
                    to.insert(id, Retired { meta, at: *at, reason: reason.clone() });
                }
                Edit::Deleted { block } => {
                    removed.remove(&id(block)?);
                }
            }
        }
        while removed.len() > REMOVED_MAX {
            removed.pop_first();
        }
        live.sort_by_key(|meta| (meta.start, meta.end, meta.slots, meta.level, meta.generation));
        Ok(CatalogState {
            version: self.version + 1,
            live: Arc::new(live),
            removed: Arc::new(removed),
            set_aside: Arc::new(set_aside),
        })
    }

    pub(super) fn to_checkpoint(&self) -> Vec<u8> {
        let checkpoint = Checkpoint {
            version: CATALOG_VERSION,
            live: self.live.to_vec(),
            removed: self.removed.values().cloned().collect(),
            set_aside: self.set_aside.values().cloned().collect(),
        };
        serde_json::to_vec(&checkpoint).expect("descriptions are plain data")
    }

    pub(super) fn from_checkpoint(version: u64, bytes: &[u8]) -> Result<Self, String> {
        let checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if checkpoint.version != CATALOG_VERSION {
            return Err(format!(
                "version {} is not known; this build reads {CATALOG_VERSION}",
                checkpoint.version
            ));
        }
        for meta in &checkpoint.live {
            meta.check()?;
        }
        let by_id = |retired: Vec<Retired>| retired.into_iter().map(|r| (r.meta.block, r)).collect();
        Ok(CatalogState {
            version,
            live: Arc::new(checkpoint.live),
            removed: Arc::new(by_id(checkpoint.removed)),
            set_aside: Arc::new(by_id(checkpoint.set_aside)),
        })
    }
}

/// For the fuzzer: any bytes as a commit or a checkpoint.
pub fn fuzz_catalog(data: &[u8]) {
    if let Ok(commit) = Commit::from_json(data) {
        let state = CatalogState::default().apply(&TenantId::anonymous(), &commit.edits);
        if let Ok(state) = state {
            // an error is as good an answer
            let _either = super::invariants::check(&state);
        }
    }
    let _either = CatalogState::from_checkpoint(1, data);
}
