//! What rules read and write.

use async_trait::async_trait;
use model::TimestampMs;
use promql::VectorSample;

/// Where rules ask and where they put what comes out.
#[async_trait]
pub trait RuleStorage: Send + Sync {
    /// The answer to a query at a time; a number is a sample without labels.
    ///
    /// # Errors
    /// As the query's user would see them.
    async fn query(&self, query: &str, time: TimestampMs) -> Result<Vec<VectorSample>, String>;

    /// Writes samples; one answer for each of them.
    async fn append(&self, samples: &[VectorSample]) -> Vec<Result<(), String>>;
}
