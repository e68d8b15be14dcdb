//! Answers: merges heads and blocks, evaluates PromQL, speaks Prometheus's HTTP API.

mod json;
mod merge;

pub use merge::MergedSource;
