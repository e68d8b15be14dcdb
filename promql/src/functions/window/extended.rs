//! `anchored` and `smoothed` windows: the values at the edges are carried or interpolated.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramPoint};

use super::{Extended, Notes, Window, WindowValue};
use crate::annotations::Annotation;
use crate::histogram::{self, Incompatible};

/// The value at `t` on the line through two samples; a counter that fell starts from zero.
pub(crate) fn interpolate(t1: i64, v1: f64, t2: i64, v2: f64, t: i64, is_counter: bool) -> f64 {
    let from = if is_counter && v2 < v1 { 0.0 } else { v1 };
    from + (v2 - from) * (t - t1) as f64 / (t2 - t1) as f64
}

/// First and last sample that matter: the last at or before the window's start, the first at or after its end.
fn edges(times: impl Fn(usize) -> i64, count: usize, w: &Window<'_>) -> (usize, usize) {
    let last = count - 1;
    let search = |above: &dyn Fn(i64) -> bool| (0..last).find(|i| above(times(*i))).unwrap_or(last);
    let first = search(&|t| t > w.start).saturating_sub(1);
    let last = if w.extended == Extended::Smoothed { search(&|t| t >= w.end) } else { last };
    (first, last)
}

/// The values at both edges and the samples strictly between, as `extendFloats` of Prometheus gives them.
pub(crate) fn extend_floats(
    ts: &[i64],
    vs: &[f64],
    start: i64,
    end: i64,
    smoothed: bool,
) -> (Vec<i64>, Vec<f64>) {
    if ts.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let w = Window {
        ts,
        vs,
        histograms: &[],
        float_starts: None,
        histogram_starts: false,
        eval_t: end,
        start,
        end,
        extended: if smoothed { Extended::Smoothed } else { Extended::Anchored },
        params: [0.0; 2],
    };
    let (first, last) = edges(|i| ts[i], ts.len(), &w);
    if ts[last] <= start {
        return (Vec::new(), Vec::new());
    }
    let (left, right) = float_edges(&w, first, last, false);
    let mut times = vec![start];
    let mut values = vec![left];
    for i in first..=last {
        if ts[i] > start && ts[i] < end {
            times.push(ts[i]);
            values.push(vs[i]);
        }
    }
    times.push(end);
    values.push(right);
    (times, values)
}

fn float_edges(w: &Window<'_>, first: usize, last: usize, is_counter: bool) -> (f64, f64) {
    let smoothed = w.extended == Extended::Smoothed;
    let (ts, vs) = (w.ts, w.vs);
    let left = if smoothed && ts[first] < w.start && first + 1 < ts.len() {
        interpolate(ts[first], vs[first], ts[first + 1], vs[first + 1], w.start, is_counter)
    } else {
        vs[first]
    };
    let right = if smoothed && last > 0 && ts[last] > w.end {
        interpolate(ts[last - 1], vs[last - 1], ts[last], vs[last], w.end, is_counter)
    } else {
        vs[last]
    };
    (left, right)
}

/// `rate`, `increase`, `delta` without extrapolation.
pub(super) fn rate(w: &Window<'_>, notes: &mut Notes<'_>, is_counter: bool, is_rate: bool) -> WindowValue {
    if !w.histograms.is_empty() {
        return match histogram_rate(w, notes, is_counter, is_rate) {
            Ok(Some(histogram)) => WindowValue::Histogram(Arc::new(histogram)),
            Ok(None) => WindowValue::None,
            Err(Incompatible) => {
                notes.mixed_schemas();
                WindowValue::None
            }
        };
    }
    if w.vs.is_empty() {
        return WindowValue::None;
    }
    let (ts, vs) = (w.ts, w.vs);
    let (first, last) = edges(|i| ts[i], ts.len(), w);
    if ts[last] <= w.start || (w.extended == Extended::Smoothed && ts[first] > w.end) {
        return WindowValue::None;
    }
    let (left, right) = float_edges(w, first, last, is_counter);
    let mut result = right - left;
    if is_counter {
        let mut previous = left;
        let mut correction = 0.0;
        for i in first..=last {
            let inside = (i > first || ts[i] > w.start) && (i < last || ts[i] < w.end);
            if inside {
                if vs[i] < previous {
                    correction += previous;
                }
                previous = vs[i];
            }
        }
        if right < previous {
            correction += previous;
        }
        result += correction;
    }
    WindowValue::Float(if is_rate { result / w.range_seconds() } else { result })
}

/// The histogram at `t` between two.
pub(crate) fn interpolate_histograms(
    a: &HistogramPoint,
    b: &HistogramPoint,
    t: i64,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Result<FloatHistogram, Incompatible> {
    if t == a.t {
        return Ok((*a.h).clone());
    }
    if t == b.t {
        return Ok((*b.h).clone());
    }
    let fraction = (t - a.t) as f64 / (b.t - a.t) as f64;
    let mut result = (*b.h).clone();
    if is_counter && histogram::detect_reset(&b.h, &a.h) {
        histogram::scale(&mut result, fraction);
        return Ok(result);
    }
    if histogram::sub(&mut result, &a.h)?.reconciled {
        notes.reconciled("subtraction");
    }
    histogram::scale(&mut result, fraction);
    if histogram::add(&mut result, &a.h)?.reconciled {
        notes.reconciled("addition");
    }
    Ok(result)
}

fn histogram_rate(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    is_counter: bool,
    is_rate: bool,
) -> Result<Option<FloatHistogram>, Incompatible> {
    let hs = w.histograms;
    let smoothed = w.extended == Extended::Smoothed;
    let (first, last) = edges(|i| hs[i].t, hs.len(), w);
    if hs[last].t <= w.start || (smoothed && hs[first].t > w.end) {
        return Ok(None);
    }
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    for point in &hs[first..=last] {
        if histogram::is_custom(&point.h) != histogram::is_custom(&hs[first].h) {
            return Err(Incompatible);
        }
        if is_counter && is_gauge(&point.h) {
            notes.noted.push(Annotation::histogram_not_counter(notes.metric, notes.pos));
        }
    }
    let left = if smoothed && hs[first].t < w.start && first + 1 < hs.len() {
        interpolate_histograms(&hs[first], &hs[first + 1], w.start, is_counter, notes)?
    } else {
        (*hs[first].h).clone()
    };
    let right = if smoothed && last > 0 && hs[last].t > w.end {
        interpolate_histograms(&hs[last - 1], &hs[last], w.end, is_counter, notes)?
    } else {
        (*hs[last].h).clone()
    };
    let both_gauges = is_gauge(&left) && is_gauge(&right);
    if !is_counter && !both_gauges {
        notes.noted.push(Annotation::histogram_not_gauge(notes.metric, notes.pos));
    }
    let mut result = right.clone();
    if histogram::sub(&mut result, &left)?.reconciled {
        notes.reconciled("subtraction");
    }
    if is_counter
        && let Some(correction) = correction(w, first, last, &left, &right, notes)?
        && histogram::add(&mut result, &correction)?.reconciled
    {
        notes.reconciled("addition");
    }
    if is_rate {
        histogram::divide(&mut result, w.range_seconds());
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    histogram::compact(&mut result);
    Ok(Some(result))
}

/// What resets between the edges took away.
fn correction(
    w: &Window<'_>,
    first: usize,
    last: usize,
    left: &FloatHistogram,
    right: &FloatHistogram,
    notes: &mut Notes<'_>,
) -> Result<Option<FloatHistogram>, Incompatible> {
    let hs = w.histograms;
    let mut from = first + 1;
    let mut previous = left;
    if w.extended == Extended::Smoothed
        && hs[first].t < w.start
        && first + 1 < hs.len()
        && histogram::detect_reset(&hs[first + 1].h, &hs[first].h)
    {
        // the interpolation of the left edge has seen this reset
        previous = &hs[first + 1].h;
        from += 1;
    }
    if from > last {
        return Ok(None);
    }
    let mut sum: Option<FloatHistogram> = None;
    let mut take = |lost: &FloatHistogram, notes: &mut Notes<'_>| match &mut sum {
        None => {
            sum = Some(lost.clone());
            Ok(())
        }
        Some(sum) => histogram::add(sum, lost).map(|merge| {
            if merge.reconciled {
                notes.reconciled("addition");
            }
        }),
    };
    for point in &hs[from..last] {
        if histogram::detect_reset(&point.h, previous) {
            take(previous, notes)?;
        }
        previous = &point.h;
    }
    if histogram::detect_reset(right, previous) {
        take(previous, notes)?;
    }
    Ok(sum)
}

/// Where counting begins: (float, histogram). An anchored window begins with the last sample before it;
/// `None` when no sample is inside.
pub(super) fn first_indexes(w: &Window<'_>) -> Option<(usize, usize)> {
    if w.extended != Extended::Anchored {
        return Some((0, 0));
    }
    let floats_before = w.ts.partition_point(|t| *t <= w.start);
    let histograms_before = w.histograms.partition_point(|p| p.t <= w.start);
    if floats_before >= w.ts.len() && histograms_before >= w.histograms.len() {
        return None;
    }
    let float = floats_before.checked_sub(1);
    let histogram = histograms_before.checked_sub(1);
    Some(match (float, histogram) {
        (None, None) => (0, 0),
        (Some(f), None) => (f, 0),
        (Some(f), Some(h)) if w.ts[f] >= w.histograms[h].t => (f, h + 1),
        (f, Some(h)) => (f.map_or(0, |f| f + 1), h),
    })
}
