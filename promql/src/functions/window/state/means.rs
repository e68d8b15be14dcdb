//! The state of `sum_over_time` and `avg_over_time`.

use std::sync::Arc;

use super::Run;
use super::sum::FloatSum;
use super::wire::{Reader, StateError, Writer};
use crate::annotations::Annotation;
use crate::functions::window::{Notes, WindowValue};
use crate::histogram::{MeanParts, MeanState};

/// The sum of a run and how much it is of.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) is_mean: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Floats(FloatSum, u64),
    Histograms(Box<MeanState>),
    /// Histograms of exponential and of custom buckets: there is no value.
    Incompatible,
    /// Floats and histograms: there is no value.
    Mixed,
}

impl Means {
    /// Of a run with a sample.
    pub(super) fn of(run: &Run<'_>, is_mean: bool) -> Self {
        let kind = match run.histograms.split_first() {
            None => Kind::Floats(FloatSum::of(run.vs), run.vs.len() as u64),
            Some(_) if !run.vs.is_empty() => Kind::Mixed,
            Some((first, rest)) => {
                let mut state = MeanState::new(&first.h, is_mean);
                if rest.iter().try_for_each(|point| state.add(&point.h)).is_ok() {
                    Kind::Histograms(Box::new(state))
                } else {
                    Kind::Incompatible
                }
            }
        };
        Means { is_mean, kind }
    }

    pub(super) fn merge(&mut self, next: &Self) {
        match (&mut self.kind, &next.kind) {
            (Kind::Floats(sum, count), Kind::Floats(their_sum, their_count)) => {
                sum.merge(their_sum);
                *count += their_count;
            }
            (Kind::Histograms(mine), Kind::Histograms(theirs)) => {
                if mine.merge(theirs).is_err() {
                    self.kind = Kind::Incompatible;
                }
            }
            (Kind::Histograms(_) | Kind::Incompatible, Kind::Histograms(_) | Kind::Incompatible) => {
                self.kind = Kind::Incompatible;
            }
            (kind, _) => *kind = Kind::Mixed,
        }
    }

    pub(super) fn finish(&self, notes: &mut Notes<'_>) -> WindowValue {
        match &self.kind {
            Kind::Floats(sum, count) => {
                WindowValue::Float(if self.is_mean { sum.mean(*count) } else { sum.total() })
            }
            Kind::Histograms(state) => {
                if state.has_reset_collision() {
                    notes.noted.push(Annotation::counter_reset_collision("aggregation", notes.pos));
                }
                if state.was_reconciled() {
                    notes.reconciled("aggregation");
                }
                let value = state.as_ref().clone().finish();
                value.map_or(WindowValue::None, |h| WindowValue::Histogram(Arc::new(h)))
            }
            Kind::Incompatible => {
                notes.mixed_schemas();
                WindowValue::None
            }
            Kind::Mixed => {
                notes.mixed();
                WindowValue::None
            }
        }
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        match &self.kind {
            Kind::Floats(sum, count) => {
                out.byte(0);
                out.number(*count);
                sum.encode(out);
            }
            Kind::Histograms(state) => {
                out.byte(1);
                let parts = state.parts();
                let flags = [
                    parts.compensations.is_some(),
                    parts.incremental,
                    parts.reset_seen,
                    parts.not_reset_seen,
                    parts.reconciled,
                ];
                out.byte(flags.iter().enumerate().map(|(i, set)| u8::from(*set) << i).sum());
                out.float(parts.count);
                out.histogram(&parts.values);
                if let Some(compensations) = &parts.compensations {
                    out.histogram(compensations);
                }
            }
            Kind::Incompatible => out.byte(2),
            Kind::Mixed => out.byte(3),
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>, is_mean: bool) -> Result<Self, StateError> {
        let kind = match from.byte()? {
            0 => {
                let count = from.samples()?;
                Kind::Floats(FloatSum::decode(from)?, count)
            }
            1 => Kind::Histograms(Box::new(decode_histograms(from, is_mean)?)),
            2 => Kind::Incompatible,
            3 => Kind::Mixed,
            _ => return Err(StateError::Invalid("kind of samples")),
        };
        Ok(Means { is_mean, kind })
    }
}

fn decode_histograms(from: &mut Reader<'_>, is_mean: bool) -> Result<MeanState, StateError> {
    let flags = from.byte()?;
    if flags > 31 || (flags & 2 != 0 && !is_mean) {
        return Err(StateError::Invalid("marks of a mean"));
    }
    let count = from.float()?;
    if !(1.0..=1e15).contains(&count) {
        return Err(StateError::Invalid("number of samples"));
    }
    let values = from.histogram()?;
    let compensations = if flags & 1 == 0 { None } else { Some(from.histogram()?) };
    let parts = MeanParts {
        values,
        compensations,
        count,
        incremental: flags & 2 != 0,
        reset_seen: flags & 4 != 0,
        not_reset_seen: flags & 8 != 0,
        reconciled: flags & 16 != 0,
    };
    MeanState::of_parts(&parts, is_mean).ok_or(StateError::Invalid("compensations"))
}
