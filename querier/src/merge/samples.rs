//! Joins batches of several parts into one, series by series.
//!
//! A series that lies in one batch is not looked at: its values move with the batch. Series in several
//! batches are merged by timestamp; how depends on their timestamps alone, so the merge is worked out once
//! for all series that share them, and the merged timestamps are shared again.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{CounterResetHint, HistogramPoint, SampleBatch, SeriesSamples, TimestampMs};
use proto::SourceError;

/// Where samples of a series lie: which batch, and which of its series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) batch: usize,
    pub(super) index: usize,
}

/// One input's part of a merge: which of its samples come next.
#[derive(Debug, Clone)]
struct Segment {
    input: usize,
    samples: Range<usize>,
}

/// How timestamps merge.
struct Plan {
    vector: usize,
    length: usize,
    segments: Vec<Segment>,
}

/// Timestamps of one input: vector of the output, first sample, count.
type Input = (usize, usize, usize);

/// Joins `batches`. `held[starts[i]..starts[i + 1]]` says where series `i` lies, most trusted first.
pub(super) fn join(
    mut batches: Vec<SampleBatch>,
    held: &[Held],
    starts: impl Iterator<Item = usize>,
) -> Result<SampleBatch, SourceError> {
    for (place, batch) in held.iter().map(|place| (place, batches.get(place.batch))) {
        if batch.is_none_or(|batch| place.index >= batch.series.len()) {
            return Err(SourceError::Internal("a source returned fewer series than asked for".into()));
        }
    }
    let series: Vec<Vec<SeriesSamples>> =
        batches.iter_mut().map(|batch| std::mem::take(&mut batch.series)).collect();
    let mut output = Output::of(batches);
    let mut starts = starts.peekable();
    while let (Some(start), Some(end)) = (starts.next(), starts.peek()) {
        let moved = |h: &Held| output.moved(h.batch, &series[h.batch][h.index]);
        let one = match &held[start..*end] {
            [only] => moved(only),
            several => {
                let parts: Vec<SeriesSamples> = several.iter().map(moved).collect();
                output.merge(&parts)
            }
        };
        output.batch.series.push(one);
    }
    Ok(output.batch)
}

/// The batch being built, and how positions of the inputs map to it.
struct Output {
    batch: SampleBatch,
    /// Per input batch: what its value and histogram positions are moved by, its vectors' new numbers.
    moves: Vec<(usize, usize, Vec<usize>)>,
    plans: HashMap<Vec<Input>, Plan>,
}

impl Output {
    /// All values of all batches in one; the largest stays where it is.
    fn of(mut batches: Vec<SampleBatch>) -> Self {
        let largest = (0..batches.len()).max_by_key(|i| batches[*i].values.len()).unwrap_or(0);
        let total_values = batches.iter().map(|b| b.values.len()).sum::<usize>();
        let mut batch = SampleBatch::default();
        if let Some(large) = batches.get_mut(largest) {
            batch.values = std::mem::take(&mut large.values);
            batch.values.reserve(total_values - batch.values.len());
        }
        let mut moves = Vec::with_capacity(batches.len());
        let mut known: HashMap<(usize, TimestampMs, TimestampMs), Vec<usize>> = HashMap::new();
        for (i, mut input) in batches.into_iter().enumerate() {
            let values = if i == largest { 0 } else { batch.values.len() };
            batch.values.append(&mut input.values);
            let histograms = batch.histograms.len();
            batch.histograms.append(&mut input.histograms);
            let vectors =
                input.vectors.into_iter().map(|v| shared(&mut batch.vectors, &mut known, v)).collect();
            moves.push((values, histograms, vectors));
        }
        Output { batch, moves, plans: HashMap::new() }
    }

    /// `series` of input `batch` with positions in the output.
    fn moved(&self, batch: usize, series: &SeriesSamples) -> SeriesSamples {
        let (values, histograms, vectors) = &self.moves[batch];
        let shift = |range: &Range<usize>, by: usize| range.start + by..range.end + by;
        SeriesSamples {
            values: shift(&series.values, *values),
            vector: vectors.get(series.vector).copied().unwrap_or(0),
            vector_offset: series.vector_offset,
            histograms: shift(&series.histograms, *histograms),
            start_ts: series.start_ts.clone(),
        }
    }

    /// One series out of several, by timestamp, the first of `parts` most trusted.
    fn merge(&mut self, parts: &[SeriesSamples]) -> SeriesSamples {
        let histograms = self.merge_histograms(parts);
        let with_values: Vec<&SeriesSamples> = parts.iter().filter(|p| !p.values.is_empty()).collect();
        match &with_values[..] {
            [] => return SeriesSamples { histograms, ..Default::default() },
            [only] => return SeriesSamples { histograms, ..(*only).clone() },
            _ => {}
        }
        let key: Vec<Input> =
            with_values.iter().map(|p| (p.vector, p.vector_offset, p.values.len())).collect();
        if !self.plans.contains_key(&key) {
            let plan = Plan::of(&key, &mut self.batch.vectors);
            self.plans.insert(key.clone(), plan);
        }
        let Some(plan) = self.plans.get(&key) else { return SeriesSamples::default() };
        let start = self.batch.values.len();
        for segment in &plan.segments {
            let from = with_values[segment.input].values.start;
            let range = from + segment.samples.start..from + segment.samples.end;
            self.batch.values.extend_from_within(range);
        }
        let start_ts = with_values.iter().any(|p| p.start_ts.is_some()).then(|| {
            let mut out: Vec<TimestampMs> = Vec::with_capacity(plan.length);
            for segment in &plan.segments {
                match &with_values[segment.input].start_ts {
                    Some(told) => out.extend_from_slice(&told[segment.samples.clone()]),
                    None => out.resize(out.len() + segment.samples.len(), 0),
                }
            }
            Arc::from(out)
        });
        SeriesSamples {
            values: start..self.batch.values.len(),
            vector: plan.vector,
            vector_offset: 0,
            histograms,
            start_ts,
        }
    }

    fn merge_histograms(&mut self, parts: &[SeriesSamples]) -> Range<usize> {
        let with: Vec<Range<usize>> =
            parts.iter().filter(|p| !p.histograms.is_empty()).map(|p| p.histograms.clone()).collect();
        match &with[..] {
            [] => return 0..0,
            [only] => return only.clone(),
            _ => {}
        }
        let times: Vec<Vec<TimestampMs>> = with
            .iter()
            .map(|range| self.batch.histograms[range.clone()].iter().map(|p| p.t).collect())
            .collect();
        let inputs: Vec<&[TimestampMs]> = times.iter().map(Vec::as_slice).collect();
        let mut points: Vec<HistogramPoint> = Vec::new();
        for segment in segments(&inputs) {
            let from = with[segment.input].start;
            let range = from + segment.samples.start..from + segment.samples.end;
            let at = points.len();
            points.extend_from_slice(&self.batch.histograms[range]);
            // It follows on another input's now, of which it is not known whether the counter went on.
            if at > 0
                && let Some(first) = points.get_mut(at)
                && first.h.counter_reset_hint == CounterResetHint::NotReset
            {
                Arc::make_mut(&mut first.h).counter_reset_hint = CounterResetHint::Unknown;
            }
        }
        let start = self.batch.histograms.len();
        self.batch.histograms.append(&mut points);
        start..self.batch.histograms.len()
    }
}

impl Plan {
    fn of(key: &[Input], vectors: &mut Vec<Arc<[TimestampMs]>>) -> Self {
        let inputs: Vec<&[TimestampMs]> =
            key.iter().map(|(vector, first, count)| &vectors[*vector][*first..first + count]).collect();
        let segments = segments(&inputs);
        let mut merged = Vec::with_capacity(inputs.iter().map(|i| i.len()).sum());
        for segment in &segments {
            merged.extend_from_slice(&inputs[segment.input][segment.samples.clone()]);
        }
        let length = merged.len();
        vectors.push(Arc::from(merged));
        Plan { vector: vectors.len() - 1, length, segments }
    }
}

/// The number of `vector` in `vectors`, where equal ones are kept once.
fn shared(
    vectors: &mut Vec<Arc<[TimestampMs]>>,
    known: &mut HashMap<(usize, TimestampMs, TimestampMs), Vec<usize>>,
    vector: Arc<[TimestampMs]>,
) -> usize {
    let key = (
        vector.len(),
        vector.first().copied().unwrap_or_default(),
        vector.last().copied().unwrap_or_default(),
    );
    let candidates = known.entry(key).or_default();
    let same = |i: &&usize| Arc::ptr_eq(&vectors[**i], &vector) || vectors[**i] == vector;
    if let Some(i) = candidates.iter().find(same) {
        return *i;
    }
    candidates.push(vectors.len());
    vectors.push(vector);
    vectors.len() - 1
}

/// Merges ascending timestamps: which samples of which input follow each other. Of equal timestamps the
/// first input's is taken.
fn segments(inputs: &[&[TimestampMs]]) -> Vec<Segment> {
    let mut at = vec![0usize; inputs.len()];
    let mut out: Vec<Segment> = Vec::new();
    loop {
        let mut winner: Option<(TimestampMs, usize)> = None;
        // the earliest next timestamp of the others: until there the winner goes on alone
        let mut bound = None;
        for (i, input) in inputs.iter().enumerate() {
            let Some(t) = input.get(at[i]).copied() else { continue };
            match winner {
                Some((best, _)) if t >= best => {
                    bound = Some(bound.map_or(t, |b: TimestampMs| b.min(t)));
                }
                Some((best, _)) => {
                    bound = Some(best);
                    winner = Some((t, i));
                }
                None => winner = Some((t, i)),
            }
        }
        let Some((t, i)) = winner else { return out };
        let rest = &inputs[i][at[i]..];
        let count = match bound {
            None => rest.len(),
            Some(bound) if bound == t => 1,
            Some(bound) => rest.partition_point(|x| *x < bound),
        };
        match out.last_mut() {
            Some(last) if last.input == i && last.samples.end == at[i] => last.samples.end += count,
            _ => out.push(Segment { input: i, samples: at[i]..at[i] + count }),
        }
        at[i] += count;
        let last = inputs[i][at[i] - 1];
        for (other, input) in inputs.iter().enumerate() {
            if input.get(at[other]) == Some(&last) {
                at[other] += 1;
            }
        }
    }
}
