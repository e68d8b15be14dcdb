//! Operators as DataFusion execution plans.
//!
//! An operator implements `Operator`: a name, and what one partition does with the operator's inputs.
//! `OperatorExec` makes an `ExecutionPlan` of it: properties, children, metrics, cancellation by drop.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result as PlanResult};
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion_physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::batch::{HistogramSlot, SeriesBatch, series_schema};
use super::context::QueryContext;
use super::remote::Remote;
use super::window_rows::RowSink;
use crate::engine::QueryError;
use proto::{Measured, Selection};

/// Names of what is measured beside what DataFusion measures.
const SAMPLES: &str = "samples";
const SAMPLE_BYTES: &str = "sample_bytes";
const WHOLE_TIME: &str = "whole_time";
/// As DataFusion calls it.
const OUTPUT_BYTES: &str = "output_bytes";

/// Batches as they travel.
pub(crate) type BatchStream = BoxStream<'static, Result<RecordBatch, QueryError>>;

/// What an operator does.
pub(crate) trait Operator: fmt::Debug + Send + Sync + 'static {
    /// As plans show it.
    fn name(&self) -> &'static str;

    /// Its settings, as plans show them.
    fn detail(&self) -> String {
        String::new()
    }

    /// The series it reads, if it reads some.
    fn selection(&self) -> Option<&Arc<dyn Selection>> {
        None
    }

    /// The place where what stands below it is evaluated, if that is told here.
    fn place(&self) -> Option<&str> {
        None
    }

    /// What another process evaluates, if that is told here.
    fn remote(&self) -> Option<&Remote> {
        None
    }

    /// The batches of one partition.
    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream;

    /// Gives the rows of one partition to `sink` instead of making batches of them; `None` where it does not do that.
    fn fold(self: Arc<Self>, _inputs: Inputs, _partition: usize, _sink: SharedSink) -> Option<Folding> {
        None
    }
}

/// Takes the rows of a partition.
pub(crate) type SharedSink = Arc<Mutex<dyn RowSink>>;
/// Rows being handed over.
pub(crate) type Folding = BoxFuture<'static, Result<(), QueryError>>;

/// What an operator reads from.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    children: Arc<[Arc<dyn ExecutionPlan>]>,
    task: Arc<TaskContext>,
    /// The query's shared state.
    pub query: Arc<QueryContext>,
    /// The schema the operator promised.
    pub schema: SchemaRef,
    samples: Count,
    sample_bytes: Count,
}

impl Inputs {
    /// Number of inputs.
    pub(crate) fn child_count(&self) -> usize {
        self.children.len()
    }

    /// Partitions of an input.
    pub(crate) fn partitions(&self, child: usize) -> usize {
        self.children[child].properties().partitioning.partition_count()
    }

    /// One partition of an input.
    pub(crate) fn batches(&self, child: usize, partition: usize) -> BatchStream {
        match self.children[child].execute(partition, Arc::clone(&self.task)) {
            Ok(stream) => stream.map_err(from_plan_error).boxed(),
            Err(error) => stream::once(async move { Err(from_plan_error(error)) }).boxed(),
        }
    }

    /// One partition of an input, decoded.
    pub(crate) fn series(
        &self,
        child: usize,
        partition: usize,
    ) -> BoxStream<'static, Result<SeriesBatch, QueryError>> {
        let query = Arc::clone(&self.query);
        self.batches(child, partition).map_ok(move |batch| SeriesBatch::decode(&batch, &query)).boxed()
    }

    /// Gives the rows of one partition of an input to `sink`, if the input does that.
    pub(crate) fn fold(&self, child: usize, partition: usize, sink: SharedSink) -> Option<Folding> {
        let child: &dyn Any = &**self.children.get(child)?;
        child.downcast_ref::<OperatorExec>()?.fold(partition, Arc::clone(&self.task), sink)
    }

    /// All of an input; it has one partition (`gather` sees to that). Samples are accounted for as long as the
    /// result lives. As much memory as it takes is reserved again, for what will be made of it.
    pub(crate) async fn collect(&self, child: usize) -> Result<Collected, QueryError> {
        let mut collected = Collected {
            batches: Vec::new(),
            room: self.query.reserve(0)?,
            query: Arc::clone(&self.query),
            samples: 0,
        };
        let mut series = self.series(child, 0);
        while let Some(batch) = series.try_next().await? {
            collected.room.try_grow(batch.bytes()).map_err(from_plan_error)?;
            let samples = batch.sample_count();
            collected.samples += samples;
            self.query.samples.hold(samples)?;
            collected.batches.push(batch);
        }
        self.query.check_deadline()?;
        Ok(collected)
    }

    /// Samples were read from storage.
    pub(crate) fn note_read(&self, samples: usize, bytes: usize) {
        self.samples.add(samples);
        self.sample_bytes.add(bytes);
    }

    /// Encodes what the operator made.
    pub(crate) fn encode(&self, batch: SeriesBatch) -> Result<RecordBatch, QueryError> {
        batch.encode(&self.schema, &self.query)
    }
}

/// From so many values on, work goes to the CPU pool: less is done before another thread would have begun.
const OFFLOAD_VALUES: usize = 1 << 17;

/// Runs work over `values` values where it does not hold up other tasks.
pub(crate) async fn compute<T, F>(query: &QueryContext, values: usize, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if values < OFFLOAD_VALUES {
        return work();
    }
    // whoever stops waiting for work has stopped waiting for the whole query
    let mut waiting = Waiting { query, is_done: false };
    let made = query.runtime.cpu(work).await;
    waiting.is_done = true;
    made
}

/// Somebody waits for work on another thread.
struct Waiting<'a> {
    query: &'a QueryContext,
    is_done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.query.abandon();
        }
    }
}

/// Counts rows on their way.
struct Counted {
    sink: SharedSink,
    rows: usize,
    bytes: usize,
}

impl RowSink for Counted {
    fn expect(&mut self, rows: usize, label_bytes: usize) -> Result<(), QueryError> {
        self.sink.lock().expect(rows, label_bytes)
    }

    fn row(
        &mut self,
        labels: &[u8],
        drop_name: bool,
        steps: Range<usize>,
        floats: &[f64],
        histograms: Option<&[HistogramSlot]>,
    ) {
        self.rows += 1;
        self.bytes += labels.len() + steps.len() * size_of::<f64>();
        self.sink.lock().row(labels, drop_name, steps, floats, histograms);
    }

    fn settle(&mut self) -> Result<(), QueryError> {
        self.sink.lock().settle()
    }
}

/// All batches of an input.
#[derive(Debug)]
pub(crate) struct Collected {
    batches: Vec<SeriesBatch>,
    /// For the operator's result, until that reserves what it takes.
    room: MemoryReservation,
    query: Arc<QueryContext>,
    samples: usize,
}

impl Collected {
    /// Values in all batches.
    pub(crate) fn values(&self) -> usize {
        self.batches.iter().map(|b| b.values.len()).sum()
    }

    /// Gives the memory back that was kept for what is made of it.
    pub(crate) fn free_room(&self) {
        self.room.free();
    }

    /// Encodes what was made of it.
    pub(crate) fn encode(&self, batch: SeriesBatch, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        self.room.free();
        inputs.encode(batch)
    }
}

impl std::ops::Deref for Collected {
    type Target = [SeriesBatch];

    fn deref(&self) -> &[SeriesBatch] {
        &self.batches
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.query.samples.release(self.samples);
    }
}

/// A stream of what `work` makes in one go.
pub(crate) fn once<F>(work: F) -> BatchStream
where
    F: Future<Output = Result<RecordBatch, QueryError>> + Send + 'static,
{
    stream::once(work).boxed()
}

/// A stream that has to be prepared.
pub(crate) fn deferred<F>(work: F) -> BatchStream
where
    F: Future<Output = Result<BatchStream, QueryError>> + Send + 'static,
{
    stream::once(work).try_flatten().boxed()
}

/// Carries an error through DataFusion.
pub(crate) fn to_plan_error(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Takes an error back out of DataFusion.
pub(crate) fn from_plan_error(error: DataFusionError) -> QueryError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
            Ok(error) => *error,
            Err(other) => QueryError::Internal(other.to_string()),
        },
        DataFusionError::ResourcesExhausted(text) => QueryError::Execution(text),
        other => QueryError::Internal(other.to_string()),
    }
}

/// An operator in a plan.
#[derive(Debug)]
pub(crate) struct OperatorExec {
    operator: Arc<dyn Operator>,
    children: Arc<[Arc<dyn ExecutionPlan>]>,
    query: Arc<QueryContext>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl OperatorExec {
    /// An operator that makes series × steps.
    pub(crate) fn series(
        query: &Arc<QueryContext>,
        operator: Arc<dyn Operator>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        steps: usize,
        partitions: usize,
    ) -> Arc<dyn ExecutionPlan> {
        Self::with_schema(query, operator, children, series_schema(steps), partitions)
    }

    /// An operator that makes batches of another shape.
    pub(crate) fn with_schema(
        query: &Arc<QueryContext>,
        operator: Arc<dyn Operator>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        schema: SchemaRef,
        partitions: usize,
    ) -> Arc<dyn ExecutionPlan> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Arc::new(OperatorExec {
            operator,
            children: Arc::from(children),
            query: Arc::clone(query),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl OperatorExec {
    /// What it does.
    pub(crate) fn operator(&self) -> &dyn Operator {
        &*self.operator
    }

    /// What its operator reads from.
    fn inputs(&self, partition: usize, task: Arc<TaskContext>) -> Inputs {
        Inputs {
            children: Arc::clone(&self.children),
            task,
            query: Arc::clone(&self.query),
            schema: Arc::clone(self.properties.eq_properties.schema()),
            samples: MetricBuilder::new(&self.metrics).counter(SAMPLES, partition),
            sample_bytes: MetricBuilder::new(&self.metrics).counter(SAMPLE_BYTES, partition),
        }
    }

    /// See [`Operator::fold`]; measured as if it made batches.
    fn fold(&self, partition: usize, task: Arc<TaskContext>, sink: SharedSink) -> Option<Folding> {
        let counted = Arc::new(Mutex::new(Counted { sink, rows: 0, bytes: 0 }));
        let rows: SharedSink = Arc::<Mutex<Counted>>::clone(&counted);
        let folding = Arc::clone(&self.operator).fold(self.inputs(partition, task), partition, rows)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let whole = MetricBuilder::new(&self.metrics).subset_time(WHOLE_TIME, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter(OUTPUT_BYTES, partition);
        let runtime = self.query.runtime.clone();
        let measured = async move {
            let began = runtime.monotonic();
            let done = folding.await;
            whole.add_duration(began.elapsed());
            let counted = counted.lock();
            metrics.record_output(counted.rows);
            bytes.add(counted.bytes);
            done
        };
        Some(measured.boxed())
    }

    /// What it has done so far.
    pub(crate) fn measured(&self) -> Measured {
        let set = self.metrics.clone_inner();
        let of = |name: &'static str| {
            let metrics = set.iter().filter(move |metric| metric.value().name() == name);
            metrics.map(|metric| metric.value().as_usize() as u64)
        };
        let sum = |name: &'static str| of(name).sum();
        let slowest = of(WHOLE_TIME).max().unwrap_or(0);
        Measured {
            rows: set.output_rows().unwrap_or(0) as u64,
            bytes: sum(OUTPUT_BYTES),
            samples: sum(SAMPLES),
            sample_bytes: sum(SAMPLE_BYTES),
            time: Duration::from_nanos(slowest),
        }
    }
}

impl DisplayAs for OperatorExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operator.name())?;
        let detail = self.operator.detail();
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

impl ExecutionPlan for OperatorExec {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(OperatorExec {
            operator: Arc::clone(&self.operator),
            children: Arc::from(children),
            query: Arc::clone(&self.query),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let inputs = self.inputs(partition, task);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let whole = MetricBuilder::new(&self.metrics).subset_time(WHOLE_TIME, partition);
        let (runtime, mut began) = (self.query.runtime.clone(), None);
        let mut batches = Arc::clone(&self.operator).run(inputs, partition).map_err(to_plan_error).boxed();
        let stream = stream::poll_fn(move |context| {
            let began = *began.get_or_insert_with(|| runtime.monotonic());
            let polled = batches.poll_next_unpin(context);
            if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
                whole.add_duration(began.elapsed());
            }
            metrics.record_poll(polled)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
