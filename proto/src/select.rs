//! The contract of a read: which series match, then their samples.
//!
//! A selection knows all its series before the first sample is read, so that operators can use arrays
//! instead of maps. Heads, blocks and the merge of both implement the same trait.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use model::{ErrorKind, Exemplar, Labels, Matcher, Metadata, SampleBatch, SeriesId, TenantId, TimeRange};

use crate::fragment::Layout;

use crate::{DataChanges, DataVersion};

/// Which labels of a matching series the caller will look at. Sources may hand out the others too only
/// for `All`; for the other two the labels are exactly the projection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LabelsWanted {
    /// Every label.
    #[default]
    All,
    /// Only these (sorted): `by (…)`.
    Only(Vec<String>),
    /// All but these (sorted): `without (…)`.
    Without(Vec<String>),
}

impl LabelsWanted {
    /// Whether `name` is wanted.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            LabelsWanted::All => true,
            LabelsWanted::Only(names) => names.iter().any(|n| n == name),
            LabelsWanted::Without(names) => !names.iter().any(|n| n == name),
        }
    }
}

/// What to select.
#[derive(Debug, Clone)]
pub struct SelectRequest {
    /// Whose series.
    pub tenant: TenantId,
    /// All must match. At least one does not match the empty string.
    pub matchers: Vec<Matcher>,
    /// Which samples; series without a sample inside may be left out or be empty.
    pub range: TimeRange,
    /// Which labels.
    pub labels: LabelsWanted,
    /// Most series allowed; more is an error (`SourceError::Limit`). 0: no limit.
    pub series_max: usize,
}

/// One matching series.
#[derive(Debug, Clone)]
pub struct SelectedSeries {
    /// Its identity, from all its labels whatever was wanted.
    pub id: SeriesId,
    /// The labels that were wanted.
    pub labels: Labels,
}

/// Which names, values, series to list.
#[derive(Debug, Clone)]
pub struct MetadataRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Any of these sets must match; empty: everything.
    pub matchers: Vec<Vec<Matcher>>,
    /// Series with data in this range (whole windows may be taken where that is cheaper).
    pub range: TimeRange,
    /// Most entries to return; 0: no limit.
    pub limit: usize,
}

/// The exemplars of one series.
#[derive(Debug, Clone)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Ascending in time.
    pub exemplars: Vec<Exemplar>,
}

/// Why a source has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// More than the caller or the tenant allows; names limit and setting.
    #[error("{0}")]
    Limit(String),
    /// Storage cannot be reached now.
    #[error("{0}")]
    Unavailable(String),
    /// Stored data is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// Data went elsewhere since the layout was asked for: ask again.
    #[error("{0}")]
    Moved(String),
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl SourceError {
    /// A selector matches more than `max` series.
    pub fn too_many_series(max: usize) -> Self {
        SourceError::Limit(format!(
            "the query selects more than {max} series in one selector, the limit of a query (`query.max_series`)"
        ))
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SourceError::Limit(_) => ErrorKind::Limited,
            SourceError::Unavailable(_) | SourceError::Moved(_) => ErrorKind::Unavailable,
            SourceError::Corrupt(_) => ErrorKind::Corrupt,
            SourceError::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// What a selection does with a part of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartUse {
    /// Series of it match.
    Read,
    /// Its times fit, but none of its series matches.
    NoMatch,
    /// It holds other times.
    OtherTime,
}

/// A part of storage, such as a block, as a selection sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoragePart {
    /// What it is, for people.
    pub name: String,
    /// What becomes of it.
    pub used: PartUse,
    /// Series of it that match.
    pub series: usize,
}

/// Matching series, and their samples in pieces.
#[async_trait]
pub trait Selection: Send + Sync {
    /// The series, each once, in an order that stays. Labels may repeat when a projection was wanted.
    fn series(&self) -> &[SelectedSeries];

    /// Samples of `series()[range]` inside the requested time range, ascending, no timestamp twice per
    /// kind, staleness markers included. CPU-heavy: callers run several reads at once on the CPU pool.
    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError>;

    /// About how many bytes it would take to read all samples of all series, what is held on the way included.
    /// `None`: cannot be told without reading. Cheap; asked once, where much may be read.
    fn bytes_estimate(&self) -> Option<usize> {
        None
    }

    /// Which parts of storage are read, and which do not have to be; for people who ask how a query is answered.
    fn storage(&self) -> Vec<StoragePart> {
        Vec::new()
    }

    /// What the user should be told beside the answer.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A place that holds series.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Finds the matching series.
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError>;

    /// Where the tenant's series with samples in `range` lie, for evaluation where they are. `None`: this source is
    /// all there is to know.
    async fn layout(&self, tenant: &TenantId, range: TimeRange) -> Result<Option<Layout>, SourceError> {
        let _ = (tenant, range);
        Ok(None)
    }

    /// Names of labels, sorted.
    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError>;

    /// Values of label `name`, sorted.
    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError>;

    /// Label sets of series, sorted.
    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError>;

    /// Metadata of metrics (of `metric` alone when given), sorted by name.
    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError>;

    /// Exemplars of series that match any of the sets, sorted by labels.
    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError>;

    /// The version of the tenant's data now, and what changed since `since` (`None`: everything did). Cheap.
    /// `None`: the source cannot tell, so nothing read from it may be kept. Whoever makes a source that answers
    /// has to note every change of what its reads return: samples, deletions, blocks that come and go, damage.
    async fn changes(&self, _tenant: &TenantId, _since: Option<&DataVersion>) -> Option<DataChanges> {
        None
    }
}
