//! The engine: takes a query's text and times, gives its value.

mod answer;
mod error;
mod options;

use std::sync::Arc;

pub use answer::{Answer, MatrixSeries, QueryStats, SampleValue, Value, VectorSample};
pub use error::QueryError;
use model::TimestampMs;
pub use options::{EngineOptions, Features, QueryRequest};
use proto::Source;
use runtime::Runtime;

/// Evaluates queries; cheap to clone, shared by all queries.
#[derive(Debug, Clone)]
pub struct Engine {
    runtime: Runtime,
    options: Arc<EngineOptions>,
}

impl Engine {
    /// An engine.
    pub fn new(runtime: Runtime, options: EngineOptions) -> Self {
        Engine { runtime, options: Arc::new(options) }
    }

    /// Its settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The value of a query at `time_ms`. Dropping the future ends the query.
    ///
    /// # Errors
    /// See `QueryError`.
    pub async fn instant(
        &self,
        source: Arc<dyn Source>,
        request: QueryRequest,
        time_ms: TimestampMs,
    ) -> Result<Answer, QueryError> {
        let _pending = (&self.runtime, source, request, time_ms);
        Err(QueryError::Internal("the engine does not evaluate yet".to_owned()))
    }

    /// The values of a query at `start_ms`, `start_ms + step_ms`, … up to `end_ms`. `step_ms` is above 0.
    ///
    /// # Errors
    /// See `QueryError`.
    pub async fn range(
        &self,
        source: Arc<dyn Source>,
        request: QueryRequest,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
    ) -> Result<Answer, QueryError> {
        let _pending = (&self.runtime, source, request, start_ms, end_ms, step_ms);
        Err(QueryError::Internal("the engine does not evaluate yet".to_owned()))
    }
}
