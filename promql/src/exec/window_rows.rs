//! A window function over rows of samples, whether they come from storage or from a subquery.

mod parts;

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{CounterResetHint, HistogramPoint, METRIC_NAME, SampleBatch, is_stale};

use super::batch::{ABSENT, BatchBuilder, HistogramSlot, is_absent};
use super::context::QueryContext;
use super::grid::Grid;
use super::label_bytes::{self, NameAction};
use crate::annotations::Annotation;
use crate::ast::PosRange;
use crate::engine::QueryError;
use crate::functions::{
    Algebra, Bounds, Edges, Ends, Extended, Family, Notes, RateTerms, Run, SlidePlan, SlideScratch, Window,
    WindowFunction, WindowValue, each_state, evaluate, needs_list, slide, slides,
};
use crate::histogram::sample_size;

pub(crate) use parts::RowStates;

/// What to compute.
#[derive(Debug, Clone)]
pub(crate) struct WindowSpec {
    pub function: WindowFunction,
    pub grid: Grid,
    pub range: i64,
    pub offset: i64,
    /// The time of `@`.
    pub pinned: Option<i64>,
    pub extended: Extended,
    pub name_action: NameAction,
    /// Where the function's first argument stands.
    pub pos: PosRange,
    /// The metric's name when all series have the same.
    pub metric: Option<String>,
    /// How often its samples count in the query's statistics.
    pub count_times: u64,
}

impl WindowSpec {
    fn end(&self, step: usize) -> i64 {
        self.pinned.unwrap_or_else(|| self.grid.at(step)) - self.offset
    }
}

/// The samples of one row. Staleness markers may be among them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub labels: &'a [u8],
    pub drop_name: bool,
    /// Rows with an equal key have equal timestamps (within one batch).
    pub key: Option<(usize, usize, usize)>,
    pub ts: &'a [i64],
    pub vs: &'a [f64],
    pub histograms: &'a [HistogramPoint],
    pub starts: Option<&'a [i64]>,
}

impl<'a> Row<'a> {
    /// Entry `i` of a batch.
    pub(crate) fn of(samples: &'a SampleBatch, i: usize, labels: &'a [u8]) -> Self {
        let entry = &samples.series[i];
        Row {
            labels,
            drop_name: false,
            key: Some((entry.vector, entry.vector_offset, entry.values.len())),
            ts: samples.timestamps_of(i),
            vs: samples.values_of(i),
            histograms: samples.histograms_of(i),
            starts: entry.start_ts.as_deref(),
        }
    }
}

/// Takes rows one by one, where nobody needs them as a batch.
pub(crate) trait RowSink: Send {
    /// So many rows with so many bytes of labels may come.
    fn expect(&mut self, rows: usize, label_bytes: usize) -> Result<(), QueryError>;

    /// One series: what counts are the floats of `steps` alone, and the histograms, of all steps.
    fn row(
        &mut self,
        labels: &[u8],
        drop_name: bool,
        steps: Range<usize>,
        floats: &[f64],
        histograms: Option<&[HistogramSlot]>,
    );

    /// Those that were expected have come.
    fn settle(&mut self) -> Result<(), QueryError>;
}

/// Where the floats and the histograms of a window lie.
type Ranges = (Range<usize>, Range<usize>);

#[derive(Debug, Default)]
struct Shared {
    bounds: Bounds,
    terms: RateTerms,
    work: u64,
    /// Samples in any window.
    read: u64,
}

impl Shared {
    fn compute(&mut self, ts: &[i64], ends: Ends, spec: &WindowSpec) {
        self.bounds.compute(ts, ends, spec.range);
        self.work = self.bounds.work();
        self.read = self.bounds.read();
        let per_second = spec.function == WindowFunction::Rate;
        if per_second || matches!(spec.function, WindowFunction::Increase | WindowFunction::Delta) {
            self.terms.compute(ts, &self.bounds, ends, spec.range, per_second);
        }
        if needs_list(spec.function) {
            self.bounds.list();
        }
    }
}

/// Most windows, over all distinct timestamps, whose bounds are kept listed.
const LISTED_MAX: usize = 1 << 20;

/// Evaluates rows; made once per batch.
#[derive(Debug)]
pub(crate) struct WindowRows<'a> {
    spec: &'a WindowSpec,
    query: &'a QueryContext,
    /// Scalar arguments, each a value per step.
    params: &'a [Vec<f64>],
    shared: HashMap<(usize, usize, usize), Shared>,
    own: Shared,
    /// Whose `own` is, if others may have the same.
    own_key: Option<(usize, usize, usize)>,
    /// Windows listed in `shared`.
    listed: usize,
    scratch: SlideScratch,
    labels: Vec<u8>,
    noted_non_counter: bool,
    looked_at: u64,
    read: u64,
    /// Whether the rows come from storage: those of a subquery have been read before.
    are_stored: bool,
}

impl<'a> WindowRows<'a> {
    /// For one batch.
    pub(crate) fn new(
        spec: &'a WindowSpec,
        query: &'a QueryContext,
        params: &'a [Vec<f64>],
        are_stored: bool,
    ) -> Self {
        WindowRows {
            spec,
            query,
            params,
            shared: HashMap::new(),
            own: Shared::default(),
            own_key: None,
            listed: 0,
            scratch: SlideScratch::default(),
            labels: Vec::new(),
            noted_non_counter: false,
            looked_at: 0,
            read: 0,
            are_stored,
        }
    }

    /// Evaluates a row; appends it when it has a value.
    pub(crate) fn push(&mut self, row: &Row<'_>, out: &mut BatchBuilder) -> Result<(), QueryError> {
        if row.ts.is_empty() && row.histograms.is_empty() {
            return Ok(());
        }
        let drop_name = self.name(row);
        out.push_empty(&self.labels, drop_name);
        if self.evaluate(row, out)?.is_none() {
            out.pop();
        }
        Ok(())
    }

    /// Evaluates a row; gives it to `sink` when it has a value. `line` is for one row and used again and again.
    pub(crate) fn fold(
        &mut self,
        row: &Row<'_>,
        line: &mut BatchBuilder,
        sink: &mut dyn RowSink,
    ) -> Result<(), QueryError> {
        if row.ts.is_empty() && row.histograms.is_empty() {
            return Ok(());
        }
        let drop_name = self.name(row);
        line.clear_histograms();
        if let Some(steps) = self.evaluate(row, line)? {
            sink.row(&self.labels, drop_name, steps, line.floats_now(), line.histograms_now());
        }
        Ok(())
    }

    /// Puts a row's new labels into `labels`; whether its name goes at the end.
    fn name(&mut self, row: &Row<'_>) -> bool {
        self.labels.clear();
        label_bytes::apply_into(row.labels, self.spec.name_action, row.drop_name, &mut self.labels)
    }

    /// Evaluates a row into the last of `out`; the steps that may have a value, if any has. What is at others then
    /// is what was there before.
    fn evaluate(
        &mut self,
        row: &Row<'_>,
        out: &mut BatchBuilder,
    ) -> Result<Option<Range<usize>>, QueryError> {
        let spec = self.spec;
        let uses_starts = self.query.features.start_timestamps && spec.function.uses_start_timestamps();
        let plain = row.histograms.is_empty()
            && spec.extended == Extended::No
            && slides(spec.function)
            && !(uses_starts && row.starts.is_some());
        let all = 0..spec.grid.steps;
        if !plain {
            out.floats().fill(ABSENT);
            let has_float = self.direct(row, uses_starts, out)?;
            if has_float {
                self.note_non_counter(row.labels);
            }
            return Ok((has_float || out.last_has_values()).then_some(all));
        }
        let (steps, has_float) = self.slide_live(row, out);
        if has_float {
            self.note_non_counter(row.labels);
        }
        Ok(has_float.then_some(steps))
    }

    /// Slides over a row without its staleness markers.
    fn slide_live(&mut self, row: &Row<'_>, out: &mut BatchBuilder) -> (Range<usize>, bool) {
        // a series that ended ends with a marker
        let mut n = row.vs.len();
        while n > 0 && is_stale(row.vs[n - 1]) {
            n -= 1;
        }
        let key = row.key.map(|(vector, offset, _)| (vector, offset, n));
        let row = Row { key, ts: &row.ts[..n], vs: &row.vs[..n], ..*row };
        let counts = matches!(self.spec.function, WindowFunction::Rate | WindowFunction::Increase);
        // of counters, one look tells that there are neither markers nor resets
        if counts && n > 1 && is_ascending(row.vs) {
            return self.slide(&row, true, out);
        }
        if !has_stale(row.vs) {
            return self.slide(&row, false, out);
        }
        let live = row.ts.iter().zip(row.vs).filter(|(_, v)| !is_stale(**v));
        let (ts, vs): (Vec<i64>, Vec<f64>) = live.map(|(t, v)| (*t, *v)).unzip();
        self.slide(&Row { key: None, ts: &ts, vs: &vs, ..row }, false, out)
    }

    fn slide(&mut self, row: &Row<'_>, is_ascending: bool, out: &mut BatchBuilder) -> (Range<usize>, bool) {
        let spec = self.spec;
        let distance = if spec.pinned.is_some() { 0 } else { spec.grid.step };
        let ends = Ends { first: spec.end(0), distance, count: spec.grid.steps };
        let is_known = match row.key {
            Some(key) => self.own_key == row.key || self.shared.contains_key(&key),
            None => false,
        };
        if !is_known {
            self.own.compute(row.ts, ends, spec);
            self.own_key = row.key;
            let listed = self.own.bounds.lo.len();
            if let Some(key) = row.key.filter(|_| self.listed + listed <= LISTED_MAX.max(listed)) {
                self.listed += listed;
                self.shared.insert(key, std::mem::take(&mut self.own));
                self.own_key = None;
            }
        }
        let shared = row.key.and_then(|key| self.shared.get(&key)).unwrap_or(&self.own);
        self.looked_at += shared.work;
        self.read += if self.are_stored { shared.read } else { 0 };
        let bounds = &shared.bounds;
        let are_stored = u64::from(self.are_stored);
        let count = |step: usize| (bounds.count_at(step), bounds.new_at(step) * are_stored);
        self.query.samples.looked_at_steps(spec.grid, spec.count_times, count);
        let plan = SlidePlan {
            bounds: &shared.bounds,
            terms: &shared.terms,
            range_seconds: spec.range as f64 / 1000.0,
            work: shared.work,
            eval: (spec.grid.start, spec.grid.step),
            ends,
            range: spec.range,
            params: self.params,
            is_ascending,
        };
        let floats = out.floats();
        slide(spec.function, row.ts, row.vs, &plan, &mut self.scratch, floats);
        let touched = bounds.touched.clone();
        let has_float = floats[touched.clone()].iter().any(|v| !is_absent(*v));
        (touched, has_float)
    }

    fn direct(
        &mut self,
        row: &Row<'_>,
        uses_starts: bool,
        out: &mut BatchBuilder,
    ) -> Result<bool, QueryError> {
        let spec = self.spec;
        let (mut ts, mut vs, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (t, v)) in row.ts.iter().zip(row.vs).enumerate() {
            if !is_stale(*v) {
                ts.push(*t);
                vs.push(*v);
                if let Some(all) = row.starts.filter(|_| uses_starts) {
                    starts.push(all[i]);
                }
            }
        }
        let has_starts = uses_starts && row.starts.is_some();
        let hs: Vec<HistogramPoint> = row.histograms.iter().filter(|p| !p.h.is_stale()).cloned().collect();
        let lookback = self.query.lookback_ms;
        let (before, after) = match spec.extended {
            Extended::No => (0, 0),
            Extended::Anchored => (lookback, 0),
            Extended::Smoothed => (lookback, lookback),
        };
        let ends = (0..spec.grid.steps).map(|step| spec.end(step));
        let windows: Vec<_> = ends
            .clone()
            .map(|end| {
                let (from, to) = (end - spec.range - before, end + after);
                let floats = ts.partition_point(|t| *t <= from)..ts.partition_point(|t| *t <= to);
                (floats, hs.partition_point(|p| p.t <= from)..hs.partition_point(|p| p.t <= to))
            })
            .collect();
        self.count_samples(&windows, &hs);
        let run = Run {
            ts: &ts,
            vs: &vs,
            float_starts: has_starts.then_some(&starts),
            histograms: &hs,
            histogram_starts: uses_starts,
        };
        let mut notes = self.notes(row.labels);
        let mut has_float = false;
        let mut put = |step: usize, value: WindowValue| match value {
            WindowValue::None => {}
            WindowValue::Float(v) => {
                out.floats()[step] = v;
                has_float = true;
            }
            WindowValue::Histogram(h) => out.set_histogram(step, h),
        };
        match spec.function.algebra(spec.extended) {
            Algebra::Mergeable(family) if states_pay(family, &run, &windows) => {
                each_state(family, &run, ends, spec.range, |step, state| {
                    if let Some(state) = state {
                        put(step, state.finish(spec.function, &self.edges(step), &mut notes));
                    }
                });
            }
            _ => {
                for (step, (floats, histograms)) in windows.into_iter().enumerate() {
                    self.query.check_abandoned()?;
                    if floats.is_empty() && histograms.is_empty() {
                        continue;
                    }
                    let edges = self.edges(step);
                    let w = Window {
                        ts: &ts[floats.clone()],
                        vs: &vs[floats.clone()],
                        histograms: &hs[histograms],
                        float_starts: has_starts.then(|| &starts[floats]),
                        histogram_starts: uses_starts,
                        eval_t: edges.eval_t,
                        start: edges.start,
                        end: edges.end,
                        extended: spec.extended,
                        params: edges.params,
                    };
                    put(step, evaluate(spec.function, &w, &mut notes)?);
                }
            }
        }
        self.query.annotate_all(notes.noted);
        Ok(has_float)
    }

    /// What there is to say about a series' windows; nothing yet.
    fn notes<'r>(&self, labels: &'r [u8]) -> Notes<'r>
    where
        'a: 'r,
    {
        let spec: &'a WindowSpec = self.spec;
        let metric = match &spec.metric {
            Some(metric) => metric.as_str(),
            None => label_bytes::get(labels, METRIC_NAME),
        };
        Notes { metric, pos: spec.pos, noted: Vec::new() }
    }

    fn edges(&self, step: usize) -> Edges {
        let end = self.spec.end(step);
        let param = |i: usize| self.params.get(i).map_or(0.0, |p| p[step]);
        let eval_t = self.spec.grid.at(step);
        Edges { start: end - self.spec.range, end, eval_t, params: [param(0), param(1)] }
    }

    /// Counts the samples of all windows.
    fn count_samples(&mut self, windows: &[Ranges], hs: &[HistogramPoint]) {
        // what histograms up to each one count for
        let mut sizes = vec![0u64];
        for point in hs {
            sizes.push(sizes[sizes.len() - 1] + sample_size(&point.h) as u64);
        }
        let size = |step: usize| {
            let (floats, histograms) = &windows[step];
            let all = floats.len() as u64 + sizes[histograms.end] - sizes[histograms.start];
            let before = step.checked_sub(1).map_or((0, 0), |i| (windows[i].0.end, windows[i].1.end));
            let known = before.1.clamp(histograms.start, histograms.end);
            let new = floats.end - before.0.clamp(floats.start, floats.end);
            (all, (new as u64 + sizes[histograms.end] - sizes[known]) * u64::from(self.are_stored))
        };
        for step in 0..windows.len() {
            let (all, new) = size(step);
            self.looked_at += all;
            self.read += new;
        }
        self.query.samples.looked_at_steps(self.spec.grid, self.spec.count_times, size);
    }

    /// `rate` and `increase` of what does not look like a counter.
    fn note_non_counter(&mut self, labels: &[u8]) {
        if !matches!(self.spec.function, WindowFunction::Rate | WindowFunction::Increase)
            || self.noted_non_counter
        {
            return;
        }
        let metric = match &self.spec.metric {
            Some(metric) => metric.as_str(),
            None => label_bytes::get(labels, METRIC_NAME),
        };
        if metric.is_empty() {
            return;
        }
        if self.query.features.type_and_unit_labels {
            let kind = label_bytes::get(labels, "__type__");
            if kind != "counter" && kind != "histogram" {
                self.query.annotate(Annotation::possible_non_counter_label(metric, kind, self.spec.pos));
            }
            return;
        }
        let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix));
        if !counter {
            self.query.annotate(Annotation::possible_non_counter(metric, self.spec.pos));
        }
        // one name for all series: once is enough
        self.noted_non_counter = self.spec.metric.is_some();
    }
}

impl Drop for WindowRows<'_> {
    fn drop(&mut self) {
        self.query.samples.looked_at(self.looked_at, self.read, self.spec.count_times);
    }
}

/// Whether a staleness marker is among them; looks at many at a time.
fn has_stale(vs: &[f64]) -> bool {
    vs.chunks(128).any(|chunk| chunk.iter().fold(false, |any, v| any | is_stale(*v)))
}

/// Whether no value is below the one before, or not a number; of two or more.
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "what is not a number is not above anything")]
fn is_ascending(vs: &[f64]) -> bool {
    let pair = |i: usize| &vs[i.saturating_sub(1)..];
    (0..vs.len()).step_by(128).all(|i| {
        let (before, after) = (pair(i), &vs[i.max(1)..]);
        let pairs = before.iter().zip(after).take(128);
        !pairs.fold(false, |any, (a, b)| any | !(*b >= *a))
    })
}

/// Whether merging states is less work than going over each window.
fn states_pay(family: Family, run: &Run<'_>, windows: &[Ranges]) -> bool {
    let work: usize = windows.iter().map(|(floats, histograms)| floats.len() + histograms.len()).sum();
    let known = |p: &HistogramPoint| p.h.counter_reset_hint != CounterResetHint::Unknown;
    let times = match family {
        // only the ends of a window are looked at
        Family::Delta | Family::LastTwo | Family::Count | Family::First | Family::Last => return false,
        // without a look at buckets a window is gone over fast
        Family::Counter | Family::Resets
            if run.histograms.iter().filter(|p| known(p)).count() * 8 > run.histograms.len() * 7 =>
        {
            128
        }
        _ => 6,
    };
    work > times * (run.ts.len() + run.histograms.len())
}

/// A row's histograms at the times of a grid.
pub(crate) fn histogram_points(slots: &[HistogramSlot], grid: Grid) -> Vec<HistogramPoint> {
    let mut points = Vec::new();
    for (i, slot) in slots.iter().enumerate() {
        if let Some(histogram) = slot {
            points.push(HistogramPoint { t: grid.at(i), h: Arc::clone(histogram), start_t: 0 });
        }
    }
    points
}
