//! The engine: takes a query's text and times, gives its value.

mod answer;
mod error;
mod explain;
mod finish;
mod fragment;
mod limit;
mod memory;
mod options;
mod progress;
mod raw;
mod ready;
mod run;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use answer::{
    Answer, AnswerMemory, MatrixSeries, QueryStats, SampleValue, StepSamples, Value, VectorSample,
};
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::runtime_env::RuntimeEnv;
pub use error::QueryError;
pub use explain::Explanation;
pub use fragment::LocalFragments;
pub use limit::QueryLimit;
use memory::Budgets;
pub(crate) use memory::QueryMemory;
pub use memory::{MemoryLimits, MemoryUsage};
use model::TimestampMs;
pub use options::{EngineOptions, Features, QueryRequest};
pub use progress::QueryProgress;
use proto::Source;
use runtime::Runtime;

use crate::plan::Reach;
use run::Run;

/// How often a query is planned anew because data moved under it.
const ATTEMPTS_MAX: usize = 5;

/// Evaluates queries; cheap to clone, shared by all queries.
#[derive(Clone)]
pub struct Engine {
    runtime: Runtime,
    options: Arc<EngineOptions>,
    budgets: Arc<Budgets>,
    /// What the environments of queries are copies of.
    environment: Arc<RuntimeEnv>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine.
    pub fn new(runtime: Runtime, options: EngineOptions) -> Self {
        let budgets = Budgets::new(options.memory);
        Engine { runtime, options: Arc::new(options), budgets, environment: Arc::default() }
    }

    /// What its queries hold.
    pub fn memory(&self) -> MemoryUsage {
        self.budgets.usage()
    }

    /// What the operators of one query run in.
    fn task(&self, memory: &Arc<QueryMemory>) -> Arc<TaskContext> {
        let environment =
            RuntimeEnv { memory_pool: Arc::<QueryMemory>::clone(memory), ..(*self.environment).clone() };
        Arc::new(TaskContext::new(
            None,
            "query".to_owned(),
            SessionConfig::new(),
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            Arc::new(environment),
        ))
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
        self.run(Run::new(self, source, request, (time_ms, time_ms, 0))).await
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
        if step_ms <= 0 {
            return Err(QueryError::BadData(
                "zero or negative query resolution step widths are not accepted. Try a positive integer"
                    .to_owned(),
            ));
        }
        self.run(Run::new(self, source, request, (start_ms, end_ms, step_ms))).await
    }

    /// The operators of a query: those of a range query, or of an instant one when `step_ms` is 0. With `analyze` the
    /// query is run, and they carry what they did.
    ///
    /// # Errors
    /// See `QueryError`; queries that are a text or a range vector have no operators.
    pub async fn explain(
        &self,
        source: Arc<dyn Source>,
        request: QueryRequest,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
        analyze: bool,
    ) -> Result<Explanation, QueryError> {
        let run = Run::new(self, source, request, (start_ms, end_ms, step_ms.max(0)));
        let timeout = run.timeout();
        self.attempts(timeout, || run.explain(analyze)).await
    }

    /// What the answer to a range query hangs on, whatever is stored. `None`: not known, so nothing of it can be kept.
    pub fn reach(
        &self,
        source: Arc<dyn Source>,
        request: QueryRequest,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
    ) -> Option<Reach> {
        Run::new(self, source, request, (start_ms, end_ms, step_ms.max(1))).reach()
    }

    async fn run(&self, run: Run<'_>) -> Result<Answer, QueryError> {
        self.attempts(run.timeout(), || run.answer()).await
    }

    /// Tries again while data moves under the query, in the time it has.
    async fn attempts<T, F>(&self, timeout: Duration, attempt: impl Fn() -> F) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, QueryError>>,
    {
        let answer = async {
            for _ in 1..ATTEMPTS_MAX {
                match Box::pin(attempt()).await {
                    Err(QueryError::Moved(_)) => {}
                    other => return other,
                }
            }
            Box::pin(attempt()).await
        };
        match self.runtime.timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(runtime::Elapsed) => Err(QueryError::Timeout("expression evaluation")),
        }
    }
}
