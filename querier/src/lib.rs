//! Answers: merges heads and blocks, evaluates PromQL, speaks Prometheus's HTTP API.
//!
//! A query reads one [`proto::Source`] per tenant, made of several by [`MergedSource`]. [`routes`] is the API
//! over an [`Api`]; whose data a request may see is decided once, by the function the server gives it.

mod active;
mod admission;
mod api;
mod error;
mod exposition;
mod front;
mod http;
mod json;
mod language;
mod merge;
mod metrics;
mod query_log;
mod read;
mod render;
mod status;

pub use active::ActiveQuery;
pub use api::{Api, ApiConfig, ApiLimits, SourceOf, TenantOf};
pub use error::ApiError;
pub use exposition::fuzz_accept;
pub use front::ResultCacheMetrics;
pub use http::{fuzz_form, fuzz_time, routes};
pub use merge::{HeadsAndBlocks, MergedSource, SpreadSource};
pub use metrics::{EndpointMetrics, QueryMetrics, SECONDS_BOUNDS};
pub use query_log::QueryLog;
pub use render::{Format, RenderError, Rendered, fuzz_render, render, render_explanation, render_listing};
pub use status::{BuildInfo, NameCount, RuntimeInfo, StatusSource, TsdbStatus, WalReplay};
