//! A selection from heads: the matching series now, their samples when asked.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use model::SampleBatch;
use proto::{PartUse, SelectRequest, SelectedSeries, Selection, SourceError, StoragePart};

use super::projection::Projection;
use crate::head::{HAS_HISTOGRAMS, HAS_LATE, Pin, SERIES_PER_READ};
use crate::machine::SharedHead;

/// What a selection needs of one head.
struct Part {
    head: SharedHead,
    /// Index of its first series in the selection.
    first: usize,
    /// Held so that a drop meanwhile does not take samples away.
    pin: Arc<Pin>,
}

/// The selection.
pub(super) struct HeadSelection {
    series: Vec<SelectedSeries>,
    parts: Vec<Part>,
}

impl HeadSelection {
    pub(super) fn new(heads: &[SharedHead], request: &SelectRequest) -> Result<Self, SourceError> {
        let mut series = Vec::new();
        let mut parts = Vec::new();
        for shared in heads {
            let head = shared.read();
            let mut projection = Projection::new(&head, &request.labels);
            let rows = head.index.find(&request.matchers, &head.series.rows);
            let first = series.len();
            let mut references = Vec::new();
            for row in rows {
                let at = row as usize;
                let may_have = head.series.last_t[at] >= request.range.start
                    || head.series.flags[at] & (HAS_LATE | HAS_HISTOGRAMS) != 0;
                if !may_have {
                    continue;
                }
                if request.series_max > 0 && series.len() >= request.series_max {
                    return Err(SourceError::too_many_series(request.series_max));
                }
                references.push(head.series.reference[at]);
                series.push(SelectedSeries { id: head.series.id[at], labels: projection.labels(&head, row) });
            }
            if references.is_empty() {
                continue;
            }
            let pin = head.pin(references, request.range);
            drop(head);
            parts.push(Part { head: Arc::clone(shared), first, pin });
        }
        Ok(HeadSelection { series, parts })
    }
}

impl Part {
    /// Decodes the pinned series `wanted`, all of one run.
    fn read(&self, run: usize, wanted: Range<usize>) -> Option<SampleBatch> {
        let fresh = self.pin.read(&self.head.read(), wanted.clone());
        let first = run * SERIES_PER_READ;
        let (read, wanted) = match &fresh {
            Some(fresh) => (fresh, 0..wanted.len()),
            None => (self.pin.saved(run)?, wanted.start - first..wanted.end - first),
        };
        let mut batch = read.decode_some(wanted.clone())?;
        batch.hint_counter_resets_after(&read.histograms_before(wanted));
        Some(batch)
    }
}

#[async_trait]
impl Selection for HeadSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    fn bytes_estimate(&self) -> Option<usize> {
        Some(self.parts.iter().map(|part| part.pin.bytes_estimate(&part.head.read())).sum())
    }

    fn storage(&self) -> Vec<StoragePart> {
        let of = |part: &Part| {
            let series = part.pin.references.len();
            StoragePart { name: "head".to_owned(), used: PartUse::Read, series }
        };
        self.parts.iter().map(of).collect()
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let mut all: Option<SampleBatch> = None;
        for part in &self.parts {
            let start = range.start.max(part.first);
            let end = range.end.min(part.first + part.pin.references.len());
            let mut at = start.saturating_sub(part.first);
            while at + part.first < end {
                // Within one run of what may have been saved.
                let run = at / SERIES_PER_READ;
                let until = (end - part.first).min((run + 1) * SERIES_PER_READ);
                let batch = part.read(run, at..until);
                let damaged = || SourceError::Corrupt("a sealed chunk in memory is damaged".to_owned());
                let batch = batch.ok_or_else(damaged)?;
                match &mut all {
                    None => all = Some(batch),
                    Some(all) => extend(all, batch),
                }
                at = until;
            }
        }
        Ok(all.unwrap_or_default())
    }
}

/// Appends the series of `more`.
fn extend(all: &mut SampleBatch, more: SampleBatch) {
    let (values, vectors, histograms) = (all.values.len(), all.vectors.len(), all.histograms.len());
    all.values.extend(more.values);
    all.vectors.extend(more.vectors);
    all.histograms.extend(more.histograms);
    all.series.extend(more.series.into_iter().map(|mut series| {
        series.values = series.values.start + values..series.values.end + values;
        series.histograms = series.histograms.start + histograms..series.histograms.end + histograms;
        series.vector += vectors;
        series
    }));
}
