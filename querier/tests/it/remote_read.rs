//! Remote read: both forms of an answer, and what is refused.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use model::stale_nan;
use prost::Message;
use proto::prometheus::histogram::Count;
use proto::prometheus::label_matcher::Type;
use proto::prometheus::{
    ChunkedReadResponse, LabelMatcher, Query, ReadHints, ReadRequest, ReadResponse, TimeSeries,
};
use querier::ApiLimits;

use crate::store::{Series, Store};
use crate::tenants::two_tenants;
use crate::world::{Setup, World, histogram, sample_store, series};

fn query(matchers: &[(Type, &str, &str)], start: i64, end: i64) -> Query {
    let matcher = |(kind, name, value): &(Type, &str, &str)| LabelMatcher {
        r#type: *kind as i32,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.iter().map(matcher).collect(),
        hints: None,
    }
}

fn named(name: &str) -> Query {
    query(&[(Type::Eq, "__name__", name)], 0, 600_000)
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn post(world: &World, tenant: &str, queries: Vec<Query>, accepted: Vec<i32>) -> (u16, String, Vec<u8>) {
    let request = ReadRequest { queries, accepted_response_types: accepted };
    post_bytes(world, tenant, compressed(&request.encode_to_vec()))
}

fn post_bytes(world: &World, tenant: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request =
        Request::post("/api/v1/read").header("X-Scope-OrgID", tenant).body(Body::from(body)).unwrap();
    let (status, headers, body) = world.exchange(request);
    let content_type = headers.get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
    (status, content_type, body)
}

fn samples(world: &World, queries: Vec<Query>) -> Vec<Vec<TimeSeries>> {
    let (status, content_type, body) = post(world, "anonymous", queries, vec![]);
    assert_eq!(
        (status, &*content_type),
        (200, "application/x-protobuf"),
        "{}",
        String::from_utf8_lossy(&body)
    );
    let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    ReadResponse::decode(&body[..]).unwrap().results.into_iter().map(|r| r.timeseries).collect()
}

fn frames(mut body: &[u8]) -> Vec<ChunkedReadResponse> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let length = prost::encoding::decode_varint(&mut body).unwrap() as usize;
        let (crc, rest) = body.split_at(4);
        let (message, rest) = rest.split_at(length);
        assert_eq!(crc, crc32c::crc32c(message).to_be_bytes());
        out.push(ChunkedReadResponse::decode(message).unwrap());
        body = rest;
    }
    out
}

fn chunks(world: &World, queries: Vec<Query>) -> Vec<ChunkedReadResponse> {
    let (status, content_type, body) = post(world, "anonymous", queries, vec![7, 1, 0]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert_eq!(content_type, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    frames(&body)
}

fn label<'a>(labels: &'a [proto::prometheus::Label], name: &str) -> &'a str {
    labels.iter().find(|l| l.name == name).map_or("", |l| &l.value)
}

#[test]
fn samples_come_in_one_message() {
    let world = World::usual();
    let up = query(&[(Type::Eq, "__name__", "up"), (Type::Nre, "job", "a|x")], 60_000, 180_000);
    let results = samples(&world, vec![up, named("none"), named("latency"), query(&[], 0, 1000)]);
    assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 1, 0]);
    assert_eq!(label(&results[0][0].labels, "job"), "b");
    let times: Vec<i64> = results[0][0].samples.iter().map(|s| s.timestamp).collect();
    assert_eq!(times, [60_000, 120_000, 180_000]);
    let latency = &results[2][0].histograms;
    assert_eq!(latency.len(), 11);
    assert_eq!(latency[0].count, Some(Count::CountInt(4)));
    assert_eq!(latency[0].positive_deltas, [1, 1]);
}

#[test]
fn hints_narrow_the_time_and_may_ask_for_labels_alone() {
    let world = World::usual();
    let hinted = |func: &str, start_ms, end_ms| {
        let hints = ReadHints { func: func.into(), start_ms, end_ms, ..ReadHints::default() };
        Query { hints: Some(hints), ..named("up") }
    };
    let results = samples(
        &world,
        vec![hinted("rate", 60_000, 120_000), hinted("", 0, 0), hinted("series", 0, 600_000)],
    );
    let counts: Vec<(usize, usize)> = results.iter().map(|r| (r.len(), r[0].samples.len())).collect();
    assert_eq!(counts, [(3, 2), (3, 11), (3, 0)]);
    let frames = chunks(&world, vec![hinted("series", 0, 600_000)]);
    assert_eq!(frames.len(), 3);
    assert!(frames.iter().all(|f| f.chunked_series[0].chunks.is_empty()));
}

#[test]
fn chunks_come_in_frames_sorted_by_labels() {
    let world = World::usual();
    let all = query(&[(Type::Neq, "__name__", "")], 0, 600_000);
    let frames = chunks(&world, vec![named("up"), named("none"), all]);
    let told: Vec<(i64, &str, &str, i32)> = frames
        .iter()
        .map(|f| {
            let series = &f.chunked_series[0];
            let labels = &series.labels;
            (f.query_index, label(labels, "__name__"), label(labels, "job"), series.chunks[0].r#type)
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, "up", "a", 1),
            (0, "up", "b", 1),
            (0, "up", "c<d>", 1),
            (2, "latency", "a", 2),
            (2, "other.name", "", 1),
            (2, "up", "a", 1),
            (2, "up", "b", 1),
            (2, "up", "c<d>", 1),
        ]
    );
    let chunk = &frames[0].chunked_series[0].chunks[0];
    assert_eq!((chunk.min_time_ms, chunk.max_time_ms, &chunk.data[..2]), (0, 600_000, &[0, 11][..]));
}

#[test]
fn a_long_series_takes_several_frames() {
    let floats: Vec<(i64, f64)> = (0..10_000).map(|i| (i * 1000, (i as f64).sqrt())).collect();
    let mut with_histograms = series(&[("__name__", "many")], &floats);
    with_histograms.histograms = vec![(20_000_000, Arc::new(histogram()))];
    with_histograms.floats.push((20_001_000, stale_nan()));
    let other: Vec<Series> =
        (0..5000).map(|i| series(&[("__name__", "b"), ("i", &i.to_string())], &[(i, 1.0)])).rev().collect();
    let all = other.into_iter().chain([with_histograms]).collect();
    let store = Store { tenants: [("anonymous".to_owned(), all)].into(), ..Store::default() };
    let limits = ApiLimits { remote_read_frame_bytes: 2000, ..ApiLimits::default() };
    let world = World::new(Setup { store, limits, ..Setup::default() });
    let query = query(&[(Type::Re, "__name__", "many|b")], 0, 30_000_000);
    let (status, _, body) = post(&world, "anonymous", vec![query], vec![1]);
    assert_eq!(status, 200);
    let frames = frames(&body);
    let labels: Vec<_> = frames.iter().map(|f| &f.chunked_series[0].labels).collect();
    assert!(labels.is_sorted_by_key(|l| (label(l, "__name__").to_owned(), label(l, "i").to_owned())));
    let many: Vec<_> =
        frames.iter().filter(|f| label(&f.chunked_series[0].labels, "__name__") == "many").collect();
    assert!(many.len() > 20 && frames.len() == 5000 + many.len());
    let ends: Vec<(i64, i64)> = many
        .iter()
        .flat_map(|f| &f.chunked_series[0].chunks)
        .map(|c| (c.min_time_ms, c.max_time_ms))
        .collect();
    assert!(ends.windows(2).all(|w| w[0].1 < w[1].0));
    assert_eq!(ends.len(), 10_000usize.div_ceil(120) + 2);
}

#[test]
fn wrong_requests_are_refused() {
    let world = World::usual();
    let text = |(status, content_type, body): (u16, String, Vec<u8>)| {
        assert_eq!(content_type, "text/plain; charset=utf-8");
        (status, String::from_utf8(body).unwrap())
    };
    assert_eq!(text(post_bytes(&world, "", b"\xff\xff\xff\xff\xff\xff".to_vec())).0, 400);
    assert_eq!(text(post_bytes(&world, "", compressed(&[0x0a, 0x05, 1]))).0, 400);
    let huge = compressed(&vec![0; (32 << 20) + 1]);
    let limit = "snappy: decoded length 33554433 exceeds limit 33554432\n".to_owned();
    assert_eq!(text(post_bytes(&world, "", huge)), (400, limit));
    let (status, why) = text(post(&world, "", vec![], vec![9]));
    assert_eq!(status, 400);
    assert!(why.starts_with("server does not support any of the requested response types: [9]"), "{why}");
    assert_eq!(text(post(&world, "", vec![query(&[(Type::Re, "a", "(")], 0, 1)], vec![])).0, 400);
    let limits = ApiLimits { remote_read_samples_max: 32, ..ApiLimits::default() };
    let world = World::new(Setup { store: sample_store(), limits, ..Setup::default() });
    let many = text(post(&world, "", vec![named("up")], vec![]));
    assert_eq!(many, (400, "exceeded sample limit (32)\n".to_owned()));
    // the limit is a query's, and not that of chunks
    let few = || query(&[(Type::Eq, "__name__", "up"), (Type::Neq, "job", "a")], 0, 600_000);
    assert_eq!(samples(&world, vec![few(), few()]).len(), 2);
    assert_eq!(chunks(&world, vec![named("up")]).len(), 3);
}

#[test]
fn no_tenant_reads_anothers_samples() {
    let world = two_tenants();
    for accepted in [0, 1] {
        let all = || vec![query(&[(Type::Neq, "__name__", "")], 0, 600_000)];
        let (status, _, body) = post(&world, "red", all(), vec![accepted]);
        assert_eq!(status, 200);
        let body =
            if accepted == 0 { snap::raw::Decoder::new().decompress_vec(&body).unwrap() } else { body };
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("only_red") && !text.contains("blue"));
        let (status, _, body) = post(&world, "green", all(), vec![accepted]);
        assert_eq!(status, 200);
        assert!(!String::from_utf8_lossy(&body).contains("red"));
    }
    let request = Request::post("/api/v1/read").body(Body::empty()).unwrap();
    assert_eq!(world.exchange(request).0, 401);
}
