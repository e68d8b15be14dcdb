//! Puts the batches of several blocks together: each series once, its samples ascending.
//!
//! Parts of a series come in the order of windows, then generations. Where they overlap the earlier part wins
//! an equal timestamp. Series that share vectors in every block share them in the result.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{HistogramPoint, SampleBatch, SeriesSamples, TimestampMs};

/// Series `index` of batch `batch`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) batch: usize,
    pub(crate) index: usize,
}

/// A piece of a vector of a batch: (batch, vector, offset, length).
type VectorPart = (usize, usize, usize, usize);

struct Merger<'a> {
    batches: &'a [SampleBatch],
    out: SampleBatch,
    /// Vectors taken over whole, by (batch, vector).
    whole: HashMap<(usize, usize), usize>,
    joined: HashMap<Vec<VectorPart>, usize>,
}

/// Merges; `series[i]` lists the parts of series i.
pub(crate) fn merge(batches: &[SampleBatch], series: &[Vec<Part>]) -> SampleBatch {
    let mut merger =
        Merger { batches, out: SampleBatch::default(), whole: HashMap::new(), joined: HashMap::new() };
    merger.out.values.reserve(batches.iter().map(|b| b.values.len()).sum());
    for parts in series {
        let merged = merger.series(parts);
        merger.out.series.push(merged);
    }
    merger.out
}

impl Merger<'_> {
    fn series(&mut self, parts: &[Part]) -> SeriesSamples {
        let mut merged = SeriesSamples::default();
        let first = self.out.values.len();
        let floats: Vec<Part> = parts.iter().copied().filter(|p| !self.of(p).values.is_empty()).collect();
        match &floats[..] {
            [] => {}
            [one] => self.take(one, &mut merged),
            _ if self.ascending(&floats) => self.join(&floats, &mut merged),
            _ => self.interleave(&floats, &mut merged),
        }
        merged.values = first..self.out.values.len();
        let first = self.out.histograms.len();
        self.histograms(parts);
        merged.histograms = first..self.out.histograms.len();
        merged
    }

    fn of(&self, part: &Part) -> &SeriesSamples {
        &self.batches[part.batch].series[part.index]
    }

    fn times(&self, part: &Part) -> &[TimestampMs] {
        self.batches[part.batch].timestamps_of(part.index)
    }

    fn ascending(&self, parts: &[Part]) -> bool {
        parts.windows(2).all(|w| self.times(&w[0]).last() < self.times(&w[1]).first())
    }

    fn take(&mut self, part: &Part, merged: &mut SeriesSamples) {
        let batches = self.batches;
        let from = &batches[part.batch].series[part.index];
        let vectors = &mut self.out.vectors;
        merged.vector = *self.whole.entry((part.batch, from.vector)).or_insert_with(|| {
            vectors.push(Arc::clone(&batches[part.batch].vectors[from.vector]));
            vectors.len() - 1
        });
        merged.vector_offset = from.vector_offset;
        merged.start_ts.clone_from(&from.start_ts);
        self.out.values.extend_from_slice(batches[part.batch].values_of(part.index));
    }

    fn join(&mut self, parts: &[Part], merged: &mut SeriesSamples) {
        let batches = self.batches;
        let key: Vec<VectorPart> = parts
            .iter()
            .map(|p| {
                let of = self.of(p);
                (p.batch, of.vector, of.vector_offset, of.values.len())
            })
            .collect();
        merged.vector = match self.joined.get(&key) {
            Some(vector) => *vector,
            None => {
                let times: Vec<TimestampMs> =
                    parts.iter().flat_map(|p| self.times(p).iter().copied()).collect();
                self.out.vectors.push(Arc::from(times));
                self.joined.insert(key, self.out.vectors.len() - 1);
                self.out.vectors.len() - 1
            }
        };
        for part in parts {
            self.out.values.extend_from_slice(batches[part.batch].values_of(part.index));
        }
        if parts.iter().any(|p| self.of(p).start_ts.is_some()) {
            let starts: Vec<TimestampMs> = parts.iter().flat_map(|p| self.starts(p)).collect();
            merged.start_ts = Some(Arc::from(starts));
        }
    }

    fn starts(&self, part: &Part) -> Vec<TimestampMs> {
        let of = self.of(part);
        of.start_ts.as_ref().map_or_else(|| vec![0; of.values.len()], |starts| starts.to_vec())
    }

    fn interleave(&mut self, parts: &[Part], merged: &mut SeriesSamples) {
        let mut all: Vec<(TimestampMs, f64, TimestampMs)> = Vec::new();
        for part in parts {
            let values = self.batches[part.batch].values_of(part.index);
            let samples = self.times(part).iter().zip(values).zip(self.starts(part));
            all.extend(samples.map(|((t, v), start)| (*t, *v, start)));
        }
        // stable: of equal timestamps the earlier part's comes first
        all.sort_by_key(|(t, _, _)| *t);
        all.dedup_by_key(|(t, _, _)| *t);
        self.out.vectors.push(all.iter().map(|(t, _, _)| *t).collect());
        merged.vector = self.out.vectors.len() - 1;
        self.out.values.extend(all.iter().map(|(_, v, _)| *v));
        if all.iter().any(|(_, _, start)| *start != 0) {
            merged.start_ts = Some(all.iter().map(|(_, _, start)| *start).collect());
        }
    }

    fn histograms(&mut self, parts: &[Part]) {
        let first = self.out.histograms.len();
        for part in parts {
            self.out.histograms.extend_from_slice(self.batches[part.batch].histograms_of(part.index));
        }
        let added = &self.out.histograms[first..];
        if added.windows(2).any(|w| w[0].t >= w[1].t) {
            let mut all: Vec<HistogramPoint> = self.out.histograms.drain(first..).collect();
            all.sort_by_key(|point| point.t);
            all.dedup_by_key(|point| point.t);
            self.out.histograms.append(&mut all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(series: &[(&[i64], &[f64])]) -> SampleBatch {
        let mut batch = SampleBatch::default();
        for (times, values) in series {
            batch.push_series(times, values, &[]);
        }
        batch
    }

    #[test]
    fn windows_are_joined_and_generations_merged() {
        let batches = [
            batch(&[(&[1, 2], &[1.0, 2.0]), (&[1], &[9.0])]),
            batch(&[(&[2, 3], &[-2.0, 3.0])]),
            batch(&[(&[5], &[5.0])]),
        ];
        let part = |batch, index| Part { batch, index };
        let series = [
            vec![part(0, 0), part(1, 0), part(2, 0)],
            vec![part(0, 1), part(2, 0)],
            Vec::new(),
            vec![part(2, 0)],
        ];
        let merged = merge(&batches, &series);
        assert_eq!(merged.timestamps_of(0), [1, 2, 3, 5]);
        assert_eq!(merged.values_of(0), [1.0, 2.0, 3.0, 5.0]);
        assert_eq!((merged.timestamps_of(1), merged.values_of(1)), (&[1, 5][..], &[9.0, 5.0][..]));
        assert!(merged.values_of(2).is_empty());
        assert_eq!(merged.timestamps_of(3), [5]);
    }

    #[test]
    fn shared_vectors_stay_shared() {
        let vector: Arc<[i64]> = Arc::from(&[1i64, 2, 3][..]);
        let shared = |at: i64| {
            let times: Arc<[i64]> = vector.iter().map(|t| t + at).collect();
            let one = |start: usize| SeriesSamples {
                values: start..start + 2,
                vector_offset: 1,
                ..Default::default()
            };
            SampleBatch {
                series: vec![one(0), one(2)],
                values: vec![1.0, 2.0, 3.0, 4.0],
                vectors: vec![times],
                histograms: Vec::new(),
            }
        };
        let batches = [shared(0), shared(10)];
        let series: Vec<Vec<Part>> =
            (0..2).map(|index| vec![Part { batch: 0, index }, Part { batch: 1, index }]).collect();
        let merged = merge(&batches, &series);
        assert_eq!(merged.vectors.len(), 1);
        assert_eq!(merged.timestamps_of(1), [2, 3, 12, 13]);
        assert_eq!(merged.values_of(1), [3.0, 4.0, 3.0, 4.0]);
    }
}
