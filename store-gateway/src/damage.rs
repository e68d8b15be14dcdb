//! Damaged blocks: remembered, reported, left out of answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use block::BlockError;
use model::{BlockId, TenantId};
use parking_lot::Mutex;
use proto::SourceError;

/// Damaged blocks remembered.
const DAMAGED_MAX: usize = 1000;

/// A block that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlock {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub block: BlockId,
    /// What is wrong with it.
    pub reason: String,
}

/// What was found damaged since the start.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    found: Mutex<BTreeMap<BlockId, DamagedBlock>>,
    /// How often `found` changed.
    version: AtomicU64,
}

impl Damage {
    pub(crate) fn reason(&self, block: BlockId) -> Option<String> {
        self.found.lock().get(&block).map(|d| d.reason.clone())
    }

    /// Notes the block if `error` says that it is damaged.
    pub(crate) fn note(&self, tenant: &TenantId, block: BlockId, error: &BlockError) -> bool {
        if !matches!(error, BlockError::Damaged { .. }) {
            return false;
        }
        let mut found = self.found.lock();
        if !found.contains_key(&block) {
            tracing::error!(%tenant, %block, %error, "damaged block left out of answers");
            if found.len() >= DAMAGED_MAX {
                found.pop_first();
            }
            let reason = error.to_string();
            found.insert(block, DamagedBlock { tenant: tenant.clone(), block, reason });
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        true
    }

    pub(crate) fn all(&self) -> Vec<DamagedBlock> {
        self.found.lock().values().cloned().collect()
    }

    pub(crate) fn forget(&self, block: BlockId) {
        let mut found = self.found.lock();
        found.remove(&block);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Higher after every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// As a source tells it.
pub(crate) fn source_error(error: &BlockError) -> SourceError {
    use model::ErrorKind;
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corrupt => SourceError::Corrupt(text),
        ErrorKind::Limited => SourceError::Limit(text),
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Deadline => {
            SourceError::Unavailable(text)
        }
        _ => SourceError::Internal(text),
    }
}
