//! A range selector by itself: its samples as they are stored.

use std::sync::Arc;

use model::is_stale;
use proto::Selection;

use super::{MatrixSeries, QueryError, Value};
use crate::ast::MatrixSelector;
use crate::exec::{Grid, QueryContext, from_plan_error, sample_size};
use crate::functions::{Extended, extend_floats};
use crate::plan::Planner;

/// Most series per read.
const CHUNK: usize = 256;
/// Most bytes of samples per read, where that is known before.
const CHUNK_BYTES: usize = 16 << 20;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawWindow {
    /// Exclusive.
    pub start: i64,
    /// Inclusive.
    pub end: i64,
    pub extended: Extended,
    pub lookback_ms: i64,
}

impl Planner<'_> {
    /// Plans a range selector that is the whole query.
    pub(super) fn raw_window(&mut self, matrix: &MatrixSelector) -> Result<RawWindow, QueryError> {
        let (start, end, extended) = self.raw_selector(matrix)?;
        Ok(RawWindow { start, end, extended, lookback_ms: self.lookback_ms() })
    }
}

/// Reads it.
pub(super) async fn matrix(
    selection: &Arc<dyn Selection>,
    window: &RawWindow,
    query: &QueryContext,
) -> Result<Value, QueryError> {
    let (before, after) = match window.extended {
        Extended::No => (0, 0),
        Extended::Anchored => (window.lookback_ms, 0),
        Extended::Smoothed => (window.lookback_ms, window.lookback_ms),
    };
    let (from, to) = (window.start - before, window.end + after);
    let count = selection.series().len();
    let mut all = Vec::new();
    let series_bytes = selection.bytes_estimate().map_or(0, |bytes| bytes.div_ceil(count.max(1)));
    let chunk = (CHUNK_BYTES / series_bytes.max(1)).clamp(1, CHUNK);
    for start in (0..count).step_by(chunk) {
        let range = start..(start + chunk).min(count);
        query.check_deadline()?;
        let memory = query.reserve(series_bytes * range.len())?;
        let samples = selection.read(range.clone()).await?;
        memory.try_resize(samples.bytes()).map_err(from_plan_error)?;
        // the answer is as large: a time for each value
        let labels: usize = selection.series()[range.clone()].iter().map(|s| s.labels.as_bytes().len()).sum();
        query.keep_answer(samples.bytes() + samples.values.len() * 8 + labels)?;
        for (i, series) in range.enumerate() {
            let inside = |t: i64| t > from && t <= to;
            let mut floats: Vec<(i64, f64)> = samples
                .timestamps_of(i)
                .iter()
                .zip(samples.values_of(i))
                .filter(|(t, v)| inside(**t) && !is_stale(**v))
                .map(|(t, v)| (*t, *v))
                .collect();
            let histograms: Vec<_> = samples
                .histograms_of(i)
                .iter()
                .filter(|p| inside(p.t) && !p.h.is_stale())
                .map(|p| (p.t, Arc::clone(&p.h)))
                .collect();
            if window.extended != Extended::No {
                if !histograms.is_empty() {
                    let name = if window.extended == Extended::Anchored { "anchored" } else { "smoothed" };
                    return Err(QueryError::Execution(format!(
                        "{name} modifier is not supported with histograms"
                    )));
                }
                let (ts, vs): (Vec<i64>, Vec<f64>) = floats.iter().copied().unzip();
                let smoothed = window.extended == Extended::Smoothed;
                let (ts, vs) = extend_floats(&ts, &vs, window.start, window.end, smoothed);
                floats = ts.into_iter().zip(vs).collect();
            }
            let size = floats.len() + histograms.iter().map(|(_, h)| sample_size(h)).sum::<usize>();
            query.samples.looked_at(size as u64, size as u64, 1);
            query
                .samples
                .looked_at_steps(Grid::new(window.end, window.end, 0), 1, |_| (size as u64, size as u64));
            query.samples.hold(size)?;
            if size > 0 {
                let labels = selection.series()[series].labels.clone();
                all.push(MatrixSeries { labels, floats, histograms });
            }
        }
        tokio::task::yield_now().await;
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Value::Matrix(all))
}
