//! Whatever is sent well arrives, over either version; whatever is sent badly never panics.

use std::collections::BTreeMap;

use distributor::Limits;
use model::{Labels, TenantId};
use proptest::prelude::*;
use proto::remote_write::{EncodeV1, EncodeV2, SeriesToWrite};

use crate::store::{NOW, Recording};
use crate::{Door, V2, snappy, written};

type RandomSeries = (BTreeMap<String, String>, Vec<(i64, u64, i64)>);

fn series() -> impl Strategy<Value = RandomSeries> {
    (
        proptest::collection::btree_map("[a-c.é]{1,3}", ".{0,9}", 0..4),
        proptest::collection::vec((NOW..NOW + 20, any::<u64>(), 0..3i64), 1..5),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_what_is_stored(
        requests in proptest::collection::vec((proptest::collection::vec(series(), 1..8), any::<bool>()), 1..6),
        groups in prop_oneof![Just(1u32), Just(3u32)],
        collect in any::<u8>(),
    ) {
        let door = Door::over(Recording::new(groups), Limits::default());
        let mut expected: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
        for (i, (series, is_v1)) in requests.iter().enumerate() {
            let (mut v1, mut v2) = (EncodeV1::default(), EncodeV2::default());
            let mut refused = 0;
            let mut count = 0;
            for (pairs, samples) in series {
                let pairs = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", "m")]);
                let labels = Labels::new(pairs).unwrap();
                let samples: Vec<_> = samples.iter().map(|(t, bits, s)| (*t, f64::from_bits(*bits), *s)).collect();
                v1.series(SeriesToWrite::floats(&labels, &samples));
                v2.series(SeriesToWrite::floats(&labels, &samples));
                let stored = expected.entry(labels).or_default();
                for (t, value, _) in samples {
                    count += 1;
                    if *stored.entry(t).or_insert(value.to_bits()) != value.to_bits() {
                        refused += 1;
                    }
                }
            }
            let answer = if *is_v1 { door.v1(&v1.finish()) } else { door.v2(&v2.finish()) };
            prop_assert_eq!(answer.status, if refused == 0 { 204 } else { 400 }, "{}", answer.body);
            if !is_v1 {
                prop_assert_eq!(written(&answer), Some((count - refused, 0, 0)));
            }
            if collect & (1 << i) != 0 {
                door.store.collect_garbage();
            }
        }
        let stored: BTreeMap<Labels, BTreeMap<i64, u64>> = door.store.all(&TenantId::anonymous()).into_iter()
            .map(|(labels, s)| (labels, s.floats.into_iter().map(|(t, (bits, _))| (t, bits)).collect()))
            .collect();
        prop_assert_eq!(stored, expected);
    }

    #[test]
    fn mutated_requests_never_panic(
        series in proptest::collection::vec(series(), 1..6),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        compressed in any::<bool>(),
        zstd in any::<bool>(),
    ) {
        let door = Door::new();
        let (mut v1, mut v2) = (EncodeV1::default(), EncodeV2::default());
        for (pairs, samples) in &series {
            let pairs = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", "m")]);
            let labels = Labels::new(pairs).unwrap();
            let samples: Vec<_> = samples.iter().map(|(t, bits, s)| (*t, f64::from_bits(*bits), *s)).collect();
            v1.series(SeriesToWrite::floats(&labels, &samples));
            v2.series(SeriesToWrite::floats(&labels, &samples));
        }
        let compress = |body: &[u8]| if zstd { zstd::bulk::compress(body, 1).unwrap() } else { snappy(body).to_vec() };
        for (content_type, message) in [(None, v1.finish()), (Some(V2), v2.finish())] {
            let mut body = if compressed { compress(&message) } else { message };
            for (at, byte) in &flips {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let body = if compressed { body } else { compress(&body) };
            let encoding = if zstd { "zstd" } else { "snappy" };
            let answer = door.request(content_type, Some(encoding), body.into());
            prop_assert!(matches!(answer.status, 204 | 400), "{}", answer.status);
        }
        prop_assert_eq!(door.distributor.metrics().inflight_bytes, 0);
    }
}
