//! Rows of window states between processes: the series' labels, and its states as bytes.
//!
//! The bytes of a row: for each step that has a state the distance from the step before (from step -1 at first), then
//! the state. What is read is checked; a row that is damaged is an error, never a panic.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_execution::memory_pool::MemoryReservation;

use super::super::batch::held;
use super::super::leaf::Made;
use super::super::operator::Inputs;
use crate::engine::QueryError;
use crate::functions::{Family, WindowState};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("labels", DataType::Binary, false),
        Field::new("states", DataType::Binary, false),
    ]))
});

/// The shape of rows of window states.
pub(crate) fn window_states_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

fn internal(text: impl std::fmt::Display) -> QueryError {
    QueryError::Internal(text.to_string())
}

/// Appends the states of a row.
pub(super) fn put_states(states: &[Option<WindowState>], out: &mut Vec<u8>) {
    let mut expected = 0;
    for (step, state) in states.iter().enumerate() {
        let Some(state) = state else { continue };
        let mut gap = step - expected;
        while gap >= 0x80 {
            out.push(gap as u8 | 0x80);
            gap >>= 7;
        }
        out.push(gap as u8);
        state.encode(out);
        expected = step + 1;
    }
}

/// Reads the states of a row and joins them to those of the time before.
pub(super) fn get_states(
    family: Family,
    mut bytes: &[u8],
    states: &mut [Option<WindowState>],
) -> Result<(), QueryError> {
    let mut step = 0usize;
    while !bytes.is_empty() {
        let mut gap = 0usize;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = bytes.split_first().ok_or_else(|| internal("a node told half a state"))?;
            bytes = rest;
            gap |= usize::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        step = step.saturating_add(gap);
        let of = states
            .get_mut(step)
            .ok_or_else(|| internal("a node answered for a step that was not asked for"))?;
        let state = WindowState::decode(family, &mut bytes)
            .map_err(|error| internal(format!("a node told what cannot be read: {error}")))?;
        *of = WindowState::merge_any(of.take(), Some(state));
        step += 1;
    }
    Ok(())
}

/// A batch of another process, checked.
pub(crate) fn window_states_from_wire(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let is_known = batch.num_columns() == 2
        && batch.columns().iter().all(|c| c.data_type() == &DataType::Binary && c.null_count() == 0);
    if !is_known {
        return Err(internal("a node answered with columns of another shape"));
    }
    RecordBatch::try_new(window_states_schema(), batch.columns().to_vec()).map_err(internal)
}

/// The labels and the states of a batch.
pub(super) fn columns(batch: &RecordBatch) -> (&BinaryArray, &BinaryArray) {
    (batch.column(0).as_binary(), batch.column(1).as_binary())
}

/// Rows on their way into a batch.
#[derive(Debug, Default)]
pub(super) struct StateRows {
    labels: Column,
    states: Column,
}

/// Values one after the other, and where each ends.
#[derive(Debug, Default)]
struct Column {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Column {
    fn finish(self, memory: Option<MemoryReservation>) -> Result<BinaryArray, QueryError> {
        use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
        let mut offsets = vec![0i32];
        for end in self.ends {
            let end = i32::try_from(end).map_err(|_| {
                QueryError::Execution("the states of too many windows in one batch".to_owned())
            })?;
            offsets.push(end);
        }
        let mut values = Buffer::from_vec(self.bytes);
        if let Some(memory) = memory {
            values = held(values, memory, None);
        }
        Ok(BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), values, None))
    }
}

impl StateRows {
    /// Appends a series, if it has a state.
    pub(super) fn push(&mut self, labels: &[u8], states: &[Option<WindowState>]) {
        let before = self.states.bytes.len();
        put_states(states, &mut self.states.bytes);
        if self.states.bytes.len() == before {
            return;
        }
        self.labels.bytes.extend_from_slice(labels);
        for column in [&mut self.labels, &mut self.states] {
            column.ends.push(column.bytes.len());
        }
    }
}

impl Made for StateRows {
    fn bytes(&self) -> usize {
        self.labels.bytes.len() + self.states.bytes.len() + self.labels.ends.len() * 16
    }

    fn encode_holding(self, memory: MemoryReservation, inputs: &Inputs) -> Result<RecordBatch, QueryError> {
        let (labels, states) = (self.labels.finish(None)?, self.states.finish(Some(memory))?);
        RecordBatch::try_new(Arc::clone(&inputs.schema), vec![Arc::new(labels), Arc::new(states)])
            .map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::functions::Run;

    fn state(v: f64, t: i64) -> WindowState {
        let run = Run { ts: &[t], vs: &[v], float_starts: None, histograms: &[], histogram_starts: false };
        WindowState::of(Family::Sum, &run).expect("of one sample")
    }

    fn bytes_of(states: &[Option<WindowState>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_states(states, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn states_arrive_at_their_steps(
            steps in proptest::collection::vec(proptest::option::weighted(0.3, any::<i32>()), 0..400),
            shift in 0..200usize,
        ) {
            let sent: Vec<_> = std::iter::repeat_n(None, shift)
                .chain(steps.iter().map(|v| v.map(|v| state(f64::from(v), 7))))
                .collect();
            let bytes = bytes_of(&sent);
            let mut there = vec![None; sent.len()];
            get_states(Family::Sum, &bytes, &mut there).unwrap();
            prop_assert_eq!(bytes_of(&there), bytes.clone());
            prop_assert!(sent.iter().zip(&there).all(|(a, b)| a.is_some() == b.is_some()));
            if let Some(last) = sent.iter().rposition(Option::is_some) {
                prop_assert!(get_states(Family::Sum, &bytes, &mut there[..last]).is_err());
                prop_assert!(get_states(Family::Sum, &bytes[..bytes.len() - 1], &mut there).is_err());
                prop_assert!(get_states(Family::Count, &bytes, &mut there).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, steps in 0..9usize) {
            for family in [Family::Counter, Family::Sum, Family::Count, Family::Last] {
                let _ = get_states(family, &bytes, &mut vec![None; steps]);
            }
        }
    }
}
