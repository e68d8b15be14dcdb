//! Kept answers, as clients meet them.

use axum::body::Body;
use http::Request;

use crate::store::Store;
use crate::world::{Setup, World, sample_store, uri};

const RANGE: &str = "/api/v1/query_range?query=up&start=0&end=600&step=60";

fn world() -> World {
    World::new(Setup { store: Store { is_fixed: true, ..sample_store() }, ..Setup::default() })
}

/// (answered from what was kept, of them partly, not at all, without looking)
fn counts(world: &World) -> [u64; 4] {
    let m = world.api.result_cache_metrics();
    [m.hits, m.partial, m.misses, m.bypassed]
}

#[test]
fn a_second_answer_is_the_first() {
    let world = world();
    let first = world.ok(RANGE);
    assert_eq!(world.ok(RANGE), first);
    assert_eq!(counts(&world), [1, 0, 1, 0]);
    let samples = world.api.metrics().samples;
    // a part of it, and more than it
    let part = world.ok("/api/v1/query_range?query=up&start=120&end=300&step=60");
    assert!(part.contains("[120,\"1\"]") && !part.contains("[60,") && !part.contains("[360,"), "{part}");
    assert_eq!(world.api.metrics().samples, samples);
    let more = world.ok("/api/v1/query_range?query=up&start=0&end=900&step=60");
    let evaluated = world.ok("/api/v1/query_range?query=up&start=0&end=900&step=60&nocache=1");
    assert_eq!(more, evaluated);
    assert_eq!(counts(&world), [2, 1, 1, 1]);
}

#[test]
fn clients_can_refuse_what_is_kept() {
    let world = world();
    world.ok(RANGE);
    world.ok(&format!("{RANGE}&nocache=1"));
    for value in ["no-store", "max-age=0, no-cache"] {
        let request = Request::get(uri(RANGE)).header("Cache-Control", value).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).status, 200);
    }
    // statistics are those of this evaluation
    let stats = world.get(&format!("{RANGE}&stats=all")).json();
    assert_eq!(stats["data"]["stats"]["samples"]["totalQueryableSamples"], 33);
    assert_eq!(counts(&world), [0, 0, 1, 4]);
}

#[test]
fn a_limit_cuts_what_is_shown_and_not_what_is_kept() {
    let world = world();
    let cut = world.get(&format!("{RANGE}&limit=1")).json();
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 1);
    let whole = world.get(RANGE).json();
    assert_eq!(whole["data"]["result"].as_array().unwrap().len(), 3);
    assert!(whole["warnings"].is_null());
    assert_eq!(counts(&world), [1, 0, 1, 0]);
}

#[test]
fn what_storage_warns_of_is_not_kept() {
    let store = Store { is_fixed: true, warning: Some("a block is missing".into()), ..sample_store() };
    let world = World::new(Setup { store, ..Setup::default() });
    for _ in 0..2 {
        assert_eq!(world.get(RANGE).json()["warnings"], serde_json::json!(["a block is missing"]));
    }
    assert_eq!(counts(&world), [0, 0, 2, 0]);
}
