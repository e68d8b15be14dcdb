//! Aggregations over series that have a state: a partial state per partition, merged at the end.
//!
//! `Partial` folds the series of one partition into groups × steps states, `Final` merges the states of all
//! partitions and finishes them. The cut between them may lie anywhere, between processes too.

mod float_state;
mod groups;
mod histogram_state;
mod operators;

pub(crate) use groups::{GroupKey, Groups};
pub(crate) use histogram_state::{HistogramState, HistogramStates};
pub(crate) use operators::{Combine, Final, Partial, state_schema};
