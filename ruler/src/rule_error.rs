//! Why a rule gives nothing.

use model::ErrorKind;

/// A rule that could not be evaluated. The texts are Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The expression has no answer.
    #[error("{0}")]
    Query(String),
    /// Two alerts are one.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlerts,
    /// Two series are one.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameSeries,
    /// More than the group's `limit`.
    #[error("exceeded limit of {limit} with {count} {of}")]
    Limit {
        /// The group's limit.
        limit: i64,
        /// How many there are.
        count: usize,
        /// Alerts or series.
        of: &'static str,
    },
    /// What came out could not be written.
    #[error("{0}")]
    Write(String),
}

impl RuleError {
    /// What the receiver should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RuleError::Query(_) | RuleError::Write(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }
}
