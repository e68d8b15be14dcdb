//! The state of `rate`, `increase` and `delta` over native histograms.
//!
//! The value needs the first and the last histogram, the coarsest resolution of those between, and what was lost at
//! resets. Where the second histogram follows on a reset, the first one's layout does not matter; so the first pair
//! of a run is kept apart until it is known whether anything comes before it. Lost histograms are kept one by one
//! while they are few, in order; of many, neighbours of one layout are summed. That changes nothing unless both
//! resolution and zero threshold vary within a window and a threshold cuts through a bucket: the order of additions
//! then decides how far the zero bucket widens (count and sum are right in any case).

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramPoint};

use super::wire::{Reader, StateError, Writer};
use super::{Edges, Run};
use crate::annotations::Annotation;
use crate::functions::window::rate::{HistogramEnds, grown, increase_of, is_start_reset, starts_overlap};
use crate::functions::window::{Notes, WindowValue};
use crate::histogram;

/// Most lost histograms that are kept one by one.
const LOST_MAX: usize = 16;
/// Most lost histograms on the wire.
const LOST_WIRE_MAX: usize = 1 << 16;

/// Whether the second histogram of a run is a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum SecondReset {
    None = 0,
    /// Next to the first one.
    Found = 1,
    /// Next to anything, even to nothing.
    Always = 2,
}

/// What of the second histogram counts.
#[derive(Debug, Clone)]
struct Second {
    schema: i32,
    custom_values: Arc<[f64]>,
    reset: SecondReset,
}

/// What counts of the histograms between the first and the last.
#[derive(Debug, Clone, Copy)]
struct Middle {
    /// The coarsest; `i32::MAX` when there are none.
    schema: i32,
    has_custom: bool,
    has_exponential: bool,
    has_gauge: bool,
}

impl Middle {
    fn take(&mut self, h: &FloatHistogram) {
        let is_custom = histogram::is_custom(h);
        self.schema = self.schema.min(h.schema);
        self.has_custom |= is_custom;
        self.has_exponential |= !is_custom;
        self.has_gauge |= is_gauge(h);
    }

    fn join(&mut self, other: &Middle) {
        self.schema = self.schema.min(other.schema);
        self.has_custom |= other.has_custom;
        self.has_exponential |= other.has_exponential;
        self.has_gauge |= other.has_gauge;
    }
}

fn is_gauge(h: &FloatHistogram) -> bool {
    h.counter_reset_hint == CounterResetHint::Gauge
}

#[derive(Debug, Clone)]
pub(super) struct HistogramCounter {
    count: u64,
    first: HistogramPoint,
    last: HistogramPoint,
    /// `Some` for a counter of at least two.
    second: Option<Second>,
    middle: Middle,
    /// The histograms before resets, but for the first of all.
    lost: Vec<Arc<FloatHistogram>>,
    overlaps: bool,
}

impl HistogramCounter {
    pub(super) fn of(run: &Run<'_>, is_counter: bool) -> Option<Self> {
        let one = |point: &HistogramPoint| {
            let start_t = if run.histogram_starts { point.start_t } else { 0 };
            let point = HistogramPoint { t: point.t, h: Arc::clone(&point.h), start_t };
            HistogramCounter {
                count: 1,
                first: point.clone(),
                last: point,
                second: None,
                middle: Middle {
                    schema: i32::MAX,
                    has_custom: false,
                    has_exponential: false,
                    has_gauge: false,
                },
                lost: Vec::new(),
                overlaps: false,
            }
        };
        let (first, rest) = run.histograms.split_first()?;
        let mut counter = one(first);
        rest.iter().for_each(|point| counter.merge(&one(point), is_counter));
        Some(counter)
    }

    pub(super) fn merge(&mut self, next: &Self, is_counter: bool) {
        if is_counter {
            self.meet(next);
        }
        self.count += next.count;
        self.last = next.last.clone();
    }

    fn meet(&mut self, next: &Self) {
        let (a, b) = (&self.last, &next.first);
        self.overlaps |= next.overlaps || starts_overlap(a.start_t, a.t, b.start_t);
        let told = is_start_reset(a.start_t, a.t, b.start_t, b.t);
        let reset = told || histogram::detect_reset(&b.h, &a.h);
        if self.second.is_none() {
            let empty = reset.then(|| histogram::empty_like(b.h.schema, &b.h.custom_values));
            let reset = match empty {
                None => SecondReset::None,
                Some(empty) if told || histogram::detect_reset(&b.h, &empty) => SecondReset::Always,
                Some(_) => SecondReset::Found,
            };
            let custom_values = Arc::clone(&b.h.custom_values);
            self.second = Some(Second { schema: b.h.schema, custom_values, reset });
        } else {
            self.middle.take(&a.h);
            if reset {
                self.lost.push(Arc::clone(&a.h));
            }
        }
        if let Some(second) = &next.second {
            self.middle.take(&b.h);
            if second.reset != SecondReset::None {
                self.lost.push(Arc::clone(&b.h));
            }
        }
        self.middle.join(&next.middle);
        self.lost.extend(next.lost.iter().map(Arc::clone));
        if self.lost.len() > LOST_MAX {
            self.sum_lost();
        }
    }

    /// Sums lost neighbours of one layout.
    fn sum_lost(&mut self) {
        let mut sums: Vec<Arc<FloatHistogram>> = Vec::new();
        for lost in self.lost.drain(..) {
            match sums.last_mut() {
                Some(sum) if histogram::same_layout(sum, &lost) => {
                    // layouts that are the same go together
                    let _ = histogram::add(Arc::make_mut(sum), &lost);
                }
                _ => sums.push(lost),
            }
        }
        self.lost = sums;
    }

    pub(super) fn finish(
        &self,
        edges: &Edges,
        notes: &mut Notes<'_>,
        is_counter: bool,
        is_rate: bool,
    ) -> WindowValue {
        let mut result = None;
        if self.count > 1 {
            match self.increase(notes, is_counter) {
                Some(increase) => result = Some(increase),
                None => return WindowValue::None,
            }
        }
        let ends = HistogramEnds {
            first: &self.first.h,
            first_t: self.first.t,
            first_start: if is_counter { self.first.start_t } else { 0 },
            last_t: self.last.t,
            gaps: (self.count - 1) as usize,
        };
        grown(result, ends, (edges.start, edges.end), notes, is_counter, is_rate)
    }

    /// The increase over at least two; `None` when they do not go together.
    fn increase(&self, notes: &mut Notes<'_>, is_counter: bool) -> Option<FloatHistogram> {
        let noted = notes.noted.len();
        let (first, last) = (&self.first.h, &self.last.h);
        if is_counter && (is_gauge(first) || is_gauge(last)) {
            notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
        }
        let empty = match &self.second {
            Some(second) if second.reset != SecondReset::None => {
                Some(histogram::empty_like(second.schema, &second.custom_values))
            }
            _ => None,
        };
        let previous = empty.as_ref().unwrap_or(first);
        let custom = histogram::is_custom(previous);
        if histogram::is_custom(last) != custom {
            notes.mixed_schemas();
            return None;
        }
        if self.middle.has_gauge {
            notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
        }
        if if custom { self.middle.has_exponential } else { self.middle.has_custom } {
            notes.noted.truncate(noted);
            notes.mixed_schemas();
            return None;
        }
        let schema = last.schema.min(previous.schema).min(self.middle.schema);
        let is_always_reset = self.second.as_ref().is_some_and(|s| s.reset == SecondReset::Always);
        let nothing = empty.as_ref().filter(|_| is_always_reset);
        let lost = nothing.into_iter().chain(self.lost.iter().map(|lost| &**lost));
        let mut result = increase_of(last, previous, schema, lost, notes, noted)?;
        if self.overlaps {
            notes.noted.push(Annotation::start_time_overlap(notes.metric, notes.pos));
        }
        if !is_counter && (!is_gauge(first) || !is_gauge(last)) {
            notes.noted.push(Annotation::histogram_not_gauge(notes.metric, notes.pos));
        }
        result.counter_reset_hint = CounterResetHint::Gauge;
        histogram::compact(&mut result);
        Some(result)
    }

    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        out.number(self.count);
        encode_point(&self.first, out);
        if self.count == 1 {
            return;
        }
        encode_point(&self.last, out);
        let Some(second) = &self.second else { return };
        out.signed(i64::from(second.schema));
        out.bounds(&second.custom_values);
        out.byte(second.reset as u8);
        let middle = self.middle;
        let flags = [middle.has_custom, middle.has_exponential, middle.has_gauge, self.overlaps];
        out.byte(flags.iter().enumerate().map(|(i, set)| u8::from(*set) << i).sum());
        if middle.has_custom || middle.has_exponential {
            out.signed(i64::from(middle.schema));
        }
        out.number(self.lost.len() as u64);
        self.lost.iter().for_each(|lost| out.histogram(lost));
    }

    pub(super) fn decode(from: &mut Reader<'_>, is_counter: bool) -> Result<Self, StateError> {
        let count = from.samples()?;
        let first = decode_point(from)?;
        let last = if count == 1 { first.clone() } else { decode_point(from)? };
        let mut state = HistogramCounter {
            count,
            first,
            last,
            second: None,
            middle: Middle { schema: i32::MAX, has_custom: false, has_exponential: false, has_gauge: false },
            lost: Vec::new(),
            overlaps: false,
        };
        if count == 1 || !is_counter {
            return Ok(state);
        }
        let (schema, custom_values) = (from.schema()?, from.bounds()?);
        let reset = match from.byte()? {
            0 => SecondReset::None,
            1 => SecondReset::Found,
            2 => SecondReset::Always,
            _ => return Err(StateError::Invalid("reset")),
        };
        state.second = Some(Second { schema, custom_values, reset });
        let flags = from.byte()?;
        if flags > 15 {
            return Err(StateError::Invalid("marks of a counter"));
        }
        let middle = &mut state.middle;
        (middle.has_custom, middle.has_exponential) = (flags & 1 != 0, flags & 2 != 0);
        middle.has_gauge = flags & 4 != 0;
        if middle.has_custom || middle.has_exponential {
            middle.schema = from.schema()?;
        }
        state.overlaps = flags & 8 != 0;
        let lost = from.length("lost histograms", LOST_WIRE_MAX)?;
        for _ in 0..lost {
            state.lost.push(Arc::new(from.histogram()?));
        }
        Ok(state)
    }
}

fn encode_point(point: &HistogramPoint, out: &mut Writer<'_>) {
    out.signed(point.t);
    out.signed(point.start_t);
    out.histogram(&point.h);
}

fn decode_point(from: &mut Reader<'_>) -> Result<HistogramPoint, StateError> {
    Ok(HistogramPoint { t: from.time()?, start_t: from.time()?, h: Arc::new(from.histogram()?) })
}
