//! What a query gives.

use std::sync::Arc;
use std::time::Duration;

use datafusion_execution::memory_pool::MemoryReservation;
use model::{FloatHistogram, Labels, TimestampMs};

use crate::annotations::Annotations;

/// A float or a native histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// The time of the evaluation.
    pub t: TimestampMs,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Float samples, ascending.
    pub floats: Vec<(TimestampMs, f64)>,
    /// Histogram samples, ascending; no timestamp is in both.
    pub histograms: Vec<(TimestampMs, Arc<FloatHistogram>)>,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar {
        /// When.
        t: TimestampMs,
        /// What.
        v: f64,
    },
    /// A text.
    String {
        /// When.
        t: TimestampMs,
        /// What.
        s: String,
    },
    /// Samples at one time; sorted only when the query sorts.
    Vector(Vec<VectorSample>),
    /// Samples over time, series sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// Samples of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSamples {
    /// The step's time.
    pub t: TimestampMs,
    /// Samples looked at.
    pub samples: u64,
    /// Without those that the step before looked at too.
    pub samples_read: u64,
}

/// What a query cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryStats {
    /// Samples that were looked at, as Prometheus counts them.
    pub samples_total: u64,
    /// The same, but what windows of a series share is counted once, as Prometheus counts what it reads.
    pub samples_read: u64,
    /// Most samples held at a time.
    pub samples_peak: u64,
    /// Both per step. Only when asked for.
    pub samples_per_step: Option<Vec<StepSamples>>,
    /// Series read from the source.
    pub series: u64,
    /// Most bytes held at a time, of those a budget counts.
    pub memory_peak: u64,
    /// Parsing and planning.
    pub prepare_time: Duration,
    /// Finding series.
    pub select_time: Duration,
    /// The rest.
    pub eval_time: Duration,
}

impl QueryStats {
    /// The rest of the whole time is that of the evaluation.
    pub(crate) fn note_eval_time(&mut self, whole: Duration) {
        self.eval_time = whole.saturating_sub(self.prepare_time + self.select_time);
    }
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// What the user should be told, with Prometheus's prefix and position.
    pub warnings: Vec<String>,
    /// What the user may want to know, likewise.
    pub infos: Vec<String>,
    /// The same as `warnings` and `infos` but for what storage said, in a form that can be joined with others.
    pub annotations: Annotations,
    /// What it cost.
    pub stats: QueryStats,
    /// The part of the query's memory that the value takes.
    pub memory: AnswerMemory,
}

/// Counts the bytes of an answer in the budgets of its query until it is dropped.
#[derive(Debug, Clone, Default)]
pub struct AnswerMemory(pub(crate) Vec<Arc<MemoryReservation>>);

impl AnswerMemory {
    /// Bytes counted.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|held| held.size()).sum()
    }

    /// Counts those of another answer too: what is made of both.
    pub fn join(&mut self, other: AnswerMemory) {
        self.0.extend(other.0);
    }
}
