//! Counter reset hints of native histograms as Prometheus's storage gives them back.
//!
//! It keeps histograms in chunks and begins a new one wherever a counter is reset or changes its buckets. So
//! the first histogram of a run says nothing, those that follow are known to be no reset.

use std::sync::Arc;

use crate::{CounterResetHint, FloatHistogram, SampleBatch, Span, TimestampMs};

impl SampleBatch {
    /// Per series its last sample, where that is a histogram.
    pub fn last_histograms(&self) -> Vec<Option<Arc<FloatHistogram>>> {
        let last = |i: usize| {
            let point = self.histograms_of(i).last()?;
            let is_last = self.timestamps_of(i).last().is_none_or(|t| *t < point.t);
            is_last.then(|| Arc::clone(&point.h))
        };
        (0..self.series.len()).map(last).collect()
    }

    /// Sets the hints of all histograms from what they follow on in their series, whatever they were written
    /// with: a gauge stays one; a histogram that goes on with the counter before it, without a float between,
    /// is no reset; of others nothing is known.
    pub fn hint_counter_resets(&mut self) {
        self.hint_counter_resets_after(&[]);
    }

    /// The same for what several readers found, each of which set the hints of its own part: those of the first
    /// histograms stay.
    pub fn hint_counter_resets_of_merged(&mut self) {
        self.hint(&[], true);
    }

    /// Sets the hint of the first histogram of each series whose sample before it is known to be a histogram: `before`
    /// has one entry per series, or is shorter.
    pub fn hint_first_counter_resets(&mut self, before: &[Option<Arc<FloatHistogram>>]) {
        for (series, before) in self.series.iter().zip(before) {
            let Some((before, point)) = before.as_ref().zip(self.histograms.get_mut(series.histograms.start))
            else {
                continue;
            };
            if point.h.counter_reset_hint == CounterResetHint::Unknown && goes_on(before, &point.h) {
                Arc::make_mut(&mut point.h).counter_reset_hint = CounterResetHint::NotReset;
            }
        }
    }

    /// The same, where it is known which histogram comes next before those of a series, without a float
    /// between: `before` has one entry per series, or is shorter.
    pub fn hint_counter_resets_after(&mut self, before: &[Option<Arc<FloatHistogram>>]) {
        self.hint(before, false);
    }

    fn hint(&mut self, before: &[Option<Arc<FloatHistogram>>], keeps_first: bool) {
        if self.histograms.is_empty() {
            return;
        }
        for (i, series) in self.series.iter().enumerate() {
            let earlier = before.get(i).and_then(Option::as_ref);
            let first = series.vector_offset;
            let floats =
                self.vectors.get(series.vector).and_then(|v| v.get(first..first + series.values.len()));
            let floats = floats.unwrap_or_default();
            let points = &mut self.histograms[series.histograms.clone()];
            for at in (0..points.len()).rev() {
                let (before, rest) = points.split_at_mut(at);
                let Some(point) = rest.first_mut() else { continue };
                let goes_on = match (before.last(), earlier) {
                    (Some(p), _) => !is_any_between(floats, p.t, point.t) && goes_on(&p.h, &point.h),
                    (None, Some(h)) => floats.first().is_none_or(|t| *t > point.t) && goes_on(h, &point.h),
                    (None, None) if keeps_first => continue,
                    (None, None) => false,
                };
                let hint = match point.h.counter_reset_hint {
                    CounterResetHint::Gauge => CounterResetHint::Gauge,
                    _ if goes_on => CounterResetHint::NotReset,
                    _ => CounterResetHint::Unknown,
                };
                if hint != point.h.counter_reset_hint {
                    Arc::make_mut(&mut point.h).counter_reset_hint = hint;
                }
            }
        }
    }
}

fn is_any_between(floats: &[TimestampMs], from: TimestampMs, to: TimestampMs) -> bool {
    floats.get(floats.partition_point(|t| *t <= from)).is_some_and(|t| *t < to)
}

/// Whether a counter goes on from `before` to `h` with the same kind of buckets, and nothing in it fell.
fn goes_on(before: &FloatHistogram, h: &FloatHistogram) -> bool {
    if before.counter_reset_hint == CounterResetHint::Gauge || h.counter_reset_hint == CounterResetHint::Reset
    {
        return false;
    }
    if h.is_stale() || before.is_stale() {
        return h.is_stale();
    }
    h.schema == before.schema
        && h.zero_threshold == before.zero_threshold
        && h.custom_values == before.custom_values
        && h.count >= before.count
        && h.zero_count >= before.zero_count
        && !fell((&before.positive_spans, &before.positive_buckets), (&h.positive_spans, &h.positive_buckets))
        && !fell((&before.negative_spans, &before.negative_buckets), (&h.negative_spans, &h.negative_buckets))
}

/// Whether a bucket has less than before, or is gone.
fn fell(before: (&[Span], &[f64]), now: (&[Span], &[f64])) -> bool {
    if before.0 == now.0 {
        return before.1.iter().zip(now.1).any(|(before, now)| now < before);
    }
    let mut rest = buckets(now.0, now.1).peekable();
    buckets(before.0, before.1).any(|(index, count)| {
        while rest.next_if(|(i, _)| *i < index).is_some() {}
        match rest.next_if(|(i, _)| *i == index) {
            Some((_, now)) => now < count,
            None => count != 0.0,
        }
    })
}

/// Index and count of every bucket.
fn buckets<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0_i64;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    });
    indexes.zip(counts.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[f64], offset: i32, hint: CounterResetHint) -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            count: counts.iter().sum(),
            positive_spans: vec![Span { offset, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            sum: 0.0,
            negative_spans: Vec::new(),
            negative_buckets: Vec::new(),
            custom_values: Arc::from([]),
        })
    }

    #[test]
    fn hints_follow_from_the_histogram_before() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let steps: [(&[f64], i32, CounterResetHint, CounterResetHint); 9] = [
            (&[1.0, 2.0], 0, NotReset, Unknown),
            (&[1.0, 3.0], 0, Unknown, NotReset),
            (&[0.0, 1.0, 3.0, 9.0], -1, Unknown, NotReset),
            (&[5.0, 2.0, 9.0, 1.0], -1, Unknown, Unknown), // a bucket fell
            (&[6.0, 2.0, 9.0, 1.0], -1, Reset, Unknown),
            (&[6.0, 2.0, 9.0, 2.0], -1, Unknown, NotReset),
            (&[7.0, 2.0, 9.0, 2.0], -1, Gauge, Gauge),
            (&[8.0, 2.0, 9.0, 2.0], -1, Unknown, Unknown),
            (&[20.0], 1, Unknown, Unknown), // buckets are gone
        ];
        let points: Vec<crate::HistogramPoint> = (0_i64..)
            .zip(&steps)
            .map(|(t, (counts, offset, hint, _))| crate::HistogramPoint {
                t,
                h: histogram(counts, *offset, *hint),
                start_t: 0,
            })
            .collect();
        let mut batch = SampleBatch::default();
        batch.push_series(&[], &[], &points);
        for _ in 0..2 {
            batch.hint_counter_resets();
            for (point, (.., wanted)) in batch.histograms.iter().zip(&steps) {
                // Explicit resets are not written down twice.
                if point.t != 4 {
                    assert_eq!(point.h.counter_reset_hint, *wanted, "at {}", point.t);
                }
            }
        }
        let mut between = SampleBatch::default();
        between.push_series(
            &[3],
            &[1.0],
            &[
                crate::HistogramPoint { t: 2, h: histogram(&[1.0], 0, Unknown), start_t: 0 },
                crate::HistogramPoint { t: 4, h: histogram(&[2.0], 0, Unknown), start_t: 0 },
            ],
        );
        between.hint_counter_resets();
        assert_eq!(between.histograms[1].h.counter_reset_hint, Unknown);
    }
}
