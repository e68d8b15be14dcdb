//! No request sees another tenant's data, whatever the endpoint.

use crate::store::Store;
use crate::world::{Setup, World, sample_store, series};

pub(crate) fn two_tenants() -> World {
    let of = |name: &str| {
        let mut all = sample_store().tenants.remove("anonymous").unwrap();
        all.push(series(&[("__name__", &*format!("only_{name}")), ("owner", name)], &[(240_000, 7.0)]));
        for one in &mut all {
            let pairs: Vec<(String, String)> = one.labels.iter().map(|(n, v)| (n.into(), v.into())).collect();
            let owner = ("tenant".to_owned(), name.to_owned());
            let pairs = pairs.iter().chain([&owner]).map(|(n, v)| (n.as_str(), v.as_str()));
            one.labels = model::Labels::new(pairs).unwrap();
            for exemplar in &mut one.exemplars {
                exemplar.labels = model::Labels::new([("trace_id", name)]).unwrap();
            }
        }
        (name.to_owned(), all)
    };
    let about = |name: &str| {
        let mut metadata = sample_store().metadata.remove("anonymous").unwrap();
        metadata.iter_mut().for_each(|(_, m)| m.help = format!("of {name}"));
        (name.to_owned(), metadata)
    };
    let store = Store {
        tenants: [of("red"), of("blue")].into(),
        metadata: [about("red"), about("blue")].into(),
        ..Store::default()
    };
    World::new(Setup { store, multi_tenancy: true, ..Setup::default() })
}

pub(crate) const LISTINGS: [&str; 21] = [
    "/query_exemplars?query=latency",
    "/format_query?query=up",
    "/series?match[]={__name__!=\"\"}",
    "/labels",
    "/labels?match[]=up",
    "/label/tenant/values",
    "/label/__name__/values",
    "/metadata",
    "/rules",
    "/alerts",
    "/alertmanagers",
    "/targets",
    "/targets/metadata",
    "/scrape_pools",
    "/notifications",
    "/status/buildinfo",
    "/status/runtimeinfo",
    "/status/tsdb",
    "/status/flags",
    "/status/config",
    "/features",
];

/// Both see no more than their own on these paths.
pub(crate) fn assert_kept_apart(world: &World, paths: &[&str]) {
    for base in ["/api/v1", "/prometheus/api/v1"] {
        for path in paths {
            let path = format!("{base}{path}");
            let red = world.get_as("red", &path);
            assert_eq!(red.status, 200, "{path}: {}", red.body);
            assert!(!red.body.contains("blue"), "{path}: {}", red.body);
            let nobody = world.get_as("green", &path);
            assert_eq!(nobody.status, 200, "{path}: {}", nobody.body);
            assert!(!nobody.body.contains("red") && !nobody.body.contains("blue"), "{path}: {}", nobody.body);
        }
    }
}

#[test]
fn no_endpoint_shows_another_tenants_data() {
    let world = two_tenants();
    assert_kept_apart(&world, &LISTINGS);
    // and each does see its own
    for path in [
        "/series?match[]=up",
        "/label/tenant/values",
        "/metadata",
        "/status/tsdb",
        "/query_exemplars?query=latency",
    ] {
        assert!(world.get_as("red", &format!("/api/v1{path}")).body.contains("red"), "{path}");
    }
}

#[test]
fn every_endpoint_wants_a_tenant() {
    let world = two_tenants();
    for path in LISTINGS.iter().chain(&["/status/walreplay", "/query?query=1", "/query_range"]) {
        let path = format!("/api/v1{path}");
        let missing = world.get(&path);
        assert_eq!(missing.status, 401, "{path}");
        assert_eq!(missing.json()["error"], "no org id");
        assert!(missing.headers.contains_key("www-authenticate"));
        let wrong = world.get_as("a/b", &path);
        assert_eq!(wrong.status, 400, "{path}");
        assert_eq!(wrong.json()["errorType"], "bad_data");
    }
}
