//! What all operators of one query share: annotations, sample limit, histograms on their way.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use parking_lot::Mutex;
use proto::FragmentNote;
use runtime::{Moment, Runtime};

use super::aggregate::HistogramStates;
use super::batch::HistogramSlot;
use super::grid::Grid;
use super::operator::from_plan_error;
use crate::annotations::{Annotation, Annotations};
use crate::engine::{AnswerMemory, Features, QueryError, QueryMemory, QueryStats, StepSamples};

/// The shared state of one query.
#[derive(Debug)]
pub(crate) struct QueryContext {
    /// Clock, tasks.
    pub runtime: Runtime,
    /// What operators run in.
    pub task: Arc<TaskContext>,
    /// The memory it may use.
    pub memory: Arc<QueryMemory>,
    /// Held to the query's end: selections.
    kept: MemoryReservation,
    /// Held as long as the answer.
    of_answer: Mutex<MemoryReservation>,
    /// Nobody waits for the answer any more.
    abandoned: AtomicBool,
    /// What is done is measured everywhere, in other processes too.
    analyzed: AtomicBool,
    /// What of the language is on.
    pub features: Features,
    /// How far back an instant selector looks.
    pub lookback_ms: i64,
    /// When the query has run too long.
    deadline: Moment,
    /// Histograms in flight.
    pub histograms: HistogramTable,
    /// Samples held and looked at.
    pub samples: SampleMeter,
    /// Histogram states of partial aggregations.
    states: Mutex<Vec<HistogramStates>>,
    annotations: Mutex<Annotations>,
    /// What storage had to say, each text once.
    warnings: Mutex<Vec<String>>,
    /// Series read.
    series: AtomicU64,
}

impl QueryContext {
    /// For one query.
    pub(crate) fn new(
        runtime: Runtime,
        task: Arc<TaskContext>,
        memory: Arc<QueryMemory>,
        features: Features,
        lookback_ms: i64,
        max_samples: usize,
        timeout: Duration,
        counted: Option<Grid>,
    ) -> Self {
        let mut samples = SampleMeter { limit: max_samples, ..SampleMeter::default() };
        if let Some(points) = counted {
            samples.count_steps(points);
        }
        let deadline = runtime.monotonic() + timeout;
        QueryContext {
            runtime,
            task,
            kept: memory.reservation("selections"),
            of_answer: Mutex::new(memory.reservation("answer")),
            memory,
            abandoned: AtomicBool::new(false),
            analyzed: AtomicBool::new(false),
            deadline,
            features,
            lookback_ms,
            histograms: HistogramTable::default(),
            samples,
            states: Mutex::new(Vec::new()),
            annotations: Mutex::new(Annotations::default()),
            warnings: Mutex::default(),
            series: AtomicU64::new(0),
        }
    }

    /// Reserves memory until the reservation is dropped.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<MemoryReservation, QueryError> {
        let reservation = self.kept.new_empty();
        reservation.try_grow(bytes).map_err(from_plan_error)?;
        Ok(reservation)
    }

    /// Reserves memory until the query's end.
    pub(crate) fn keep(&self, bytes: usize) -> Result<(), QueryError> {
        self.kept.try_grow(bytes).map_err(from_plan_error)
    }

    /// Reserves memory for the answer.
    pub(crate) fn keep_answer(&self, bytes: usize) -> Result<(), QueryError> {
        self.of_answer.lock().try_grow(bytes).map_err(from_plan_error)
    }

    /// What was reserved for the answer.
    pub(crate) fn take_answer_memory(&self) -> AnswerMemory {
        let mut held = self.of_answer.lock();
        let empty = held.new_empty();
        AnswerMemory(vec![Arc::new(std::mem::replace(&mut *held, empty))])
    }

    /// Wants to know of other processes what they did.
    pub(crate) fn analyze(&self) {
        self.analyzed.store(true, Ordering::Relaxed);
    }

    /// Whether other processes are asked what they did.
    pub(crate) fn is_analyzed(&self) -> bool {
        self.analyzed.load(Ordering::Relaxed)
    }

    /// Tells work that runs on other threads that nobody waits for it.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits for the answer any more: whatever is made then, nobody will see. Cheap enough for every
    /// series.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Fails once nobody waits for the answer any more.
    pub(crate) fn check_abandoned(&self) -> Result<(), QueryError> {
        if self.is_abandoned() {
            return Err(QueryError::Canceled("expression evaluation"));
        }
        Ok(())
    }

    /// Fails once the time is over.
    pub(crate) fn check_deadline(&self) -> Result<(), QueryError> {
        self.check_abandoned()?;
        if self.runtime.monotonic() >= self.deadline {
            return Err(QueryError::Timeout("expression evaluation"));
        }
        Ok(())
    }

    /// Keeps the histogram states of a partial aggregation.
    pub(crate) fn put_states(&self, states: HistogramStates) -> u32 {
        let mut all = self.states.lock();
        all.push(states);
        u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes them back.
    pub(crate) fn take_states(&self, handle: u32) -> HistogramStates {
        self.states.lock().get_mut(handle as usize).map(std::mem::take).unwrap_or_default()
    }

    /// Notes something for the user.
    pub(crate) fn annotate(&self, annotation: Annotation) {
        self.annotations.lock().add(annotation);
    }

    /// Notes several things, in order.
    pub(crate) fn annotate_all(&self, annotations: Vec<Annotation>) {
        if annotations.is_empty() {
            return;
        }
        let mut all = self.annotations.lock();
        for annotation in annotations {
            all.add(annotation);
        }
    }

    /// What storage had to say.
    pub(crate) fn warn(&self, warning: String) {
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// All that storage had to say.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    /// Reads so many more series.
    pub(crate) fn read_series(&self, count: u64) {
        self.series.fetch_add(count, Ordering::Relaxed);
    }

    /// Series read.
    pub(crate) fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    /// What it has cost so far, but for times; `points` are those of the query.
    pub(crate) fn note_stats(&self, stats: &mut QueryStats, points: Grid) {
        stats.series = self.series();
        stats.samples_total = self.samples.total();
        stats.samples_read = self.samples.read();
        stats.samples_peak = self.samples.peak();
        stats.memory_peak = self.memory.peak() as u64;
        stats.samples_per_step = self.samples.per_step().map(|counts| {
            let of =
                |(step, (samples, samples_read))| StepSamples { t: points.at(step), samples, samples_read };
            counts.into_iter().enumerate().map(of).collect()
        });
    }

    /// Everything noted, as it travels between processes.
    pub(crate) fn notes(&self, text_offset: usize) -> Vec<FragmentNote> {
        self.annotations.lock().to_notes(text_offset)
    }

    /// Those annotations count as noted last.
    pub(crate) fn place_annotations(&self, last: &Annotations) {
        self.annotations.lock().place_as(last);
    }

    /// Everything noted.
    pub(crate) fn annotations(&self) -> Annotations {
        self.annotations.lock().clone()
    }
}

/// Histograms that travel with batches, which carry only their handle. The batches hold them.
#[derive(Debug, Default)]
pub(crate) struct HistogramTable {
    blocks: Mutex<Vec<Weak<Vec<HistogramSlot>>>>,
}

impl HistogramTable {
    /// Gives a batch's histograms a handle.
    pub(crate) fn put(&self, block: &Arc<Vec<HistogramSlot>>) -> u32 {
        let mut blocks = self.blocks.lock();
        blocks.push(Arc::downgrade(block));
        u32::try_from(blocks.len() - 1).unwrap_or(u32::MAX)
    }

    /// A batch's histograms.
    pub(crate) fn get(&self, handle: u32) -> Option<Arc<Vec<HistogramSlot>>> {
        self.blocks.lock().get(handle as usize).and_then(Weak::upgrade)
    }
}

/// Counts samples: those held now, against the limit, and those looked at.
#[derive(Debug, Default)]
pub(crate) struct SampleMeter {
    limit: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
    total: AtomicU64,
    /// Without those that a window shares with the one before.
    read: AtomicU64,
    /// Samples looked at and samples read per step of the query, when asked for.
    per_step: Option<Mutex<Vec<(u64, u64)>>>,
    /// The query's steps.
    points: Option<Grid>,
}

impl SampleMeter {
    /// Holds `count` more samples.
    pub(crate) fn hold(&self, count: usize) -> Result<(), QueryError> {
        let held = self.held.fetch_add(count, Ordering::Relaxed) + count;
        self.peak.fetch_max(held, Ordering::Relaxed);
        if held > self.limit { Err(QueryError::too_many_samples(self.limit)) } else { Ok(()) }
    }

    /// Lets go of `count` samples.
    pub(crate) fn release(&self, count: usize) {
        self.held.fetch_sub(count, Ordering::Relaxed);
    }

    /// Looked at `count` samples for each of `times` steps, of which `read` were read for it.
    pub(crate) fn looked_at(&self, count: u64, read: u64, times: u64) {
        self.total.fetch_add(count * times, Ordering::Relaxed);
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    /// Counts per step from now on.
    fn count_steps(&mut self, points: Grid) {
        self.per_step = Some(Mutex::new(vec![(0, 0); points.steps]));
        self.points = Some(points);
    }

    /// Looked at, and read, so many samples at each step of an expression that counts `times` times. An expression of
    /// one step whose values are repeated counts at every step, and is read for the first. Inside a subquery, where
    /// `times` is 0, what is read counts at the first step of the query that is not before.
    pub(crate) fn looked_at_steps(&self, grid: Grid, times: u64, of: impl Fn(usize) -> (u64, u64)) {
        let (Some(per_step), Some(points)) = (&self.per_step, self.points) else { return };
        let (steps, mut counts) = (grid.steps, per_step.lock());
        if times == 0 {
            for step in 0..steps {
                let behind = i128::from(grid.at(step)) - i128::from(points.start);
                let at = (behind + i128::from(points.step) - 1).max(0) / i128::from(points.step.max(1));
                let last = counts.len().saturating_sub(1);
                if let Some(count) = counts.get_mut(usize::try_from(at).map_or(last, |at| at.min(last))) {
                    count.1 += of(step).1;
                }
            }
            return;
        }
        let is_repeated = steps == 1;
        for (step, count) in counts.iter_mut().enumerate() {
            if step >= steps && !is_repeated {
                break;
            }
            let (looked_at, read) = of(if is_repeated { 0 } else { step });
            count.0 += looked_at;
            count.1 += if is_repeated && step > 0 { 0 } else { read };
        }
    }

    /// What was looked at and read per step.
    pub(crate) fn per_step(&self) -> Option<Vec<(u64, u64)>> {
        self.per_step.as_ref().map(|counts| counts.lock().clone())
    }

    /// Most samples held at a time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    /// All samples read.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// All samples looked at.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
