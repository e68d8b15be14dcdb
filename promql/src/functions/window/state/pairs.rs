//! States of functions that look at neighbouring samples: `irate`, `idelta`, `changes`, `resets`.

use super::Sample;
use super::wire::{Reader, StateError, Writer};
use crate::functions::window::rate::{between, differ, is_start_reset};
use crate::functions::window::{Notes, WindowValue};
use crate::histogram;

/// The last two samples of a run.
#[derive(Debug, Clone)]
pub(super) struct LastTwo {
    before: Option<Sample>,
    last: Sample,
}

impl LastTwo {
    /// Of the last samples of a run.
    pub(super) fn new(before: Option<Sample>, last: Sample) -> Self {
        LastTwo { before, last }
    }

    pub(super) fn merge(&mut self, next: &Self) {
        self.before = Some(match &next.before {
            Some(before) => before.clone(),
            None => self.last.clone(),
        });
        self.last = next.last.clone();
    }

    pub(super) fn finish(&self, notes: &mut Notes<'_>, is_rate: bool) -> WindowValue {
        match &self.before {
            Some(before) => between(before.view(), self.last.view(), notes, is_rate),
            None => WindowValue::None,
        }
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.byte(u8::from(self.before.is_some()));
        if let Some(before) = &self.before {
            out.sample(before);
        }
        out.sample(&self.last);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let before = if from.flag()? { Some(from.sample()?) } else { None };
        Ok(LastTwo { before, last: from.sample()? })
    }
}

/// Which pairs of neighbours count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairRule {
    Changes,
    Resets,
}

impl PairRule {
    fn counts(self, a: &Sample, b: &Sample) -> bool {
        let start_reset = || is_start_reset(a.start, a.t, b.start, b.t);
        match (self, &a.histogram, &b.histogram) {
            (PairRule::Changes, None, None) => differ(a.float, b.float),
            (PairRule::Resets, None, None) => b.float < a.float || start_reset(),
            (PairRule::Changes, Some(a), Some(b)) => !histogram::equals(b, a),
            (PairRule::Resets, Some(a), Some(b)) => start_reset() || histogram::detect_reset(b, a),
            // from one kind to the other is both a change and a reset
            (_, None, Some(_)) | (_, Some(_), None) => true,
        }
    }
}

/// How many pairs of neighbours count, and the ends that meet those of other runs.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    pub(super) rule: PairRule,
    count: u64,
    first: Sample,
    last: Sample,
}

impl Pairs {
    /// Of a run of one sample.
    pub(super) fn new(rule: PairRule, first: Sample) -> Self {
        Pairs { rule, count: 0, last: first.clone(), first }
    }

    /// Adds the next sample.
    pub(super) fn push(&mut self, next: Sample) {
        self.count += u64::from(self.rule.counts(&self.last, &next));
        self.last = next;
    }

    pub(super) fn merge(&mut self, next: &Self) {
        self.count += next.count + u64::from(self.rule.counts(&self.last, &next.first));
        self.last = next.last.clone();
    }

    pub(super) fn finish(&self) -> WindowValue {
        WindowValue::Float(self.count as f64)
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.number(self.count);
        out.sample(&self.first);
        out.sample(&self.last);
    }

    pub(super) fn decode(from: &mut Reader<'_>, rule: PairRule) -> Result<Self, StateError> {
        let count = from.number()?;
        if count > 1 << 50 {
            return Err(StateError::Invalid("number of pairs"));
        }
        Ok(Pairs { rule, count, first: from.sample()?, last: from.sample()? })
    }
}
