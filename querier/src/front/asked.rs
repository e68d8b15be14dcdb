//! A query as the front sees it, and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{TenantId, TimestampMs};
use promql::{AnswerMemory, QueryProgress, QueryRequest, QueryStats, Value};

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Times {
    Instant(TimestampMs),
    /// `step` is above 0, `end` not before `start`.
    Range {
        start: TimestampMs,
        end: TimestampMs,
        step: i64,
    },
}

impl Times {
    /// First and last time of evaluation.
    pub(crate) fn ends(self) -> (TimestampMs, TimestampMs) {
        match self {
            Times::Instant(t) => (t, t),
            Times::Range { start, end, step } => {
                let beyond = (i128::from(end) - i128::from(start)) % i128::from(step);
                (start, end.saturating_sub(i64::try_from(beyond).unwrap_or(0)))
            }
        }
    }

    /// The end as asked for: `end()` and `range()` in a query tell it from the last step.
    pub(crate) fn end(self) -> TimestampMs {
        match self {
            Times::Instant(t) => t,
            Times::Range { end, .. } => end,
        }
    }

    pub(crate) fn step(self) -> i64 {
        match self {
            Times::Instant(_) => 1,
            Times::Range { step, .. } => step,
        }
    }
}

/// Everything an answer hangs on, but for the data. Equal ones have equal answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) tenant: TenantId,
    /// The text, not the tree: positions in warnings are those in the text.
    pub(crate) expr: Arc<str>,
    pub(crate) times: Times,
    pub(crate) lookback_ms: Option<i64>,
    /// From its coming to its answer.
    pub(crate) timeout: Duration,
    pub(crate) series_max: usize,
    pub(crate) per_step_stats: bool,
    /// Whether kept answers may be used, and this one kept.
    pub(crate) may_keep: bool,
}

impl Asked {
    /// As the engine takes it.
    pub(super) fn request(&self, timeout: Duration, progress: &QueryProgress) -> QueryRequest {
        QueryRequest {
            lookback_delta_ms: self.lookback_ms,
            timeout: Some(timeout),
            series_max: self.series_max,
            per_step_stats: self.per_step_stats,
            progress: progress.clone(),
            ..QueryRequest::new(self.tenant.clone(), &*self.expr)
        }
    }
}

/// The answer, which several requests may share.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) value: Arc<Value>,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    /// What was done for it, without what others had done before.
    pub(crate) stats: QueryStats,
    /// Time in the queue.
    pub(crate) waited: Duration,
    /// Counts it in the budget of its query.
    pub(crate) memory: AnswerMemory,
    is_counted: AtomicBool,
}

impl Answered {
    pub(super) fn new(
        value: Arc<Value>,
        (warnings, infos): (Vec<String>, Vec<String>),
        stats: QueryStats,
        waited: Duration,
        memory: AnswerMemory,
    ) -> Self {
        Answered { value, warnings, infos, stats, waited, memory, is_counted: AtomicBool::new(false) }
    }

    /// True once: what it cost is counted once, however many share it.
    pub(crate) fn count(&self) -> bool {
        !self.is_counted.swap(true, Ordering::AcqRel)
    }
}
