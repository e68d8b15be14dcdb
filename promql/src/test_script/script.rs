//! A script as data.

use model::{Labels, TimestampMs};
use regex::Regex;

use crate::engine::SampleValue;
use crate::parse::SequenceValue;

/// A script that has been read.
#[derive(Debug, Clone)]
pub struct Script {
    /// Where it came from, for reports.
    pub name: String,
    /// What it does, in order, with the line (from 1) of each command.
    pub commands: Vec<(usize, Command)>,
}

impl Script {
    /// How many evaluations it has.
    pub fn evaluations(&self) -> usize {
        self.commands.iter().filter(|(_, c)| matches!(c, Command::Eval(_))).count()
    }
}

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Adds samples.
    Load(Vec<LoadedSeries>),
    /// Forgets all samples.
    Clear,
    /// Evaluates a query.
    Eval(Box<Eval>),
}

/// A series with samples to add.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples, ascending in time; staleness markers included.
    pub samples: Vec<LoadedSample>,
}

/// A sample to add.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSample {
    /// When.
    pub t: TimestampMs,
    /// Start timestamp; `None` when not told.
    pub start_t: Option<TimestampMs>,
    /// What.
    pub value: SampleValue,
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalTime {
    /// Once.
    Instant(TimestampMs),
    /// At every step.
    Range {
        /// First step.
        start: TimestampMs,
        /// No step after this.
        end: TimestampMs,
        /// Between steps.
        step_ms: i64,
    },
}

/// An evaluation and what must come out.
#[derive(Debug, Clone)]
pub struct Eval {
    /// The query.
    pub query: String,
    /// When.
    pub time: EvalTime,
    /// The value.
    pub expected: Expected,
    /// Timestamps of a range vector that an instant query gives: start, end, step.
    pub range_vector: Option<(TimestampMs, TimestampMs, i64)>,
    /// Order, failure and annotations.
    pub expectations: Vec<Expectation>,
}

/// The value that must come out.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Series, each with its values; none when nothing must come out.
    Series(Vec<ExpectedSeries>),
    /// A number.
    Scalar(f64),
    /// A text.
    String(String),
}

/// A series that must come out.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its place among the series, from 1.
    pub position: usize,
    /// A value per step.
    pub values: Vec<SequenceValue>,
}

/// What must hold besides the value.
#[derive(Debug, Clone)]
pub enum Expectation {
    /// Series come in the order written.
    Ordered,
    /// The query fails, with this text.
    Fail(TextMatch),
    /// There is a warning like this, and none that is like no such expectation.
    Warn(TextMatch),
    /// There is some warning (the older form of command).
    AnyWarn,
    /// There is no warning.
    NoWarn,
    /// As `Warn`, for infos.
    Info(TextMatch),
    /// As `AnyWarn`, for infos.
    AnyInfo,
    /// There is no info.
    NoInfo,
}

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// Every text will do.
    Any,
    /// This text.
    Exact(String),
    /// A text in which the expression is found.
    Pattern(Regex),
}

impl TextMatch {
    /// Whether `text` will do.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            TextMatch::Any => true,
            TextMatch::Exact(exact) => exact == text,
            TextMatch::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

impl std::fmt::Display for TextMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TextMatch::Any => f.write_str("anything"),
            TextMatch::Exact(exact) => write!(f, "message {exact:?}"),
            TextMatch::Pattern(pattern) => write!(f, "pattern {:?}", pattern.as_str()),
        }
    }
}
