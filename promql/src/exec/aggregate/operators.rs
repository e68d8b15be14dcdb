//! `Partial` and `Final`: the two halves of an aggregation.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion_execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use model::METRIC_NAME;
use parking_lot::Mutex;

use super::float_state::FloatStates;
use super::groups::{GroupKey, Groups};
use super::histogram_state::HistogramStates;
use crate::annotations::Annotation;
use crate::ast::{AggregateOp, PosRange};
use crate::engine::QueryError;
use crate::exec::batch::{
    ABSENT, BatchBuilder, HistogramSlot, LabelsColumn, SeriesBatch, holding, is_absent, list_column,
    list_type, list_values,
};
use crate::exec::context::QueryContext;
use crate::exec::gather::gathered;
use crate::exec::label_bytes;
use crate::exec::operator::{BatchStream, Inputs, Operator, SharedSink, from_plan_error, once};
use crate::exec::window_rows::RowSink;

/// The shape of a partial state: labels, name flag, three columns of numbers, a handle to histogram states.
pub(crate) fn state_schema(steps: usize) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("drop_name", DataType::Boolean, false),
        Field::new("a", list_type(steps), false),
        Field::new("b", list_type(steps), true),
        Field::new("c", list_type(steps), true),
        Field::new("histograms", DataType::UInt32, true),
    ]))
}

/// Folds the series of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    pub op: AggregateOp,
    pub key: GroupKey,
    pub steps: usize,
    /// Where the aggregated expression stands.
    pub pos: PosRange,
    /// The name all series have, where the source was not asked for it.
    pub metric: Option<String>,
}

impl Operator for Partial {
    fn name(&self) -> &'static str {
        "AggregatePartial"
    }

    fn detail(&self) -> String {
        format!("{} {:?}", self.op.as_str(), self.key)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        once(async move {
            let folded = Folded::new(self.op, self.steps, &inputs)?;
            let query = Arc::clone(&inputs.query);
            let sink = Arc::new(Mutex::new(FoldRows { partial: self, folded, scratch: Vec::new(), query }));
            let rows: SharedSink = Arc::<Mutex<FoldRows>>::clone(&sink);
            if let Some(folding) = inputs.fold(0, partition, rows) {
                folding.await?;
            } else {
                let mut batches = inputs.series(0, partition);
                while let Some(batch) = batches.next().await {
                    sink.lock().batch(&batch?)?;
                }
            }
            let empty = Folded::new(AggregateOp::Count, 0, &inputs)?;
            let folded = std::mem::replace(&mut sink.lock().folded, empty);
            folded.encode(&inputs)
        })
    }
}

/// Groups and their states.
#[derive(Debug)]
struct Folded {
    steps: usize,
    groups: Groups,
    floats: FloatStates,
    histograms: HistogramStates,
    memory: MemoryReservation,
}

impl Folded {
    fn new(op: AggregateOp, steps: usize, inputs: &Inputs) -> Result<Self, QueryError> {
        Ok(Folded {
            steps,
            groups: Groups::default(),
            floats: FloatStates::new(op, steps),
            histograms: HistogramStates::default(),
            memory: inputs.query.reserve(0)?,
        })
    }

    fn bytes(&self) -> usize {
        self.floats.bytes() + self.groups.bytes() + self.histograms.bytes()
    }

    /// Reserves what `rows` more groups would take.
    fn make_room(&self, rows: usize, label_bytes: usize) -> Result<(), QueryError> {
        let more = self.floats.bytes_of(rows) + self.groups.bytes_of(rows, label_bytes);
        self.memory.try_grow(more).map_err(from_plan_error)
    }

    /// Reserves what it takes now.
    fn charge(&self) -> Result<(), QueryError> {
        self.memory.try_resize(self.bytes()).map_err(from_plan_error)
    }

    fn group(&mut self, key: &GroupKey, labels: &[u8], drop_name: bool) -> usize {
        let (group, is_new) = self.groups.find(key, labels, drop_name);
        if is_new {
            self.floats.grow();
        }
        group
    }

    fn encode(self, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        let rows = self.groups.labels.len();
        let mut labels = LabelsColumn::with_capacity(rows);
        for bytes in &self.groups.labels {
            labels.push(bytes);
        }
        let handles = if self.histograms.states.is_empty() {
            UInt32Array::new_null(rows)
        } else {
            UInt32Array::from(vec![inputs.query.put_states(self.histograms); rows])
        };
        let a = list_column(holding(ScalarBuffer::from(self.floats.a), self.memory, None), self.steps)?;
        // unused columns share the first one
        let or_a = |column: Vec<f64>| -> Result<ArrayRef, QueryError> {
            if column.is_empty() {
                Ok(Arc::clone(&a))
            } else {
                list_column(ScalarBuffer::from(column), self.steps)
            }
        };
        let (b, c) = (or_a(self.floats.b)?, or_a(self.floats.c)?);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(labels.finish()),
            Arc::new(BooleanArray::from(self.groups.drop_name)),
            a,
            b,
            c,
            Arc::new(handles),
        ];
        RecordBatch::try_new(Arc::clone(&inputs.schema), columns)
            .map_err(|e| QueryError::Internal(e.to_string()))
    }
}

/// Folds row after row.
struct FoldRows {
    partial: Arc<Partial>,
    folded: Folded,
    scratch: Vec<f64>,
    query: Arc<QueryContext>,
}

impl FoldRows {
    fn batch(&mut self, batch: &SeriesBatch) -> Result<(), QueryError> {
        self.expect(batch.rows(), batch.labels.value_data().len())?;
        for i in 0..batch.rows() {
            if self.query.is_abandoned() {
                break;
            }
            let (labels, drop_name) = (batch.labels.value(i), batch.drop_name.value(i));
            self.row(labels, drop_name, 0..batch.steps, batch.row(i), batch.histogram_row(i));
        }
        self.settle()
    }
}

impl RowSink for FoldRows {
    fn expect(&mut self, rows: usize, label_bytes: usize) -> Result<(), QueryError> {
        self.folded.make_room(rows, label_bytes)
    }

    fn row(
        &mut self,
        labels: &[u8],
        drop_name: bool,
        steps: Range<usize>,
        row: &[f64],
        histograms: Option<&[HistogramSlot]>,
    ) {
        let (partial, folded) = (&*self.partial, &mut self.folded);
        let group = folded.group(&partial.key, labels, drop_name);
        let Some(slots) = histograms else {
            folded.floats.add(group, steps.start, &row[steps]);
            return;
        };
        match partial.op {
            AggregateOp::Count | AggregateOp::Group => {
                self.scratch.clear();
                self.scratch.extend(row.iter().zip(slots).map(|(v, h)| if h.is_some() { 1.0 } else { *v }));
                folded.floats.add(group, 0, &self.scratch);
            }
            AggregateOp::Sum | AggregateOp::Avg => {
                folded.floats.add(group, 0, row);
                let metric: Option<Arc<str>> = match partial.metric {
                    Some(_) => None,
                    None => Some(label_bytes::get(labels, METRIC_NAME).into()),
                };
                for (step, slot) in slots.iter().enumerate() {
                    let Some(h) = slot else { continue };
                    let is_mean = partial.op == AggregateOp::Avg;
                    let has_float = folded.floats.has(group, step);
                    folded.histograms.add((group, step), h, is_mean, has_float, metric.as_ref());
                }
            }
            _ => {
                folded.floats.add(group, 0, row);
                if slots.iter().any(Option::is_some) {
                    self.query.annotate(Annotation::histogram_ignored_in_aggregation(
                        partial.op.as_str(),
                        partial.pos,
                    ));
                }
            }
        }
    }

    fn settle(&mut self) -> Result<(), QueryError> {
        self.folded.charge()
    }
}

/// Merges the states of all partitions and passes them on as states: what a place returns.
#[derive(Debug, Clone)]
pub(crate) struct Combine(pub Final);

impl Operator for Combine {
    fn name(&self) -> &'static str {
        "AggregateCombine"
    }

    fn detail(&self) -> String {
        self.0.detail()
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move { self.0.merged(&inputs).await?.encode(&inputs) })
    }
}

/// Merges the states of all partitions and finishes them.
#[derive(Debug, Clone)]
pub(crate) struct Final {
    pub op: AggregateOp,
    pub steps: usize,
    /// Where the aggregated expression stands.
    pub pos: PosRange,
    /// The name all series have, if it is the same and still theirs.
    pub metric: Option<String>,
}

impl Operator for Final {
    fn name(&self) -> &'static str {
        "AggregateFinal"
    }

    fn detail(&self) -> String {
        self.op.as_str().to_owned()
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let folded = self.merged(&inputs).await?;
            inputs.encode(self.finish(folded, &inputs.query)?)
        })
    }
}

impl Final {
    /// The states of all partitions of the input.
    async fn merged(&self, inputs: &Inputs) -> Result<Folded, QueryError> {
        let mut folded = Folded::new(self.op, self.steps, inputs)?;
        let mut batches = gathered(inputs, 0);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let labels = batch.column(0).as_binary::<i32>().value_data().len();
            folded.make_room(batch.num_rows(), labels)?;
            self.merge(&batch, &mut folded, &inputs.query);
            folded.charge()?;
        }
        Ok(folded)
    }

    fn merge(&self, batch: &RecordBatch, folded: &mut Folded, query: &QueryContext) {
        let labels = batch.column(0).as_binary::<i32>();
        let drop_name = batch.column(1).as_boolean();
        let (a, b, c) = (list_values(batch, 2), list_values(batch, 3), list_values(batch, 4));
        let handles = batch.column(5).as_primitive::<UInt32Type>();
        let groups: Vec<usize> = (0..labels.len())
            .map(|i| folded.group(&GroupKey::Exact, labels.value(i), drop_name.value(i)))
            .collect();
        let states = if handles.is_empty() || handles.is_null(0) {
            HistogramStates::default()
        } else {
            query.take_states(handles.value(0))
        };
        // Histograms first: what matters to them is which floats earlier parts had.
        for ((i, step), state) in states.states {
            let has_float = folded.floats.has(groups[i], step);
            folded.histograms.merge(groups[i], step, state, has_float);
        }
        for (i, group) in groups.into_iter().enumerate() {
            let range = i * self.steps..(i + 1) * self.steps;
            folded.floats.merge(group, &a[range.clone()], &b[range.clone()], &c[range]);
        }
    }

    fn finish(&self, mut folded: Folded, query: &QueryContext) -> Result<SeriesBatch, QueryError> {
        let rows = folded.groups.labels.len();
        // until the batch has its own
        let _room = query.reserve(rows * self.steps * 8)?;
        let mut out = BatchBuilder::new(self.steps, rows);
        let has_histograms = !folded.histograms.states.is_empty();
        for group in 0..rows {
            out.push_empty(&folded.groups.labels[group], folded.groups.drop_name[group]);
            folded.floats.finish(group, out.floats());
            for step in 0..if has_histograms { self.steps } else { 0 } {
                let Some(state) = folded.histograms.states.remove(&(group, step)) else { continue };
                if !state.float_first && state.mean.was_reconciled() {
                    query.annotate(Annotation::mismatched_custom_buckets("aggregation", self.pos));
                }
                let is_mixed = !is_absent(out.floats()[step]);
                out.floats()[step] = ABSENT;
                if let Some(meeting) = &state.meeting
                    && !state.float_first
                {
                    let metric = self.metric.as_deref().or(meeting.metric.as_deref()).unwrap_or_default();
                    query.annotate(Annotation::mixed_exponential_custom(metric, self.pos));
                    if meeting.float_before {
                        query.annotate(Annotation::mixed_in_aggregation(self.pos));
                    }
                    continue;
                }
                if is_mixed {
                    query.annotate(Annotation::mixed_in_aggregation(self.pos));
                    continue;
                }
                if state.mean.has_reset_collision() {
                    query.annotate(Annotation::counter_reset_collision("aggregation", self.pos));
                }
                if let Some(mut histogram) = state.mean.finish() {
                    crate::histogram::compact(&mut histogram);
                    out.set_histogram(step, Arc::new(histogram));
                }
            }
            if !out.last_has_values() {
                out.pop();
            }
        }
        Ok(out.finish())
    }
}
