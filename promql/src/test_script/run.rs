//! Running a script.

use async_trait::async_trait;
use model::TimestampMs;

use crate::engine::{Answer, SampleValue, Value};

use super::at_variants::at_variants;
use super::compare::{at_time, check_sorted};
use super::script::{Command, Eval, EvalTime, LoadedSeries, Script};

/// What scripts are run against.
#[async_trait]
pub trait ScriptTarget: Send {
    /// Adds samples to what is there.
    async fn load(&mut self, series: &[LoadedSeries]) -> Result<(), String>;
    /// Forgets all samples.
    async fn clear(&mut self) -> Result<(), String>;
    /// Evaluates a query at one time; a failure is the text the API shows.
    async fn instant(&mut self, query: &str, time_ms: TimestampMs) -> Result<Answer, String>;
    /// Evaluates a query at every step.
    async fn range(
        &mut self,
        query: &str,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
    ) -> Result<Answer, String>;
}

/// How a script went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Evaluations that gave what they must.
    pub passed: usize,
    /// Evaluations that did not, and commands that could not be done.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Adds another script's outcome.
    pub fn merge(&mut self, other: Report) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
    }
}

/// One evaluation that did not give what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The script.
    pub file: String,
    /// The line of the command.
    pub line: usize,
    /// The query; empty for a command that has none.
    pub query: String,
    /// What went wrong.
    pub reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.query, self.reason)
    }
}

/// Runs a script from its beginning on an emptied target. A failing command does not end it.
pub async fn run_script(script: &Script, target: &mut dyn ScriptTarget) -> Report {
    let mut report = Report::default();
    let mut note = |line: usize, query: &str, outcome: Result<(), String>, counts: bool| match outcome {
        Ok(()) => report.passed += usize::from(counts),
        Err(reason) => {
            let (file, query) = (script.name.clone(), query.to_owned());
            report.failures.push(Failure { file, line, query, reason });
        }
    };
    note(0, "", target.clear().await, false);
    for (line, command) in &script.commands {
        match command {
            Command::Clear => note(*line, "", target.clear().await, false),
            Command::Load(series) => note(*line, "", target.load(series).await, false),
            Command::Eval(eval) => note(*line, &eval.query, evaluate(eval, target).await, true),
        }
    }
    report
}

async fn evaluate(eval: &Eval, target: &mut dyn ScriptTarget) -> Result<(), String> {
    match eval.time {
        EvalTime::Range { start, end, step_ms } => {
            let answer = target.range(&eval.query, start, end, step_ms).await;
            check(eval, &eval.query, answer).map(|_| ())
        }
        EvalTime::Instant(time) => {
            instant(eval, &eval.query, time, target).await?;
            // A range vector's query is pinned to the end of what it must give.
            let pinned_to = eval.range_vector.map_or(time, |(_, end, _)| end);
            for (query, at) in at_variants(&eval.query, pinned_to) {
                instant(eval, &query, at, target)
                    .await
                    .map_err(|why| format!("as {query} at {at}: {why}"))?;
            }
            Ok(())
        }
    }
}

/// The value, when the query had to give one and gave the right one.
fn check(eval: &Eval, query: &str, answer: Result<Answer, String>) -> Result<Option<Value>, String> {
    match answer {
        Err(error) => eval.check_failure(query, &error).map(|()| None),
        Ok(_) if eval.failure().is_some() => Err("expected a failure but got none".to_owned()),
        Ok(answer) => {
            eval.check_annotations(&answer.warnings, &answer.infos)?;
            eval.check_value(&answer.value)?;
            Ok(Some(answer.value))
        }
    }
}

async fn instant(
    eval: &Eval,
    query: &str,
    time: TimestampMs,
    target: &mut dyn ScriptTarget,
) -> Result<(), String> {
    let Some(value) = check(eval, query, target.instant(query, time).await)? else { return Ok(()) };
    if !also_as_range(eval, query) {
        return Ok(());
    }
    range_mode(eval, query, time, &value, target).await.map_err(|why| format!("in range mode: {why}"))
}

/// Whether the query gives the same as a step of a range query.
fn also_as_range(eval: &Eval, query: &str) -> bool {
    let asks_for_range = ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call));
    eval.range_vector.is_none()
        && !asks_for_range
        && !matches!(eval.expected, super::script::Expected::String(_))
}

async fn range_mode(
    eval: &Eval,
    query: &str,
    time: TimestampMs,
    value: &Value,
    target: &mut dyn ScriptTarget,
) -> Result<(), String> {
    const MINUTE: i64 = 60_000;
    let (start, end) = (time.saturating_sub(MINUTE), time.saturating_add(MINUTE));
    let answer = target.range(query, start, end, MINUTE).await?;
    // Range queries sort by labels.
    if eval.ordered() {
        return Ok(());
    }
    let Value::Matrix(series) = answer.value else { return Err("expected a matrix".to_owned()) };
    check_sorted(&series)?;
    let samples = at_time(&series, time);
    match (value, samples.first().map(|s| &s.value)) {
        (Value::Scalar { t, .. }, Some(SampleValue::Float(v))) => {
            eval.check_value(&Value::Scalar { t: *t, v: *v })
        }
        (Value::Scalar { .. }, _) => {
            Err("expected a scalar at the middle step, but there is none".to_owned())
        }
        _ => eval.check_value(&Value::Vector(samples)),
    }
}
