//! The plan of a query, and what its operators did.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion_physical_plan::ExecutionPlan;
use futures::future::try_join_all;
use proto::{ExplainedOperator, Measured, PartUse};

use super::run::Run;
use super::{QueryError, QueryStats};
use crate::ast::ValueType;
use crate::exec::{OperatorExec, Remote};

/// The plan of a query. Shown as text it is a tree, an operator a line, the outermost first.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The outermost operator.
    pub root: ExplainedOperator,
    /// What the query cost; `None` when it was not run.
    pub stats: Option<QueryStats>,
}

impl Run<'_> {
    /// The plan, run before it is shown when `analyze` is set.
    pub(super) async fn explain(&self, analyze: bool) -> Result<Explanation, QueryError> {
        let began = self.engine.runtime.monotonic();
        let expr = self.parse()?;
        let kind = expr.value_type();
        if !matches!(kind, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::BadData(format!(
                "a query of type \"{}\" has no plan",
                kind.documented()
            )));
        }
        let query = self.context();
        if analyze {
            query.analyze();
        }
        let _followed = self.request.progress.follow(&query);
        let ready = self.ready(&expr, &query, |planner, grid| self.root(planner, &expr, grid)).await?;
        let plan = ready.plan(self, &query);
        let mut stats = None;
        if analyze {
            self.drain(&plan, &query).await?;
            let mut measured = QueryStats::default();
            ready.note_times(&mut measured);
            query.note_stats(&mut measured, self.points());
            measured.note_eval_time(began.elapsed());
            stats = Some(measured);
        }
        Ok(Explanation { root: explained(&plan, analyze).await?, stats })
    }
}

/// A plan as people are shown it; what other processes tell of their parts is put in.
///
/// Without `analyze` they are asked now.
pub(super) async fn explained(
    plan: &Arc<dyn ExecutionPlan>,
    analyze: bool,
) -> Result<ExplainedOperator, QueryError> {
    if !analyze {
        let mut remotes = Vec::new();
        find_remotes(plan, &mut remotes);
        try_join_all(remotes.into_iter().map(Remote::ask_plan)).await?;
    }
    Ok(tree(plan, analyze))
}

fn operator(plan: &Arc<dyn ExecutionPlan>) -> Option<&OperatorExec> {
    let any: &dyn Any = plan.as_ref();
    any.downcast_ref::<OperatorExec>()
}

fn find_remotes<'a>(plan: &'a Arc<dyn ExecutionPlan>, remotes: &mut Vec<&'a Remote>) {
    remotes.extend(operator(plan).and_then(|exec| exec.operator().remote()));
    for child in plan.children() {
        find_remotes(child, remotes);
    }
}

fn tree(plan: &Arc<dyn ExecutionPlan>, analyze: bool) -> ExplainedOperator {
    let mut explained = ExplainedOperator {
        name: plan.name().to_owned(),
        partitions: plan.properties().partitioning.partition_count(),
        inputs: plan.children().into_iter().map(|child| tree(child, analyze)).collect(),
        ..ExplainedOperator::default()
    };
    let Some(exec) = operator(plan) else { return explained };
    let operator = exec.operator();
    explained.detail = operator.detail();
    explained.place = operator.place().map(str::to_owned);
    if let Some(selection) = operator.selection() {
        explained.series = Some(selection.series().len());
        explained.storage = selection.storage();
    }
    explained.measured = analyze.then(|| exec.measured());
    explained.inputs.extend(operator.remote().and_then(Remote::plan).cloned());
    explained
}

fn write(operator: &ExplainedOperator, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
    let indent = depth * 2;
    write!(f, "{:indent$}{}", "", operator.name)?;
    if !operator.detail.is_empty() {
        write!(f, ": {}", operator.detail)?;
    }
    if let Some(measured) = &operator.measured {
        write!(f, " [{}]", Shown(measured))?;
    }
    writeln!(f)?;
    for part in &operator.storage {
        let what = match part.used {
            PartUse::Read => format!("{} series", part.series),
            PartUse::NoMatch => "pruned, no series matches".to_owned(),
            PartUse::OtherTime => "pruned, other times".to_owned(),
        };
        writeln!(f, "{:indent$}    {} ({what})", "", part.name)?;
    }
    operator.inputs.iter().try_for_each(|input| write(input, f, depth + 1))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(&self.root, f, 0)?;
        let Some(stats) = &self.stats else { return Ok(()) };
        writeln!(
            f,
            "\n{} samples looked at, {} read, of {} series; at most {} held at a time",
            stats.samples_total,
            stats.samples_read,
            stats.series,
            Bytes(stats.memory_peak)
        )?;
        let (prepare, select, eval) = (stats.prepare_time, stats.select_time, stats.eval_time);
        writeln!(f, "{prepare:.1?} to plan, {select:.1?} to find series, {eval:.1?} to evaluate")
    }
}

/// What an operator did, in words.
struct Shown<'a>(&'a Measured);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { rows, bytes, samples, sample_bytes, time } = *self.0;
        write!(f, "{rows} rows, {}", Bytes(bytes))?;
        if samples > 0 {
            write!(f, ", {samples} samples of {} read", Bytes(sample_bytes))?;
        }
        write!(f, ", {time:.1?}")
    }
}

/// Bytes in the largest unit that fits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0 as f64, None);
        for name in UNITS {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, Some(name));
        }
        match unit {
            Some(unit) => write!(f, "{value:.1} {unit}"),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_largest_unit_that_fits() {
        let shown = |bytes: u64| Bytes(bytes).to_string();
        assert_eq!((shown(0), shown(1023), shown(1536)), ("0 B".into(), "1023 B".into(), "1.5 KiB".into()));
        assert_eq!(shown(3 << 30), "3.0 GiB");
    }
}
