//! What happens when there is too much of something.

use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use http::Request;
use promql::{EngineOptions, MemoryLimits, QueryLimit};
use querier::ApiLimits;
use tower::ServiceExt;

use crate::store::Store;
use crate::world::{Setup, World, sample_store, uri};

#[test]
fn the_server_bounds_a_listing_that_asks_for_all() {
    let limits = ApiLimits { entries_max: 2, ..ApiLimits::default() };
    let world = World::new(Setup { store: sample_store(), limits, ..Setup::default() });
    let warning = "results truncated to 2 entries, the most this server lists";
    for path in ["labels", "labels?limit=100", "label/job/values", "series?match[]=up"] {
        let answer = world.get(&format!("/api/v1/{path}")).json();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{path}");
        assert_eq!(answer["warnings"], serde_json::json!([warning]), "{path}");
    }
}

#[test]
fn a_form_has_a_largest_size() {
    let limits = ApiLimits { form_bytes_max: 100, ..ApiLimits::default() };
    let world = World::new(Setup { store: sample_store(), limits, ..Setup::default() });
    let answer = world.post("/api/v1/query", &format!("query={}", "a".repeat(200)));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"],
        "error parsing form values: the form cannot be read or is larger than 100 bytes"
    );
}

#[test]
fn requests_are_counted_by_endpoint_and_status() {
    let world = World::usual();
    world.get("/api/v1/labels");
    world.get("/api/v1/labels?limit=x");
    world.get("/prometheus/api/v1/query?query=sum(");
    let metrics = world.api.metrics();
    assert_eq!(metrics.requests[&("labels", 200)].count, 1);
    assert_eq!(metrics.requests[&("labels", 400)].count, 1);
    assert_eq!(metrics.requests[&("query", 400)].count, 1);
    assert_eq!(metrics.requests[&("query", 400)].buckets.iter().sum::<u64>(), 1);
    assert_eq!((metrics.active, metrics.waiting), (0, 0));
}

#[test]
fn a_client_that_goes_away_is_counted_and_frees_its_place() {
    let world = World::usual();
    let router = world.router();
    world.block_on(async move {
        // a body that never ends: the handler waits for it
        let body = Body::from_stream(futures::stream::pending::<Result<&[u8], std::io::Error>>());
        let request = Request::post(uri("/api/v1/query"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
            .unwrap();
        let mut response = Box::pin(router.oneshot(request));
        assert!(response.as_mut().now_or_never().is_none());
        drop(response);
    });
    assert_eq!(world.api.metrics().requests[&("query", 499)].count, 1);
    assert!(world.api.active_queries().is_empty());
}

#[test]
fn requests_beyond_the_queue_are_refused() {
    let limits = ApiLimits { listings_running_max: 1, listings_waiting_max: 1, ..ApiLimits::default() };
    let store = Store { stuck: true, ..sample_store() };
    let world = World::new(Setup { store, limits, ..Setup::default() });
    let router = world.router();
    let refused = world.block_on(async move {
        let send =
            |path: &str| Box::pin(router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()));
        let mut running = send("/api/v1/labels");
        assert!(running.as_mut().now_or_never().is_none());
        let mut waiting = send("/api/v1/label/job/values");
        assert!(waiting.as_mut().now_or_never().is_none());
        let refused = send("/api/v1/label/job/values").await.unwrap();
        // who goes away makes room
        drop(running);
        assert_eq!(waiting.await.unwrap().status(), 200);
        refused
    });
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = world.block_on(axum::body::to_bytes(refused.into_body(), 1000)).unwrap();
    assert_eq!(
        &body[..],
        br#"{"status":"error","errorType":"unavailable","error":"too many listings: 1 are running and 1 are waiting"}"#
    );
}

/// What refuses a query names the limit and its setting, and is counted.
#[test]
fn limits_of_queries_are_named_and_counted() {
    let slow = EngineOptions { timeout: Duration::from_millis(1500), ..EngineOptions::default() };
    let few = EngineOptions { max_samples: 5, ..EngineOptions::default() };
    let small = MemoryLimits { query_bytes_max: 100, ..MemoryLimits::default() };
    let small = EngineOptions { memory: small, ..EngineOptions::default() };
    let store = sample_store();
    let stuck = Store { stuck_reads: true, ..sample_store() };
    let cases = [
        (
            QueryLimit::Points,
            Setup {
                limits: ApiLimits { points_max: 1234, ..ApiLimits::default() },
                store: store.clone(),
                ..Setup::default()
            },
            "query_range?query=up&start=0&end=1235&step=1",
            (400, "bad_data"),
            "exceeded maximum resolution of 1,234 points per timeseries. Try decreasing the query resolution (?step=XX) or \
             raise `query.max_points_per_series`",
        ),
        (
            QueryLimit::Samples,
            Setup { engine: few, store: store.clone(), ..Setup::default() },
            "query_range?query=up&start=0&end=600&step=60",
            (422, "execution"),
            "query processing would load too many samples into memory in query execution: the limit is 5 \
             (`query.max_samples`)",
        ),
        (
            QueryLimit::QueryMemory,
            Setup { engine: small, store, ..Setup::default() },
            "query?query=up&time=300",
            (422, "execution"),
            "query processing would hold more than 100 bytes in memory, the limit of a query (`query.max_memory_bytes`)",
        ),
        (
            QueryLimit::Time,
            Setup { engine: slow.clone(), store: stuck.clone(), ..Setup::default() },
            "query?query=up&time=300",
            (503, "timeout"),
            "query timed out in expression evaluation: the limit is 1.5s (`query.timeout`)",
        ),
        (
            QueryLimit::Time,
            Setup { engine: slow, store: stuck, ..Setup::default() },
            "query?query=up&time=300&timeout=500ms",
            (503, "timeout"),
            "query timed out in expression evaluation: the parameter `timeout` is 0.5s",
        ),
    ];
    for (limit, setup, path, (status, error_type), text) in cases {
        let world = World::new(setup);
        let answer = world.get(&format!("/api/v1/{path}"));
        let told = (answer.status, answer.json()["errorType"].clone(), answer.json()["error"].clone());
        assert_eq!(told, (status, error_type.into(), text.into()), "{path}");
        let counted = |l: &QueryLimit| (*l, u64::from(*l == limit));
        assert_eq!(world.api.metrics().limited, QueryLimit::ALL.iter().map(counted).collect());
    }
}
