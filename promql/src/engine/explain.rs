//! The plan of a query, and what its operators did.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion_physical_plan::ExecutionPlan;
use proto::{PartUse, StoragePart};

use super::run::Run;
use super::{QueryError, QueryStats};
use crate::ast::ValueType;
use crate::exec::OperatorExec;

/// The plan of a query. Shown as text it is a tree, an operator a line, the outermost first.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The outermost operator.
    pub root: ExplainedOperator,
    /// What the query cost; `None` when it was not run.
    pub stats: Option<QueryStats>,
}

/// An operator of a plan.
#[derive(Debug, Clone)]
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
        Ok(Explanation { root: ExplainedOperator::of(&plan, analyze), stats })
    }
}

impl ExplainedOperator {
    fn of(plan: &Arc<dyn ExecutionPlan>, analyze: bool) -> Self {
        let inputs = plan.children().into_iter().map(|child| Self::of(child, analyze)).collect();
        let partitions = plan.properties().partitioning.partition_count();
        let any: &dyn Any = plan.as_ref();
        let Some(exec) = any.downcast_ref::<OperatorExec>() else {
            let name = plan.name().to_owned();
            let (detail, place, series, storage) = (String::new(), None, None, Vec::new());
            return ExplainedOperator {
                name,
                detail,
                place,
                partitions,
                series,
                storage,
                measured: None,
                inputs,
            };
        };
        let operator = exec.operator();
        let selection = operator.selection();
        ExplainedOperator {
            name: operator.name().to_owned(),
            detail: operator.detail(),
            place: operator.place().map(str::to_owned),
            partitions,
            series: selection.map(|selection| selection.series().len()),
            storage: selection.map(|selection| selection.storage()).unwrap_or_default(),
            measured: analyze.then(|| exec.measured()),
            inputs,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = depth * 2;
        write!(f, "{:indent$}{}", "", self.name)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(measured) = &self.measured {
            write!(f, " [{measured}]")?;
        }
        writeln!(f)?;
        for part in &self.storage {
            let what = match part.used {
                PartUse::Read => format!("{} series", part.series),
                PartUse::NoMatch => "pruned, no series matches".to_owned(),
                PartUse::OtherTime => "pruned, other times".to_owned(),
            };
            writeln!(f, "{:indent$}    {} ({what})", "", part.name)?;
        }
        self.inputs.iter().try_for_each(|input| input.write(f, depth + 1))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.write(f, 0)?;
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

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {}", self.rows, Bytes(self.bytes))?;
        if self.samples > 0 {
            write!(f, ", {} samples of {} read", self.samples, Bytes(self.sample_bytes))?;
        }
        write!(f, ", {:.1?}", self.time)
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
