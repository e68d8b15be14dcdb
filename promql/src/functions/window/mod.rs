//! Functions of a window of samples.
//!
//! Each exists as a direct evaluation of one window (`evaluate`: every kind of sample, annotations). Where it has an
//! algebra (`WindowFunction::algebra`), it also has states of runs that merge (`state`: every kind of sample,
//! annotations, windows cut anywhere, O(samples) for all windows) and, for series of floats, a slide over all windows
//! by formulas of its own (`slide`: faster still). All give the same.

mod bounds;
mod extended;
mod in_step;
mod over_time;
mod rate;
mod regression;
mod slide;
mod state;

use std::sync::Arc;

use bounds::Even;
pub(crate) use bounds::{Bounds, Ends};
pub(crate) use extended::{extend_floats, interpolate, interpolate_histograms};
use model::{FloatHistogram, HistogramPoint};
pub(crate) use rate::RateTerms;
pub(crate) use slide::{SlidePlan, SlideScratch, needs_list, slide, slides};
pub use state::fuzz_window_state;
pub(crate) use state::{Algebra, Edges, Family, Run, WindowState, each_state};

use crate::annotations::Annotation;
use crate::ast::PosRange;
use crate::engine::QueryError;

/// A function of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
    First,
    Present,
    Absent,
    Stddev,
    Stdvar,
    Quantile,
    Mad,
    TsOfFirst,
    TsOfLast,
    TsOfMax,
    TsOfMin,
}

impl WindowFunction {
    /// By name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "double_exponential_smoothing" => Self::DoubleExponentialSmoothing,
            "avg_over_time" => Self::Avg,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "sum_over_time" => Self::Sum,
            "count_over_time" => Self::Count,
            "last_over_time" => Self::Last,
            "first_over_time" => Self::First,
            "present_over_time" => Self::Present,
            "absent_over_time" => Self::Absent,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" => Self::Mad,
            "ts_of_first_over_time" => Self::TsOfFirst,
            "ts_of_last_over_time" => Self::TsOfLast,
            "ts_of_max_over_time" => Self::TsOfMax,
            "ts_of_min_over_time" => Self::TsOfMin,
            _ => return None,
        })
    }

    /// Whether the answer is about another metric than the samples.
    pub(crate) fn drops_name(self) -> bool {
        !matches!(self, Self::Last | Self::First)
    }

    /// Whether it looks at start timestamps.
    pub(crate) fn uses_start_timestamps(self) -> bool {
        matches!(self, Self::Rate | Self::Irate | Self::Increase | Self::Resets)
    }

    /// Whether `anchored` makes sense with it.
    pub(crate) fn allows_anchored(self) -> bool {
        matches!(self, Self::Resets | Self::Changes | Self::Rate | Self::Increase | Self::Delta)
    }

    /// Whether `smoothed` makes sense with it.
    pub(crate) fn allows_smoothed(self) -> bool {
        matches!(self, Self::Rate | Self::Increase | Self::Delta)
    }
}

/// Values at a window's edges instead of extrapolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extended {
    /// Left-open window, extrapolated.
    No,
    /// The last sample before the window counts as its start.
    Anchored,
    /// Values at both edges are interpolated.
    Smoothed,
}

/// One window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Times of the floats; stale ones are gone.
    pub ts: &'a [i64],
    /// The floats.
    pub vs: &'a [f64],
    /// The histograms, stale ones gone.
    pub histograms: &'a [HistogramPoint],
    /// Start timestamps of the floats, when they count.
    pub float_starts: Option<&'a [i64]>,
    /// Whether start timestamps of histograms count.
    pub histogram_starts: bool,
    /// When the expression is evaluated.
    pub eval_t: i64,
    /// The window's exclusive start.
    pub start: i64,
    /// The window's inclusive end.
    pub end: i64,
    /// How edges are treated.
    pub extended: Extended,
    /// Scalar arguments at this step.
    pub params: [f64; 2],
}

impl Window<'_> {
    /// Exclusive start, inclusive end.
    fn edges(&self) -> (i64, i64) {
        (self.start, self.end)
    }

    /// Its length in seconds.
    fn range_seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// The value of a function over a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WindowValue {
    None,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Gathers annotations; knows what they are about.
#[derive(Debug)]
pub(crate) struct Notes<'a> {
    /// The metric's name.
    pub metric: &'a str,
    /// Where the function's first argument stands.
    pub pos: PosRange,
    /// What was noted.
    pub noted: Vec<Annotation>,
}

impl Notes<'_> {
    fn mixed(&mut self) {
        self.noted.push(Annotation::mixed_floats_histograms(self.metric, self.pos));
    }

    fn ignored(&mut self) {
        self.noted.push(Annotation::histogram_ignored_in_range(self.metric, self.pos));
    }

    fn mixed_schemas(&mut self) {
        self.noted.push(Annotation::mixed_exponential_custom(self.metric, self.pos));
    }

    fn reconciled(&mut self, operation: &str) {
        self.noted.push(Annotation::mismatched_custom_buckets(operation, self.pos));
    }
}

/// The function's value over one window; the window has a sample.
pub(crate) fn evaluate(
    function: WindowFunction,
    w: &Window<'_>,
    notes: &mut Notes<'_>,
) -> Result<WindowValue, QueryError> {
    Ok(match function {
        WindowFunction::Rate => rate::extrapolated(w, notes, true, true),
        WindowFunction::Increase => rate::extrapolated(w, notes, true, false),
        WindowFunction::Delta => rate::extrapolated(w, notes, false, false),
        WindowFunction::Irate => rate::instant(w, notes, true),
        WindowFunction::Idelta => rate::instant(w, notes, false),
        WindowFunction::Changes => rate::changes(w),
        WindowFunction::Resets => rate::resets(w),
        WindowFunction::Deriv => regression::deriv(w, notes),
        WindowFunction::PredictLinear => regression::predict_linear(w, notes),
        WindowFunction::DoubleExponentialSmoothing => regression::double_exponential_smoothing(w, notes)?,
        WindowFunction::Avg => over_time::avg(w, notes),
        WindowFunction::Sum => over_time::sum(w, notes),
        WindowFunction::Min | WindowFunction::Max | WindowFunction::TsOfMin | WindowFunction::TsOfMax => {
            over_time::extreme(function, w, notes)
        }
        WindowFunction::Count => WindowValue::Float((w.vs.len() + w.histograms.len()) as f64),
        WindowFunction::Last => over_time::last(w),
        WindowFunction::First => over_time::first(w),
        WindowFunction::Present | WindowFunction::Absent => WindowValue::Float(1.0),
        WindowFunction::Stddev => over_time::variance(w, notes, true),
        WindowFunction::Stdvar => over_time::variance(w, notes, false),
        WindowFunction::Quantile => over_time::quantile_of(w, notes),
        WindowFunction::Mad => over_time::mad(w, notes),
        WindowFunction::TsOfFirst => {
            let float = w.ts.first().copied().unwrap_or(i64::MAX);
            let histogram = w.histograms.first().map_or(i64::MAX, |p| p.t);
            WindowValue::Float(float.min(histogram) as f64 / 1000.0)
        }
        WindowFunction::TsOfLast => {
            let float = w.ts.last().copied().unwrap_or(0);
            let histogram = w.histograms.last().map_or(0, |p| p.t);
            WindowValue::Float(float.max(histogram) as f64 / 1000.0)
        }
    })
}

#[cfg(test)]
mod tests;
