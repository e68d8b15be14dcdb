//! The contract of push-down: a part of a query, evaluated where its series lie.
//!
//! A fragment is an expression of PromQL with the points it is evaluated at, never a plan: a place parses and plans
//! it by itself, so places of different versions understand each other. What comes back is rows (series × steps),
//! or states of the outermost aggregation (groups × steps), which merge with those of other places.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use model::{ErrorKind, TenantId, TimeRange, TimestampMs};

use crate::{Explain, ExplainedOperator, Source, SourceError};

/// What a place gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FragmentOutput {
    /// The values of the expression.
    Rows,
    /// The states of the expression's outermost aggregation, not finished.
    AggregationStates,
    /// The states of the windows that the expression, a function of a range selector, looks at, as far as they lie in
    /// this part of the time. Those of other parts are merged with them.
    WindowStates(TimeRange),
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// Whose series.
    pub tenant: TenantId,
    /// The expression, as the user wrote it.
    pub expr: String,
    /// Bytes before it in the whole query: positions of annotations count from the query's start.
    pub text_offset: usize,
    /// What is wanted of it.
    pub output: FragmentOutput,
    /// First point, last point, distance (0: one point).
    pub grid: (TimestampMs, TimestampMs, i64),
    /// Start, end and step of the whole query: what `@ start()`, `end()` and `step()` mean. Step 0: instant query.
    pub query: (TimestampMs, TimestampMs, i64),
    /// How far back an instant selector looks.
    pub lookback_ms: i64,
    /// Parts of the language that are on, by the names of `--enable-feature`.
    pub features: Vec<String>,
    /// How often its samples count in the query's statistics.
    pub count_times: u64,
    /// Selectors of whose histograms only count and sum are looked at: first byte in `expr`, first byte behind.
    pub stats_only: Vec<(usize, usize)>,
    /// Whether samples are counted per step.
    pub per_step_stats: bool,
    /// Most series one selector may match; 0: no limit.
    pub series_max: usize,
    /// Most samples it may hold at a time.
    pub samples_max: usize,
    /// Milliseconds it may take.
    pub timeout_ms: u64,
    /// Whether the place tells how it evaluates it.
    pub explain: Explain,
}

/// What an evaluation notes for the user, apart from its values.
#[derive(Debug, Clone, PartialEq)]
pub struct FragmentNote {
    /// An info; else a warning.
    pub is_info: bool,
    /// The text, without prefix and position.
    pub text: String,
    /// First byte in the query, first byte behind.
    pub pos: (usize, usize),
    /// Numbers of notes that count or span several occurrences; opaque, empty for most.
    pub detail: Vec<f64>,
}

/// What a place says after its last batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FragmentEnd {
    /// What was noted, in order.
    pub notes: Vec<FragmentNote>,
    /// What storage had to say.
    pub warnings: Vec<String>,
    /// Samples looked at.
    pub samples_total: u64,
    /// Samples read for that.
    pub samples_read: u64,
    /// Samples looked at per step of the fragment's grid; empty unless asked for.
    pub samples_per_step: Vec<u64>,
    /// Samples read per step; empty unless asked for.
    pub samples_read_per_step: Vec<u64>,
    /// Most samples held at a time.
    pub samples_peak: u64,
    /// Series read.
    pub series: u64,
    /// The plan, when it was asked for.
    pub plan: Option<Box<ExplainedOperator>>,
}

/// A part of the answer to a fragment.
#[derive(Debug, Clone)]
pub enum FragmentPart {
    /// Rows or states. Columns hold everything: nothing refers to memory of the place.
    Batch(RecordBatch),
    /// The last part.
    End(FragmentEnd),
}

/// Why a fragment has no answer. The texts are meant for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The place does not understand the fragment.
    #[error("{0}")]
    BadData(String),
    /// It cannot be evaluated over this data, or exceeds a limit.
    #[error("{0}")]
    Execution(String),
    /// It ran too long.
    #[error("{0}")]
    Timeout(String),
    /// The place cannot be reached or cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// A bug, or damaged data.
    #[error("{0}")]
    Internal(String),
}

impl FragmentError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            FragmentError::BadData(_) | FragmentError::Execution(_) => ErrorKind::Invalid,
            FragmentError::Timeout(_) => ErrorKind::Deadline,
            FragmentError::Unavailable(_) => ErrorKind::Unavailable,
            FragmentError::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// The answer to a fragment as it comes: batches, then the end.
pub type FragmentStream = BoxStream<'static, Result<FragmentPart, FragmentError>>;

/// Evaluates fragments over series of its own. Dropping the stream ends the work.
#[async_trait]
pub trait RunFragment: Send + Sync + 'static {
    /// Begins to evaluate a fragment.
    async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError>;
}

/// Who answers for a span of a shard.
#[derive(Clone)]
pub enum Place {
    /// Series that this process can read: fragments are plans of their own here.
    Here(Arc<dyn Source>),
    /// Somebody else.
    There(Arc<dyn RunFragment>),
}

/// A place, and the time for which it holds every sample of its shard.
#[derive(Clone)]
pub struct Span {
    /// As plans show it: `heads`, `blocks`, a node's address.
    pub name: String,
    /// What it holds wholly.
    pub holds: TimeRange,
    /// Who answers.
    pub place: Place,
}

/// Series that no other shard has.
#[derive(Clone)]
pub struct Shard {
    /// Places, the preferred one first. A window that one of them holds wholly is asked of it alone.
    pub spans: Vec<Span>,
    /// All series of the shard at all times, merged: what windows are read from that no place holds wholly.
    pub whole: Arc<dyn Source>,
}

/// Where a tenant's series lie: shards that share no series.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The shards; none when there is nothing to read.
    pub shards: Vec<Shard>,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("name", &self.name).field("holds", &self.holds).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl From<FragmentError> for SourceError {
    fn from(error: FragmentError) -> Self {
        match error {
            FragmentError::Execution(text) => SourceError::Limit(text),
            FragmentError::Unavailable(text) | FragmentError::Timeout(text) => SourceError::Unavailable(text),
            FragmentError::BadData(text) | FragmentError::Internal(text) => SourceError::Internal(text),
        }
    }
}
