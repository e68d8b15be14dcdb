//! From a compressed body to batches: the part of a write that is nothing but computing.

use model::{Metadata, TenantId};
use proto::remote_write::WriteVersion;

use crate::batch::{Batcher, GroupBatch, Piece};
use crate::distributor::Inner;
use crate::intake::{Intake, Origin};
use crate::lane::Known;
use crate::limits::Limits;
use crate::media::Encoding;
use crate::refusal::Refusal;
use crate::report::{Reason, Report};

/// A request that is ready to be appended.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) intake: Intake,
    /// What the fast lane said of each series.
    pub(crate) known: Vec<Option<Known>>,
    pub(crate) batches: Vec<GroupBatch>,
    pub(crate) report: Report,
    /// Families whose metadata the batches bring, with its hash.
    pub(crate) families: Vec<(u64, u32)>,
}

/// Decompresses, walks, hashes, looks up and builds the batches.
pub(crate) fn wire(
    inner: &Inner,
    tenant: &TenantId,
    version: WriteVersion,
    encoding: Encoding,
    body: &[u8],
    limits: &Limits,
) -> Result<Prepared, Refusal> {
    let mut scratch = inner.pool.take();
    let read = scratch
        .decompress(encoding, body, limits)
        .and_then(|()| scratch.read(version).map_err(Refusal::Malformed))
        .and_then(|()| {
            let first = scratch.walk.symbols.first();
            if first.is_some_and(|span| !span.of(scratch.body()).is_empty()) {
                return Err(Refusal::FirstSymbol);
            }
            inner.counters.decoded(scratch.body().len());
            let samples = scratch.walk.values.len() + scratch.walk.histograms.len();
            inner.rates.take(tenant, samples, limits, inner.runtime.monotonic())
        });
    if let Err(refusal) = read {
        inner.pool.give_back(scratch);
        return Err(refusal);
    }
    inner.lanes.hash(version, &mut scratch);
    let mut intake = Intake { origin: Origin::Wire(version), scratch, metadata: Vec::new() };
    let built = intake
        .read_metadata_v1()
        .map_err(Refusal::Malformed)
        .and_then(|()| build(inner, tenant, &intake, limits));
    match built {
        Ok((known, batches, report, families)) => Ok(Prepared { intake, known, batches, report, families }),
        Err(refusal) => {
            inner.pool.give_back(intake.scratch);
            Err(refusal)
        }
    }
}

type Built = (Vec<Option<Known>>, Vec<GroupBatch>, Report, Vec<(u64, u32)>);

/// Looks the series up and builds the batches of the first round.
pub(crate) fn build(
    inner: &Inner,
    tenant: &TenantId,
    intake: &Intake,
    limits: &Limits,
) -> Result<Built, Refusal> {
    let tenant_lane = inner.lanes.of(tenant, &inner.runtime);
    let mut known = Vec::new();
    let mut families = Vec::new();
    let mut new_families = Vec::new();
    let mut report = Report::default();
    let alone = metadata_alone(intake, &mut report);
    let counts = {
        let mut lane = tenant_lane.lane.lock();
        for (metric, metadata) in intake.metadata.iter().chain(&alone) {
            let family = inner.lanes.hash_family(metric.as_bytes());
            let text = format!("{}\0{}\0{}", metadata.metric_type, metadata.help, metadata.unit);
            let hash = inner.lanes.hash_family(text.as_bytes()) as u32;
            if !lane.family_is_known(family, hash) {
                families.push((family, hash));
                new_families.push((metric, metadata));
            }
        }
        let counts = lane.look_up(&intake.scratch.keys, inner.runtime.monotonic(), &mut known);
        inner.lanes.settle(&tenant_lane, &mut lane, &inner.runtime);
        counts
    };
    inner.counters.lookups(counts);

    let mut batcher = Batcher::new(intake, limits, tenant, inner.store.as_ref());
    for (series, walked) in intake.scratch.walk.series.iter().enumerate() {
        if walked.is_empty() {
            continue;
        }
        let piece = Piece {
            series,
            floats: walked.floats,
            histograms: walked.histograms,
            exemplars: walked.exemplars,
        };
        batcher.push(piece, known[series], &mut report)?;
    }
    for (metric, metadata) in new_families {
        batcher.push_family(metric, metadata);
    }
    Ok((known, batcher.finish(), report, families))
}

/// What 2.0 series without any samples say of their metrics; those that say nothing are refused. 1.0 never
/// minded empty series.
fn metadata_alone(intake: &Intake, report: &mut Report) -> Vec<(String, Metadata)> {
    let mut alone = Vec::new();
    if !intake.is_v2() {
        return alone;
    }
    for (series, _) in intake.scratch.walk.series.iter().enumerate().filter(|(_, walked)| walked.is_empty()) {
        match intake.series_metadata(series).and_then(|metadata| intake.metadata_of(series, metadata)) {
            Some(metadata) => alone.push(metadata),
            None => report.add(Reason::EmptyTimeSeries, 1, || intake.show(series)),
        }
    }
    alone
}
