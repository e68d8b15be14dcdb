//! The state of `rate`, `increase` and `delta` over floats, and what becomes of a mix.

use super::histogram_counter::HistogramCounter;
use super::sum::FloatSum;
use super::wire::{Reader, StateError, Writer};
use super::{Edges, Run};
use crate::annotations::Annotation;
use crate::functions::window::rate::{is_start_reset, starts_inside, starts_overlap, window_factor};
use crate::functions::window::{Notes, WindowValue};

/// How far a counter (or, for `delta`, a gauge) went over a run.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) is_counter: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Floats(FloatCounter),
    Histograms(Box<HistogramCounter>),
    /// Floats and histograms: there is no value.
    Mixed,
}

impl Counter {
    pub(super) fn of(run: &Run<'_>, is_counter: bool) -> Option<Self> {
        let kind = if run.histograms.is_empty() {
            Kind::Floats(FloatCounter::of(run, is_counter)?)
        } else if run.vs.is_empty() {
            Kind::Histograms(Box::new(HistogramCounter::of(run, is_counter)?))
        } else {
            Kind::Mixed
        };
        Some(Counter { is_counter, kind })
    }

    pub(super) fn merge(&mut self, next: &Self) {
        match (&mut self.kind, &next.kind) {
            (Kind::Floats(mine), Kind::Floats(theirs)) => mine.merge(theirs, self.is_counter),
            (Kind::Histograms(mine), Kind::Histograms(theirs)) => mine.merge(theirs, self.is_counter),
            (kind, _) => *kind = Kind::Mixed,
        }
    }

    pub(super) fn finish(&self, edges: &Edges, notes: &mut Notes<'_>, is_rate: bool) -> WindowValue {
        match &self.kind {
            Kind::Floats(floats) => floats.finish(edges, notes, self.is_counter, is_rate),
            Kind::Histograms(histograms) => histograms.finish(edges, notes, self.is_counter, is_rate),
            Kind::Mixed => {
                notes.mixed();
                WindowValue::None
            }
        }
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        match &self.kind {
            Kind::Floats(floats) => {
                out.byte(0);
                floats.encode(out);
            }
            Kind::Histograms(histograms) => {
                out.byte(1);
                histograms.encode(out);
            }
            Kind::Mixed => out.byte(2),
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>, is_counter: bool) -> Result<Self, StateError> {
        let kind = match from.byte()? {
            0 => Kind::Floats(FloatCounter::decode(from)?),
            1 => Kind::Histograms(Box::new(HistogramCounter::decode(from, is_counter)?)),
            2 => Kind::Mixed,
            _ => return Err(StateError::Invalid("kind of samples")),
        };
        Ok(Counter { is_counter, kind })
    }
}

/// A float where a run ends.
#[derive(Debug, Clone, Copy)]
struct End {
    t: i64,
    /// 0 when start timestamps do not count.
    start: i64,
    v: f64,
}

#[derive(Debug, Clone)]
struct FloatCounter {
    count: u64,
    first: End,
    last: End,
    /// The sum of the values before each reset.
    lost: Option<FloatSum>,
    /// Whether a start timestamp lies before the sample before it.
    overlaps: bool,
}

impl FloatCounter {
    fn of(run: &Run<'_>, is_counter: bool) -> Option<Self> {
        let end = |i: usize| End { t: run.ts[i], start: run.float_starts.map_or(0, |s| s[i]), v: run.vs[i] };
        let first = if run.vs.is_empty() { return None } else { end(0) };
        let last = end(run.vs.len() - 1);
        let mut counter =
            FloatCounter { count: run.vs.len() as u64, first, last, lost: None, overlaps: false };
        if is_counter && run.float_starts.is_none() {
            for pair in run.vs.windows(2) {
                if pair[1] < pair[0] {
                    counter.lost.get_or_insert_default().push(pair[0]);
                }
            }
        } else if is_counter {
            (1..run.vs.len()).for_each(|i| counter.meet(end(i - 1), end(i)));
        }
        Some(counter)
    }

    /// Looks at two neighbours.
    fn meet(&mut self, a: End, b: End) {
        if b.v < a.v || is_start_reset(a.start, a.t, b.start, b.t) {
            self.lost.get_or_insert_default().push(a.v);
        }
        self.overlaps |= starts_overlap(a.start, a.t, b.start);
    }

    fn merge(&mut self, next: &Self, is_counter: bool) {
        if is_counter {
            self.meet(self.last, next.first);
            if let Some(lost) = &next.lost {
                self.lost.get_or_insert_default().merge(lost);
            }
            self.overlaps |= next.overlaps;
        }
        self.count += next.count;
        self.last = next.last;
    }

    fn finish(&self, edges: &Edges, notes: &mut Notes<'_>, is_counter: bool, is_rate: bool) -> WindowValue {
        let (first, last) = (self.first, self.last);
        let mut result = last.v - first.v;
        if let Some(lost) = &self.lost {
            result += lost.total();
        }
        if self.overlaps {
            notes.noted.push(Annotation::start_time_overlap(notes.metric, notes.pos));
        }
        let from_start = is_counter && starts_inside(first.start, edges.start, first.t);
        if from_start {
            result += first.v;
        } else if self.count == 1 {
            return WindowValue::None;
        }
        let zero = (is_counter && result > 0.0 && first.v >= 0.0).then(|| first.v / result);
        let start = from_start.then_some(first.start);
        let gaps = (self.count - 1) as usize;
        let factor = window_factor((edges.start, edges.end), (first.t, last.t), gaps, start, zero);
        WindowValue::Float(result * if is_rate { factor / edges.range_seconds() } else { factor })
    }

    fn encode(&self, out: &mut Writer<'_>) {
        out.number(self.count);
        for end in [self.first, self.last] {
            out.signed(end.t);
            out.signed(end.start);
            out.float(end.v);
        }
        out.byte(u8::from(self.overlaps) | u8::from(self.lost.is_some()) << 1);
        if let Some(lost) = &self.lost {
            lost.encode(out);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = from.samples()?;
        let mut end = || Ok(End { t: from.time()?, start: from.time()?, v: from.float()? });
        let (first, last) = (end()?, end()?);
        let flags = from.byte()?;
        if flags > 3 {
            return Err(StateError::Invalid("marks of a counter"));
        }
        let lost = if flags & 2 == 0 { None } else { Some(FloatSum::decode(from)?) };
        Ok(FloatCounter { count, first, last, lost, overlaps: flags & 1 != 0 })
    }
}
