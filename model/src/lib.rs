//! The words of Epimetheus: tenants, labels, matchers, samples, histograms.
//!
//! Shared by every other crate. No I/O, no async, no clock, no serialised form: wire, disk and HTTP
//! have types of their own.

mod batch;
mod bucket_powers;
mod duration;
mod error_kind;
mod exemplar;
mod go_quote;
mod go_regex;
mod histogram;
mod ids;
mod labels;
mod matcher;
mod metadata;
mod replacer;
mod reset_hints;
mod sample;
mod tenant;
mod time;

pub use batch::{HistogramPoint, SampleBatch, SeriesSamples};
pub use bucket_powers::bucket_powers;
pub use duration::{DurationError, format_duration, format_duration_ms, parse_duration, parse_duration_ns};
pub use error_kind::ErrorKind;
pub use exemplar::Exemplar;
pub use go_quote::{go_quote, go_quote_bytes};
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramError, IntHistogram,
    MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span,
};
pub use ids::{BlockId, GroupId, LogPosition, NodeId, SeriesId, SlotRange};
pub use labels::{BUCKET_LABEL, Labels, LabelsBuilder, LabelsError, LabelsIter, METRIC_NAME, QUANTILE_LABEL};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{Metadata, MetricType};
pub use replacer::Replacer;
pub use sample::{STALE_NAN_BITS, Sample, is_stale, stale_nan};
pub use tenant::{TenantError, TenantId};
pub use time::{TimeRange, TimestampMs};
