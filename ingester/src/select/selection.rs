//! A selection from heads: the matching series now, their samples when asked.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use model::{SampleBatch, TimeRange, TimestampMs};
use proto::{SelectRequest, SelectedSeries, Selection, SourceError};

use super::projection::Projection;
use crate::head::{Cut, HAS_HISTOGRAMS, HAS_LATE, LateWanted, PinnedSegments};
use crate::machine::SharedHead;

/// Series copied under one hold of a head's lock.
const SERIES_PER_LOCK: usize = 1024;

/// What a selection needs of one head.
struct Part {
    head: SharedHead,
    /// Index of its first series in the selection.
    first: usize,
    references: Vec<u32>,
    floor: TimestampMs,
    /// Held so that a drop meanwhile does not take samples away; by group.
    pinned: Vec<PinnedSegments>,
    cuts: Vec<Arc<Cut>>,
}

/// The selection.
pub(super) struct HeadSelection {
    series: Vec<SelectedSeries>,
    parts: Vec<Part>,
    range: TimeRange,
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
                    return Err(SourceError::Limit(format!(
                        "the query selects more than {} series in one selector, the limit of a query \
                         (`limits.query_series_max`)",
                        request.series_max
                    )));
                }
                references.push(head.series.reference[at]);
                series.push(SelectedSeries { id: head.series.id[at], labels: projection.labels(&head, row) });
            }
            if references.is_empty() {
                continue;
            }
            let may_be_dropped = request.range.start < head.frozen_until;
            let (mut pinned, mut cuts) = (Vec::new(), Vec::new());
            if may_be_dropped {
                let segments = |group: &Option<_>| {
                    let group: &crate::head::Group = group.as_ref()?;
                    Some(Arc::clone(&group.segments))
                };
                pinned = head.groups.iter().map(segments).collect();
            }
            if !head.cuts.is_empty() {
                cuts = head.cuts.iter().map(|state| Arc::clone(&state.cut)).collect();
                cuts.retain(|cut| !cut.late.is_empty());
            }
            let floor = head.floor;
            drop(head);
            parts.push(Part { head: Arc::clone(shared), first, references, floor, pinned, cuts });
        }
        Ok(HeadSelection { series, parts, range: request.range })
    }
}

#[async_trait]
impl Selection for HeadSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let mut all: Option<SampleBatch> = None;
        for part in &self.parts {
            let start = range.start.max(part.first);
            let end = range.end.min(part.first + part.references.len());
            if start >= end {
                continue;
            }
            let references = &part.references[start - part.first..end - part.first];
            let in_order = TimeRange::new(self.range.start.max(part.floor), self.range.end);
            for some in references.chunks(SERIES_PER_LOCK) {
                let late = LateWanted::Range(self.range, &part.cuts);
                let prepared =
                    part.head.read().prepare_read(some.iter().copied(), in_order, late, &part.pinned);
                let damaged = || SourceError::Corrupt("a sealed chunk in memory is damaged".to_owned());
                let batch = prepared.decode().ok_or_else(damaged)?;
                match &mut all {
                    None => all = Some(batch),
                    Some(all) => extend(all, batch),
                }
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
