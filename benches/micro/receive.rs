//! The write door: the walk over a message, and a request from its compressed body to the store's hands.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use benches::{REQUEST_SAMPLES, body, message};
use criterion::{BatchSize, Criterion, Throughput};
use distributor::{Distributor, Limits, PushRequest};
use model::{GroupId, SeriesId, TenantId};
use proto::remote_write::{Walk, WriteVersion};
use proto::{AppendBatch, AppendError, AppendOutcome, AppendSamples};
use runtime::Runtime;

/// Takes everything, keeps nothing.
#[derive(Default)]
struct Swallow {
    references: AtomicU32,
}

#[async_trait]
impl AppendSamples for Swallow {
    fn place(&self, _tenant: &TenantId, _series: SeriesId) -> GroupId {
        GroupId::FIRST_DATA
    }

    fn place_all(&self, _tenant: &TenantId) -> Option<GroupId> {
        Some(GroupId::FIRST_DATA)
    }

    async fn append(
        &self,
        _tenant: &TenantId,
        _group: GroupId,
        batch: AppendBatch,
    ) -> Result<AppendOutcome, AppendError> {
        let count = batch.new_series.len() as u32;
        let first = self.references.fetch_add(count, Ordering::Relaxed);
        black_box(&batch.floats);
        Ok(AppendOutcome { references: (first..first + count).collect(), ..AppendOutcome::default() })
    }
}

fn door(runtime: &Runtime) -> Distributor {
    Distributor::new(runtime.clone(), Arc::new(Swallow::default()), Limits::default())
}

fn content_type(version: WriteVersion) -> &'static str {
    match version {
        WriteVersion::V1 => "application/x-protobuf",
        WriteVersion::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    }
}

async fn push(door: &Distributor, version: WriteVersion, body: &bytes::Bytes) {
    let answer = door
        .push(PushRequest {
            tenant: TenantId::anonymous(),
            content_type: Some(content_type(version)),
            content_encoding: Some("snappy"),
            body: body.clone(),
        })
        .await;
    assert_eq!(answer.status, 204, "{}", answer.body);
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let mut group = criterion.benchmark_group("receive");
    group.throughput(Throughput::Elements(REQUEST_SAMPLES as u64));
    for (name, version) in [("1.0", WriteVersion::V1), ("2.0", WriteVersion::V2)] {
        let plain = LazyCell::new(|| message(version, 0, 0));
        let compressed = LazyCell::new(|| body(version, 0, 0));

        group.bench_function(format!("walk/{name}"), |bencher| {
            let mut walk = Walk::default();
            bencher.iter(|| {
                walk.read(version, &plain).expect("the message is whole");
                black_box(walk.values.len())
            });
        });
        // the steady state: every series was written before
        group.bench_function(format!("push known series/{name}"), |bencher| {
            let door = door(&runtime);
            runtime.block_on(push(&door, version, &compressed));
            bencher.iter(|| runtime.block_on(push(&door, version, &compressed)));
        });
        group.bench_function(format!("push new series/{name}"), |bencher| {
            bencher.iter_batched_ref(
                || door(&runtime),
                |door| runtime.block_on(push(door, version, &compressed)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}
