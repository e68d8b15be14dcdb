//! What the query log says.

use querier::QueryLog;
use runtime::Runtime;
use serde_json::{Value, json};

use crate::world::{Setup, World, sample_store, uri};
use axum::body::Body;
use http::Request;

#[test]
fn every_query_is_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.log");
    let runtime = Runtime::simulated(1).with_disk(Runtime::real().disk());
    let world = World::on(runtime.clone(), Setup { store: sample_store(), ..Setup::default() });
    world.api.log_queries(QueryLog::start(&runtime, &path, 1 << 20).unwrap());
    world.get("/api/v1/query?query=sum(up)&time=300.5");
    // what is no query is not begun
    world.get("/api/v1/query?query=sum(");
    let request =
        Request::get(uri("/prometheus/api/v1/query_range?query=up+%2B+up&start=0&end=600&step=60&stats=all"))
            .header("X-Dashboard-UID", "board")
            .header("X-Panel-Id", "7");
    world.send(request.body(Body::empty()).unwrap());
    world.get("/api/v1/query?query=label_replace(up,\"job\",\"x\",\"\",\"\")&time=300");
    world.block_on(async { runtime.sleep(std::time::Duration::from_millis(1)).await });
    let text = String::from_utf8(runtime.disk().read(&path).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for line in &lines {
        assert_eq!((&line["msg"], &line["level"]), (&json!("promql query logged"), &json!("INFO")));
        assert_eq!(line["tenant"], "anonymous");
        assert!(line["time"].is_string() && line["stats"]["timings"]["execTotalTime"].is_number(), "{line}");
    }
    let params = |query: &str, start: &str, end: &str, step: i64| json!({"query": query, "start": start, "end": end, "step": step});
    let time = "1970-01-01T00:05:00.500Z";
    assert_eq!(lines[0]["params"], params("sum(up)", time, time, 0));
    assert_eq!(lines[0]["stats"]["samples"]["totalQueryableSamples"], 3);
    assert_eq!(lines[0]["httpRequest"], json!({"clientIP": "", "method": "GET", "path": "/api/v1/query"}));
    assert!(lines[0]["error"].is_null() && lines[0]["dashboardUID"].is_null());
    assert_eq!(
        lines[1]["params"],
        params("up + up", "1970-01-01T00:00:00.000Z", "1970-01-01T00:10:00.000Z", 60)
    );
    assert_eq!((&lines[1]["dashboardUID"], &lines[1]["panelID"]), (&json!("board"), &json!("7")));
    assert_eq!(lines[1]["stats"]["samples"]["samplesReadPerStep"].as_array().unwrap().len(), 11);
    assert_eq!(lines[2]["error"], "vector cannot contain metrics with the same labelset");
    assert_eq!((world.api.metrics().logged, world.api.metrics().log_lost), (3, 0));
}
