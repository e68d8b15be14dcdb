//! The plan of a query or a fragment, as people are shown it.

use std::time::Duration;

use crate::StoragePart;

/// What is wanted to be known of how an answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Explain {
    /// Nothing.
    #[default]
    No,
    /// The plan, which is then not run.
    Plan,
    /// The plan, with what its operators did.
    Analyze,
}

/// An operator of a plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExplainedOperator {
    /// What it is.
    pub name: String,
    /// Its settings.
    pub detail: String,
    /// The place where what stands below is evaluated.
    pub place: Option<String>,
    /// Parts that are worked on side by side.
    pub partitions: usize,
    /// Series it reads.
    pub series: Option<usize>,
    /// Which parts of storage it reads, and which it does not have to.
    pub storage: Vec<StoragePart>,
    /// What it did; `None` when the query was not run.
    pub measured: Option<Measured>,
    /// What it works on.
    pub inputs: Vec<ExplainedOperator>,
}

/// What an operator did, all its partitions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Rows it gave: series, or groups.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Samples it read from storage.
    pub samples: u64,
    /// Bytes of those samples in memory.
    pub sample_bytes: u64,
    /// From its beginning to its end, what it waited for included; of its slowest partition.
    pub time: Duration,
}
