//! States of sums and averages of histograms, kept only where there are any.

use hashbrown::HashMap;
use model::FloatHistogram;

use crate::histogram::MeanState;

/// The state of one group at one step.
#[derive(Debug, Clone)]
pub(crate) struct HistogramState {
    /// The sum or mean so far.
    pub mean: MeanState,
    /// Exponential and custom buckets met: there will be no value.
    pub incompatible: bool,
}

/// What happened when a histogram was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Fine,
    /// Exponential and custom buckets meet for the first time.
    Incompatible,
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

    /// Folds a histogram in.
    pub(crate) fn add(&mut self, group: usize, step: usize, h: &FloatHistogram, is_mean: bool) -> Added {
        match self.states.get_mut(&(group, step)) {
            None => {
                let state = HistogramState { mean: MeanState::new(h, is_mean), incompatible: false };
                self.states.insert((group, step), state);
            }
            Some(state) if state.incompatible => {}
            Some(state) => {
                if state.mean.add(h).is_err() {
                    state.incompatible = true;
                    return Added::Incompatible;
                }
            }
        }
        Added::Fine
    }

    /// Folds a state of another part in.
    pub(crate) fn merge(&mut self, group: usize, step: usize, other: HistogramState) -> Added {
        match self.states.get_mut(&(group, step)) {
            None => {
                self.states.insert((group, step), other);
            }
            Some(state) if state.incompatible => {}
            Some(state) => {
                if other.incompatible {
                    state.incompatible = true;
                } else if state.mean.merge(&other.mean).is_err() {
                    state.incompatible = true;
                    return Added::Incompatible;
                }
            }
        }
        Added::Fine
    }
}
