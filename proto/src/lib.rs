//! Contracts between the roles, and the wire formats of the outside.
//!
//! Roles never depend on each other: a distributor knows `AppendSamples`, a querier knows `Source`; who
//! implements them, in this process or behind a connection, is decided where the roles are wired together.

mod append;
mod changes;
mod explained;
mod fragment;
mod generated;
pub mod histogram_wire;
mod remote_read;
pub mod remote_write;
mod select;
mod wire;

pub use append::{
    AppendBatch, AppendError, AppendOutcome, AppendSamples, Column, ExemplarAppend, FloatColumns,
    HistogramAppend, MetadataAppend, NEW_SERIES, RejectReason, Rejection, SeriesRef,
};
pub use changes::{ChangeLog, DataChanges, DataVersion};
pub use explained::{Explain, ExplainedOperator, Measured};
pub use fragment::{
    Fragment, FragmentEnd, FragmentError, FragmentNote, FragmentOutput, FragmentPart, FragmentStream, Layout,
    Place, RunFragment, Shard, Span,
};
pub use generated::{exposition, prometheus, write_v2};
pub use remote_read::{
    ReadHints, ReadMatcher, ReadQuery, ReadRequest, ReadRequestError, decode_read_request, fuzz_read_request,
};
pub use select::{
    LabelsWanted, MetadataRequest, PartUse, SelectRequest, SelectedSeries, Selection, SeriesExemplars,
    Source, SourceError, StoragePart,
};
pub use wire::WireError;
