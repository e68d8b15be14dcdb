//! States of sums and averages of histograms, kept only where there are any.

use std::sync::Arc;

use hashbrown::HashMap;
use model::FloatHistogram;

use crate::histogram::{Cursor, Malformed, MeanState};

/// The state of one group at one step.
#[derive(Debug, Clone)]
pub(crate) struct HistogramState {
    /// The sum or mean so far.
    pub mean: MeanState,
    /// A float came before the first histogram: histograms are not looked at any more.
    pub float_first: bool,
    /// Exponential and custom buckets met: there will be no value, and what comes later is not looked at.
    pub meeting: Option<Meeting>,
    /// The metric's name of the first histogram, where the plan does not know it.
    pub metric: Option<Arc<str>>,
}

/// Where exponential and custom buckets met.
#[derive(Debug, Clone)]
pub(crate) struct Meeting {
    /// A float had come before.
    pub float_before: bool,
    /// The metric's name of the histogram that did not fit, where the plan does not know it.
    pub metric: Option<Arc<str>>,
}

const FLOAT_FIRST: u8 = 1;
const MEETING: u8 = 2;
const FLOAT_BEFORE: u8 = 4;

impl HistogramState {
    /// As bytes.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut flags = if self.float_first { FLOAT_FIRST } else { 0 };
        if let Some(meeting) = &self.meeting {
            flags |= MEETING | if meeting.float_before { FLOAT_BEFORE } else { 0 };
        }
        out.push(flags);
        put_name(self.metric.as_deref(), out);
        if let Some(meeting) = &self.meeting {
            put_name(meeting.metric.as_deref(), out);
        }
        self.mean.put(out);
    }

    /// Reads a state.
    pub(crate) fn get(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let flags = from.u8()?;
        let metric = get_name(from)?;
        let meeting = if flags & MEETING == 0 {
            None
        } else {
            Some(Meeting { float_before: flags & FLOAT_BEFORE != 0, metric: get_name(from)? })
        };
        Ok(HistogramState {
            mean: MeanState::get(from)?,
            float_first: flags & FLOAT_FIRST != 0,
            meeting,
            metric,
        })
    }
}

/// One more than its length, 0 for none; then its bytes.
fn put_name(name: Option<&str>, out: &mut Vec<u8>) {
    let length = name.map_or(0, |name| name.len() as u32 + 1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(name.unwrap_or_default().as_bytes());
}

fn get_name(from: &mut Cursor<'_>) -> Result<Option<Arc<str>>, Malformed> {
    let Some(length) = from.u32()?.checked_sub(1) else { return Ok(None) };
    let mut bytes = Vec::new();
    for _ in 0..length {
        bytes.push(from.u8()?);
    }
    String::from_utf8(bytes).map(|name| Some(name.into())).map_err(|_| Malformed)
}

/// The states of all groups.
#[derive(Debug, Default)]
pub(crate) struct HistogramStates {
    /// By (group, step).
    pub states: HashMap<(usize, usize), HistogramState>,
}

impl HistogramStates {
    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let entry = size_of::<(usize, usize)>() + size_of::<HistogramState>();
        // they are mostly alike
        let own = self.states.values().next().map_or(0, |state| state.mean.bytes());
        self.states.capacity() * entry + self.states.len() * own
    }

    /// Folds a histogram in. `has_float` says whether the group has had a float at the step.
    pub(crate) fn add(
        &mut self,
        (group, step): (usize, usize),
        h: &FloatHistogram,
        is_mean: bool,
        has_float: bool,
        metric: Option<&Arc<str>>,
    ) {
        match self.states.get_mut(&(group, step)) {
            None => {
                let state = HistogramState {
                    mean: MeanState::new(h, is_mean),
                    float_first: has_float,
                    meeting: None,
                    metric: metric.cloned(),
                };
                self.states.insert((group, step), state);
            }
            Some(state) if state.float_first || state.meeting.is_some() => {}
            Some(state) => {
                if state.mean.add(h).is_err() {
                    state.meeting = Some(Meeting { float_before: has_float, metric: metric.cloned() });
                }
            }
        }
    }

    /// Folds a state of a later part in. `has_float` says whether an earlier part had a float at the step.
    pub(crate) fn merge(&mut self, group: usize, step: usize, mut other: HistogramState, has_float: bool) {
        match self.states.get_mut(&(group, step)) {
            None => {
                other.float_first |= has_float;
                self.states.insert((group, step), other);
            }
            Some(state) if state.float_first || state.meeting.is_some() => {}
            Some(state) => {
                if state.mean.merge(&other.mean).is_err() {
                    let float_before = has_float || other.float_first;
                    state.meeting = Some(Meeting { float_before, metric: other.metric });
                } else if let Some(meeting) = other.meeting {
                    let float_before = has_float || meeting.float_before;
                    state.meeting = Some(Meeting { float_before, ..meeting });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{CounterResetHint, FloatHistogram};

    use super::*;

    fn histogram(schema: i32) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 1.5,
            positive_spans: vec![],
            positive_buckets: vec![],
            negative_spans: vec![],
            negative_buckets: vec![],
            custom_values: if schema == -53 { vec![1.0].into() } else { [].into() },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut states = HistogramStates::default();
        let name: Arc<str> = "seconds".into();
        for (h, has_float, metric) in
            [(histogram(0), false, None), (histogram(-53), true, Some(&name)), (histogram(0), true, None)]
        {
            states.add((3, 4), &h, false, has_float, metric);
            let state = &states.states[&(3, 4)];
            let mut bytes = Vec::new();
            state.put(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let read = HistogramState::get(&mut cursor).unwrap();
            assert!(cursor.is_empty());
            assert_eq!(format!("{read:?}"), format!("{state:?}"));
            assert!((0..bytes.len()).all(|n| HistogramState::get(&mut Cursor::new(&bytes[..n])).is_err()));
        }
        assert!(states.states[&(3, 4)].meeting.as_ref().is_some_and(|m| m.float_before));
    }
}
