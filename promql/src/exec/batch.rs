//! A batch: series × steps.
//!
//! On the way between operators it is an Arrow record batch: the series' labels (canonical bytes), whether their
//! name is to be dropped at the end, a fixed-size list of floats (one per step), and a handle to the
//! histograms (none when there are none). Always: a step without a float is null, and its slot holds the absent
//! value, so that kernels need not look at the null bitmap.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, Float64Array, RecordBatch,
    UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt32Type};
use bytes::Bytes;
use datafusion_execution::memory_pool::MemoryReservation;
use model::{FloatHistogram, STALE_NAN_BITS};

use super::context::QueryContext;
use crate::engine::QueryError;

/// The value of a step that has none. No operation on values makes these bits.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether there is no float.
#[inline(always)]
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A slot for a histogram.
pub(crate) type HistogramSlot = Option<Arc<FloatHistogram>>;

/// A decoded batch.
#[derive(Debug, Clone)]
pub(crate) struct SeriesBatch {
    /// Canonical label bytes, one per series.
    pub labels: BinaryArray,
    /// Whether the name goes at the end (delayed name removal).
    pub drop_name: BooleanArray,
    /// Steps per series.
    pub steps: usize,
    /// Series after series.
    pub values: ScalarBuffer<f64>,
    /// Series after series, when there is any.
    pub histograms: Option<Arc<Vec<HistogramSlot>>>,
    /// Whether values and histograms are in a memory budget already, through the batch they come from.
    pub is_charged: bool,
}

static ITEM: LazyLock<Arc<Field>> = LazyLock::new(|| Arc::new(Field::new("item", DataType::Float64, true)));

/// The shape of a list with `steps` floats.
pub(crate) fn list_type(steps: usize) -> DataType {
    DataType::FixedSizeList(Arc::clone(&ITEM), i32::try_from(steps).unwrap_or(i32::MAX))
}

/// The schema of a batch with `steps` steps.
pub(crate) fn series_schema(steps: usize) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("drop_name", DataType::Boolean, false),
        Field::new("values", list_type(steps), false),
        Field::new("histograms", DataType::UInt32, true),
    ]))
}

/// Which slots hold a value; `None` when all do.
pub(crate) fn validity(values: &[f64]) -> Option<NullBuffer> {
    let mut words: Vec<u64> = Vec::with_capacity(values.len().div_ceil(64));
    let mut valid = 0usize;
    for chunk in values.chunks(64) {
        let mut word = 0u64;
        for (bit, value) in chunk.iter().enumerate() {
            word |= u64::from(!is_absent(*value)) << bit;
        }
        valid += word.count_ones() as usize;
        words.push(word);
    }
    if valid == values.len() {
        return None;
    }
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(words), 0, values.len())))
}

/// A list column from row-major values.
pub(crate) fn list_column(values: ScalarBuffer<f64>, steps: usize) -> Result<ArrayRef, QueryError> {
    let nulls = validity(&values);
    let rows = values.len().checked_div(steps).unwrap_or(0);
    let items = Arc::new(Float64Array::new(values, nulls));
    let size =
        i32::try_from(steps).map_err(|_| QueryError::Execution("too many steps in one query".to_owned()))?;
    let list = FixedSizeListArray::try_new_with_length(Arc::clone(&ITEM), size, items, None, rows)
        .map_err(|e| QueryError::Internal(e.to_string()))?;
    Ok(Arc::new(list))
}

/// Numbers that hold the memory they take in the query's budget, and the histograms beside them.
#[derive(Debug)]
struct Held {
    buffer: Buffer,
    _memory: MemoryReservation,
    _histograms: Option<Arc<Vec<HistogramSlot>>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// The same bytes, which now hold all this until the last who shares them is gone.
pub(crate) fn held(
    buffer: Buffer,
    memory: MemoryReservation,
    histograms: Option<Arc<Vec<HistogramSlot>>>,
) -> Buffer {
    if buffer.is_empty() {
        return buffer;
    }
    Buffer::from(Bytes::from_owner(Held { buffer, _memory: memory, _histograms: histograms }))
}

/// The same for values.
pub(crate) fn holding(
    values: ScalarBuffer<f64>,
    memory: MemoryReservation,
    histograms: Option<Arc<Vec<HistogramSlot>>>,
) -> ScalarBuffer<f64> {
    ScalarBuffer::from(held(values.into_inner(), memory, histograms))
}

/// The values of a list column.
pub(crate) fn list_values(batch: &RecordBatch, column: usize) -> ScalarBuffer<f64> {
    let list = batch.column(column).as_fixed_size_list();
    list.values().as_primitive::<Float64Type>().values().clone()
}

impl SeriesBatch {
    /// Series in the batch.
    pub(crate) fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The floats of series `i`.
    #[inline]
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.steps..(i + 1) * self.steps]
    }

    /// The histograms of series `i`.
    pub(crate) fn histogram_row(&self, i: usize) -> Option<&[HistogramSlot]> {
        self.histograms.as_ref().map(|h| &h[i * self.steps..(i + 1) * self.steps])
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let histograms = self
            .histograms
            .iter()
            .map(|h| h.len() * 8 + h.iter().flatten().map(|h| h.bytes()).sum::<usize>());
        self.values.len() * 8 + self.label_bytes() + histograms.sum::<usize>()
    }

    fn label_bytes(&self) -> usize {
        self.labels.value_data().len() + self.rows() * 8
    }

    /// One series without labels.
    pub(crate) fn of_scalar(values: &[f64]) -> Self {
        let mut out = BatchBuilder::new(values.len(), 1);
        out.push_row(&[], false, values, None);
        out.finish()
    }

    /// The same samples under other labels; `write` appends what becomes of (labels, name flag).
    pub(crate) fn relabelled(self, write: impl Fn(&[u8], bool, &mut Vec<u8>)) -> Self {
        let mut labels = LabelsColumn::with_capacity(self.rows());
        for i in 0..self.rows() {
            labels.push_with(|out| write(self.labels.value(i), self.drop_name.value(i), out));
        }
        let drop_name = BooleanArray::from(vec![false; self.rows()]);
        SeriesBatch { labels: labels.finish(), drop_name, ..self }
    }

    /// Values at one step, as `sample_count` counts.
    pub(crate) fn samples_at(&self, step: usize) -> usize {
        let at = |i: usize| {
            let histogram = self.histogram_row(i).and_then(|h| h[step].as_ref());
            histogram.map_or(usize::from(!is_absent(self.row(i)[step])), |h| crate::histogram::sample_size(h))
        };
        (0..self.rows()).map(at).sum()
    }

    /// Values held: what the sample limit counts.
    pub(crate) fn sample_count(&self) -> usize {
        let floats = self.values.iter().filter(|v| !is_absent(**v)).count();
        let histograms: usize = self
            .histograms
            .iter()
            .flat_map(|h| h.iter().flatten())
            .map(|h| crate::histogram::sample_size(h))
            .sum();
        floats + histograms
    }

    /// As it travels between operators; it holds the memory it takes.
    pub(crate) fn encode(self, schema: &SchemaRef, query: &QueryContext) -> Result<RecordBatch, QueryError> {
        let bytes = if self.is_charged { self.label_bytes() } else { self.bytes() };
        let memory = query.reserve(bytes)?;
        self.encode_holding(memory, schema, query)
    }

    /// The same with memory that was reserved for it.
    pub(crate) fn encode_holding(
        self,
        memory: MemoryReservation,
        schema: &SchemaRef,
        query: &QueryContext,
    ) -> Result<RecordBatch, QueryError> {
        let rows = self.rows();
        let handle = self.histograms.as_ref().map(|h| query.histograms.put(h));
        let handles = match handle {
            Some(handle) => UInt32Array::from(vec![handle; rows]),
            None => UInt32Array::new_null(rows),
        };
        if self.steps == 0 {
            // a subquery whose range holds no step: series without a sample are none
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.labels),
            Arc::new(self.drop_name),
            list_column(holding(self.values, memory, self.histograms), self.steps)?,
            Arc::new(handles),
        ];
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| QueryError::Internal(e.to_string()))
    }

    /// From what travels between operators.
    pub(crate) fn decode(batch: &RecordBatch, query: &QueryContext) -> Self {
        let list = batch.column(2).as_fixed_size_list();
        let steps = usize::try_from(list.value_length()).unwrap_or(0);
        let handles = batch.column(3).as_primitive::<UInt32Type>();
        let histograms = if handles.is_empty() || handles.is_null(0) {
            None
        } else {
            query.histograms.get(handles.value(0))
        };
        SeriesBatch {
            labels: batch.column(0).as_binary::<i32>().clone(),
            drop_name: batch.column(1).as_boolean().clone(),
            steps,
            values: list.values().as_primitive::<Float64Type>().values().clone(),
            histograms,
            is_charged: true,
        }
    }
}

/// Label sets on their way into a column.
#[derive(Debug, Default)]
pub(crate) struct LabelsColumn {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
}

impl LabelsColumn {
    /// With room for `rows`.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        LabelsColumn { bytes: Vec::new(), offsets }
    }

    /// Appends a label set.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.end();
    }

    /// Appends a label set that `write` adds to the buffer.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.end();
    }

    fn end(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    /// The column.
    pub(crate) fn finish(self) -> BinaryArray {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        BinaryArray::new(offsets, Buffer::from_vec(self.bytes), None)
    }
}

/// Rows on their way into a batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    steps: usize,
    labels: LabelsColumn,
    drop_name: Vec<bool>,
    values: Vec<f64>,
    histograms: Option<Vec<HistogramSlot>>,
}

impl BatchBuilder {
    /// With room for `rows` of `steps` steps.
    pub(crate) fn new(steps: usize, rows: usize) -> Self {
        BatchBuilder {
            steps,
            labels: LabelsColumn::with_capacity(rows),
            drop_name: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows * steps),
            histograms: None,
        }
    }

    /// Appends a series without any value; fill it through `floats` and `set_histogram`.
    pub(crate) fn push_empty(&mut self, labels: &[u8], drop_name: bool) {
        self.labels.push(labels);
        self.drop_name.push(drop_name);
        self.values.resize(self.values.len() + self.steps, ABSENT);
        if let Some(histograms) = &mut self.histograms {
            histograms.resize(self.values.len(), None);
        }
    }

    /// Appends a series.
    pub(crate) fn push_row(
        &mut self,
        labels: &[u8],
        drop_name: bool,
        floats: &[f64],
        histograms: Option<&[HistogramSlot]>,
    ) {
        debug_assert_eq!(floats.len(), self.steps);
        self.labels.push(labels);
        self.drop_name.push(drop_name);
        self.values.extend_from_slice(floats);
        if let Some(row) = histograms.filter(|row| row.iter().any(Option::is_some)) {
            let before = self.values.len() - self.steps;
            let all = self.histograms.get_or_insert_with(Vec::new);
            all.resize(before, None);
            all.extend_from_slice(row);
        } else if let Some(all) = &mut self.histograms {
            all.resize(self.values.len(), None);
        }
    }

    /// The floats of the last series.
    pub(crate) fn floats(&mut self) -> &mut [f64] {
        let from = self.values.len().saturating_sub(self.steps);
        &mut self.values[from..]
    }

    /// The same to look at.
    pub(crate) fn floats_now(&self) -> &[f64] {
        &self.values[self.values.len().saturating_sub(self.steps)..]
    }

    /// The histograms of the last series, if it has any.
    pub(crate) fn histograms_now(&self) -> Option<&[HistogramSlot]> {
        let all = self.histograms.as_ref()?;
        all.get(all.len().saturating_sub(self.steps)..).filter(|row| row.iter().any(Option::is_some))
    }

    /// Forgets all histograms.
    pub(crate) fn clear_histograms(&mut self) {
        self.histograms = None;
    }

    /// Sets a histogram of the last series.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        let length = self.values.len();
        let all = self.histograms.get_or_insert_with(Vec::new);
        all.resize(length, None);
        all[length - self.steps + step] = Some(histogram);
    }

    /// Whether the last series has any value.
    pub(crate) fn last_has_values(&self) -> bool {
        let from = self.values.len().saturating_sub(self.steps);
        self.values[from..].iter().any(|v| !is_absent(*v))
            || self.histograms.as_ref().is_some_and(|h| h[from..].iter().any(Option::is_some))
    }

    /// Takes the last series away.
    pub(crate) fn pop(&mut self) {
        self.labels.offsets.pop();
        let bytes = self.labels.offsets.last().copied().unwrap_or(0);
        self.labels.bytes.truncate(usize::try_from(bytes).unwrap_or(0));
        self.drop_name.pop();
        self.values.truncate(self.values.len().saturating_sub(self.steps));
        if let Some(histograms) = &mut self.histograms {
            histograms.truncate(self.values.len());
        }
    }

    /// The batch.
    pub(crate) fn finish(self) -> SeriesBatch {
        SeriesBatch {
            labels: self.labels.finish(),
            drop_name: BooleanArray::from(self.drop_name),
            steps: self.steps,
            values: ScalarBuffer::from(self.values),
            histograms: self.histograms.map(Arc::new),
            is_charged: false,
        }
    }
}
