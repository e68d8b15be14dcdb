//! Why a query has no answer. What is shown is Prometheus's text.

use model::ErrorKind;
use proto::SourceError;

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query's text or its times are wrong.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be answered over this data, or exceeds a limit.
    #[error("{0}")]
    Execution(String),
    /// The query ran too long.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// The query was ended from outside.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// Storage cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// A bug, or damaged data.
    #[error("{0}")]
    Internal(String),
}

impl QueryError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QueryError::BadData(_) | QueryError::Execution(_) => ErrorKind::Invalid,
            QueryError::Timeout(_) => ErrorKind::Deadline,
            QueryError::Canceled(_) | QueryError::Unavailable(_) => ErrorKind::Unavailable,
            QueryError::Internal(_) => ErrorKind::Internal,
        }
    }

    /// More samples than `max_samples` at a time.
    pub(crate) fn too_many_samples() -> Self {
        QueryError::Execution(
            "query processing would load too many samples into memory in query execution".to_owned(),
        )
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Limit(text) => QueryError::Execution(text),
            SourceError::Unavailable(text) | SourceError::Moved(text) => QueryError::Unavailable(text),
            SourceError::Corrupt(text) | SourceError::Internal(text) => QueryError::Internal(text),
        }
    }
}
