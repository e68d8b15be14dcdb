//! The same series as several places hold them, each place for its part of the time.
//!
//! Nothing is merged: a read gives the samples of every place side by side.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashTable;
use model::{SampleBatch, SeriesSamples};
use proto::{SelectedSeries, Selection, SourceError, StoragePart};

/// Reads of places under way at once for one read.
const READS_AT_ONCE: usize = 8;
/// In a place that does not have the series.
const NOWHERE: u32 = u32::MAX;

/// The selections of some places.
pub(crate) struct SeamSelection {
    places: Vec<Arc<dyn Selection>>,
    series: Vec<SelectedSeries>,
    /// Per series, per place: its number there.
    numbers: Vec<u32>,
}

impl std::fmt::Debug for SeamSelection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series of {} places", self.series.len(), self.places.len())
    }
}

impl SeamSelection {
    /// Of places that were asked for the same labels; `others` are series that further places told of.
    pub(crate) fn new(places: Vec<Arc<dyn Selection>>, others: Vec<SelectedSeries>) -> Self {
        let width = places.len();
        let most = places.iter().map(|place| place.series().len()).max().unwrap_or(0);
        let mut all = SeamSelection { places: Vec::new(), series: Vec::new(), numbers: Vec::new() };
        let mut table: HashTable<u32> = HashTable::with_capacity(most);
        for (p, place) in places.iter().enumerate() {
            for (number, one) in place.series().iter().enumerate() {
                let at = all.find(&mut table, one, width);
                all.numbers[at * width + p] = number as u32;
            }
        }
        for one in others {
            all.find(&mut table, &one, width);
        }
        all.places = places;
        all
    }

    /// The same places, and series that others told of.
    pub(crate) fn with(&self, others: Vec<SelectedSeries>) -> Self {
        SeamSelection::new(self.places.clone(), others)
    }

    /// The number of a series, which is a new one where it was not known.
    fn find(&mut self, table: &mut HashTable<u32>, one: &SelectedSeries, width: usize) -> usize {
        let series = &mut self.series;
        let same = |i: &u32| {
            let known = &series[*i as usize];
            known.id == one.id && known.labels == one.labels
        };
        if let Some(i) = table.find(one.id.0, same) {
            return *i as usize;
        }
        let i = series.len();
        series.push(one.clone());
        table.insert_unique(one.id.0, i as u32, |i| series[*i as usize].id.0);
        self.numbers.resize(self.numbers.len() + width, NOWHERE);
        i
    }
}

/// A run of neighbouring series of one place, and where what is read of them goes.
struct Run {
    place: usize,
    series: Range<usize>,
    slots: Vec<usize>,
}

/// Joins batches whose series go to `slots`; the values of the largest stay where they are.
fn side_by_side(
    mut batches: Vec<(Vec<usize>, SampleBatch)>,
    slots: usize,
) -> Result<SampleBatch, SourceError> {
    let mut all = SampleBatch { series: vec![SeriesSamples::default(); slots], ..SampleBatch::default() };
    batches.sort_by_key(|(_, batch)| std::cmp::Reverse(batch.values.len()));
    let total: usize = batches.iter().map(|(_, batch)| batch.values.len()).sum();
    for (slots, mut batch) in batches {
        if batch.series.len() != slots.len() {
            return Err(SourceError::Internal("a source returned fewer series than asked for".to_owned()));
        }
        let (values, vectors) = (all.values.len(), all.vectors.len());
        let histograms = all.histograms.len();
        if values == 0 {
            all.values = std::mem::take(&mut batch.values);
            all.values.reserve_exact(total - all.values.len());
        } else {
            all.values.append(&mut batch.values);
        }
        all.vectors.append(&mut batch.vectors);
        all.histograms.append(&mut batch.histograms);
        let moved = |range: Range<usize>, by: usize| range.start + by..range.end + by;
        for (slot, series) in slots.into_iter().zip(batch.series) {
            all.series[slot] = SeriesSamples {
                values: moved(series.values, values),
                vector: series.vector + vectors,
                histograms: moved(series.histograms, histograms),
                ..series
            };
        }
    }
    Ok(all)
}

#[async_trait]
impl Selection for SeamSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    /// Of every series as many entries as there are places, in their order; empty where a place does not have it.
    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let (width, first) = (self.places.len(), range.start);
        let mut runs: Vec<Run> = Vec::new();
        for place in 0..width {
            let number = |i: usize| self.numbers[i * width + place];
            let mut held: Vec<(u32, usize)> = range.clone().map(|i| (number(i), i)).collect();
            held.retain(|(number, _)| *number != NOWHERE);
            held.sort_unstable();
            for (number, i) in held {
                let (number, slot) = (number as usize, (i - first) * width + place);
                match runs.last_mut() {
                    Some(run) if run.place == place && run.series.end == number => {
                        run.series.end += 1;
                        run.slots.push(slot);
                    }
                    _ => runs.push(Run { place, series: number..number + 1, slots: vec![slot] }),
                }
            }
        }
        let slots = range.len() * width;
        let reads = runs.into_iter().map(|run| async move {
            let batch = self.places[run.place].read(run.series).await?;
            Ok::<_, SourceError>((run.slots, batch))
        });
        let batches: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        side_by_side(batches, slots)
    }

    fn bytes_estimate(&self) -> Option<usize> {
        self.places.iter().map(|place| place.bytes_estimate()).sum()
    }

    fn storage(&self) -> Vec<StoragePart> {
        self.places.iter().flat_map(|place| place.storage()).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.places.iter().flat_map(|place| place.warnings()).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use model::{Labels, Matcher, TenantId, TimeRange};
    use proto::{LabelsWanted, SelectRequest, Source};

    use super::*;
    use crate::MemorySource;

    fn place(names: &[&str], times: &[i64]) -> Arc<dyn Selection> {
        let source = MemorySource::new();
        for name in names {
            let labels = Labels::new([("__name__", "x"), ("i", *name)]).expect("labels");
            let samples: Vec<_> = times.iter().map(|t| (*t, *t as f64 + name.len() as f64, 0)).collect();
            source.add_floats(&labels, &samples);
        }
        let request = SelectRequest {
            tenant: TenantId::anonymous(),
            matchers: vec![Matcher::equal("__name__", "x")],
            range: TimeRange::all(),
            labels: LabelsWanted::Only(Vec::new()),
            series_max: 0,
        };
        block_on(source.select(&request)).expect("a selection")
    }

    #[test]
    fn places_are_read_side_by_side() {
        let both = SeamSelection::new(
            vec![place(&["a", "bb", "ddd"], &[1, 2]), place(&["bb", "cccc"], &[3, 4, 5])],
            Vec::new(),
        );
        assert_eq!(both.series().len(), 4);
        let read = |range: Range<usize>| {
            let batch = block_on(both.read(range)).expect("samples");
            let of = |i: usize| (batch.timestamps_of(i).to_vec(), batch.values_of(i).to_vec());
            (0..batch.series.len()).map(of).collect::<Vec<_>>()
        };
        let nothing = || (Vec::new(), Vec::new());
        let (old, new) = (vec![1, 2], vec![3, 4, 5]);
        let all = [
            (old.clone(), vec![2.0, 3.0]),
            nothing(),
            (old.clone(), vec![3.0, 4.0]),
            (new.clone(), vec![5.0, 6.0, 7.0]),
            (old, vec![4.0, 5.0]),
            nothing(),
            nothing(),
            (new, vec![7.0, 8.0, 9.0]),
        ];
        assert_eq!(read(0..4), all);
        assert_eq!(read(1..3), all[2..6]);
        assert_eq!(read(2..2), []);
    }
}
