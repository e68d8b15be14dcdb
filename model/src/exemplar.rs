//! An exemplar: one observed value with the labels (a trace id, usually) of where it was seen.

use crate::{Labels, TimestampMs};

/// One exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, not the series'.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed.
    pub t: TimestampMs,
}
