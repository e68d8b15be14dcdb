//! Statuses, headers and texts of whole requests.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use distributor::Limits;
use model::TenantId;

use crate::store::{NOW, Recording};
use crate::{Door, V2, both, header, labels, snappy, written};

#[test]
fn good_requests_of_both_versions_are_stored_and_2_0_alone_gets_counts() {
    let door = Door::new();
    let up = labels(&[("__name__", "up"), ("job", "a")]);
    let [v1, v2] = both(&up, &[(NOW, 1.0, 0), (NOW + 1, model::stale_nan(), 0)]);
    let answer = door.v1(&v1);
    assert_eq!((answer.status, answer.headers.len(), answer.body.as_str()), (204, 0, ""));
    // the same again, over the other version: taken, counted, nothing twice
    let answer = door.v2(&v2);
    assert_eq!((answer.status, written(&answer)), (204, Some((2, 0, 0))));
    let stored = door.store.series("anonymous", &[("__name__", "up"), ("job", "a")]).unwrap();
    assert_eq!(stored.arrival, [NOW, NOW + 1]);
    assert_eq!(stored.floats[&(NOW + 1)].0, model::STALE_NAN_BITS);
    assert_eq!(door.store.all(&TenantId::anonymous()).len(), 1);
    assert_eq!(door.v1(&[]).status, 204);
    assert_eq!(written(&door.v2(&[])), Some((0, 0, 0)));
}

#[test]
fn headers_are_looked_at_before_the_body() {
    let door = Door::new();
    let junk = Bytes::from_static(b"\xff\xff\xff junk");
    for (content_type, encoding, status) in [
        (Some("text/plain"), Some("snappy"), 415),
        (Some("application/x-protobuf;proto=unknown.Message"), Some("snappy"), 415),
        (Some(V2), Some("gzip"), 415),
        (None, Some("br"), 415),
        (None, None, 400),
        (Some("application/x-protobuf; proto=io.prometheus.write.v2.Request"), None, 400),
        (Some(V2), Some("zstd"), 400),
    ] {
        let answer = door.request(content_type, encoding, junk.clone());
        assert_eq!(answer.status, status, "{content_type:?} {encoding:?}");
        assert!(answer.body.starts_with("err-epimetheus-"), "{}", answer.body);
        assert!(header(&answer, "Content-Type").unwrap().starts_with("text/plain"));
    }
    let v2_refused = door.request(Some(V2), Some("snappy"), junk);
    assert_eq!(written(&v2_refused), Some((0, 0, 0)));
    let [v1, v2] = both(&labels(&[("__name__", "m")]), &[(NOW, 1.0, 0)]);
    assert_eq!(door.request(None, None, snappy(&v1)).status, 204);
    let blank = Some("application/x-protobuf; proto=io.prometheus.write.v2.Request");
    assert_eq!(written(&door.request(blank, None, snappy(&v2))), Some((1, 0, 0)));
    let zstd = zstd::bulk::compress(&v2, 1).unwrap();
    assert_eq!(door.request(Some(V2), Some("zstd"), zstd.into()).status, 204);
    let metrics = door.distributor.metrics();
    assert_eq!(metrics.requests.iter().map(|r| r.count).sum::<u64>(), 11);
    assert_eq!((metrics.inflight_bytes, metrics.inflight_requests), (0, 0));
}

#[test]
fn bodies_over_the_caps_are_refused_with_the_setting_to_raise() {
    let limits = Limits { request_bytes_max: 2000, decoded_bytes_max: 4000, ..Limits::default() };
    let door = Door::over(Recording::new(1), limits);
    let answer = door.request(None, None, Bytes::from(vec![0; 2001]));
    assert_eq!(answer.status, 413);
    assert!(
        answer.body.contains("2001") && answer.body.contains("limits.request_bytes_max"),
        "{}",
        answer.body
    );
    for (encoding, body) in
        [("snappy", snappy(&[0; 5000])), ("zstd", Bytes::from(zstd::bulk::compress(&[0; 5000], 1).unwrap()))]
    {
        let answer = door.request(Some(V2), Some(encoding), body);
        assert_eq!((answer.status, written(&answer)), (400, Some((0, 0, 0))), "{encoding}");
        assert!(answer.body.contains("limits.decoded_bytes_max"), "{}", answer.body);
    }
    let early = door.distributor.refuse_early(Some(V2), Some("snappy"), Some(2001)).unwrap();
    assert_eq!((early.status, written(&early)), (413, Some((0, 0, 0))));
    assert_eq!(door.distributor.refuse_early(Some("text/plain"), None, Some(2001)).unwrap().status, 415);
    assert_eq!(door.distributor.refuse_early(None, None, Some(2000)), None);
    // a few bytes that claim to be many: refused without the memory
    let answer = Door::new().request(None, None, Bytes::from_static(b"\x80\x80\x80\x08\x00"));
    assert_eq!(answer.status, 400);
}

#[test]
fn groups_that_cannot_write_mean_come_back_later() {
    let door = Door::new();
    let [v1, v2] = both(&labels(&[("__name__", "m")]), &[(NOW, 1.0, 0)]);
    door.store.unavailable.store(true, Ordering::SeqCst);
    for answer in [door.v1(&v1), door.v2(&v2)] {
        assert_eq!(answer.status, 503);
        assert_eq!(header(&answer, "Retry-After"), Some("1"));
        assert!(answer.body.contains("no leader"));
        assert!(written(&answer).is_none_or(|counts| counts == (0, 0, 0)));
    }
    door.store.unavailable.store(false, Ordering::SeqCst);
    assert_eq!(written(&door.v2(&v2)), Some((1, 0, 0)));
    door.store.always_stale.store(true, Ordering::SeqCst);
    assert_eq!(door.v2(&v2).status, 503);
}

#[test]
fn the_rate_limit_is_per_tenant_and_off_by_default() {
    let limits = Limits { samples_per_second: Some(10.0), samples_burst: 10.0, ..Limits::default() };
    let door = Door::over(Recording::new(1), limits);
    let samples: Vec<_> = (0..10).map(|i| (NOW + i, 1.0, 0)).collect();
    let [v1, v2] = both(&labels(&[("__name__", "m")]), &samples);
    assert_eq!(door.v1(&v1).status, 204);
    let answer = door.v2(&v2);
    assert_eq!((answer.status, header(&answer, "Retry-After")), (429, Some("1")));
    assert!(answer.body.contains("err-epimetheus-max-ingestion-rate"));
    assert!(answer.body.contains("limits.samples_per_second"));
    let other = TenantId::new("other").unwrap();
    assert_eq!(door.request_as(other, None, None, snappy(&v1)).status, 204);
    door.distributor.set_limits(Limits::default());
    assert_eq!(door.v1(&v1).status, 204);
}

/// Takes a second for every batch.
struct Slow {
    store: std::sync::Arc<Recording>,
    runtime: runtime::Runtime,
}

#[async_trait::async_trait]
impl proto::AppendSamples for Slow {
    fn place(&self, tenant: &TenantId, series: model::SeriesId) -> model::GroupId {
        self.store.place(tenant, series)
    }

    fn place_all(&self, tenant: &TenantId) -> Option<model::GroupId> {
        self.store.place_all(tenant)
    }

    async fn append(
        &self,
        tenant: &TenantId,
        group: model::GroupId,
        batch: proto::AppendBatch,
    ) -> Result<proto::AppendOutcome, proto::AppendError> {
        self.runtime.sleep(std::time::Duration::from_secs(1)).await;
        self.store.append(tenant, group, batch).await
    }
}

#[test]
fn bytes_in_work_are_bounded_and_one_request_always_gets_in() {
    let runtime = runtime::Runtime::simulated(3);
    let slow = Slow { store: Recording::new(1), runtime: runtime.clone() };
    let limits = Limits { inflight_bytes_max: 1, ..Limits::default() };
    let distributor = distributor::Distributor::new(runtime.clone(), std::sync::Arc::new(slow), limits);
    let [v1, _] = both(&labels(&[("__name__", "m")]), &[(NOW, 1.0, 0)]);
    let push = || {
        let request = distributor::PushRequest {
            tenant: TenantId::anonymous(),
            content_type: None,
            content_encoding: None,
            body: snappy(&v1),
        };
        distributor.push(request)
    };
    let (first, second) = runtime.block_on(async { futures::join!(push(), push()) });
    assert_eq!((first.status, second.status), (204, 503));
    assert_eq!(header(&second, "Retry-After"), Some("1"));
    assert!(second.body.contains("limits.inflight_bytes_max"), "{}", second.body);
    assert_eq!(runtime.block_on(push()).status, 204);
    // a client that goes away is counted, and what it held is free again
    let gone = runtime.block_on(async { runtime.timeout(std::time::Duration::from_millis(1), push()).await });
    assert!(gone.is_err());
    let metrics = distributor.metrics();
    assert_eq!((metrics.inflight_bytes, metrics.inflight_requests), (0, 0));
    assert!(metrics.requests.iter().any(|r| (r.version, r.status, r.count) == ("1.0", 499, 1)));
}

#[test]
fn the_good_part_is_written_and_the_bad_part_told_by_reason() {
    use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite};
    let door = Door::over(Recording::with_limit(1, 3), Limits::default());
    let series = ["a", "b", "c", "d", "e"].map(|n| labels(&[("__name__", n)]));
    let samples = [
        (NOW, 1.0, 0),
        (NOW, 2.0, 0),
        (NOW - 100_000_000, 3.0, 0),
        (NOW + 700_000, 4.0, 0),
        (NOW + 1, 5.0, 0),
    ];
    let (mut v1, mut v2) = (EncodeV1::default(), EncodeV2::default());
    for labels in &series {
        v1.series(SeriesToWrite::floats(labels, &samples));
        v2.series(SeriesToWrite::floats(labels, &samples));
    }
    for (answer, counts) in [(door.v2(&v2.finish()), Some((6, 0, 0))), (door.v1(&v1.finish()), None)] {
        assert_eq!((answer.status, written(&answer)), (400, counts), "{}", answer.body);
        let lines: Vec<_> = answer.body.lines().collect();
        assert_eq!(lines.len(), 4, "{}", answer.body);
        assert_eq!(
            lines[0],
            format!(
                "err-epimetheus-sample-duplicate-timestamp: duplicate sample for timestamp: another value is stored; \
                 refused: 3, first: a at {NOW}"
            )
        );
        assert!(
            lines[1].starts_with("err-epimetheus-sample-too-old:")
                && lines[1].contains("out_of_order_time_window")
        );
        assert!(lines[2].starts_with("err-epimetheus-sample-too-far-in-future:"));
        assert!(lines[3].starts_with("err-epimetheus-max-series-per-tenant:"));
        assert!(
            lines[3]
                .contains("limit of 3 (setting `limits.series_per_tenant_max`); refused: 10, first: d at")
        );
    }
    let stored = door.store.series("anonymous", &[("__name__", "c")]).unwrap();
    assert_eq!(stored.arrival, [NOW, NOW + 1]);
    assert_eq!(door.store.all(&TenantId::anonymous()).len(), 3);
    let rejections = door.distributor.metrics().rejections;
    assert!(rejections.contains(&("max-series-per-tenant", 20)), "{rejections:?}");
}
