//! The contract of a write: columns of samples for one tenant in one group.

use async_trait::async_trait;
use model::{ErrorKind, Exemplar, GroupId, Histogram, Labels, Metadata, SeriesId, TenantId, TimestampMs};

/// Names a series of a batch: a reference that the group's head gave out, or, with the top bit
/// (`NEW_SERIES`) set, the index of a label set in `AppendBatch::new_series`.
pub type SeriesRef = u32;

/// The bit that tells an index into `new_series` from a reference of the head.
pub const NEW_SERIES: SeriesRef = 1 << 31;

/// Float samples, column by column; all columns are of equal length.
#[derive(Debug, Clone, Default)]
pub struct FloatColumns {
    /// Which series.
    pub series: Vec<SeriesRef>,
    /// When.
    pub timestamps: Vec<TimestampMs>,
    /// What; every bit counts.
    pub values: Vec<f64>,
    /// Start timestamps, 0 when not told; empty when none was told.
    pub start_timestamps: Vec<TimestampMs>,
}

/// One histogram sample.
#[derive(Debug, Clone)]
pub struct HistogramAppend {
    /// Which series.
    pub series: SeriesRef,
    /// When.
    pub t: TimestampMs,
    /// Start timestamp, 0 when not told.
    pub start_t: TimestampMs,
    /// What.
    pub histogram: Histogram,
}

/// One exemplar.
#[derive(Debug, Clone)]
pub struct ExemplarAppend {
    /// Which series.
    pub series: SeriesRef,
    /// What.
    pub exemplar: Exemplar,
}

/// Type, help and unit of a metric.
#[derive(Debug, Clone)]
pub struct MetadataAppend {
    /// The metric (or metric family) it speaks of.
    pub metric: String,
    /// What is known.
    pub metadata: Metadata,
}

/// What one request brings for one tenant in one group. Samples of one series stand in the order sent.
#[derive(Debug, Clone, Default)]
pub struct AppendBatch {
    /// Label sets for which the sender has no reference (the head may know them all the same).
    pub new_series: Vec<Labels>,
    /// Float samples.
    pub floats: FloatColumns,
    /// Histogram samples.
    pub histograms: Vec<HistogramAppend>,
    /// Exemplars.
    pub exemplars: Vec<ExemplarAppend>,
    /// Metadata.
    pub metadata: Vec<MetadataAppend>,
}

/// A column of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// `AppendBatch::floats`
    Floats,
    /// `AppendBatch::histograms`
    Histograms,
    /// `AppendBatch::exemplars`
    Exemplars,
}

/// Why one item was not taken. Sending it again changes nothing, except for `StaleReference`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RejectReason {
    /// The reference is no longer in use: send the item again with its labels.
    StaleReference = 1,
    /// Behind the out-of-order window.
    TooOld = 2,
    /// Behind the newest sample of the series, and out-of-order samples are not allowed here.
    OutOfOrder = 3,
    /// The same timestamp as a stored sample, with another value.
    Duplicate = 4,
    /// Too far in the future.
    TooFarInFuture = 5,
    /// The tenant's limit of series is reached and this one would be new.
    SeriesLimit = 6,
    /// An exemplar older than the series' newest one.
    ExemplarOutOfOrder = 7,
}

/// An item that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Where it stood.
    pub column: Column,
    /// Its index in that column.
    pub index: u32,
    /// Why.
    pub reason: RejectReason,
}

/// What became of a batch. Items without a rejection are committed and durable; an exact duplicate of a
/// stored sample counts as taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// One per `new_series`: the reference to use from now on; `NEW_SERIES` itself when it was refused.
    pub references: Vec<SeriesRef>,
    /// What was not taken, by column and index.
    pub rejections: Vec<Rejection>,
    /// Limit in force when `SeriesLimit` was among the reasons.
    pub series_limit: u64,
}

/// Why a whole batch has no outcome. What was committed stays; sending again is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No leader, no quorum, a full queue, a full disk: try again.
    #[error("group {group} cannot take writes now: {reason}")]
    Unavailable {
        /// Which group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// A bug or a damaged log.
    #[error("group {group} failed: {reason}")]
    Failed {
        /// Which group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

impl AppendError {
    /// What the sender should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            AppendError::Unavailable { .. } => ErrorKind::Unavailable,
            AppendError::Failed { .. } => ErrorKind::Internal,
        }
    }
}

/// Takes batches; implemented by the ingester.
#[async_trait]
pub trait AppendSamples: Send + Sync + 'static {
    /// The group that holds `series` of `tenant` now.
    fn place(&self, tenant: &TenantId, series: SeriesId) -> GroupId;

    /// The group that holds all series of `tenant`, when it is one; spares the caller a look per series.
    fn place_all(&self, tenant: &TenantId) -> Option<GroupId>;

    /// Appends `batch`; returns after it is committed, durable and applied.
    async fn append(
        &self,
        tenant: &TenantId,
        group: GroupId,
        batch: AppendBatch,
    ) -> Result<AppendOutcome, AppendError>;
}
