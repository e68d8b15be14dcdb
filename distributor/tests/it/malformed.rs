//! A thousand malformed requests of ten kinds between good writers, who notice nothing.

use bytes::Bytes;
use distributor::PushRequest;
use model::TenantId;
use prost::Message;
use proto::{prometheus as v1, write_v2 as v2};
use runtime::Random;

use crate::store::NOW;
use crate::{Door, V2, both, labels, snappy};

struct Bad {
    content_type: Option<&'static str>,
    encoding: Option<&'static str>,
    body: Bytes,
    status: u16,
}

fn bad(kind: u64, random: &mut Random) -> Bad {
    let name = labels(&[("__name__", "bad"), ("n", &random.below(1000).to_string())]);
    let [one, two] = both(&name, &[(NOW, 1.0, 0)]);
    let v1_of = |pairs: &[(&str, &str)]| {
        let labels = pairs.iter().map(|(n, v)| v1::Label { name: (*n).into(), value: (*v).into() }).collect();
        let samples = vec![v1::Sample { value: 1.0, timestamp: NOW }];
        let series = v1::TimeSeries { labels, samples, ..Default::default() };
        snappy(&v1::WriteRequest { timeseries: vec![series], metadata: vec![] }.encode_to_vec())
    };
    let plain = |body, status| Bad { content_type: None, encoding: None, body, status };
    match kind {
        // not compressed at all, or by something else
        0 => plain(Bytes::from((0..50).map(|_| random.next_u64() as u8 | 0x80).collect::<Vec<_>>()), 400),
        1 => Bad { content_type: Some("text/plain"), encoding: None, body: snappy(&one), status: 415 },
        2 => Bad { content_type: None, encoding: Some("gzip"), body: snappy(&one), status: 415 },
        // cut short
        3 => {
            let cut = one.len() - 1 - random.below(4) as usize;
            plain(snappy(&one[..cut]), 400)
        }
        // compressed garbage
        4 => plain(snappy(&[0xff, 0xff, random.next_u64() as u8]), 400),
        5 => plain(Bytes::from(vec![0u8; (32 << 20) + 1]), 413),
        6 => plain(v1_of(&[("__name__", "bad"), ("a", "1"), ("a", "2")]), 400),
        7 => plain(v1_of(&[("job", "no name")]), 400),
        // references past the symbols
        8 => {
            let mut request = v2::Request::decode(&two[..]).unwrap();
            request.timeseries[0].labels_refs[1] = 1000 + random.below(1 << 31) as u32;
            Bad {
                content_type: Some(V2),
                encoding: None,
                body: snappy(&request.encode_to_vec()),
                status: 400,
            }
        }
        // a histogram whose buckets do not add up
        _ => {
            let mut request = v2::Request::decode(&two[..]).unwrap();
            request.timeseries[0].samples.clear();
            request.timeseries[0].histograms.push(v2::Histogram {
                timestamp: NOW,
                count: Some(v2::histogram::Count::CountInt(3)),
                positive_spans: vec![v2::BucketSpan { offset: 0, length: u32::MAX }],
                ..Default::default()
            });
            Bad {
                content_type: Some(V2),
                encoding: None,
                body: snappy(&request.encode_to_vec()),
                status: 400,
            }
        }
    }
}

#[test]
fn malformed_requests_get_the_right_status_and_good_writers_are_undisturbed() {
    let door = Door::new();
    let (distributor, runtime) = (door.distributor.clone(), door.runtime.clone());
    door.runtime.block_on(async {
        let mut writers = Vec::new();
        for writer in 0..4 {
            let (distributor, spawner) = (distributor.clone(), runtime.clone());
            writers.push(runtime.spawn("writer", async move {
                for round in 0..100 {
                    let name = labels(&[("__name__", "good"), ("writer", &writer.to_string())]);
                    let [one, two] = both(&name, &[(NOW + round, 1.0, 0)]);
                    let (content_type, message) = if writer % 2 == 0 { (None, one) } else { (Some(V2), two) };
                    let answer = distributor
                        .push(PushRequest {
                            tenant: TenantId::anonymous(),
                            content_type,
                            content_encoding: None,
                            body: snappy(&message),
                        })
                        .await;
                    assert_eq!(answer.status, 204, "{}", answer.body);
                    spawner.sleep(std::time::Duration::from_millis(1)).await;
                }
            }));
        }
        let mut random = Random::new(7);
        for i in 0..1000u64 {
            let bad = bad(i % 10, &mut random);
            let answer = distributor
                .push(PushRequest {
                    tenant: TenantId::anonymous(),
                    content_type: bad.content_type,
                    content_encoding: bad.encoding,
                    body: bad.body,
                })
                .await;
            assert_eq!(answer.status, bad.status, "kind {}: {}", i % 10, answer.body);
            assert!(!answer.body.is_empty());
            if i % 10 == 0 {
                runtime.sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
    });
    let all = door.store.all(&TenantId::anonymous());
    assert_eq!(all.len(), 4, "the good ones alone");
    assert!(all.iter().all(|(_, stored)| stored.arrival.len() == 100));
    assert_eq!(door.distributor.metrics().inflight_bytes, 0);
}
