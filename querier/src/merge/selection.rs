//! The joined selection: who holds which series, and how a read is spread over the parts and put together.
//!
//! A read asks every part for runs of neighbouring series and joins what comes back. When all series of a
//! read lie next to each other in one part, that part's batch is handed on untouched.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::HashTable;
use model::SampleBatch;
use proto::{SelectedSeries, Selection, SourceError, StoragePart};

use super::samples::{Held, join};

/// Reads of parts under way at once for one read of the whole.
const READS_AT_ONCE: usize = 8;
/// Most warnings kept.
const WARNINGS_MAX: usize = 100;

/// Where a series lies: which part, and which of its series.
#[derive(Debug, Clone, Copy)]
struct Place {
    part: u32,
    series: u32,
}

/// Selections of several sources, joined by series.
pub(super) struct MergedSelection {
    parts: Vec<Arc<dyn Selection>>,
    series: Vec<SelectedSeries>,
    /// `places[firsts[i]..firsts[i + 1]]` hold series `i`, in order of the parts.
    firsts: Vec<u32>,
    places: Vec<Place>,
}

/// A run of neighbouring series of one part.
struct Run {
    part: usize,
    series: Range<usize>,
}

impl MergedSelection {
    pub(super) fn new(parts: Vec<Arc<dyn Selection>>) -> Self {
        let held = parts.iter().map(|part| part.series().len()).sum();
        let mut series: Vec<SelectedSeries> = Vec::with_capacity(held);
        let mut table: HashTable<u32> = HashTable::with_capacity(held);
        let mut merged_of: Vec<Vec<u32>> = vec![Vec::new(); parts.len()];
        let mut counts: Vec<u32> = Vec::with_capacity(held);
        for (part, selection) in parts.iter().enumerate().rev() {
            merged_of[part].reserve_exact(selection.series().len());
            for one in selection.series() {
                let same = |i: &u32| {
                    let known = &series[*i as usize];
                    known.id == one.id && known.labels == one.labels
                };
                let merged = match table.find(one.id.0, same) {
                    Some(i) => *i,
                    None => {
                        let i = series.len() as u32;
                        table.insert_unique(one.id.0, i, |i| series[*i as usize].id.0);
                        series.push(one.clone());
                        counts.push(0);
                        i
                    }
                };
                counts[merged as usize] += 1;
                merged_of[part].push(merged);
            }
        }
        // counts become the starts of each series' places
        let mut firsts = Vec::with_capacity(series.len() + 1);
        let mut total = 0u32;
        for count in &mut counts {
            firsts.push(total);
            let start = total;
            total += *count;
            *count = start;
        }
        firsts.push(total);
        let mut places = vec![Place { part: 0, series: 0 }; total as usize];
        for (part, merged) in merged_of.iter().enumerate() {
            for (index, m) in merged.iter().enumerate() {
                let next = &mut counts[*m as usize];
                places[*next as usize] = Place { part: part as u32, series: index as u32 };
                *next += 1;
            }
        }
        MergedSelection { parts, series, firsts, places }
    }

    fn places_of(&self, range: &Range<usize>) -> &[Place] {
        &self.places[self.firsts[range.start] as usize..self.firsts[range.end] as usize]
    }
}

#[async_trait]
impl Selection for MergedSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        if range.start >= range.end || range.end > self.series.len() {
            return if range.start == range.end {
                Ok(SampleBatch::default())
            } else {
                Err(SourceError::Internal(format!(
                    "series {range:?} of a selection of {} were asked for",
                    self.series.len()
                )))
            };
        }
        let places = self.places_of(&range);
        let first = places[0];
        let in_a_row = places.len() == range.len()
            && places
                .iter()
                .enumerate()
                .all(|(i, p)| p.part == first.part && p.series == first.series + i as u32);
        if in_a_row {
            let start = first.series as usize;
            return self.parts[first.part as usize].read(start..start + range.len()).await;
        }

        // every place of the range, ordered as the parts hold them
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_unstable_by_key(|at| {
            let place = places[*at as usize];
            (place.part, place.series)
        });
        let mut runs: Vec<Run> = Vec::new();
        let mut held = vec![Held::default(); places.len()];
        for at in order {
            let place = places[at as usize];
            let (part, series) = (place.part as usize, place.series as usize);
            match runs.last_mut() {
                Some(run) if run.part == part && run.series.end == series => run.series.end += 1,
                _ => runs.push(Run { part, series: series..series + 1 }),
            }
            let run = &runs[runs.len() - 1];
            held[at as usize] = Held { batch: runs.len() - 1, index: series - run.series.start };
        }
        let reads = runs.into_iter().map(|run| self.parts[run.part].read(run.series));
        let batches: Vec<SampleBatch> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let base = self.firsts[range.start];
        let starts = self.firsts[range.start..=range.end].iter().map(|first| (first - base) as usize);
        join(batches, &held, starts)
    }

    fn bytes_estimate(&self) -> Option<usize> {
        // the parts' samples, and the same joined
        self.parts.iter().map(|part| part.bytes_estimate()).sum::<Option<usize>>().map(|bytes| bytes * 2)
    }

    fn storage(&self) -> Vec<StoragePart> {
        self.parts.iter().flat_map(|part| part.storage()).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for warning in self.parts.iter().flat_map(|part| part.warnings()) {
            if out.len() < WARNINGS_MAX && !out.contains(&warning) {
                out.push(warning);
            }
        }
        out
    }
}
