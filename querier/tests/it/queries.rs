//! Evaluated queries: result types, parameters, notes.

use promql::EngineOptions;

use crate::errors::assert_failures;
use crate::store::Store;
use crate::tenants::{assert_kept_apart, two_tenants};
use crate::world::{Setup, World, sample_store, series};

fn success(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
}

#[test]
fn the_probe_of_a_data_source_is_answered() {
    let world = World::usual();
    let two = success(r#"{"resultType":"scalar","result":[4,"2"]}"#);
    assert_eq!(world.ok("/api/v1/query?query=1%2B1&time=4"), two);
    assert_eq!(world.post("/prometheus/api/v1/query", "query=1%2B1&time=4").body, two);
    // parameters of the form and the URL come together
    assert_eq!(world.post("/api/v1/query?time=4", "query=1%2B1").body, two);
}

#[test]
fn instant_queries_have_four_kinds_of_results() {
    let world = World::usual();
    assert_eq!(
        world.ok("/api/v1/query?query=up{job=\"a\"}&time=300.5"),
        success(
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[300.500,"1"]}]}"#
        )
    );
    assert_eq!(
        world.ok("/api/v1/query?query=latency&time=300"),
        success(
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"latency","job":"a"},"histogram":[300,{"count":"4","sum":"5.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","1"],[0,"1","2","2"]]}]}]}"#
        )
    );
    assert_eq!(
        world.ok("/api/v1/query?query={\"other.name\"}[2m]&time=300"),
        success(
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"other.name","k\"ey":"v"},"values":[[240,"1e+21"],[300,"1e+21"]]}]}"#
        )
    );
    assert_eq!(
        world.ok("/api/v1/query?query=\"a<b\"&time=1.5"),
        success(r#"{"resultType":"string","result":[1.5,"a\u003cb"]}"#)
    );
    assert_eq!(
        world.ok("/api/v1/query?query=none&time=300"),
        success(r#"{"resultType":"vector","result":[]}"#)
    );
}

#[test]
fn range_queries_are_sorted_by_labels() {
    let world = World::usual();
    let body = world.ok("/api/v1/query_range?query=up&start=0&end=60&step=30");
    let series = |job: &str, v: &str| {
        format!(
            r#"{{"metric":{{"__name__":"up","job":"{job}"}},"values":[[0,"{v}"],[30,"{v}"],[60,"{v}"]]}}"#
        )
    };
    let all = [series("a", "1"), series("b", "0"), series("c<d>", "1.5")].join(",");
    assert_eq!(body, success(&format!(r#"{{"resultType":"matrix","result":[{all}]}}"#)));
    assert_eq!(
        world.ok("/api/v1/query_range?query=none&start=0&end=60&step=30"),
        success(r#"{"resultType":"matrix","result":[]}"#)
    );
    let cut = world.get("/api/v1/query_range?query=up&start=0&end=60&step=30&limit=1").json();
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(cut["warnings"], serde_json::json!(["results truncated due to limit"]));
    // two hundred days of hours
    assert_eq!(world.get("/api/v1/query_range?query=up&start=0&end=17280000&step=1h").status, 200);
    let types = world.get("/api/v1/query_range?query=up[5m]&start=0&end=60&step=30");
    assert_eq!(
        (types.status, types.json()["error"].as_str().unwrap()),
        (
            400,
            r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#
        )
    );
}

#[test]
fn the_lookback_is_the_requests() {
    let world = World::usual();
    let count = |path: &str| world.get(path).json()["data"]["result"].as_array().unwrap().len();
    assert_eq!(count("/api/v1/query?query=up&time=700"), 3);
    assert_eq!(count("/api/v1/query?query=up&time=700&lookback_delta=1m"), 0);
    assert_eq!(count("/api/v1/query?query=up&time=700&lookback_delta=0"), 3);
}

#[test]
fn statistics_come_when_asked_for() {
    let world = World::usual();
    assert!(world.get("/api/v1/query?query=up&time=300").json()["data"]["stats"].is_null());
    for ask in ["true", "all", "yes"] {
        let answer = world.get(&format!("/api/v1/query?query=up&time=300&stats={ask}"));
        let stats = &answer.json()["data"]["stats"];
        assert_eq!(stats["samples"]["totalQueryableSamples"], 3, "{}", answer.body);
        assert!(stats["timings"]["execTotalTime"].is_number());
        let deprecated = answer.json()["warnings"].clone();
        if ask == "yes" {
            assert_eq!(
                deprecated[0],
                r#"value "yes" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#
            );
        } else {
            assert!(deprecated.is_null());
        }
    }
}

#[test]
fn annotations_of_the_engine_and_the_store_are_shown() {
    let world = World::usual();
    let info = world.get("/api/v1/query?query=rate(up[5m])&time=300").json();
    assert_eq!(
        info["infos"][0],
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)"
    );
    let warned = Store { warning: Some("one replica did not answer".into()), ..sample_store() };
    let world = World::new(Setup { store: warned, ..Setup::default() });
    let answer = world.get("/api/v1/query?query=up&time=300").json();
    assert_eq!(answer["warnings"], serde_json::json!(["one replica did not answer"]));
}

#[test]
fn too_many_samples_are_an_execution_error() {
    let engine = EngineOptions { max_samples: 5, ..EngineOptions::default() };
    let world = World::new(Setup { store: sample_store(), engine, ..Setup::default() });
    let answer = world.get("/api/v1/query_range?query=up&start=0&end=600&step=60");
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(
        answer.json()["error"],
        "query processing would load too many samples into memory in query execution: the limit is 5 \
         (`query.max_samples`)"
    );
    let duplicate =
        World::usual().get("/api/v1/query?query=label_replace(up,\"job\",\"x\",\"\",\"\")&time=300");
    assert_eq!((duplicate.status, duplicate.json()["errorType"].clone()), (422, "execution".into()));
}

#[test]
fn long_answers_are_streamed_whole() {
    let many = (0..3000)
        .map(|i| {
            series(&[("__name__", "m"), ("i", &*format!("{i:04}"))], &[(0, f64::from(i)), (60_000, 0.1)])
        })
        .collect();
    let store = Store { tenants: [("anonymous".to_owned(), many)].into(), ..Store::default() };
    let world = World::new(Setup { store, ..Setup::default() });
    let answer = world.get("/api/v1/query_range?query=m&start=0&end=600&step=10").json();
    let result = answer["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 3000);
    assert_eq!(result[2999]["metric"]["i"], "2999");
    assert_eq!(result[2999]["values"][0], serde_json::json!([0, "2999"]));
    assert!(world.api.metrics().answer_bytes > 1 << 20);
}

#[test]
fn storage_errors_have_their_codes() {
    assert_failures(
        &["query?query=up&time=300", "query_range?query=rate(up[5m])&start=0&end=600&step=60"],
        "expanding series: too much",
    );
}

#[test]
fn no_query_shows_another_tenants_data() {
    let world = two_tenants();
    assert_kept_apart(
        &world,
        &[
            "/query?query={__name__!=\"\"}&time=300",
            "/query?query=sum by (tenant) (up)&time=300",
            "/query?query=up[5m]&time=300",
            "/query_range?query={__name__!=\"\"}&start=0&end=600&step=60",
        ],
    );
    assert!(world.get_as("red", "/api/v1/query?query=up&time=300").body.contains("red"));
}
