//! `*_over_time`, one window at a time.

use std::sync::Arc;

use super::{Notes, Window, WindowFunction, WindowValue};
use crate::annotations::Annotation;
use crate::functions::quantile;
use crate::histogram::MeanState;
use crate::kahan;

/// Sum of floats as Prometheus sums them.
pub(super) fn sum_floats(vs: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for v in vs {
        kahan::add(*v, &mut sum, &mut compensation);
    }
    if sum.is_infinite() { sum } else { sum + compensation }
}

/// Mean of floats: the sum divided, or incrementally once the sum would overflow.
pub(super) fn mean_floats(vs: &[f64]) -> f64 {
    let Some((first, rest)) = vs.split_first() else { return f64::NAN };
    let (mut sum, mut compensation) = (*first, 0.0);
    let mut mean = 0.0;
    let mut count = 1.0;
    let mut incremental = false;
    for v in rest {
        count += 1.0;
        if !incremental {
            let (mut new_sum, mut new_compensation) = (sum, compensation);
            kahan::add(*v, &mut new_sum, &mut new_compensation);
            if !new_sum.is_infinite() {
                (sum, compensation) = (new_sum, new_compensation);
                continue;
            }
            incremental = true;
            mean = sum / (count - 1.0);
            compensation /= count - 1.0;
        }
        let q: f64 = (count - 1.0) / count;
        mean *= q;
        compensation *= q;
        kahan::add(*v / count, &mut mean, &mut compensation);
    }
    if incremental { mean + compensation } else { sum / count + compensation / count }
}

/// Variance by Welford, compensated.
pub(super) fn variance_floats(vs: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_c) = (0.0, 0.0);
    let (mut aux, mut aux_c) = (0.0, 0.0);
    for v in vs {
        count += 1.0;
        let delta = v - (mean + mean_c);
        kahan::add(delta / count, &mut mean, &mut mean_c);
        kahan::add(delta * (v - (mean + mean_c)), &mut aux, &mut aux_c);
    }
    (aux + aux_c) / count
}

pub(super) fn sum(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if !w.vs.is_empty() && !w.histograms.is_empty() {
        notes.mixed();
        return WindowValue::None;
    }
    if w.vs.is_empty() { of_histograms(w, notes, false) } else { WindowValue::Float(sum_floats(w.vs)) }
}

pub(super) fn avg(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if !w.vs.is_empty() && !w.histograms.is_empty() {
        notes.mixed();
        return WindowValue::None;
    }
    if w.vs.is_empty() { of_histograms(w, notes, true) } else { WindowValue::Float(mean_floats(w.vs)) }
}

/// Sum or mean of histograms.
fn of_histograms(w: &Window<'_>, notes: &mut Notes<'_>, mean: bool) -> WindowValue {
    let Some((first, rest)) = w.histograms.split_first() else { return WindowValue::None };
    let mut state = MeanState::new(&first.h, mean);
    for point in rest {
        if state.add(&point.h).is_err() {
            // what was noted before the incompatible histogram does not count
            notes.mixed_schemas();
            return WindowValue::None;
        }
    }
    if state.has_reset_collision() {
        notes.noted.push(Annotation::counter_reset_collision("aggregation", notes.pos));
    }
    if state.was_reconciled() {
        notes.reconciled("aggregation");
    }
    match state.finish() {
        Some(histogram) => WindowValue::Histogram(Arc::new(histogram)),
        None => WindowValue::None,
    }
}

/// Minimum, maximum, and when they were.
pub(super) fn extreme(function: WindowFunction, w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    let Some(first) = w.vs.first() else { return WindowValue::None };
    if !w.histograms.is_empty() {
        notes.ignored();
    }
    let (mut best, mut at) = (*first, w.ts[0]);
    for (v, t) in w.vs.iter().zip(w.ts) {
        let better = match function {
            WindowFunction::Min => *v < best,
            WindowFunction::Max => *v > best,
            WindowFunction::TsOfMin => *v <= best,
            _ => *v >= best,
        };
        if better || best.is_nan() {
            best = *v;
            at = *t;
        }
    }
    match function {
        WindowFunction::Min | WindowFunction::Max => WindowValue::Float(best),
        _ => WindowValue::Float(at as f64 / 1000.0),
    }
}

pub(super) fn first(w: &Window<'_>) -> WindowValue {
    match (w.ts.first(), w.histograms.first()) {
        (Some(t), Some(h)) if h.t <= *t => WindowValue::Histogram(Arc::clone(&h.h)),
        (None, Some(h)) => WindowValue::Histogram(Arc::clone(&h.h)),
        (Some(_), _) => WindowValue::Float(w.vs[0]),
        (None, None) => WindowValue::None,
    }
}

pub(super) fn last(w: &Window<'_>) -> WindowValue {
    match (w.ts.last(), w.histograms.last()) {
        (Some(t), Some(h)) if h.t >= *t => WindowValue::Histogram(Arc::clone(&h.h)),
        (None, Some(h)) => WindowValue::Histogram(Arc::clone(&h.h)),
        (Some(_), _) => WindowValue::Float(w.vs[w.vs.len() - 1]),
        (None, None) => WindowValue::None,
    }
}

pub(super) fn variance(w: &Window<'_>, notes: &mut Notes<'_>, root: bool) -> WindowValue {
    if w.vs.is_empty() {
        return WindowValue::None;
    }
    if !w.histograms.is_empty() {
        notes.ignored();
    }
    let variance = variance_floats(w.vs);
    WindowValue::Float(if root { variance.sqrt() } else { variance })
}

pub(super) fn quantile_of(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if w.vs.is_empty() {
        return WindowValue::None;
    }
    let q = w.params[0];
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        notes.noted.push(Annotation::invalid_quantile(q, notes.pos));
    }
    if !w.histograms.is_empty() {
        notes.ignored();
    }
    WindowValue::Float(quantile(q, &mut w.vs.to_vec()))
}

/// Median absolute deviation.
pub(super) fn mad(w: &Window<'_>, notes: &mut Notes<'_>) -> WindowValue {
    if w.vs.is_empty() {
        return WindowValue::None;
    }
    if !w.histograms.is_empty() {
        notes.ignored();
    }
    if w.vs.iter().any(|v| v.is_nan()) {
        return WindowValue::Float(f64::NAN);
    }
    let mut values = w.vs.to_vec();
    let median = quantile(0.5, &mut values);
    for v in &mut values {
        *v = (*v - median).abs();
    }
    WindowValue::Float(quantile(0.5, &mut values))
}
