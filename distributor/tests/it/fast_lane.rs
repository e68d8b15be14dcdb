//! What the door remembers, and what happens when it is wrong.

use distributor::Limits;
use model::{GroupId, TenantId};
use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite};

use crate::store::{NOW, Recording};
use crate::{Door, labels, written};

fn requests(series: usize, t: i64, value: f64) -> (Vec<u8>, Vec<u8>) {
    let (mut v1, mut v2) = (EncodeV1::default(), EncodeV2::default());
    for i in 0..series {
        let labels = labels(&[("__name__", "m"), ("i", &i.to_string())]);
        // three samples, not in order of time: the order sent must stay
        let samples = [(t, value, 0), (t + 2, value, 0), (t + 1, value, 0)];
        v1.series(SeriesToWrite::floats(&labels, &samples));
        v2.series(SeriesToWrite::floats(&labels, &samples));
    }
    (v1.finish(), v2.finish())
}

#[test]
fn labels_seen_before_are_not_read_again() {
    for groups in [1, 4] {
        let door = Door::over(Recording::new(groups), Limits::default());
        for round in 0..4 {
            let (v1, _) = requests(100, NOW + 10 * round, 1.0);
            assert_eq!(door.v1(&v1).status, 204);
        }
        let metrics = door.distributor.metrics();
        assert_eq!((metrics.lane_misses, metrics.lane_series), (100, 100));
        // the first time the order is learnt, then everything but the first series is guessed
        assert_eq!((metrics.lane_hits, metrics.lane_guesses), (100 + 2, 2 * 99));
        assert!(metrics.lane_bytes > 100 * 40 && metrics.lane_bytes < 100_000, "{}", metrics.lane_bytes);
        let new: usize = door.store.batches().iter().map(|(_, _, new)| new).sum();
        assert_eq!(new, 100, "labels are sent once");
        // the same series over 2.0: other keys, the same series
        for round in 4..6 {
            let (_, v2) = requests(100, NOW + 10 * round, 1.0);
            assert_eq!(written(&door.v2(&v2)), Some((300, 0, 0)));
        }
        let all = door.store.all(&TenantId::anonymous());
        assert_eq!((all.len(), door.distributor.metrics().lane_series), (100, 200));
        for (_, stored) in all {
            let expected: Vec<i64> =
                (0..6).flat_map(|round| [0, 2, 1].map(|i| NOW + 10 * round + i)).collect();
            assert_eq!(stored.arrival, expected);
        }
    }
}

#[test]
fn stale_references_are_sent_again_with_labels_within_the_request() {
    for groups in [1, 4] {
        let door = Door::over(Recording::new(groups), Limits::default());
        for round in 0..3 {
            let (v1, v2) = requests(50, NOW + 10 * round, 1.0);
            assert_eq!(door.v1(&v1).status, 204);
            door.store.collect_garbage();
            let answer = door.v2(&v2);
            assert_eq!(written(&answer), Some((150, 0, 0)), "{}", answer.body);
            door.store.collect_garbage();
        }
        let metrics = door.distributor.metrics();
        assert_eq!(metrics.stale_references, 50 * 4);
        assert_eq!((metrics.samples, metrics.lane_series), (150 * 6, 100));
        for (_, stored) in door.store.all(&TenantId::anonymous()) {
            let expected: Vec<i64> =
                (0..3).flat_map(|round| [0, 2, 1].map(|i| NOW + 10 * round + i)).collect();
            assert_eq!(stored.arrival, expected, "order within a series is kept");
        }
    }
}

#[test]
fn rejections_after_a_stale_reference_name_the_right_series() {
    let door = Door::new();
    let (v1, _) = requests(10, NOW, 1.0);
    assert_eq!(door.v1(&v1).status, 204);
    door.store.collect_garbage();
    let (_, v2) = requests(10, NOW, 2.0);
    let answer = door.v2(&v2);
    assert_eq!((answer.status, written(&answer)), (400, Some((0, 0, 0))));
    assert_eq!(door.distributor.metrics().stale_references, 0, "2.0 had not been seen");
    assert_eq!(door.v1(&requests(10, NOW, 3.0).0).status, 400);
    let answer = door.v1(&requests(10, NOW, 3.0).0);
    assert!(answer.body.contains("refused: 30, first: m{i=\"0\"} at 1700000000000"), "{}", answer.body);
}

#[test]
fn samples_go_to_the_groups_of_their_series() {
    let door = Door::over(Recording::new(4), Limits::default());
    assert_eq!(door.v1(&requests(200, NOW, 1.0).0).status, 204);
    let mut groups: Vec<GroupId> = door.store.batches().iter().map(|(_, group, _)| *group).collect();
    groups.sort();
    assert_eq!(groups, [1, 2, 3, 4].map(GroupId), "one batch each");
    assert_eq!(door.store.all(&TenantId::anonymous()).len(), 200);
}

#[test]
fn tenants_share_nothing() {
    let door = Door::new();
    let (v1, _) = requests(5, NOW, 1.0);
    for tenant in ["a", "b"] {
        let tenant = TenantId::new(tenant).unwrap();
        assert_eq!(door.request_as(tenant.clone(), None, None, crate::snappy(&v1)).status, 204);
        assert_eq!(door.store.all(&tenant).len(), 5);
    }
    assert_eq!(door.distributor.metrics().lane_misses, 10);
    assert!(door.store.all(&TenantId::anonymous()).is_empty());
}

#[test]
fn what_is_remembered_is_bounded() {
    let limits = Limits { lane_bytes_max: 64 << 10, ..Limits::default() };
    let door = Door::over(Recording::new(1), limits);
    for t in 0..20i64 {
        let mut v1 = EncodeV1::default();
        for i in 0..500 {
            let labels = labels(&[("__name__", "m"), ("i", &i.to_string()), ("t", &t.to_string())]);
            v1.series(SeriesToWrite::floats(&labels, &[(NOW, 1.0, 0)]));
        }
        assert_eq!(door.v1(&v1.finish()).status, 204);
        let bytes = door.distributor.metrics().lane_bytes;
        assert!(bytes <= 3 * (64 << 10), "{bytes}");
    }
    assert_eq!(door.store.all(&TenantId::anonymous()).len(), 10_000);
}

#[test]
fn large_bodies_are_read_on_the_pool_for_cpu_work() {
    let store = Recording::new(1);
    let runtime = runtime::Runtime::real();
    let door = Door {
        distributor: distributor::Distributor::new(runtime.clone(), store.clone() as _, Limits::default()),
        runtime,
        store,
    };
    let mut random = runtime::Random::new(1);
    let mut v2 = EncodeV2::default();
    for i in 0..8000 {
        let labels = labels(&[("__name__", "m"), ("i", &i.to_string())]);
        v2.series(SeriesToWrite::floats(&labels, &[(NOW, f64::from_bits(random.next_u64()), 0)]));
    }
    assert!(crate::snappy(&v2.finish()).len() > 64 << 10);
    for _ in 0..2 {
        assert_eq!(written(&door.v2(&v2.finish())), Some((8000, 0, 0)));
    }
    assert!(door.runtime.cpu_stats().threads > 0);
    assert_eq!(door.distributor.metrics().lane_misses, 8000);
}
