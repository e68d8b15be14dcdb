//! States of window functions: what a run of samples of one series contributes to a window.
//!
//! A state is made of a run, merges with that of the run that follows, and gives the function's value once the
//! window is complete, with the notes that `evaluate` makes. Merging is associative; nothing (`None`) is its identity.
//! So a window can be cut anywhere: where two places hold parts of it, and into the pieces that neighbouring windows
//! share. Functions that have no such state say so by `Algebra::Raw`.
//!
//! Exact bit by bit: counts, extremes, first and last values, changes, resets, times. Sums, and what follows from
//! them, agree up to rounding: relative 1e-12 of the sum (of the mean, the increase) or of the rounding of the largest
//! value that went into it, whichever is more; variances and trends up to the rounding errors of evaluating one window
//! (which grow with mean ÷ deviation, and here do not). Which of a sum's buckets are there with a count of zero
//! depends on the grouping.

mod counter;
mod floats;
mod fuzz;
mod histogram_counter;
mod means;
mod over;
mod pairs;
mod sum;
mod trend;
mod variance;
mod wire;

use std::ops::Range;
use std::sync::Arc;

use counter::Counter;
use floats::{Extreme, ExtremeRule, FloatsOnly};
use means::Means;
use model::{FloatHistogram, HistogramPoint};
use pairs::{LastTwo, PairRule, Pairs};
use trend::Trend;
use variance::Variance;
use wire::{Reader, Writer};

pub use fuzz::fuzz_window_state;
pub(crate) use over::each_state;
pub(crate) use wire::StateError;

use super::rate::Last;
use super::{Extended, Notes, WindowFunction, WindowValue};

/// How windows of a function come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algebra {
    /// From states of runs.
    Mergeable(Family),
    /// From all of their samples at once.
    Raw,
}

/// Functions that share a kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    Counter = 1,
    Delta = 2,
    LastTwo = 3,
    Changes = 4,
    Resets = 5,
    Trend = 6,
    Sum = 7,
    Avg = 8,
    Count = 9,
    First = 10,
    Last = 11,
    Variance = 12,
    FirstMin = 13,
    FirstMax = 14,
    LastMin = 15,
    LastMax = 16,
}

impl WindowFunction {
    /// Whether the function's windows can be put together from states of runs.
    pub(crate) fn algebra(self, extended: Extended) -> Algebra {
        if extended != Extended::No {
            // the values at the edges are made of samples on both sides of them
            return Algebra::Raw;
        }
        Algebra::Mergeable(match self {
            Self::Rate | Self::Increase => Family::Counter,
            Self::Delta => Family::Delta,
            Self::Irate | Self::Idelta => Family::LastTwo,
            Self::Changes => Family::Changes,
            Self::Resets => Family::Resets,
            Self::Deriv | Self::PredictLinear => Family::Trend,
            Self::Sum => Family::Sum,
            Self::Avg => Family::Avg,
            Self::Count | Self::Present | Self::Absent => Family::Count,
            Self::First | Self::TsOfFirst => Family::First,
            Self::Last | Self::TsOfLast => Family::Last,
            Self::Stddev | Self::Stdvar => Family::Variance,
            Self::Min => Family::FirstMin,
            Self::Max => Family::FirstMax,
            Self::TsOfMin => Family::LastMin,
            Self::TsOfMax => Family::LastMax,
            Self::Quantile | Self::Mad | Self::DoubleExponentialSmoothing => return Algebra::Raw,
        })
    }
}

/// A run of samples of one series, ascending in time, no time twice, staleness markers gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// Times of the floats.
    pub ts: &'a [i64],
    /// The floats.
    pub vs: &'a [f64],
    /// Start timestamps of the floats, when they count.
    pub float_starts: Option<&'a [i64]>,
    /// The histograms.
    pub histograms: &'a [HistogramPoint],
    /// Whether start timestamps of histograms count.
    pub histogram_starts: bool,
}

impl<'a> Run<'a> {
    /// A part of it, by positions.
    fn part(&self, floats: Range<usize>, histograms: Range<usize>) -> Self {
        Run {
            ts: &self.ts[floats.clone()],
            vs: &self.vs[floats.clone()],
            float_starts: self.float_starts.map(|starts| &starts[floats]),
            histograms: &self.histograms[histograms],
            histogram_starts: self.histogram_starts,
        }
    }

    fn float(&self, i: usize) -> Sample {
        let start = self.float_starts.map_or(0, |starts| starts[i]);
        Sample { t: self.ts[i], start, float: self.vs[i], histogram: None }
    }

    fn histogram(&self, i: usize) -> Sample {
        let point = &self.histograms[i];
        let start = if self.histogram_starts { point.start_t } else { 0 };
        Sample { t: point.t, start, float: 0.0, histogram: Some(Arc::clone(&point.h)) }
    }

    /// All samples in order.
    fn samples(&self) -> impl Iterator<Item = Sample> + '_ {
        let (mut f, mut h) = (0, 0);
        std::iter::from_fn(move || {
            let is_float = match (self.ts.get(f), self.histograms.get(h)) {
                (Some(t), Some(point)) => *t < point.t,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return None,
            };
            if is_float {
                f += 1;
                Some(self.float(f - 1))
            } else {
                h += 1;
                Some(self.histogram(h - 1))
            }
        })
    }

    /// The last two samples, the last one first.
    fn last_two(&self) -> [Option<Sample>; 2] {
        let (mut f, mut h) = (self.ts.len(), self.histograms.len());
        let mut next = || {
            if f == 0 && h == 0 {
                return None;
            }
            if h == 0 || (f > 0 && self.ts[f - 1] > self.histograms[h - 1].t) {
                f -= 1;
                Some(self.float(f))
            } else {
                h -= 1;
                Some(self.histogram(h))
            }
        };
        [next(), next()]
    }
}

/// A sample of either kind.
#[derive(Debug, Clone)]
struct Sample {
    t: i64,
    /// 0 when start timestamps do not count.
    start: i64,
    float: f64,
    histogram: Option<Arc<FloatHistogram>>,
}

impl Sample {
    fn view(&self) -> Last<'_> {
        Last { t: self.t, start: self.start, float: self.float, histogram: self.histogram.as_deref() }
    }

    fn value(&self) -> WindowValue {
        match &self.histogram {
            Some(h) => WindowValue::Histogram(Arc::clone(h)),
            None => WindowValue::Float(self.float),
        }
    }
}

/// A window, as far as its samples do not tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edges {
    /// Exclusive start.
    pub start: i64,
    /// Inclusive end.
    pub end: i64,
    /// When the expression is evaluated.
    pub eval_t: i64,
    /// Scalar arguments at this step.
    pub params: [f64; 2],
}

impl Edges {
    fn range_seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// The state of a function over a run of at least one sample.
#[derive(Debug, Clone)]
pub(crate) struct WindowState(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Counter(Counter),
    LastTwo(LastTwo),
    Pairs(Pairs),
    Means(Means),
    Count(u64),
    First(Sample),
    Last(Sample),
    Variance(FloatsOnly<Variance>),
    Trend(FloatsOnly<Trend>),
    Extreme(FloatsOnly<Extreme>, ExtremeRule),
}

fn pairs(run: &Run<'_>, rule: PairRule) -> Option<Kind> {
    let mut samples = run.samples();
    let mut pairs = Pairs::new(rule, samples.next()?);
    samples.for_each(|sample| pairs.push(sample));
    Some(Kind::Pairs(pairs))
}

impl WindowState {
    /// Of a run; `None` when it is empty.
    pub(crate) fn of(family: Family, run: &Run<'_>) -> Option<Self> {
        if run.vs.is_empty() && run.histograms.is_empty() {
            return None;
        }
        let has_histograms = !run.histograms.is_empty();
        let extreme = |rule: ExtremeRule| {
            Kind::Extreme(FloatsOnly { floats: Extreme::of(rule, run.ts, run.vs), has_histograms }, rule)
        };
        Some(WindowState(match family {
            Family::Counter => Kind::Counter(Counter::of(run, true)?),
            Family::Delta => Kind::Counter(Counter::of(run, false)?),
            Family::LastTwo => {
                let [last, before] = run.last_two();
                Kind::LastTwo(LastTwo::new(before, last?))
            }
            Family::Changes => pairs(run, PairRule::Changes)?,
            Family::Resets => pairs(run, PairRule::Resets)?,
            Family::Trend => Kind::Trend(FloatsOnly { floats: Trend::of(run.ts, run.vs), has_histograms }),
            Family::Sum => Kind::Means(Means::of(run, false)),
            Family::Avg => Kind::Means(Means::of(run, true)),
            Family::Count => Kind::Count((run.vs.len() + run.histograms.len()) as u64),
            Family::First => Kind::First(run.samples().next()?),
            Family::Last => {
                let [last, _] = run.last_two();
                Kind::Last(last?)
            }
            Family::Variance => {
                let floats = (!run.vs.is_empty()).then(|| Variance::of(run.vs));
                Kind::Variance(FloatsOnly { floats, has_histograms })
            }
            Family::FirstMin => extreme(ExtremeRule::FirstMin),
            Family::FirstMax => extreme(ExtremeRule::FirstMax),
            Family::LastMin => extreme(ExtremeRule::LastMin),
            Family::LastMax => extreme(ExtremeRule::LastMax),
        }))
    }

    /// Which functions it is a state of.
    pub(crate) fn family(&self) -> Family {
        match &self.0 {
            Kind::Counter(counter) if counter.is_counter => Family::Counter,
            Kind::Counter(_) => Family::Delta,
            Kind::LastTwo(_) => Family::LastTwo,
            Kind::Pairs(pairs) if pairs.rule == PairRule::Changes => Family::Changes,
            Kind::Pairs(_) => Family::Resets,
            Kind::Trend(_) => Family::Trend,
            Kind::Means(means) if means.is_mean => Family::Avg,
            Kind::Means(_) => Family::Sum,
            Kind::Count(_) => Family::Count,
            Kind::First(_) => Family::First,
            Kind::Last(_) => Family::Last,
            Kind::Variance(_) => Family::Variance,
            Kind::Extreme(_, ExtremeRule::FirstMin) => Family::FirstMin,
            Kind::Extreme(_, ExtremeRule::FirstMax) => Family::FirstMax,
            Kind::Extreme(_, ExtremeRule::LastMin) => Family::LastMin,
            Kind::Extreme(_, ExtremeRule::LastMax) => Family::LastMax,
        }
    }

    /// Takes in the state of the run that follows. Both are of one family.
    pub(crate) fn append(&mut self, next: &Self) {
        assert_eq!(self.family(), next.family(), "states of one function merge");
        match (&mut self.0, &next.0) {
            (Kind::Counter(mine), Kind::Counter(theirs)) => mine.merge(theirs),
            (Kind::LastTwo(mine), Kind::LastTwo(theirs)) => mine.merge(theirs),
            (Kind::Pairs(mine), Kind::Pairs(theirs)) => mine.merge(theirs),
            (Kind::Means(mine), Kind::Means(theirs)) => mine.merge(theirs),
            (Kind::Count(mine), Kind::Count(theirs)) => *mine += theirs,
            (Kind::Last(mine), Kind::Last(theirs)) => mine.clone_from(theirs),
            (Kind::Variance(mine), Kind::Variance(theirs)) => mine.merge(theirs),
            (Kind::Trend(mine), Kind::Trend(theirs)) => mine.merge(theirs),
            (Kind::Extreme(mine, _), Kind::Extreme(theirs, _)) => mine.merge(theirs),
            // the first stays; of other pairs there is none
            _ => {}
        }
    }

    /// The state of both runs; `next` follows in time.
    pub(crate) fn merge(mut self, next: &Self) -> Self {
        self.append(next);
        self
    }

    /// The state of both runs, either of which may be empty; `next` follows in time.
    pub(crate) fn merge_any(this: Option<Self>, next: Option<Self>) -> Option<Self> {
        match (this, next) {
            (Some(this), Some(next)) => Some(this.merge(&next)),
            (this, next) => this.or(next),
        }
    }

    /// The value of a function of this family over the window whose samples these are.
    pub(crate) fn finish(
        &self,
        function: WindowFunction,
        edges: &Edges,
        notes: &mut Notes<'_>,
    ) -> WindowValue {
        debug_assert_eq!(function.algebra(Extended::No), Algebra::Mergeable(self.family()));
        let seconds = |t: i64| WindowValue::Float(t as f64 / 1000.0);
        match &self.0 {
            Kind::Counter(counter) => counter.finish(edges, notes, function == WindowFunction::Rate),
            Kind::LastTwo(two) => two.finish(notes, function == WindowFunction::Irate),
            Kind::Pairs(pairs) => pairs.finish(),
            Kind::Means(means) => means.finish(notes),
            Kind::Count(count) if function == WindowFunction::Count => WindowValue::Float(*count as f64),
            Kind::Count(_) => WindowValue::Float(1.0),
            Kind::First(sample) if function == WindowFunction::TsOfFirst => seconds(sample.t),
            Kind::Last(sample) if function == WindowFunction::TsOfLast => seconds(sample.t),
            Kind::First(sample) | Kind::Last(sample) => sample.value(),
            Kind::Variance(variance) => variance.noted(notes).map_or(WindowValue::None, |state| {
                let variance = state.variance();
                WindowValue::Float(if function == WindowFunction::Stddev {
                    variance.sqrt()
                } else {
                    variance
                })
            }),
            Kind::Trend(trend) => trend.noted(notes).map_or(WindowValue::None, |state| {
                let is_deriv = function == WindowFunction::Deriv;
                let at = if is_deriv { state.first_t() } else { edges.eval_t };
                state.line(at).map_or(WindowValue::None, |(slope, value)| {
                    WindowValue::Float(if is_deriv { slope } else { slope * edges.params[0] + value })
                })
            }),
            Kind::Extreme(extreme, _) => extreme.noted(notes).map_or(WindowValue::None, |best| {
                if matches!(function, WindowFunction::Min | WindowFunction::Max) {
                    WindowValue::Float(best.value)
                } else {
                    seconds(best.at)
                }
            }),
        }
    }

    /// Appends its wire form: the family's number, then what the family holds.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.family() as u8);
        let out = &mut Writer(out);
        match &self.0 {
            Kind::Counter(state) => state.encode(out),
            Kind::LastTwo(state) => state.encode(out),
            Kind::Pairs(state) => state.encode(out),
            Kind::Means(state) => state.encode(out),
            Kind::Count(count) => out.number(*count),
            Kind::First(sample) | Kind::Last(sample) => out.sample(sample),
            Kind::Variance(state) => state.encode(out),
            Kind::Trend(state) => state.encode(out),
            Kind::Extreme(state, _) => state.encode(out),
        }
    }

    /// Reads a state of `family` from the front of `bytes` and moves them on behind it. Whatever the bytes are, what
    /// is read merges and finishes without failing.
    pub(crate) fn decode(family: Family, bytes: &mut &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        let from = &mut reader;
        let found = from.byte()?;
        if found != family as u8 {
            return Err(StateError::Kind { found, wanted: family as u8 });
        }
        let kind = match family {
            Family::Counter | Family::Delta => {
                Kind::Counter(Counter::decode(from, family == Family::Counter)?)
            }
            Family::LastTwo => Kind::LastTwo(LastTwo::decode(from)?),
            Family::Changes => Kind::Pairs(Pairs::decode(from, PairRule::Changes)?),
            Family::Resets => Kind::Pairs(Pairs::decode(from, PairRule::Resets)?),
            Family::Trend => Kind::Trend(FloatsOnly::decode(from)?),
            Family::Sum | Family::Avg => Kind::Means(Means::decode(from, family == Family::Avg)?),
            Family::Count => Kind::Count(from.samples()?),
            Family::First => Kind::First(from.sample()?),
            Family::Last => Kind::Last(from.sample()?),
            Family::Variance => Kind::Variance(FloatsOnly::decode(from)?),
            Family::FirstMin => extreme(from, ExtremeRule::FirstMin)?,
            Family::FirstMax => extreme(from, ExtremeRule::FirstMax)?,
            Family::LastMin => extreme(from, ExtremeRule::LastMin)?,
            Family::LastMax => extreme(from, ExtremeRule::LastMax)?,
        };
        *bytes = reader.0;
        Ok(WindowState(kind))
    }
}

fn extreme(from: &mut Reader<'_>, rule: ExtremeRule) -> Result<Kind, StateError> {
    let state: FloatsOnly<Extreme> = FloatsOnly::decode(from)?;
    if state.floats.is_some_and(|best| best.rule != rule) {
        return Err(StateError::Invalid("extreme"));
    }
    Ok(Kind::Extreme(state, rule))
}

#[cfg(test)]
mod tests;
