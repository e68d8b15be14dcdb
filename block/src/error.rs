//! What can go wrong with buckets, blocks and catalogs, and what its receiver should do.

use model::ErrorKind;

/// Why the bucket did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// No such object.
    #[error("object `{0}` is not in the bucket")]
    NotFound(String),
    /// Put-if-absent found an object of that name.
    #[error("object `{0}` is in the bucket already")]
    AlreadyExists(String),
    /// The store cannot be reached, is full, or refused.
    #[error("bucket: `{path}`: {reason}")]
    Unavailable {
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// The store refuses these credentials.
    #[error("bucket: `{path}`: access denied: {reason}")]
    Denied {
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// The bucket's address or options make no sense.
    #[error("bucket `{address}`: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is expected.
        reason: String,
    },
    /// A range outside the object.
    #[error("object `{path}` ends before byte {end}")]
    Range {
        /// The object.
        path: String,
        /// First byte not there.
        end: u64,
    },
}

impl BucketError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BucketError::NotFound(_) => ErrorKind::NotFound,
            BucketError::AlreadyExists(_) | BucketError::Address { .. } => ErrorKind::Invalid,
            BucketError::Unavailable { .. } => ErrorKind::Unavailable,
            BucketError::Denied { .. } => ErrorKind::Forbidden,
            BucketError::Range { .. } => ErrorKind::Corrupt,
        }
    }
}

/// Why a block or a catalog cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file of a block is not what its description says.
    #[error("block {block}: file `{file}` is damaged: {reason}")]
    Damaged {
        /// The block's ULID.
        block: String,
        /// Path below the block's folder.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A catalog object cannot be read, or breaks an invariant.
    #[error("catalog of tenant `{tenant}`, object `{object}`: {reason}")]
    Catalog {
        /// Whose catalog.
        tenant: String,
        /// The object's name.
        object: String,
        /// What does not fit.
        reason: String,
    },
    /// An edit that would break an invariant of the catalog.
    #[error("catalog of tenant `{tenant}`: edit refused: {reason}")]
    Edit {
        /// Whose catalog.
        tenant: String,
        /// Which invariant.
        reason: String,
    },
    /// Another committer was faster again and again.
    #[error("catalog of tenant `{tenant}`: {attempts} commits in a row lost to other committers")]
    Contention {
        /// Whose catalog.
        tenant: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// Input that breaks the writer's contract (order, lengths).
    #[error("block cannot be written: {0}")]
    Input(String),
    /// More than a limit allows; names limit and setting.
    #[error("{0}")]
    Limit(String),
    /// A bug here.
    #[error("{0}")]
    Internal(String),
}

impl BlockError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BlockError::Bucket(error) => error.kind(),
            BlockError::Damaged { .. } | BlockError::Catalog { .. } => ErrorKind::Corrupt,
            BlockError::Edit { .. } | BlockError::Input(_) => ErrorKind::Invalid,
            BlockError::Contention { .. } => ErrorKind::Unavailable,
            BlockError::Limit(_) => ErrorKind::Limited,
            BlockError::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<parquet::errors::ParquetError> for BlockError {
    /// For the writing side, where a failure of the encoder is a bug.
    fn from(error: parquet::errors::ParquetError) -> Self {
        BlockError::Internal(format!("parquet: {error}"))
    }
}

impl From<arrow::error::ArrowError> for BlockError {
    fn from(error: arrow::error::ArrowError) -> Self {
        BlockError::Internal(format!("arrow: {error}"))
    }
}
