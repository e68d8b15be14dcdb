//! What can go wrong in the ingester, and what the caller should do about it.

use model::{ErrorKind, TenantId};

/// Errors of the ingester.
#[derive(Debug, thiserror::Error)]
pub enum IngesterError {
    /// A group could not be started or used.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// An entry was not taken by the log.
    #[error(transparent)]
    Propose(#[from] cluster::ProposeError),
    /// A block could not be made or published.
    #[error("block of tenant `{tenant}`: {source}")]
    Block {
        /// Whose.
        tenant: TenantId,
        /// Why.
        source: block::BlockError,
    },
    /// A block could not be uploaded.
    #[error("upload for tenant `{tenant}`: {source}")]
    Upload {
        /// Whose.
        tenant: TenantId,
        /// Why.
        source: block::BucketError,
    },
    /// Samples in memory cannot be decoded.
    #[error("a sealed chunk of tenant `{tenant}` is damaged")]
    Damaged {
        /// Whose.
        tenant: TenantId,
    },
}

impl IngesterError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            IngesterError::Cluster(error) => error.kind(),
            IngesterError::Propose(error) => error.kind(),
            IngesterError::Block { source, .. } => source.kind(),
            IngesterError::Upload { source, .. } => source.kind(),
            IngesterError::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}
