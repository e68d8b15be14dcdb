//! Queries under way: seen and ended by their tenant alone.

use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use http::Request;
use querier::ApiLimits;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::store::Store;
use crate::world::{Answer, Setup, World, sample_store, uri};

type Pending = Pin<Box<dyn Future<Output = Result<Response, std::convert::Infallible>>>>;

/// Two tenants whose samples are never read to the end; one query at a time.
fn world() -> World {
    let mut tenants = sample_store().tenants;
    let series = tenants.remove("anonymous").unwrap_or_default();
    let store = Store {
        tenants: [("red".to_owned(), series.clone()), ("blue".to_owned(), series)].into(),
        stuck_reads: true,
        ..Store::default()
    };
    let limits = ApiLimits { queries_running_max: 1, ..ApiLimits::default() };
    World::new(Setup { store, limits, multi_tenancy: true, ..Setup::default() })
}

/// A query that was sent, and has come as far as it can.
fn begin(world: &World, tenant: &str, path: &str) -> Pending {
    let request = Request::get(uri(path)).header("X-Scope-OrgID", tenant).body(Body::empty());
    let mut pending: Pending = Box::pin(world.router().oneshot(request.expect("a request")));
    let first = world.block_on(async { pending.as_mut().now_or_never() });
    assert!(first.is_none(), "{path}");
    pending
}

/// What it answers at once.
fn end(world: &World, pending: Pending) -> (u16, Value) {
    world.block_on(async {
        let response = pending.now_or_never().expect("it has ended").expect("a response");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    })
}

fn delete(world: &World, tenant: &str, id: &str) -> Answer {
    let path = format!("/api/v1/status/active_queries/{id}");
    let request = Request::delete(path).header("X-Scope-OrgID", tenant).body(Body::empty());
    world.send(request.expect("a request"))
}

fn list(world: &World, tenant: &str) -> Vec<Value> {
    let answer = world.get_as(tenant, "/api/v1/status/active_queries").json();
    answer["data"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_tenant_sees_its_own_queries() {
    let world = world();
    assert!(list(&world, "red").is_empty());
    let running = begin(&world, "red", "/api/v1/query_range?query=sum(up)&start=0&end=600.5&step=60");
    let waiting = begin(&world, "blue", "/api/v1/query?query=up&time=300");
    let (red, blue) = (list(&world, "red"), list(&world, "blue"));
    assert_eq!((red.len(), blue.len()), (1, 1));
    for (key, value) in [
        ("id", json!(0)),
        ("tenant", json!("red")),
        ("endpoint", json!("query_range")),
        ("query", json!("sum(up)")),
        ("start", json!("1970-01-01T00:00:00Z")),
        ("end", json!("1970-01-01T00:10:00.5Z")),
        ("step", json!(60.0)),
        ("state", json!("running")),
        ("samples", json!(0)),
        ("series", json!(3)),
    ] {
        assert_eq!(red[0][key], value, "{key} of {}", red[0]);
    }
    assert!(red[0]["memoryBytes"].as_u64() > Some(0), "{}", red[0]);
    assert!(red[0]["elapsedSeconds"].is_number() && red[0]["since"].is_string(), "{}", red[0]);
    assert_eq!((&blue[0]["state"], &blue[0]["step"]), (&json!("waiting"), &json!(0.0)));
    drop((running, waiting));
    assert!(list(&world, "red").is_empty() && list(&world, "blue").is_empty());
    assert_eq!(world.api.metrics().memory.held, 0);
}

#[test]
fn a_killed_query_was_canceled() {
    let world = world();
    let running = begin(&world, "red", "/api/v1/query?query=sum(up)&time=300");
    let waiting = begin(&world, "red", "/api/v1/query?query=up&time=300");
    for (tenant, id, status) in [("blue", "0", 404), ("red", "7", 404), ("red", "x", 400)] {
        assert_eq!(delete(&world, tenant, id).status, status, "{tenant} {id}");
    }
    assert_eq!(list(&world, "red").len(), 2);
    let canceled = |stage: &str| json!({"status": "error", "errorType": "canceled", "error": format!("query was canceled in {stage}")});
    assert_eq!(delete(&world, "red", "1").status, 200);
    assert_eq!(end(&world, waiting), (499, canceled("query queue")));
    assert_eq!(delete(&world, "red", "0").json(), json!({"status": "success", "data": {"id": 0}}));
    // again, before it has been told: nothing more to do
    assert_eq!(delete(&world, "red", "0").status, 200);
    assert_eq!(end(&world, running), (499, canceled("expression evaluation")));
    let metrics = world.api.metrics();
    assert_eq!((metrics.killed, metrics.active, metrics.memory.held), (2, 0, 0));
    assert_eq!(metrics.requests[&("query", 499)].count, 2);
}

#[test]
fn who_shares_an_answer_still_gets_it_when_another_is_killed() {
    let world = world();
    // both wait for their turn behind this one
    let first = begin(&world, "blue", "/api/v1/query?query=up&time=300");
    let path = "/api/v1/query?query=1&time=300";
    let (one, other) = (begin(&world, "red", path), begin(&world, "red", path));
    assert_eq!(world.api.result_cache_metrics().shared, 1);
    assert_eq!(delete(&world, "red", "1").status, 200);
    assert_eq!(end(&world, one).0, 499);
    drop(first);
    let (status, answer) = end(&world, other);
    assert_eq!((status, &answer["data"]["result"]), (200, &json!([300, "1"])));
}
