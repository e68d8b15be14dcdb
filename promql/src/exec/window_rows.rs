//! A window function over rows of samples, whether they come from storage or from a subquery.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{HistogramPoint, METRIC_NAME, is_stale};

use super::batch::{BatchBuilder, is_absent};
use super::context::QueryContext;
use super::grid::Grid;
use super::label_bytes::{self, NameAction};
use crate::annotations::Annotation;
use crate::ast::PosRange;
use crate::engine::QueryError;
use crate::functions::{
    Bounds, Extended, Notes, RateTerms, SlidePlan, SlideScratch, Window, WindowFunction, WindowValue,
    evaluate, slide, slides,
};
use crate::histogram::sample_size;

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

#[derive(Debug, Default)]
struct Shared {
    bounds: Bounds,
    terms: RateTerms,
    work: u64,
}

/// Evaluates rows; made once per batch.
#[derive(Debug)]
pub(crate) struct WindowRows<'a> {
    spec: &'a WindowSpec,
    query: &'a QueryContext,
    /// Scalar arguments, each a value per step.
    params: &'a [Vec<f64>],
    shared: HashMap<(usize, usize, usize), Shared>,
    own: Shared,
    scratch: SlideScratch,
    labels: Vec<u8>,
    noted_non_counter: bool,
    looked_at: u64,
}

impl<'a> WindowRows<'a> {
    /// For one batch.
    pub(crate) fn new(spec: &'a WindowSpec, query: &'a QueryContext, params: &'a [Vec<f64>]) -> Self {
        WindowRows {
            spec,
            query,
            params,
            shared: HashMap::new(),
            own: Shared::default(),
            scratch: SlideScratch::default(),
            labels: Vec::new(),
            noted_non_counter: false,
            looked_at: 0,
        }
    }

    /// Evaluates a row; appends it when it has a value.
    pub(crate) fn push(&mut self, row: &Row<'_>, out: &mut BatchBuilder) -> Result<(), QueryError> {
        if row.ts.is_empty() && row.histograms.is_empty() {
            return Ok(());
        }
        let spec = self.spec;
        self.labels.clear();
        let drop_name =
            label_bytes::apply_into(row.labels, spec.name_action, row.drop_name, &mut self.labels);
        out.push_empty(&self.labels, drop_name);
        let uses_starts = self.query.features.start_timestamps && spec.function.uses_start_timestamps();
        let simple = row.histograms.is_empty()
            && spec.extended == Extended::No
            && slides(spec.function)
            && !(uses_starts && row.starts.is_some())
            && !row.vs.iter().any(|v| is_stale(*v));
        let has_float = if simple { self.slide(row, out) } else { self.direct(row, uses_starts, out)? };
        if has_float {
            self.note_non_counter(row);
        }
        if !has_float && !out.last_has_values() {
            out.pop();
        }
        Ok(())
    }

    fn slide(&mut self, row: &Row<'_>, out: &mut BatchBuilder) -> bool {
        let spec = self.spec;
        let compute = |shared: &mut Shared| {
            let ends = (0..spec.grid.steps).map(|step| spec.end(step));
            shared.bounds.compute(row.ts, ends.clone(), spec.range);
            shared.work = shared.bounds.work();
            let per_second = spec.function == WindowFunction::Rate;
            if per_second || matches!(spec.function, WindowFunction::Increase | WindowFunction::Delta) {
                shared.terms.compute(row.ts, &shared.bounds, ends, spec.range, per_second);
            }
        };
        let shared = match row.key {
            Some(key) => &*self.shared.entry(key).or_insert_with(|| {
                let mut shared = Shared::default();
                compute(&mut shared);
                shared
            }),
            None => {
                compute(&mut self.own);
                &self.own
            }
        };
        self.looked_at += shared.work;
        let bounds = &shared.bounds;
        let count = |step: usize| u64::from(bounds.hi[step] - bounds.lo[step]);
        self.query.samples.looked_at_steps(spec.grid.steps, spec.count_times, count);
        let plan = SlidePlan {
            bounds: &shared.bounds,
            terms: &shared.terms,
            range_seconds: spec.range as f64 / 1000.0,
            work: shared.work,
            eval: (spec.grid.start, spec.grid.step),
            params: self.params,
        };
        let floats = out.floats();
        slide(spec.function, row.ts, row.vs, &plan, &mut self.scratch, floats);
        floats.iter().any(|v| !is_absent(*v))
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
        let metric = match &spec.metric {
            Some(metric) => metric.as_str(),
            None => label_bytes::get(row.labels, METRIC_NAME),
        };
        let lookback = self.query.lookback_ms;
        let (before, after) = match spec.extended {
            Extended::No => (0, 0),
            Extended::Anchored => (lookback, 0),
            Extended::Smoothed => (lookback, lookback),
        };
        let mut notes = Notes { metric, pos: spec.pos, noted: Vec::new() };
        let mut has_float = false;
        for step in 0..spec.grid.steps {
            let end = spec.end(step);
            let (from, to) = (end - spec.range - before, end + after);
            let fs = ts.partition_point(|t| *t <= from)..ts.partition_point(|t| *t <= to);
            let window = hs.partition_point(|p| p.t <= from)..hs.partition_point(|p| p.t <= to);
            if fs.is_empty() && window.is_empty() {
                continue;
            }
            let size = fs.len() + hs[window.clone()].iter().map(|p| sample_size(&p.h)).sum::<usize>();
            self.looked_at += size as u64;
            let here = |at: usize| if at == step { size as u64 } else { 0 };
            self.query.samples.looked_at_steps(spec.grid.steps, spec.count_times, here);
            let param = |i: usize| self.params.get(i).map_or(0.0, |p| p[step]);
            let w = Window {
                ts: &ts[fs.clone()],
                vs: &vs[fs.clone()],
                histograms: &hs[window],
                float_starts: has_starts.then(|| &starts[fs]),
                histogram_starts: uses_starts,
                eval_t: spec.grid.at(step),
                start: end - spec.range,
                end,
                extended: spec.extended,
                params: [param(0), param(1)],
            };
            match evaluate(spec.function, &w, &mut notes)? {
                WindowValue::None => {}
                WindowValue::Float(v) => {
                    out.floats()[step] = v;
                    has_float = true;
                }
                WindowValue::Histogram(h) => out.set_histogram(step, h),
            }
        }
        self.query.annotate_all(notes.noted);
        Ok(has_float)
    }

    /// `rate` and `increase` of what does not look like a counter.
    fn note_non_counter(&mut self, row: &Row<'_>) {
        if !matches!(self.spec.function, WindowFunction::Rate | WindowFunction::Increase)
            || self.noted_non_counter
        {
            return;
        }
        let metric = match &self.spec.metric {
            Some(metric) => metric.as_str(),
            None => label_bytes::get(row.labels, METRIC_NAME),
        };
        if metric.is_empty() {
            return;
        }
        if self.query.features.type_and_unit_labels {
            let kind = label_bytes::get(row.labels, "__type__");
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
        self.query.samples.looked_at(self.looked_at * self.spec.count_times);
    }
}

/// A row's histograms at the times of a grid.
pub(crate) fn histogram_points(slots: &[super::batch::HistogramSlot], grid: Grid) -> Vec<HistogramPoint> {
    let mut points = Vec::new();
    for (i, slot) in slots.iter().enumerate() {
        if let Some(histogram) = slot {
            points.push(HistogramPoint { t: grid.at(i), h: Arc::clone(histogram), start_t: 0 });
        }
    }
    points
}
