//! Batches between processes: like those between operators, but histograms and their states lie in the batch as
//! bytes instead of behind a handle.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt32Type};

use super::aggregate::{HistogramState, HistogramStates};
use super::batch::{ABSENT, HistogramSlot, SeriesBatch, holding, list_column, list_type};
use super::context::QueryContext;
use crate::engine::QueryError;
use crate::histogram::{Cursor, Malformed, get_histogram, put_histogram};

/// The shape of rows on the wire.
fn rows_schema(steps: usize) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("drop_name", DataType::Boolean, false),
        Field::new("values", list_type(steps), false),
        Field::new("histograms", DataType::Binary, true),
    ]))
}

/// The shape of states on the wire.
fn states_schema(steps: usize) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("drop_name", DataType::Boolean, false),
        Field::new("a", list_type(steps), false),
        Field::new("b", list_type(steps), true),
        Field::new("c", list_type(steps), true),
        Field::new("histograms", DataType::Binary, true),
    ]))
}

fn internal(error: impl std::fmt::Display) -> QueryError {
    QueryError::Internal(error.to_string())
}

fn malformed(_: Malformed) -> QueryError {
    QueryError::Internal("a node answered with histograms that cannot be read".to_owned())
}

/// Rows for another process.
pub(crate) fn rows_to_wire(batch: &SeriesBatch) -> Result<RecordBatch, QueryError> {
    let mut histograms = BinaryBuilder::new();
    for i in 0..batch.rows() {
        let slots: &[HistogramSlot] = batch.histogram_row(i).unwrap_or(&[]);
        if slots.iter().all(Option::is_none) {
            histograms.append_null();
            continue;
        }
        let mut bytes = Vec::new();
        for (step, slot) in slots.iter().enumerate() {
            if let Some(histogram) = slot {
                bytes.extend_from_slice(&(step as u32).to_le_bytes());
                put_histogram(histogram, &mut bytes);
            }
        }
        histograms.append_value(&bytes);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(batch.labels.clone()),
        Arc::new(batch.drop_name.clone()),
        list_column(batch.values.clone(), batch.steps)?,
        Arc::new(histograms.finish()),
    ];
    RecordBatch::try_new(rows_schema(batch.steps), columns).map_err(internal)
}

/// Checks what came from another process before columns are taken for what they should be.
fn check(batch: &RecordBatch, schema: &Schema) -> Result<(), QueryError> {
    let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    if types(&batch.schema()) != types(schema) {
        return Err(internal("a node answered with columns of another shape"));
    }
    if (0..2).any(|i| batch.column(i).null_count() > 0) {
        return Err(internal("a node answered with series without labels"));
    }
    Ok(())
}

/// Values of a list column with the absent value wherever there is none.
fn values_of(batch: &RecordBatch, column: usize) -> Vec<f64> {
    let items = batch.column(column).as_fixed_size_list().values().as_primitive::<Float64Type>();
    items.iter().map(|v| v.unwrap_or(ABSENT)).collect()
}

/// Rows from another process.
pub(crate) fn rows_from_wire(batch: &RecordBatch, steps: usize) -> Result<SeriesBatch, QueryError> {
    check(batch, &rows_schema(steps))?;
    let column = batch.column(3).as_binary::<i32>();
    let mut slots: Option<Vec<HistogramSlot>> = None;
    for (i, bytes) in each_present(column) {
        let all = slots.get_or_insert_with(|| vec![None; batch.num_rows() * steps]);
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let step = cursor.u32().map_err(malformed)? as usize;
            let histogram = get_histogram(&mut cursor).map_err(malformed)?;
            if step >= steps {
                return Err(internal("a node answered for a step that was not asked for"));
            }
            all[i * steps + step] = Some(Arc::new(histogram));
        }
    }
    Ok(SeriesBatch {
        labels: batch.column(0).as_binary::<i32>().clone(),
        drop_name: batch.column(1).as_boolean().clone(),
        steps,
        values: values_of(batch, 2).into(),
        histograms: slots.map(Arc::new),
        is_charged: false,
    })
}

fn each_present(column: &BinaryArray) -> impl Iterator<Item = (usize, &[u8])> {
    column.iter().enumerate().filter_map(|(i, bytes)| bytes.map(|bytes| (i, bytes)))
}

/// States for another process.
pub(crate) fn states_to_wire(
    batch: &RecordBatch,
    steps: usize,
    query: &QueryContext,
) -> Result<RecordBatch, QueryError> {
    let handles = batch.column(5).as_primitive::<UInt32Type>();
    let mut rows: Vec<Vec<u8>> = vec![Vec::new(); batch.num_rows()];
    if !handles.is_empty() && !handles.is_null(0) {
        for ((row, step), state) in query.take_states(handles.value(0)).states {
            let bytes = &mut rows[row];
            bytes.extend_from_slice(&(step as u32).to_le_bytes());
            state.put(bytes);
        }
    }
    let mut histograms = BinaryBuilder::new();
    for bytes in rows {
        histograms.append_option((!bytes.is_empty()).then_some(bytes));
    }
    let mut columns: Vec<ArrayRef> = batch.columns()[..5].to_vec();
    columns.push(Arc::new(histograms.finish()));
    RecordBatch::try_new(states_schema(steps), columns).map_err(internal)
}

/// States from another process.
pub(crate) fn states_from_wire(
    batch: &RecordBatch,
    steps: usize,
    schema: &SchemaRef,
    query: &QueryContext,
) -> Result<RecordBatch, QueryError> {
    check(batch, &states_schema(steps))?;
    let mut states = HistogramStates::default();
    for (row, bytes) in each_present(batch.column(5).as_binary::<i32>()) {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let step = cursor.u32().map_err(malformed)? as usize;
            let state = HistogramState::get(&mut cursor).map_err(malformed)?;
            if step >= steps {
                return Err(internal("a node answered for a step that was not asked for"));
            }
            states.states.insert((row, step), state);
        }
    }
    let rows = batch.num_rows();
    let handles = if states.states.is_empty() {
        UInt32Array::new_null(rows)
    } else {
        UInt32Array::from(vec![query.put_states(states); rows])
    };
    let mut columns: Vec<ArrayRef> = batch.columns()[..2].to_vec();
    let memory = query.reserve(batch.get_array_memory_size())?;
    columns.push(list_column(holding(values_of(batch, 2).into(), memory, None), steps)?);
    for column in 3..5 {
        columns.push(list_column(values_of(batch, column).into(), steps)?);
    }
    columns.push(Arc::new(handles));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(internal)
}
