//! Turns series into one batch per group, remembering where every item came from.
//!
//! Order: items stand in their columns as they stand in the request, so the order within a series is kept.

use model::{GroupId, Labels, METRIC_NAME, SeriesId, TenantId};
use proto::remote_write::IndexRange;
use proto::{
    AppendBatch, AppendSamples, Column, ExemplarAppend, HistogramAppend, MetadataAppend, NEW_SERIES,
    SeriesRef,
};
use runtime::{HashMap, HashSet};

use crate::intake::{Fault, Intake};
use crate::lane::Known;
use crate::limits::Limits;
use crate::reduce;
use crate::report::{Reason, Report};

/// Some of the items of one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) series: usize,
    pub(crate) floats: IndexRange,
    pub(crate) histograms: IndexRange,
    pub(crate) exemplars: IndexRange,
}

/// One item by where it stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    pub(crate) series: u32,
    pub(crate) at: u32,
}

/// From here on in a batch's float column, items come from here on in the request's.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    item: Item,
}

/// A batch and where its items came from.
#[derive(Debug)]
pub(crate) struct GroupBatch {
    pub(crate) group: GroupId,
    pub(crate) batch: AppendBatch,
    /// The series of each entry of `new_series`, with its identity.
    pub(crate) new: Vec<(u32, SeriesId)>,
    /// Series known by the fast lane whose metadata this batch brings, with its hash.
    pub(crate) metadata: Vec<(u32, u32)>,
    runs: Vec<Run>,
    histograms: Vec<Item>,
    exemplars: Vec<Item>,
}

impl GroupBatch {
    fn new(group: GroupId) -> Self {
        GroupBatch {
            group,
            batch: AppendBatch::default(),
            new: Vec::new(),
            metadata: Vec::new(),
            runs: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
        }
    }

    /// Where an item of the batch stands in the request.
    pub(crate) fn origin(&self, column: Column, index: u32) -> Option<Item> {
        let at = index as usize;
        match column {
            Column::Floats => {
                let run = self.runs[..self.runs.partition_point(|run| run.start <= index)].last()?;
                Some(Item { series: run.item.series, at: run.item.at + (index - run.start) })
            }
            Column::Histograms => self.histograms.get(at).copied(),
            Column::Exemplars => self.exemplars.get(at).copied(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.floats.series.is_empty()
            && self.batch.histograms.is_empty()
            && self.batch.exemplars.is_empty()
            && self.batch.metadata.is_empty()
    }
}

/// Builds the batches of one round.
pub(crate) struct Batcher<'a> {
    intake: &'a Intake,
    limits: &'a Limits,
    tenant: &'a TenantId,
    store: &'a dyn AppendSamples,
    whole: Option<GroupId>,
    batches: Vec<GroupBatch>,
    /// New series by their key: the same labels twice in a request are one new series.
    new: HashMap<u128, (usize, SeriesRef)>,
    /// 2.0 metadata already in this request.
    metadata: HashSet<(String, u32)>,
}

impl<'a> Batcher<'a> {
    pub(crate) fn new(
        intake: &'a Intake,
        limits: &'a Limits,
        tenant: &'a TenantId,
        store: &'a dyn AppendSamples,
    ) -> Self {
        Batcher {
            intake,
            limits,
            tenant,
            store,
            whole: store.place_all(tenant),
            batches: Vec::new(),
            new: HashMap::default(),
            metadata: HashSet::default(),
        }
    }

    /// The batches, those with something in them.
    pub(crate) fn finish(mut self) -> Vec<GroupBatch> {
        self.batches.retain(|batch| !batch.is_empty());
        self.batches
    }

    fn batch_of(&mut self, group: GroupId) -> usize {
        match self.batches.iter().position(|batch| batch.group == group) {
            Some(at) => at,
            None => {
                let mut batch = GroupBatch::new(group);
                let floats = &self.intake.scratch.walk.values;
                if self.batches.is_empty() && self.whole.is_some() {
                    batch.batch.floats.series.reserve(floats.len());
                    batch.batch.floats.timestamps.reserve(floats.len());
                    batch.batch.floats.values.reserve(floats.len());
                    batch.runs.reserve(self.intake.scratch.walk.series.len());
                }
                self.batches.push(batch);
                self.batches.len() - 1
            }
        }
    }

    fn group_of(&self, series: SeriesId) -> GroupId {
        self.whole.unwrap_or_else(|| self.store.place(self.tenant, series))
    }

    /// Where a series of the fast lane goes, unless it has moved since.
    fn known(&mut self, known: Known) -> Option<(usize, SeriesRef)> {
        (self.group_of(known.id) == known.group).then(|| (self.batch_of(known.group), known.reference))
    }

    /// Reads the labels of a series nobody knows and enters it into its group's batch.
    fn unknown(&mut self, series: usize) -> Result<(usize, SeriesRef), Fault> {
        let key = self.intake.scratch.keys.get(series).copied().unwrap_or(0);
        if key != 0
            && let Some(found) = self.new.get(&key)
        {
            return Ok(*found);
        }
        let labels: Labels = self.intake.labels(series, self.limits)?;
        let id = labels.series_id();
        let group = self.group_of(id);
        let at = self.batch_of(group);
        let batch = &mut self.batches[at];
        let reference = NEW_SERIES | batch.batch.new_series.len() as SeriesRef;
        batch.batch.new_series.push(labels);
        batch.new.push((series as u32, id));
        if key != 0 {
            self.new.insert(key, (at, reference));
        }
        Ok((at, reference))
    }

    /// Enters a piece; what is refused goes into `report`. An error refuses the whole request.
    pub(crate) fn push(
        &mut self,
        piece: Piece,
        known: Option<Known>,
        report: &mut Report,
    ) -> Result<(), proto::WireError> {
        let is_known = known.is_some();
        let target = match known.and_then(|known| self.known(known)) {
            Some(target) => target,
            None => match self.unknown(piece.series) {
                Ok(target) => target,
                Err(Fault::Wire(error)) => return Err(error),
                Err(Fault::Refused(reason)) => {
                    let items = piece.floats.len() + piece.histograms.len() + piece.exemplars.len();
                    report.add(reason, items.max(1) as u64, || self.intake.show(piece.series));
                    return Ok(());
                }
            },
        };
        self.push_floats(piece, target);
        if !piece.histograms.is_empty() {
            self.push_histograms(piece, target, report)?;
        }
        if !piece.exemplars.is_empty() {
            self.push_exemplars(piece, target, report)?;
        }
        if self.intake.is_v2() {
            self.push_metadata(
                piece.series,
                target.0,
                known.filter(|_| is_known).map(|known| known.metadata),
            );
        }
        Ok(())
    }

    #[inline]
    fn push_floats(&mut self, piece: Piece, (at, reference): (usize, SeriesRef)) {
        let range = piece.floats.range();
        if range.is_empty() {
            return;
        }
        let walk = &self.intake.scratch.walk;
        let batch = &mut self.batches[at];
        let floats = &mut batch.batch.floats;
        let item = Item { series: piece.series as u32, at: piece.floats.start };
        batch.runs.push(Run { start: floats.series.len() as u32, item });
        if !walk.start_timestamps.is_empty() {
            // a batch that began without them has none so far
            floats.start_timestamps.resize(floats.series.len(), 0);
            floats.start_timestamps.extend_from_slice(&walk.start_timestamps[range.clone()]);
        }
        if range.len() == 1 {
            floats.series.push(reference);
            floats.timestamps.push(walk.timestamps[range.start]);
            floats.values.push(walk.values[range.start]);
        } else {
            floats.series.resize(floats.series.len() + range.len(), reference);
            floats.timestamps.extend_from_slice(&walk.timestamps[range.clone()]);
            floats.values.extend_from_slice(&walk.values[range]);
        }
    }

    fn push_histograms(
        &mut self,
        piece: Piece,
        (at, reference): (usize, SeriesRef),
        report: &mut Report,
    ) -> Result<(), proto::WireError> {
        for index in piece.histograms.range() {
            let mut read = self.intake.histogram(piece.series, index)?;
            if let Err(error) = reduce::accept(&mut read.histogram) {
                report.add(Reason::InvalidHistogram, 1, || {
                    format!("{} ({error})", self.intake.show(piece.series))
                });
                continue;
            }
            let batch = &mut self.batches[at];
            batch.histograms.push(Item { series: piece.series as u32, at: index as u32 });
            batch.batch.histograms.push(HistogramAppend {
                series: reference,
                t: read.t,
                start_t: read.start_t,
                histogram: read.histogram,
            });
        }
        Ok(())
    }

    fn push_exemplars(
        &mut self,
        piece: Piece,
        (at, reference): (usize, SeriesRef),
        report: &mut Report,
    ) -> Result<(), proto::WireError> {
        for index in piece.exemplars.range() {
            match self.intake.exemplar(index, self.limits) {
                Ok(exemplar) => {
                    let batch = &mut self.batches[at];
                    batch.exemplars.push(Item { series: piece.series as u32, at: index as u32 });
                    batch.batch.exemplars.push(ExemplarAppend { series: reference, exemplar });
                }
                Err(Fault::Wire(error)) => return Err(error),
                // 1.0 has never told its senders about exemplars
                Err(Fault::Refused(_)) if !self.intake.is_v2() => {}
                Err(Fault::Refused(reason)) => report.add(reason, 1, || self.intake.show(piece.series)),
            }
        }
        Ok(())
    }

    /// Sends the metadata of a 2.0 series when it is not what was sent last.
    fn push_metadata(&mut self, series: usize, at: usize, last: Option<u32>) {
        let Some(metadata) = self.intake.series_metadata(series) else { return };
        if last == Some(metadata.hash) {
            return;
        }
        let Some((metric, full)) = self.intake.metadata_of(series, metadata) else { return };
        let batch = &mut self.batches[at];
        batch.metadata.push((series as u32, metadata.hash));
        if self.metadata.insert((metric.clone(), metadata.hash)) {
            batch.batch.metadata.push(MetadataAppend { metric, metadata: full });
        }
    }

    /// Enters metadata that comes without a series, into the group of its name.
    pub(crate) fn push_family(&mut self, metric: &str, metadata: &model::Metadata) {
        let group = match self.whole {
            Some(group) => group,
            None => match Labels::new([(METRIC_NAME, metric)]) {
                Ok(labels) => self.store.place(self.tenant, labels.series_id()),
                Err(_) => return,
            },
        };
        let at = self.batch_of(group);
        let append = MetadataAppend { metric: metric.to_owned(), metadata: metadata.clone() };
        self.batches[at].batch.metadata.push(append);
    }
}
