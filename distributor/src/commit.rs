//! Appends the batches of a request and makes sense of what comes back.
//!
//! Items whose reference went stale are sent again with labels in the next round; everything else is
//! final. What has committed stays committed whatever the answer: sending again is idempotent.

use std::sync::atomic::Ordering;

use model::TenantId;
use proto::remote_write::IndexRange;
use proto::{AppendError, AppendOutcome, Column, NEW_SERIES, RejectReason};

use crate::batch::{Batcher, GroupBatch, Item, Piece};
use crate::distributor::Inner;
use crate::intake::Intake;
use crate::lane::Known;
use crate::limits::Limits;
use crate::prepare::Prepared;
use crate::refusal::Refusal;
use crate::report::{Reason, Report};

/// Most rounds a request goes through before it is told to come back.
const ROUNDS_MAX: usize = 4;

/// What of a request is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
}

impl Written {
    fn column(&mut self, column: Column) -> &mut u64 {
        match column {
            Column::Floats => &mut self.samples,
            Column::Histograms => &mut self.histograms,
            Column::Exemplars => &mut self.exemplars,
        }
    }
}

/// Items to send again, by column.
#[derive(Debug, Default)]
struct Stale {
    floats: Vec<Item>,
    histograms: Vec<Item>,
    exemplars: Vec<Item>,
}

impl Stale {
    fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty()
    }

    /// Runs of neighbouring items as pieces, in the request's order.
    fn pieces(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let none = IndexRange::default();
        for (column, items) in
            [&mut self.floats, &mut self.histograms, &mut self.exemplars].into_iter().enumerate()
        {
            items.sort_unstable_by_key(|item| item.at);
            for run in items.chunk_by(|a, b| a.series == b.series && a.at + 1 == b.at) {
                let range = IndexRange { start: run[0].at, end: run[0].at + run.len() as u32 };
                pieces.push(Piece {
                    series: run[0].series as usize,
                    floats: if column == 0 { range } else { none },
                    histograms: if column == 1 { range } else { none },
                    exemplars: if column == 2 { range } else { none },
                });
            }
        }
        pieces
    }
}

/// Appends until nothing is stale.
pub(crate) async fn commit(
    inner: &Inner,
    tenant: &TenantId,
    prepared: &mut Prepared,
    limits: &Limits,
) -> Result<Written, Refusal> {
    let mut written = Written::default();
    for _ in 0..ROUNDS_MAX {
        let mut batches = std::mem::take(&mut prepared.batches);
        let outcomes = append(inner, tenant, &mut batches, &mut written).await;
        remember(inner, tenant, prepared, &batches, &outcomes);
        let mut stale = Stale::default();
        for (batch, outcome) in batches.iter().zip(outcomes) {
            read_outcome(&outcome?, batch, &prepared.intake, &mut prepared.report, &mut written, &mut stale);
        }
        if stale.is_empty() {
            return Ok(written);
        }
        let pieces = stale.pieces();
        forget(inner, tenant, prepared, &pieces);
        let mut batcher = Batcher::new(&prepared.intake, limits, tenant, inner.store.as_ref());
        for piece in pieces {
            batcher.push(piece, None, &mut prepared.report)?;
        }
        prepared.batches = batcher.finish();
    }
    Err(Refusal::StaleReferences(ROUNDS_MAX))
}

/// Sends every batch at once: one per group. Counts all of it as written for the time being.
async fn append(
    inner: &Inner,
    tenant: &TenantId,
    batches: &mut [GroupBatch],
    written: &mut Written,
) -> Vec<Result<AppendOutcome, AppendError>> {
    let appends = batches.iter_mut().map(|batch| {
        written.samples += batch.batch.floats.series.len() as u64;
        written.histograms += batch.batch.histograms.len() as u64;
        written.exemplars += batch.batch.exemplars.len() as u64;
        inner.store.append(tenant, batch.group, std::mem::take(&mut batch.batch))
    });
    futures::future::join_all(appends).await
}

/// Enters what the groups told us into the fast lane.
fn remember(
    inner: &Inner,
    tenant: &TenantId,
    prepared: &Prepared,
    batches: &[GroupBatch],
    outcomes: &[Result<AppendOutcome, AppendError>],
) {
    let news = batches.iter().any(|batch| !batch.new.is_empty() || !batch.metadata.is_empty());
    if !news && prepared.families.is_empty() {
        return;
    }
    let tenant_lane = inner.lanes.of(tenant, &inner.runtime);
    let mut lane = tenant_lane.lane.lock();
    for (batch, outcome) in batches.iter().zip(outcomes) {
        let Ok(outcome) = outcome else { continue };
        for ((series, id), reference) in batch.new.iter().zip(&outcome.references) {
            let key = prepared.intake.scratch.keys.get(*series as usize).copied().unwrap_or(0);
            if *reference < NEW_SERIES && key != 0 {
                lane.insert(key, Known { id: *id, group: batch.group, reference: *reference, metadata: 0 });
            }
        }
        for (series, hash) in &batch.metadata {
            if let Some(key) = prepared.intake.scratch.keys.get(*series as usize) {
                lane.set_metadata(*key, *hash);
            }
        }
    }
    if outcomes.iter().all(Result::is_ok) {
        for (family, hash) in &prepared.families {
            lane.set_family(*family, *hash);
        }
    }
    inner.lanes.settle(&tenant_lane, &mut lane, &inner.runtime);
}

/// Takes series whose reference went stale out of the fast lane.
fn forget(inner: &Inner, tenant: &TenantId, prepared: &Prepared, pieces: &[Piece]) {
    inner.counters.stale_references.fetch_add(pieces.len() as u64, Ordering::Relaxed);
    let tenant_lane = inner.lanes.of(tenant, &inner.runtime);
    let mut lane = tenant_lane.lane.lock();
    for piece in pieces {
        if let Some(Some(known)) = prepared.known.get(piece.series)
            && let Some(key) = prepared.intake.scratch.keys.get(piece.series)
        {
            lane.remove(*key, known.reference);
        }
    }
}

/// Sorts rejections into those to send again and those to report, and takes them off what was written.
fn read_outcome(
    outcome: &AppendOutcome,
    batch: &GroupBatch,
    intake: &Intake,
    report: &mut Report,
    written: &mut Written,
    stale: &mut Stale,
) {
    report.series_limit = report.series_limit.max(outcome.series_limit);
    for rejection in &outcome.rejections {
        let Some(item) = batch.origin(rejection.column, rejection.index) else {
            tracing::error!(?rejection, "a group refused an item that was not sent");
            continue;
        };
        *written.column(rejection.column) -= 1;
        if rejection.reason == RejectReason::StaleReference {
            match rejection.column {
                Column::Floats => stale.floats.push(item),
                Column::Histograms => stale.histograms.push(item),
                Column::Exemplars => stale.exemplars.push(item),
            }
            continue;
        }
        if rejection.column == Column::Exemplars && !intake.is_v2() {
            continue;
        }
        report.add(Reason::Rejected(rejection.reason), 1, || {
            let walk = &intake.scratch.walk;
            let series = intake.show(item.series as usize);
            match rejection.column {
                Column::Floats => format!("{series} at {}", walk.timestamps[item.at as usize]),
                Column::Histograms => match intake.histogram(item.series as usize, item.at as usize) {
                    Ok(read) => format!("{series} at {}", read.t),
                    Err(_) => series,
                },
                Column::Exemplars => series,
            }
        });
    }
}
