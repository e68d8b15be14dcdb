//! Counters: `rate`, `increase`, `delta`, `irate`, `idelta`, `changes`, `resets`.
//!
//! Windows are left-open; `rate` and its kin extrapolate to the window's edges as Prometheus 3 does.

use std::ops::Range;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramPoint};

use super::extended;
use super::{Bounds, Ends, Extended, Notes, Window, WindowValue};
use crate::annotations::Annotation;
use crate::histogram::{self, Incompatible};

/// Whether the start timestamp says that the counter began anew.
pub(super) fn is_start_reset(previous_start: i64, previous_t: i64, start: i64, t: i64) -> bool {
    if start == 0 || start >= t || start < previous_t {
        return false;
    }
    if start > previous_t {
        return true;
    }
    // A start on the sample before: a delta, unless the start is unknown (equal to its own sample).
    previous_start <= previous_t && previous_start != 0 && previous_start != previous_t
}

pub(super) fn starts_overlap(previous_start: i64, previous_t: i64, start: i64) -> bool {
    start != 0 && start < previous_t && start != previous_start
}

/// What of the extrapolation depends on timestamps alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateTerm {
    /// Seconds between first and last sample.
    pub interval: f64,
    /// Seconds from the window's start, cut where it is too far.
    pub to_start: f64,
    /// Seconds to the window's end, likewise.
    pub to_end: f64,
    /// The factor when the zero point does not matter.
    pub factor: f64,
}

/// Extrapolation terms of every step's window, neighbours with the same together.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateTerms {
    /// Until which step, and the term; of windows without two samples any.
    runs: Vec<(usize, RateTerm)>,
}

/// The factor by which a difference grows to the whole window.
fn extrapolation(interval: f64, to_start: f64, to_end: f64) -> f64 {
    if interval == 0.0 { 1.0 } else { (interval + to_start + to_end) / interval }
}

impl RateTerms {
    /// For windows `(end - range, end]`.
    pub(crate) fn compute(&mut self, ts: &[i64], bounds: &Bounds, ends: Ends, range: i64, per_second: bool) {
        self.runs.clear();
        // samples, from the window's start to the first, from there to the last
        let mut shape = (0, 0, 0);
        let mut step = bounds.touched.start;
        while step < bounds.touched.end {
            let even = bounds.even.as_ref().filter(|even| even.steps.start == step);
            let until = even.map_or(step + 1, |even| even.steps.end);
            step = until;
            let (lo, hi) = bounds.at(until - 1);
            if hi >= lo + 2 {
                let end = ends.at(until - 1);
                let (first, last) = (ts[lo], ts[hi - 1]);
                let next = (hi - lo, first - (end - range), last - first);
                if next != shape || self.runs.is_empty() {
                    shape = next;
                    self.runs.push((until, RateTerm::new(next, range, per_second)));
                    continue;
                }
            }
            match self.runs.last_mut() {
                Some(run) => run.0 = until,
                None => self.runs.push((until, RateTerm::NONE)),
            }
        }
        match self.runs.last_mut() {
            Some(run) => run.0 = ends.count,
            None => self.runs.push((ends.count, RateTerm::NONE)),
        }
    }

    /// Steps and their term, one after the other.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (Range<usize>, &RateTerm)> {
        let mut from = 0;
        self.runs.iter().map(move |(until, term)| (std::mem::replace(&mut from, *until)..*until, term))
    }
}

impl RateTerm {
    const NONE: RateTerm = RateTerm { interval: 0.0, to_start: 0.0, to_end: 0.0, factor: 0.0 };

    /// Of a window with so many samples, the first that far behind its start, the last that far behind the first.
    fn new((samples, before, between): (usize, i64, i64), range: i64, per_second: bool) -> Self {
        let interval = between as f64 / 1000.0;
        let average = interval / (samples - 1) as f64;
        let threshold = average * 1.1;
        let mut to_start = before as f64 / 1000.0;
        let mut to_end = (range - before - between) as f64 / 1000.0;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut factor = extrapolation(interval, to_start, to_end);
        if per_second {
            factor /= range as f64 / 1000.0;
        }
        RateTerm { interval, to_start, to_end, factor }
    }

    /// What counters without resets grew by in windows that begin and end with these values, extrapolated. False when
    /// the zero point of one may matter: then nothing counts.
    #[inline(always)]
    pub(super) fn grow<'a>(
        &self,
        firsts: impl Iterator<Item = &'a f64>,
        lasts: impl Iterator<Item = &'a f64>,
        out: &mut [f64],
    ) -> bool {
        let mut is_any_near = false;
        for ((first, last), out) in firsts.zip(lasts).zip(out) {
            let result = last - first;
            is_any_near |= self.may_be_near_zero(*first, result);
            *out = result * self.factor;
        }
        !is_any_near
    }

    /// Whether the zero point may be nearer than the window's start. The slack keeps the division off the common path
    /// without changing its outcome.
    #[inline(always)]
    fn may_be_near_zero(&self, first: f64, result: f64) -> bool {
        (result > 0.0) & (first >= 0.0) & (self.interval * first <= self.to_start * result * 1.000_001)
    }

    /// The factor for a counter that is `first` at its first sample and grows by `result`.
    #[inline(always)]
    pub(crate) fn counter_factor(
        &self,
        first: f64,
        result: f64,
        range_seconds: f64,
        per_second: bool,
    ) -> f64 {
        if self.may_be_near_zero(first, result) {
            let to_zero = self.interval * (first / result);
            if to_zero < self.to_start {
                let factor = extrapolation(self.interval, to_zero, self.to_end);
                return if per_second { factor / range_seconds } else { factor };
            }
        }
        self.factor
    }
}

/// `rate`, `increase`, `delta`.
pub(super) fn extrapolated(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    is_counter: bool,
    is_rate: bool,
) -> WindowValue {
    if !w.vs.is_empty() && !w.histograms.is_empty() {
        notes.mixed();
        return WindowValue::None;
    }
    if w.extended != Extended::No {
        return extended::rate(w, notes, is_counter, is_rate);
    }
    if w.histograms.is_empty() {
        extrapolated_floats(w, notes, is_counter, is_rate)
    } else {
        extrapolated_histograms(w, notes, is_counter, is_rate)
    }
}

fn extrapolated_floats(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    is_counter: bool,
    is_rate: bool,
) -> WindowValue {
    let (ts, vs) = (w.ts, w.vs);
    if vs.is_empty() {
        return WindowValue::None;
    }
    let last = vs.len() - 1;
    let mut result = vs[last] - vs[0];
    let starts = if is_counter { w.float_starts } else { None };
    if is_counter {
        let mut overlapped = false;
        for i in 1..vs.len() {
            let mut reset = vs[i] < vs[i - 1];
            if let Some(starts) = starts {
                if !overlapped && starts_overlap(starts[i - 1], ts[i - 1], starts[i]) {
                    notes.noted.push(Annotation::start_time_overlap(notes.metric, notes.pos));
                    overlapped = true;
                }
                reset |= is_start_reset(starts[i - 1], ts[i - 1], starts[i], ts[i]);
            }
            if reset {
                result += vs[i - 1];
            }
        }
    }
    let first_start = starts.map_or(0, |s| s[0]);
    let from_start = starts_inside(first_start, w.start, ts[0]);
    if from_start {
        result += vs[0];
    } else if last == 0 {
        return WindowValue::None;
    }
    let zero = (result > 0.0 && vs[0] >= 0.0).then(|| vs[0] / result);
    let zero = zero.filter(|_| is_counter);
    let factor = window_factor(w.edges(), (ts[0], ts[last]), last, from_start.then_some(first_start), zero);
    WindowValue::Float(result * if is_rate { factor / w.range_seconds() } else { factor })
}

/// Whether a start timestamp lies in the window before the first sample.
pub(super) fn starts_inside(start: i64, window_start: i64, first: i64) -> bool {
    start != 0 && start > window_start && start < first
}

/// The extrapolation factor of one window with `edges`, whose samples lie from first to last with `gaps` between.
/// `zero` is first ÷ increase when the counter's zero point counts.
pub(super) fn window_factor(
    edges: (i64, i64),
    (first, last): (i64, i64),
    gaps: usize,
    start: Option<i64>,
    zero: Option<f64>,
) -> f64 {
    let mut interval = (last - first) as f64 / 1000.0;
    let average = if gaps > 0 { interval / gaps as f64 } else { 0.0 };
    let threshold = average * 1.1;
    let mut to_start = (first - edges.0) as f64 / 1000.0;
    let mut to_end = (edges.1 - last) as f64 / 1000.0;
    if let Some(start) = start {
        to_start = 0.0;
        interval = (last - start) as f64 / 1000.0;
    } else {
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if let Some(zero) = zero {
            let to_zero = interval * zero;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    extrapolation(interval, to_start, to_end)
}

fn extrapolated_histograms(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    is_counter: bool,
    is_rate: bool,
) -> WindowValue {
    let points = w.histograms;
    let last = points.len() - 1;
    let use_starts = is_counter && w.histogram_starts;
    let mut result = None;
    if points.len() > 1 {
        match histogram_increase(points, use_starts, is_counter, notes) {
            Some(increase) => result = Some(increase),
            None => return WindowValue::None,
        }
    }
    let ends = HistogramEnds {
        first: &points[0].h,
        first_t: points[0].t,
        first_start: if use_starts { points[0].start_t } else { 0 },
        last_t: points[last].t,
        gaps: last,
    };
    grown(result, ends, w.edges(), notes, is_counter, is_rate)
}

/// What the extrapolation of histograms needs beside their increase.
#[derive(Debug, Clone, Copy)]
pub(super) struct HistogramEnds<'a> {
    pub first: &'a FloatHistogram,
    pub first_t: i64,
    /// 0 when start timestamps do not count.
    pub first_start: i64,
    pub last_t: i64,
    /// Samples less one.
    pub gaps: usize,
}

/// The increase, none for one sample, extrapolated to the window with `edges`.
pub(super) fn grown(
    mut result: Option<FloatHistogram>,
    ends: HistogramEnds<'_>,
    edges: (i64, i64),
    notes: &mut Notes<'_>,
    is_counter: bool,
    is_rate: bool,
) -> WindowValue {
    let from_start = starts_inside(ends.first_start, edges.0, ends.first_t);
    if from_start {
        match &mut result {
            None => result = Some(ends.first.clone()),
            Some(sum) => match histogram::add(sum, ends.first) {
                Ok(merge) => {
                    if merge.reconciled {
                        notes.reconciled("addition");
                    }
                }
                Err(Incompatible) => {
                    notes.mixed_schemas();
                    return WindowValue::None;
                }
            },
        }
    }
    let Some(mut result) = result else { return WindowValue::None };
    let counts = is_counter && result.count > 0.0 && ends.first.count >= 0.0;
    let zero = counts.then(|| ends.first.count / result.count);
    let start = from_start.then_some(ends.first_start);
    let mut factor = window_factor(edges, (ends.first_t, ends.last_t), ends.gaps, start, zero);
    if is_rate {
        factor /= (edges.1 - edges.0) as f64 / 1000.0;
    }
    histogram::scale(&mut result, factor);
    WindowValue::Histogram(Arc::new(result))
}

/// The increase over at least two histograms; `None` when they do not go together.
fn histogram_increase(
    points: &[HistogramPoint],
    use_starts: bool,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Option<FloatHistogram> {
    // what earlier windows noted stays, whatever becomes of this one
    let noted = notes.noted.len();
    let last = &points[points.len() - 1].h;
    let first = &points[0].h;
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
    }
    let reset_at = |i: usize, previous: &FloatHistogram| {
        (use_starts && is_start_reset(points[i - 1].start_t, points[i - 1].t, points[i].start_t, points[i].t))
            || histogram::detect_reset(&points[i].h, previous)
    };
    // A reset right after the first sample: its layout does not matter.
    let empty;
    let mut previous: &FloatHistogram = first;
    if is_counter && reset_at(1, first) {
        empty = histogram::empty_like(points[1].h.schema, &points[1].h.custom_values);
        previous = &empty;
    }
    let custom = histogram::is_custom(previous);
    if histogram::is_custom(last) != custom {
        notes.mixed_schemas();
        return None;
    }
    let mut schema = last.schema.min(previous.schema);
    for point in &points[1..points.len() - 1] {
        if !is_counter {
            continue;
        }
        if is_gauge(&point.h) {
            notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
        }
        schema = schema.min(point.h.schema);
        if histogram::is_custom(&point.h) != custom {
            notes.noted.truncate(noted);
            notes.mixed_schemas();
            return None;
        }
    }
    let before = |i: usize| if i == 1 { previous } else { &*points[i - 1].h };
    let lost = (1..points.len()).filter(|_| is_counter).map(|i| (i, before(i)));
    let lost = lost.filter(|(i, before)| reset_at(*i, before)).map(|(_, before)| before);
    let mut result = increase_of(last, previous, schema, lost, notes, noted)?;
    if is_counter {
        let overlaps = |i: usize| starts_overlap(points[i - 1].start_t, points[i - 1].t, points[i].start_t);
        let overlapped = use_starts && (1..points.len()).any(overlaps);
        if overlapped {
            notes.noted.push(Annotation::start_time_overlap(notes.metric, notes.pos));
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.noted.push(Annotation::histogram_not_gauge(notes.metric, notes.pos));
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    histogram::compact(&mut result);
    Some(result)
}

/// `last` less `first`, and what was `lost` at resets, at the resolution of `schema`. When they do not go together,
/// that is all that is noted, apart from the first `noted` notes.
pub(super) fn increase_of<'h>(
    last: &FloatHistogram,
    first: &FloatHistogram,
    schema: i32,
    lost: impl Iterator<Item = &'h FloatHistogram>,
    notes: &mut Notes<'_>,
    noted: usize,
) -> Option<FloatHistogram> {
    let mut settle = |merged: Result<histogram::Merge, Incompatible>, operation: &str| match merged {
        Ok(merge) => {
            if merge.reconciled {
                notes.reconciled(operation);
            }
            Some(())
        }
        Err(Incompatible) => {
            notes.noted.truncate(noted);
            notes.mixed_schemas();
            None
        }
    };
    let mut result = histogram::copy_to_schema(last, schema);
    settle(histogram::sub(&mut result, first), "subtraction")?;
    for lost in lost {
        settle(histogram::add(&mut result, lost), "addition")?;
    }
    Some(result)
}

/// One of the last two samples.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub t: i64,
    pub start: i64,
    pub float: f64,
    pub histogram: Option<&'a FloatHistogram>,
}

/// The last two samples of a window, of either kind.
fn last_two<'a>(w: &Window<'a>) -> Option<[Last<'a>; 2]> {
    if w.vs.len() + w.histograms.len() < 2 {
        return None;
    }
    let float_at = |i: usize| Last {
        t: w.ts[i],
        start: w.float_starts.map_or(0, |s| s[i]),
        float: w.vs[i],
        histogram: None,
    };
    let histogram_at = |i: usize| Last {
        t: w.histograms[i].t,
        start: if w.histogram_starts { w.histograms[i].start_t } else { 0 },
        float: 0.0,
        histogram: Some(&w.histograms[i].h),
    };
    let (mut f, mut h) = (w.vs.len(), w.histograms.len());
    let mut next = || {
        if h == 0 || (f > 0 && w.ts[f - 1] > w.histograms[h - 1].t) {
            f = f.checked_sub(1)?;
            Some(float_at(f))
        } else {
            h -= 1;
            Some(histogram_at(h))
        }
    };
    let second = next()?;
    let first = next()?;
    Some([first, second])
}

/// `irate`, `idelta`.
pub(super) fn instant(w: &Window<'_>, notes: &mut Notes<'_>, is_rate: bool) -> WindowValue {
    match last_two(w) {
        Some([a, b]) => between(a, b, notes, is_rate),
        None => WindowValue::None,
    }
}

/// The rate or the difference between two samples.
pub(super) fn between(a: Last<'_>, b: Last<'_>, notes: &mut Notes<'_>, is_rate: bool) -> WindowValue {
    let interval = b.t - a.t;
    if interval == 0 {
        return WindowValue::None;
    }
    let seconds = interval as f64 / 1000.0;
    match (a.histogram, b.histogram) {
        (None, None) => {
            let reset = b.float < a.float || is_start_reset(a.start, a.t, b.start, b.t);
            let value = if is_rate && reset { b.float } else { b.float - a.float };
            WindowValue::Float(if is_rate { value / seconds } else { value })
        }
        (Some(first), Some(second)) => {
            let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
            if is_rate && (is_gauge(first) || is_gauge(second)) {
                notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
            }
            let both_gauges = is_gauge(first) && is_gauge(second);
            if !is_rate && !both_gauges {
                notes.noted.push(Annotation::histogram_not_gauge(notes.metric, notes.pos));
            }
            let mut result = second.clone();
            let reset = is_start_reset(a.start, a.t, b.start, b.t) || histogram::detect_reset(second, first);
            if !is_rate || !reset {
                match histogram::sub(&mut result, first) {
                    Ok(merge) => {
                        if merge.reconciled {
                            notes.reconciled("subtraction");
                        }
                    }
                    Err(Incompatible) => {
                        notes.mixed_schemas();
                        return WindowValue::None;
                    }
                }
            }
            result.counter_reset_hint = CounterResetHint::Gauge;
            histogram::compact(&mut result);
            if is_rate {
                histogram::divide(&mut result, seconds);
            }
            WindowValue::Histogram(Arc::new(result))
        }
        _ => {
            notes.mixed();
            WindowValue::None
        }
    }
}

/// Goes over the samples of both kinds in order, two at a time.
fn count_pairs(
    w: &Window<'_>,
    mut floats: impl FnMut(usize) -> bool,
    mut histograms: impl FnMut(&HistogramPoint, &HistogramPoint) -> bool,
) -> WindowValue {
    let Some((mut f, mut h)) = extended::first_indexes(w) else { return WindowValue::None };
    if w.vs.is_empty() && w.histograms.is_empty() {
        return WindowValue::None;
    }
    // (is it a float, its index)
    let mut previous: Option<(bool, usize)> = None;
    let mut count = 0u64;
    while f < w.vs.len() || h < w.histograms.len() {
        let is_float = h >= w.histograms.len() || (f < w.vs.len() && w.ts[f] < w.histograms[h].t);
        let current = if is_float { (true, f) } else { (false, h) };
        if is_float {
            f += 1;
        } else {
            h += 1;
        }
        if let Some(before) = previous {
            let counts = match (before, current) {
                ((true, _), (true, i)) => floats(i),
                ((false, a), (false, b)) => histograms(&w.histograms[a], &w.histograms[b]),
                _ => true,
            };
            count += u64::from(counts);
        }
        previous = Some(current);
    }
    WindowValue::Float(count as f64)
}

/// Whether a float changed; NaN to NaN is none.
pub(super) fn differ(a: f64, b: f64) -> bool {
    a != b && !(a.is_nan() && b.is_nan())
}

pub(super) fn changes(w: &Window<'_>) -> WindowValue {
    count_pairs(w, |i| differ(w.vs[i - 1], w.vs[i]), |a, b| !histogram::equals(&b.h, &a.h))
}

pub(super) fn resets(w: &Window<'_>) -> WindowValue {
    count_pairs(
        w,
        |i| {
            w.vs[i] < w.vs[i - 1]
                || w.float_starts.is_some_and(|s| is_start_reset(s[i - 1], w.ts[i - 1], s[i], w.ts[i]))
        },
        |a, b| {
            (w.histogram_starts && is_start_reset(a.start_t, a.t, b.start_t, b.t))
                || histogram::detect_reset(&b.h, &a.h)
        },
    )
}
