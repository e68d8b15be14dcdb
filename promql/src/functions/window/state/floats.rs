//! States of functions that look at floats alone and pass histograms over with a note.

use super::wire::{Reader, StateError, Writer};
use crate::functions::window::Notes;

/// The state of a run's floats, and whether it has histograms.
#[derive(Debug, Clone)]
pub(super) struct FloatsOnly<T> {
    pub(super) floats: Option<T>,
    pub(super) has_histograms: bool,
}

/// What a state of floats can do.
pub(super) trait FloatState: Clone {
    fn merge(&mut self, next: &Self);
    fn encode(&self, out: &mut Writer<'_>);
    fn decode(from: &mut Reader<'_>) -> Result<Self, StateError>;
}

impl<T: FloatState> FloatsOnly<T> {
    pub(super) fn merge(&mut self, next: &Self) {
        self.has_histograms |= next.has_histograms;
        match (&mut self.floats, &next.floats) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (None, Some(theirs)) => self.floats = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// The floats; notes that histograms are passed over.
    pub(super) fn noted(&self, notes: &mut Notes<'_>) -> Option<&T> {
        if self.floats.is_some() && self.has_histograms {
            notes.ignored();
        }
        self.floats.as_ref()
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.byte(u8::from(self.has_histograms) | u8::from(self.floats.is_some()) << 1);
        if let Some(floats) = &self.floats {
            floats.encode(out);
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let flags = from.byte()?;
        if flags == 0 || flags > 3 {
            return Err(StateError::Invalid("kinds of samples"));
        }
        let floats = if flags & 2 == 0 { None } else { Some(T::decode(from)?) };
        Ok(FloatsOnly { floats, has_histograms: flags & 1 != 0 })
    }
}

/// The least or greatest value and when it was. NaN only when there is no other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extreme {
    pub(super) value: f64,
    pub(super) at: i64,
    pub(super) rule: ExtremeRule,
}

/// Which value wins; of equal ones the first or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExtremeRule {
    FirstMin,
    FirstMax,
    LastMin,
    LastMax,
}

impl Extreme {
    pub(super) fn of(rule: ExtremeRule, ts: &[i64], vs: &[f64]) -> Option<Self> {
        let mut samples = ts.iter().zip(vs).map(|(t, v)| Extreme { value: *v, at: *t, rule });
        let mut best = samples.next()?;
        samples.for_each(|sample| best.merge(&sample));
        Some(best)
    }
}

impl FloatState for Extreme {
    #[inline]
    fn merge(&mut self, next: &Self) {
        let better = match self.rule {
            ExtremeRule::FirstMin => next.value < self.value,
            ExtremeRule::FirstMax => next.value > self.value,
            ExtremeRule::LastMin => next.value <= self.value,
            ExtremeRule::LastMax => next.value >= self.value,
        };
        if better || self.value.is_nan() {
            *self = *next;
        }
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.byte(self.rule as u8);
        out.float(self.value);
        out.signed(self.at);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let rule = match from.byte()? {
            0 => ExtremeRule::FirstMin,
            1 => ExtremeRule::FirstMax,
            2 => ExtremeRule::LastMin,
            3 => ExtremeRule::LastMax,
            _ => return Err(StateError::Invalid("extreme")),
        };
        Ok(Extreme { value: from.float()?, at: from.time()?, rule })
    }
}
