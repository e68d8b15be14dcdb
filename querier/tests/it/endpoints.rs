//! What each endpoint answers when all is well.

use http::Request;

use crate::world::World;

const SUCCESS: &str = r#"{"status":"success","data":"#;

fn data(world: &World, path: &str) -> String {
    let body = world.ok(path);
    body.strip_prefix(SUCCESS)
        .and_then(|b| b.strip_suffix('}'))
        .unwrap_or_else(|| panic!("{body}"))
        .to_owned()
}

#[test]
fn both_base_paths_answer_alike_but_for_the_build_info() {
    let world = World::usual();
    for path in ["/labels", "/status/flags", "/rules"] {
        assert_eq!(world.ok(&format!("/api/v1{path}")), world.ok(&format!("/prometheus/api/v1{path}")));
    }
    let plain = data(&world, "/api/v1/status/buildinfo");
    assert_eq!(
        plain,
        r#"{"version":"3.14.0","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":"rust"}"#
    );
    let mimir = world.get("/prometheus/api/v1/status/buildinfo").json();
    assert_eq!(mimir["data"]["features"]["ruler_config_api"], "false");
    assert_eq!(mimir["data"]["version"], "3.14.0");
}

#[test]
fn labels_and_values_are_sorted_and_filtered() {
    let world = World::usual();
    assert_eq!(data(&world, "/api/v1/labels"), r#"["__name__","job","k\"ey"]"#);
    assert_eq!(data(&world, "/api/v1/labels?match[]=up"), r#"["__name__","job"]"#);
    assert_eq!(data(&world, "/api/v1/labels?match[]=none"), "[]");
    assert_eq!(data(&world, "/api/v1/label/job/values"), r#"["a","b","c\u003cd\u003e"]"#);
    let two = "/api/v1/label/__name__/values?match[]=latency&match[]={__name__=\"other.name\"}";
    assert_eq!(data(&world, two), r#"["latency","other.name"]"#);
    assert_eq!(data(&world, "/api/v1/label/U__k_22_ey/values"), r#"["v"]"#);
    assert_eq!(data(&world, "/api/v1/label/nothing/values"), "[]");
    assert_eq!(data(&world, "/api/v1/labels?start=601&end=700"), "[]");
    let posted = world.post("/api/v1/labels", "match[]=up&limit=5");
    assert_eq!(posted.body, format!("{SUCCESS}[\"__name__\",\"job\"]}}"));
}

#[test]
fn limits_cut_and_warn() {
    let world = World::usual();
    let warned = |list: &str| format!("{SUCCESS}{list},\"warnings\":[\"results truncated due to limit\"]}}");
    assert_eq!(world.ok("/api/v1/labels?limit=1"), warned(r#"["__name__"]"#));
    assert_eq!(world.ok("/api/v1/label/job/values?limit=2"), warned(r#"["a","b"]"#));
    assert_eq!(
        world.ok("/api/v1/series?match[]={__name__!=\"\"}&limit=1"),
        warned(r#"[{"__name__":"latency","job":"a"}]"#)
    );
    assert!(!world.ok("/api/v1/labels?limit=3").contains("warnings"));
    assert!(!world.ok("/api/v1/labels?limit=0").contains("warnings"));
}

#[test]
fn series_are_label_sets() {
    let world = World::usual();
    assert_eq!(
        data(&world, "/api/v1/series?match[]=up"),
        r#"[{"__name__":"up","job":"a"},{"__name__":"up","job":"b"},{"__name__":"up","job":"c<d>"}]"#
    );
    assert_eq!(data(&world, "/api/v1/series?match[]=none"), "[]");
    assert_eq!(data(&world, "/api/v1/series?match[]=up&start=700"), "[]");
}

#[test]
fn metadata_is_by_metric() {
    let world = World::usual();
    let latency = r#""latency":[{"type":"histogram","help":"How long it took \u003cs\u003e.","unit":""}]"#;
    let up = r#"{"type":"gauge","help":"Whether it answers.","unit":""}"#;
    let unknown = r#"{"type":"unknown","help":"","unit":""}"#;
    assert_eq!(data(&world, "/api/v1/metadata"), format!("{{{latency},\"up\":[{up},{unknown}]}}"));
    assert_eq!(data(&world, "/api/v1/metadata?limit=1"), format!("{{{latency}}}"));
    assert_eq!(data(&world, "/api/v1/metadata?metric=up&limit_per_metric=1"), format!("{{\"up\":[{up}]}}"));
    assert_eq!(data(&world, "/api/v1/metadata?metric=none"), "{}");
    assert_eq!(data(&world, "/api/v1/metadata?limit=0"), "{}");
}

#[test]
fn exemplars_are_found_by_the_selectors_of_a_query() {
    let world = World::usual();
    assert_eq!(
        data(&world, "/api/v1/query_exemplars?query=rate(latency[5m])&start=1&end=2"),
        r#"[{"seriesLabels":{"__name__":"latency","job":"a"},"exemplars":[{"labels":{"trace_id":"x1"},"value":"6","timestamp":1.500}]}]"#
    );
    assert_eq!(data(&world, "/api/v1/query_exemplars?query=latency&start=2&end=3"), "[]");
    let none = world.get("/api/v1/query_exemplars?query=1");
    assert_eq!((none.status, none.body.as_str()), (204, ""));
}

#[test]
fn what_grafana_probes_at_start_succeeds() {
    let world = World::usual();
    // milliseconds where seconds are meant: the year 55,000
    let probe = "/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000060000";
    assert_eq!(data(&world, probe), "[]");
    let all = world.ok("/api/v1/series?match[]={__name__!=\"\"}&limit=40000");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&all).unwrap()["data"].as_array().unwrap().len(), 5);
    assert_eq!(data(&world, "/api/v1/rules"), r#"{"groups":[]}"#);
    assert_eq!(
        data(&world, "/api/v1/rules?type=alert&rule_name[]=x&file[]=y&group_limit=5"),
        r#"{"groups":[]}"#
    );
    assert_eq!(data(&world, "/api/v1/alerts"), r#"{"alerts":[]}"#);
    assert_eq!(
        data(&world, "/api/v1/alertmanagers"),
        r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#
    );
    assert_eq!(
        data(&world, "/api/v1/targets?state=any"),
        r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#
    );
    assert_eq!(data(&world, "/api/v1/scrape_pools"), r#"{"scrapePools":[]}"#);
    assert_eq!(data(&world, "/api/v1/targets/metadata?limit=1"), "[]");
    assert_eq!(data(&world, "/api/v1/notifications"), "[]");
}

#[test]
fn queries_are_laid_out() {
    let world = World::usual();
    assert_eq!(data(&world, "/api/v1/format_query?query=sum(up)by(job)"), r#""sum by (job) (up)""#);
    assert_eq!(world.post("/api/v1/format_query", "query=up>1").body, format!("{SUCCESS}\"up \\u003e 1\"}}"));
}

#[test]
fn status_shows_what_the_server_tells() {
    let world = World::usual();
    assert_eq!(
        data(&world, "/api/v1/status/tsdb?limit=2"),
        r#"{"headStats":{"numSeries":3,"numLabelPairs":4,"chunkCount":5,"minTime":1000,"maxTime":2000},"seriesCountByMetricName":[{"name":"anonymous_0","value":9},{"name":"anonymous_1","value":8}],"labelValueCountByLabelName":[{"name":"anonymous_0","value":9}],"memoryInBytesByLabelName":[{"name":"anonymous_0","value":9}],"seriesCountByLabelValuePair":[]}"#
    );
    assert_eq!(data(&world, "/api/v1/status/flags"), r#"{"data.dir":"./data","http.listen":"0.0.0.0:9009"}"#);
    assert_eq!(data(&world, "/api/v1/status/config"), r#"{"yaml":"limits: {}\n"}"#);
    assert_eq!(data(&world, "/api/v1/status/walreplay"), r#"{"min":0,"max":0,"current":0}"#);
    let info = world.get("/api/v1/status/runtimeinfo").json();
    assert_eq!(info["data"]["startTime"], "1970-01-01T00:00:01.5Z");
    assert_eq!(info["data"]["reloadConfigSuccess"], true);
    assert_eq!(world.get("/api/v1/features").json()["data"]["api"]["admin"], false);
}

#[test]
fn other_methods_and_paths_are_refused() {
    let world = World::usual();
    let put = Request::put("/api/v1/query").body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(put).status, 405);
    // Grafana asks again by GET
    assert_eq!(world.post("/api/v1/label/job/values", "").status, 405);
    assert_eq!(world.post("/api/v1/rules", "").status, 405);
    assert_eq!(world.get("/api/v1/nosuch").status, 404);
}
