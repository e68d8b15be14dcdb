//! The instant selector: at every step the last sample within the look-back.

use std::ops::Range;
use std::sync::Arc;

use model::{SampleBatch, is_stale};

use proto::Selection;

use super::batch::{ABSENT, BatchBuilder, SeriesBatch, is_absent};
use super::context::QueryContext;
use super::grid::Grid;
use super::label_bytes::{self, NameAction};
use super::leaf::Leaf;
use super::operator::{BatchStream, Inputs, Operator};
use crate::annotations::Annotation;
use crate::ast::PosRange;
use crate::engine::QueryError;
use crate::functions::{Notes, interpolate, interpolate_histograms};

/// What is wanted of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstantMode {
    /// Its value.
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Its start timestamp in seconds.
    StartTimestamp,
    /// Its time in milliseconds; it must be a float.
    InfoTimestamp,
    /// The value interpolated between the samples around.
    Smoothed,
}

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct InstantSelect {
    pub leaf: Leaf,
    pub grid: Grid,
    pub offset: i64,
    /// The time of `@`.
    pub pinned: Option<i64>,
    /// How long before a time its sample may be, in milliseconds.
    pub lookback: i64,
    pub mode: InstantMode,
    pub name_action: NameAction,
    pub pos: PosRange,
    /// How often its samples count in the query's statistics.
    pub count_times: u64,
}

impl Operator for InstantSelect {
    fn name(&self) -> &'static str {
        "InstantSelect"
    }

    fn detail(&self) -> String {
        format!("{:?}, {:?}", self.leaf, self.mode)
    }

    fn selection(&self) -> Option<&Arc<dyn Selection>> {
        Some(&self.leaf.selection)
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        let leaf = self.leaf.clone();
        let query = Arc::clone(&inputs.query);
        leaf.stream(inputs, partition, move |leaf, range, samples| self.batch(&query, leaf, range, samples))
    }
}

/// No sample.
const NONE: u32 = u32::MAX;

impl InstantSelect {
    fn time(&self, step: usize) -> i64 {
        self.pinned.unwrap_or_else(|| self.grid.at(step)) - self.offset
    }

    fn batch(
        &self,
        query: &QueryContext,
        leaf: &Leaf,
        range: Range<usize>,
        samples: &SampleBatch,
    ) -> Result<SeriesBatch, QueryError> {
        let steps = self.grid.steps;
        let mut out = BatchBuilder::new(steps, range.len());
        let mut scratch = Vec::new();
        let mut picks: Vec<u32> = Vec::new();
        let mut picked_for = None;
        let mut looked_at = 0u64;
        for (i, series) in range.enumerate() {
            query.check_abandoned()?;
            let entry = &samples.series[i];
            if entry.values.is_empty() && entry.histograms.is_empty() {
                continue;
            }
            let labels = leaf.selection.series()[series].labels.as_bytes();
            scratch.clear();
            let drop_name = label_bytes::apply_into(labels, self.name_action, false, &mut scratch);
            out.push_empty(&scratch, drop_name);
            if self.mode == InstantMode::Smoothed {
                self.smoothed(query, samples, i, labels, &mut out);
                if !out.last_has_values() {
                    out.pop();
                }
                continue;
            }
            if entry.histograms.is_empty() {
                let key = (entry.vector, entry.vector_offset, entry.values.len());
                if picked_for != Some(key) {
                    self.pick(samples.timestamps_of(i), &mut picks);
                    picked_for = Some(key);
                }
                let ts = samples.timestamps_of(i);
                let vs = samples.values_of(i);
                let row = out.floats();
                let mut count = 0u64;
                for (slot, pick) in row.iter_mut().zip(&picks) {
                    if *pick == NONE {
                        continue;
                    }
                    let at = *pick as usize;
                    // a staleness marker has the bits of an absent value
                    let value = vs[at];
                    count += u64::from(!is_absent(value));
                    *slot = match self.mode {
                        InstantMode::Value | InstantMode::Smoothed => value,
                        _ if is_absent(value) => ABSENT,
                        InstantMode::Timestamp => ts[at] as f64 / 1000.0,
                        InstantMode::InfoTimestamp => ts[at] as f64,
                        InstantMode::StartTimestamp => {
                            entry.start_ts.as_ref().map_or(0, |s| s[at]) as f64 / 1000.0
                        }
                    };
                }
                looked_at += count;
                if count == 0 {
                    out.pop();
                }
            } else {
                picked_for = None;
                looked_at += self.mixed(samples, i, labels, &mut out)?;
                if !out.last_has_values() {
                    out.pop();
                }
            }
        }
        query.samples.looked_at(looked_at, looked_at, self.count_times);
        let batch = out.finish();
        query.samples.looked_at_steps(self.grid, self.count_times, |step| {
            let samples = batch.samples_at(step) as u64;
            (samples, samples)
        });
        Ok(batch)
    }

    /// The index of each step's sample.
    fn pick(&self, ts: &[i64], picks: &mut Vec<u32>) {
        picks.clear();
        let mut next = 0usize;
        for step in 0..self.grid.steps {
            let time = self.time(step);
            if step == 0 {
                next = ts.partition_point(|t| *t <= time);
            }
            while next < ts.len() && ts[next] <= time {
                next += 1;
            }
            let found = next > 0 && ts[next - 1] > time - self.lookback;
            picks.push(if found { (next - 1) as u32 } else { NONE });
        }
    }

    /// A series with histograms, perhaps with floats too.
    fn mixed(
        &self,
        samples: &SampleBatch,
        i: usize,
        labels: &[u8],
        out: &mut BatchBuilder,
    ) -> Result<u64, QueryError> {
        let ts = samples.timestamps_of(i);
        let vs = samples.values_of(i);
        let hs = samples.histograms_of(i);
        let starts = samples.series[i].start_ts.as_deref();
        let mut looked_at = 0u64;
        for step in 0..self.grid.steps {
            let time = self.time(step);
            let after = time - self.lookback;
            let float = ts.partition_point(|t| *t <= time).checked_sub(1).filter(|f| ts[*f] > after);
            let histogram = hs.partition_point(|p| p.t <= time).checked_sub(1).filter(|h| hs[*h].t > after);
            let use_histogram = match (float, histogram) {
                (None, None) => continue,
                (Some(f), Some(h)) => hs[h].t >= ts[f],
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let (t, start, value) = match (use_histogram, float, histogram) {
                (true, _, Some(h)) => {
                    let point = &hs[h];
                    if point.h.is_stale() {
                        continue;
                    }
                    if self.mode == InstantMode::Value {
                        looked_at += crate::histogram::sample_size(&point.h) as u64;
                        out.set_histogram(step, Arc::clone(&point.h));
                        continue;
                    }
                    if self.mode == InstantMode::InfoTimestamp {
                        let labels = label_bytes::show(labels);
                        return Err(QueryError::Execution(format!(
                            "this should be an info metric, with float samples: {labels}"
                        )));
                    }
                    (point.t, point.start_t, ABSENT)
                }
                (_, Some(f), _) => {
                    if is_stale(vs[f]) {
                        continue;
                    }
                    (ts[f], starts.map_or(0, |s| s[f]), vs[f])
                }
                _ => continue,
            };
            looked_at += 1;
            out.floats()[step] = match self.mode {
                InstantMode::Value | InstantMode::Smoothed => value,
                InstantMode::Timestamp => t as f64 / 1000.0,
                InstantMode::InfoTimestamp => t as f64,
                InstantMode::StartTimestamp => start as f64 / 1000.0,
            };
        }
        Ok(looked_at)
    }

    /// `smoothed`: the value on the line between the samples around each step.
    fn smoothed(
        &self,
        query: &QueryContext,
        samples: &SampleBatch,
        i: usize,
        labels: &[u8],
        out: &mut BatchBuilder,
    ) {
        let (mut ts, mut vs) = (Vec::new(), Vec::new());
        for (t, v) in samples.timestamps_of(i).iter().zip(samples.values_of(i)) {
            if !is_stale(*v) {
                ts.push(*t);
                vs.push(*v);
            }
        }
        let hs: Vec<_> = samples.histograms_of(i).iter().filter(|p| !p.h.is_stale()).cloned().collect();
        let metric = label_bytes::get(labels, model::METRIC_NAME);
        for step in 0..self.grid.steps {
            let time = self.time(step);
            let (from, to) = (time - self.lookback, time + self.lookback);
            let fs = ts.partition_point(|t| *t <= from)..ts.partition_point(|t| *t <= to);
            let window = hs.partition_point(|p| p.t <= from)..hs.partition_point(|p| p.t <= to);
            if !fs.is_empty() && !window.is_empty() {
                query.annotate(Annotation::mixed_floats_histograms(metric, self.pos));
                continue;
            }
            if !window.is_empty() {
                let hs = &hs[window];
                let next = hs.partition_point(|p| p.t < time);
                let found = if next < hs.len() && hs[next].t == time {
                    Some(Arc::clone(&hs[next].h))
                } else if next > 0 && next < hs.len() {
                    self.between(query, metric, &hs[next - 1], &hs[next], time)
                } else if next > 0 {
                    let mut carried = (*hs[next - 1].h).clone();
                    carried.counter_reset_hint = model::CounterResetHint::Unknown;
                    Some(Arc::new(carried))
                } else {
                    None
                };
                if let Some(histogram) = found {
                    out.set_histogram(step, histogram);
                }
            } else if !fs.is_empty() {
                let (ts, vs) = (&ts[fs.clone()], &vs[fs]);
                let next = ts.partition_point(|t| *t < time);
                out.floats()[step] = if next < ts.len() && ts[next] == time {
                    vs[next]
                } else if next > 0 && next < ts.len() {
                    interpolate(ts[next - 1], vs[next - 1], ts[next], vs[next], time, false)
                } else if next > 0 {
                    vs[next - 1]
                } else {
                    ABSENT
                };
            }
        }
    }

    fn between(
        &self,
        query: &QueryContext,
        metric: &str,
        a: &model::HistogramPoint,
        b: &model::HistogramPoint,
        time: i64,
    ) -> Option<Arc<model::FloatHistogram>> {
        use model::CounterResetHint::Gauge;
        if crate::histogram::is_custom(&a.h) != crate::histogram::is_custom(&b.h) {
            query.annotate(Annotation::mixed_exponential_custom(metric, self.pos));
            return None;
        }
        let is_counter = a.h.counter_reset_hint != Gauge || b.h.counter_reset_hint != Gauge;
        let mut notes = Notes { metric, pos: self.pos, noted: Vec::new() };
        let result = interpolate_histograms(a, b, time, is_counter, &mut notes);
        query.annotate_all(notes.noted);
        match result {
            Ok(histogram) => Some(Arc::new(histogram)),
            Err(_) => {
                query.annotate(Annotation::mixed_exponential_custom(metric, self.pos));
                None
            }
        }
    }
}
