//! Late samples: those that cannot stand behind the newest of their series, or lie before the frozen
//! boundary. One late head per window; series hold sorted, non-overlapping chunks and an open tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Histogram, TimeRange, TimestampMs};

use crate::codec::{ValueEncoder, decode_ints, decode_values, encode_ints};

/// Samples per chunk when a tail is sealed.
const CHUNK_SAMPLES: usize = 64;
/// A chunk that grows over this by insertions is split.
pub(super) const CHUNK_SAMPLES_MAX: usize = 128;

/// One histogram sample as it was written.
#[derive(Debug, Clone)]
pub(crate) struct StoredHistogram {
    pub(crate) t: TimestampMs,
    pub(crate) start_t: TimestampMs,
    pub(crate) histogram: Arc<Histogram>,
}

/// A sealed run of late samples.
#[derive(Debug, Clone)]
pub(crate) struct LateChunk {
    pub(crate) first: TimestampMs,
    pub(crate) last: TimestampMs,
    pub(crate) count: u32,
    pub(crate) data: Box<[u8]>,
}

impl LateChunk {
    fn new(samples: &[(TimestampMs, f64)]) -> Self {
        let mut data = Vec::with_capacity(samples.len() * 2 + 16);
        let timestamps: Vec<TimestampMs> = samples.iter().map(|s| s.0).collect();
        let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
        encode_ints(&mut data, &timestamps);
        ValueEncoder::default().encode(&mut data, &values);
        LateChunk {
            first: timestamps[0],
            last: timestamps[timestamps.len() - 1],
            count: samples.len() as u32,
            data: data.into_boxed_slice(),
        }
    }

    fn samples(&self) -> Vec<(TimestampMs, f64)> {
        let mut timestamps = Vec::new();
        let mut values = Vec::new();
        if let Some(rest) = decode_ints(&self.data, self.count as usize, &mut timestamps) {
            // Written by `new`, checked by a checksum when read from a file.
            let _damaged = decode_values(rest, self.count as usize, &mut values).is_none();
        }
        timestamps.into_iter().zip(values).collect()
    }
}

/// The late samples of one series in one window.
#[derive(Debug, Clone, Default)]
pub(crate) struct LateSeries {
    pub(crate) chunks: Vec<LateChunk>,
    pub(crate) tail: Vec<(TimestampMs, f64)>,
    /// Start timestamps that were told, by sample.
    pub(crate) starts: BTreeMap<TimestampMs, TimestampMs>,
    pub(crate) histograms: Vec<StoredHistogram>,
}

impl LateSeries {
    /// Adds a sample whose timestamp is not there yet.
    pub(crate) fn insert(&mut self, t: TimestampMs, value: f64, start_t: TimestampMs) {
        if start_t != 0 {
            self.starts.insert(t, start_t);
        }
        let at = self.chunks.partition_point(|chunk| chunk.last < t);
        if at < self.chunks.len() {
            let mut samples = self.chunks[at].samples();
            let place = samples.partition_point(|s| s.0 < t);
            samples.insert(place, (t, value));
            if samples.len() > CHUNK_SAMPLES_MAX {
                let second = samples.split_off(samples.len() / 2);
                self.chunks.insert(at + 1, LateChunk::new(&second));
            }
            self.chunks[at] = LateChunk::new(&samples);
            return;
        }
        let place = self.tail.partition_point(|s| s.0 < t);
        self.tail.insert(place, (t, value));
        if self.tail.len() >= CHUNK_SAMPLES {
            self.chunks.push(LateChunk::new(&self.tail));
            self.tail = Vec::new();
        }
    }

    /// The value at `t`.
    pub(crate) fn get(&self, t: TimestampMs) -> Option<f64> {
        if let Ok(at) = self.tail.binary_search_by_key(&t, |s| s.0) {
            return Some(self.tail[at].1);
        }
        let chunk = self.chunks.get(self.chunks.partition_point(|chunk| chunk.last < t))?;
        if t < chunk.first {
            return None;
        }
        chunk.samples().into_iter().find(|s| s.0 == t).map(|s| s.1)
    }

    /// Appends samples inside `range`, ascending.
    pub(crate) fn read(&self, range: TimeRange, out: &mut Vec<(TimestampMs, f64)>) {
        for chunk in &self.chunks {
            if chunk.first < range.end && chunk.last >= range.start {
                out.extend(chunk.samples().into_iter().filter(|s| range.contains(s.0)));
            }
        }
        out.extend(self.tail.iter().filter(|s| range.contains(s.0)));
    }

    fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.data.len() + size_of::<LateChunk>()).sum::<usize>()
            + self.tail.capacity() * 16
            + self.starts.len() * 32
            + self.histograms.len() * 256
            + size_of::<Self>()
    }
}

/// The late samples of one window.
#[derive(Debug, Clone, Default)]
pub(crate) struct LateHead {
    /// Leader's time when the first one came.
    pub(crate) since: TimestampMs,
    /// By reference.
    pub(crate) series: BTreeMap<u32, LateSeries>,
}

impl LateHead {
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// First millisecond after its newest sample.
    pub(crate) fn end(&self) -> TimestampMs {
        let newest = |series: &LateSeries| {
            let floats = series.tail.last().map(|s| s.0).max(series.chunks.last().map(|c| c.last));
            floats.max(series.histograms.last().map(|h| h.t))
        };
        self.series.values().filter_map(newest).max().map_or(TimestampMs::MIN, |t| t.saturating_add(1))
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.series.values().map(LateSeries::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn late_series_is_a_sorted_map(times in proptest::collection::vec(0_i64..2000, 1..400)) {
            let mut series = LateSeries::default();
            let mut model = BTreeMap::new();
            for (i, t) in times.iter().enumerate() {
                let known = series.get(*t);
                prop_assert_eq!(known, model.get(t).copied());
                if known.is_none() {
                    series.insert(*t, i as f64, 0);
                    model.insert(*t, i as f64);
                }
            }
            let mut all = Vec::new();
            series.read(TimeRange::new(100, 1500), &mut all);
            let wanted: Vec<_> = model.range(100..1500).map(|(t, v)| (*t, *v)).collect();
            prop_assert_eq!(all, wanted);
        }
    }
}
