//! Why a request has no answer: Prometheus's error types, status codes and texts.

use model::ErrorKind;
use promql::{QueryError, QueryLimit};
use proto::SourceError;

/// An error as the API shows it. The text is shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A parameter or the query's text is wrong.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be evaluated.
    #[error("{0}")]
    Execution(String),
    /// The query exceeds a limit; the text names its size and its setting.
    #[error("{1}")]
    Limit(QueryLimit, String),
    /// The query was ended before it was done.
    #[error("{0}")]
    Canceled(String),
    /// The query took too long.
    #[error("{0}")]
    Timeout(String),
    /// A bug, or damaged data.
    #[error("{0}")]
    Internal(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
    /// The tenant asks for more at a time than it may.
    #[error("{0}")]
    TooManyRequests(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The tenant is missing or may not do this.
    #[error("{text}")]
    Refused {
        /// The status the identification chose.
        status: u16,
        /// Why.
        text: String,
    },
}

impl ApiError {
    /// `invalid parameter "name": text`
    pub(crate) fn parameter(name: &str, text: impl std::fmt::Display) -> Self {
        ApiError::BadData(format!("invalid parameter \"{name}\": {text}"))
    }

    /// The limit that was met.
    pub(crate) fn limit(&self) -> Option<QueryLimit> {
        match self {
            ApiError::Limit(limit, _) => Some(*limit),
            ApiError::Timeout(_) => Some(QueryLimit::Time),
            ApiError::BadData(_)
            | ApiError::Execution(_)
            | ApiError::Canceled(_)
            | ApiError::Internal(_)
            | ApiError::Unavailable(_)
            | ApiError::TooManyRequests(_)
            | ApiError::NotFound(_)
            | ApiError::Refused { .. } => None,
        }
    }

    /// The `errorType` of the answer.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            ApiError::BadData(_) | ApiError::Limit(QueryLimit::Points, _) => "bad_data",
            ApiError::Execution(_) | ApiError::Limit(..) => "execution",
            ApiError::Canceled(_) => "canceled",
            ApiError::Timeout(_) => "timeout",
            ApiError::Internal(_) => "internal",
            ApiError::Unavailable(_) => "unavailable",
            ApiError::TooManyRequests(_) => "too_many_requests",
            ApiError::NotFound(_) => "not_found",
            ApiError::Refused { status: 401, .. } => "unauthorized",
            ApiError::Refused { status: 403, .. } => "forbidden",
            ApiError::Refused { .. } => "bad_data",
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            ApiError::BadData(_) | ApiError::Limit(QueryLimit::Points, _) => 400,
            ApiError::Execution(_) | ApiError::Limit(..) => 422,
            // what nginx made up for a client that went away
            ApiError::Canceled(_) => 499,
            ApiError::Timeout(_) | ApiError::Unavailable(_) => 503,
            ApiError::TooManyRequests(_) => 429,
            ApiError::Internal(_) => 500,
            ApiError::NotFound(_) => 404,
            ApiError::Refused { status, .. } => *status,
        }
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ApiError::BadData(_) | ApiError::Execution(_) | ApiError::Limit(..) => ErrorKind::Invalid,
            ApiError::Canceled(_) | ApiError::Unavailable(_) => ErrorKind::Unavailable,
            ApiError::Timeout(_) => ErrorKind::Deadline,
            ApiError::TooManyRequests(_) => ErrorKind::Limited,
            ApiError::Internal(_) => ErrorKind::Internal,
            ApiError::NotFound(_) => ErrorKind::NotFound,
            ApiError::Refused { status: 401, .. } => ErrorKind::Unauthenticated,
            ApiError::Refused { status: 403, .. } => ErrorKind::Forbidden,
            ApiError::Refused { .. } => ErrorKind::Invalid,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::BadData(_) => ApiError::parameter("query", text),
            QueryError::Execution(_) => ApiError::Execution(text),
            QueryError::Limit(limit, text) => ApiError::Limit(limit, text),
            QueryError::Timeout(_) => ApiError::Timeout(text),
            QueryError::Canceled(_) => ApiError::Canceled(text),
            QueryError::Unavailable(_) | QueryError::Moved(_) => ApiError::Unavailable(text),
            QueryError::Internal(_) => ApiError::Internal(text),
        }
    }
}

impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Limit(text) => ApiError::Limit(QueryLimit::Series, text),
            SourceError::Unavailable(text) | SourceError::Moved(text) => ApiError::Unavailable(text),
            SourceError::Corrupt(text) | SourceError::Internal(text) => ApiError::Internal(text),
        }
    }
}
