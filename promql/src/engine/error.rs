//! Why a query has no answer. What is shown is Prometheus's text.

use model::ErrorKind;
use proto::{FragmentError, SourceError};

use super::QueryLimit;

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query's text or its times are wrong.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be answered over this data.
    #[error("{0}")]
    Execution(String),
    /// The query exceeds a limit; the text names its size and its setting.
    #[error("{1}")]
    Limit(QueryLimit, String),
    /// The query ran too long.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// The query was ended from outside.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// Storage cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// Data went elsewhere while the query was planned; asking again helps.
    #[error("{0}")]
    Moved(String),
    /// A bug, or damaged data.
    #[error("{0}")]
    Internal(String),
}

impl QueryError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QueryError::BadData(_) | QueryError::Execution(_) | QueryError::Limit(..) => ErrorKind::Invalid,
            QueryError::Timeout(_) => ErrorKind::Deadline,
            QueryError::Canceled(_) | QueryError::Unavailable(_) | QueryError::Moved(_) => {
                ErrorKind::Unavailable
            }
            QueryError::Internal(_) => ErrorKind::Internal,
        }
    }

    /// More samples than `limit` at a time.
    pub(crate) fn too_many_samples(limit: usize) -> Self {
        QueryError::Limit(
            QueryLimit::Samples,
            format!(
                "query processing would load too many samples into memory in query execution: the limit is {limit} \
                 (`query.max_samples`)"
            ),
        )
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Limit(text) => QueryError::Limit(QueryLimit::Series, text),
            SourceError::Unavailable(text) => QueryError::Unavailable(text),
            SourceError::Moved(text) => QueryError::Moved(text),
            SourceError::Corrupt(text) | SourceError::Internal(text) => QueryError::Internal(text),
        }
    }
}

impl From<FragmentError> for QueryError {
    fn from(error: FragmentError) -> Self {
        match error {
            FragmentError::BadData(text) | FragmentError::Internal(text) => QueryError::Internal(text),
            FragmentError::Execution(text) => QueryError::Execution(text),
            FragmentError::Timeout(_) => QueryError::Timeout("expression evaluation"),
            FragmentError::Unavailable(text) => QueryError::Unavailable(text),
        }
    }
}

impl From<QueryError> for FragmentError {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::BadData(_) => FragmentError::BadData(text),
            QueryError::Execution(_) | QueryError::Limit(..) => FragmentError::Execution(text),
            QueryError::Timeout(_) => FragmentError::Timeout(text),
            QueryError::Canceled(_) | QueryError::Unavailable(_) | QueryError::Moved(_) => {
                FragmentError::Unavailable(text)
            }
            QueryError::Internal(_) => FragmentError::Internal(text),
        }
    }
}
