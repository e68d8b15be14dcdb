//! Windows put together from the states of their parts in time, which lie in different places.

use std::borrow::Cow;

use model::{HistogramPoint, TimeRange, is_stale};

use super::super::batch::BatchBuilder;
use super::super::label_bytes;
use super::{Ranges, Row, WindowRows, has_stale};
use crate::engine::QueryError;
use crate::functions::{Family, Run, WindowState, WindowValue, each_state};

/// The states of all windows of a row, as far as they are known.
pub(crate) type RowStates = Vec<Option<WindowState>>;

impl WindowRows<'_> {
    /// Joins the states of the samples of `row` inside of `part` to those of the time before, in `states` (one per
    /// step).
    pub(crate) fn add_part(
        &mut self,
        family: Family,
        row: &Row<'_>,
        part: TimeRange,
        states: &mut [Option<WindowState>],
    ) -> Result<(), QueryError> {
        self.query.check_abandoned()?;
        let floats = inside(row.ts, part, |t| *t);
        let histograms = inside(row.histograms, part, |point| point.t);
        if floats.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        let spec = self.spec;
        let uses_starts = self.query.features.start_timestamps && spec.function.uses_start_timestamps();
        let (mut ts, mut vs) =
            (Cow::Borrowed(&row.ts[floats.clone()]), Cow::Borrowed(&row.vs[floats.clone()]));
        let mut starts = row.starts.filter(|_| uses_starts).map(|all| Cow::Borrowed(&all[floats]));
        let mut hs = Cow::Borrowed(&row.histograms[histograms]);
        if has_stale(&vs) {
            let live: Vec<usize> = (0..vs.len()).filter(|i| !is_stale(vs[*i])).collect();
            starts = starts.map(|starts| live.iter().map(|i| starts[*i]).collect());
            ts = live.iter().map(|i| ts[*i]).collect();
            vs = live.iter().map(|i| vs[*i]).collect();
        }
        if hs.iter().any(|point| point.h.is_stale()) {
            hs = hs.iter().filter(|point| !point.h.is_stale()).cloned().collect();
        }
        let ends = (0..spec.grid.steps).map(|step| spec.end(step));
        self.count_samples(&windows(&ts, &hs, ends.clone(), spec.range), &hs);
        let run = Run {
            ts: &ts,
            vs: &vs,
            float_starts: starts.as_deref(),
            histograms: &hs,
            histogram_starts: uses_starts,
        };
        each_state(family, &run, ends, spec.range, |step, state| {
            if let Some(state) = state {
                match &mut states[step] {
                    Some(all) => all.append(state),
                    none => *none = Some(state.clone()),
                }
            }
        });
        Ok(())
    }

    /// Appends the row of these windows, when one of them has a value.
    pub(crate) fn push_states(
        &mut self,
        labels: &[u8],
        states: &[Option<WindowState>],
        out: &mut BatchBuilder,
    ) {
        if states.iter().all(Option::is_none) {
            return;
        }
        let spec = self.spec;
        self.labels.clear();
        let drop_name = label_bytes::apply_into(labels, spec.name_action, false, &mut self.labels);
        out.push_empty(&self.labels, drop_name);
        let mut notes = self.notes(labels);
        let mut has_float = false;
        for (step, state) in states.iter().enumerate() {
            let Some(state) = state else { continue };
            match state.finish(spec.function, &self.edges(step), &mut notes) {
                WindowValue::None => {}
                WindowValue::Float(v) => {
                    out.floats()[step] = v;
                    has_float = true;
                }
                WindowValue::Histogram(h) => out.set_histogram(step, h),
            }
        }
        let noted = notes.noted;
        self.query.annotate_all(noted);
        if has_float {
            self.note_non_counter(labels);
        }
        if !has_float && !out.last_has_values() {
            out.pop();
        }
    }
}

/// Which of some points in order lie inside of a range.
fn inside<T>(points: &[T], range: TimeRange, time: impl Fn(&T) -> i64) -> std::ops::Range<usize> {
    let before = |t: i64| points.partition_point(|point| time(point) < t);
    let start = before(range.start);
    start..before(range.end).max(start)
}

/// Where the samples of windows lie whose ends do not descend.
fn windows(ts: &[i64], hs: &[HistogramPoint], ends: impl Iterator<Item = i64>, range: i64) -> Vec<Ranges> {
    let (mut float, mut histogram) = ([0usize; 2], [0usize; 2]);
    ends.map(|end| {
        for (i, edge) in [end.saturating_sub(range), end].into_iter().enumerate() {
            while ts.get(float[i]).is_some_and(|t| *t <= edge) {
                float[i] += 1;
            }
            while hs.get(histogram[i]).is_some_and(|point| point.t <= edge) {
                histogram[i] += 1;
            }
        }
        (float[0]..float[1], histogram[0]..histogram[1])
    })
    .collect()
}
