//! Every status code of the API, with Prometheus's texts.

use std::sync::atomic::Ordering;

use proto::SourceError;

use crate::world::{Setup, World, sample_store};

pub(crate) fn refused(world: &World, path: &str, status: u16, error_type: &str, text: &str) {
    let answer = world.get(path);
    let envelope = answer.json();
    assert_eq!(answer.status, status, "{path}: {}", answer.body);
    assert_eq!(envelope["status"], "error");
    assert_eq!(envelope["errorType"], error_type, "{path}");
    assert_eq!(envelope["error"], text, "{path}");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[test]
fn wrong_parameters_are_bad_data() {
    let world = World::usual();
    let cases = [
        ("query?query=sum(", r#"invalid parameter "query": 1:5: parse error: unclosed left parenthesis"#),
        (
            "query",
            r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
        ),
        (
            "query?query=up&time=x",
            r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
        ),
        ("query?query=up&timeout=x", r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#),
        (
            "query?query=sum(&timeout=0",
            r#"invalid parameter "query": 1:5: parse error: unclosed left parenthesis"#,
        ),
        ("query?query=up&limit=x", r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#),
        ("query?query=up&limit=-1", r#"invalid parameter "limit": limit must be non-negative"#),
        (
            "query?query=up&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
        ),
        (
            "query_range?query=up&start=x",
            r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#,
        ),
        (
            "query_range?query=up&start=1&end=",
            r#"invalid parameter "end": cannot parse "" to a valid timestamp"#,
        ),
        (
            "query_range?query=up&start=1&end=0&step=1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "query_range?query=up&start=1&end=2&step=1x",
            r#"invalid parameter "step": cannot parse "1x" to a valid duration"#,
        ),
        (
            "query_range?query=up&start=1&end=2&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "query_range?query=up&start=1&end=11002&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        ("query_exemplars?query=sum(", "1:5: parse error: unclosed left parenthesis"),
        ("query_exemplars?query=up&start=5&end=4", "end timestamp must not be before start timestamp"),
        (
            "format_query?query=sum(",
            r#"invalid parameter "query": 1:5: parse error: unclosed left parenthesis"#,
        ),
        ("series", "no match[] parameter provided"),
        (
            "series?match[]=",
            r#"invalid parameter "match[]": unknown position: parse error: unexpected end of input"#,
        ),
        (
            "series?match[]={}",
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
        ),
        ("series?match[]=sum(up)", r#"invalid parameter "match[]": 1:4: parse error: unexpected "(""#),
        ("labels?match[]={a=~\".*\"}", "match[] must contain at least one non-empty matcher"),
        (
            "labels?start=x",
            r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
        ),
        ("label/%FF/values", r#"invalid label name: "\xff""#),
        ("metadata?limit=x", "limit must be a number"),
        ("metadata?limit_per_metric=x", "limit_per_metric must be a number"),
        ("rules?type=x", r#"invalid parameter "type": not supported value "x""#),
        (
            "rules?exclude_alerts=x",
            r#"invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "x": invalid syntax"#,
        ),
        ("rules?group_limit=0", r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#),
        (
            "rules?group_limit=1&group_next_token=x",
            r#"invalid parameter "group_next_token": invalid group_next_token 'x'. were rule groups changed?"#,
        ),
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("status/tsdb?limit=10001", "limit must not exceed 10000"),
    ];
    for (path, text) in cases {
        refused(&world, &format!("/api/v1/{path}"), 400, "bad_data", text);
    }
    // the largest allowed
    assert_ne!(world.get("/api/v1/query_range?query=up&start=1&end=11001&step=1").status, 400);
}

/// Every kind of failure of the store has its code on these paths; `limited` is how a limit reads there.
pub(crate) fn assert_failures(paths: &[&str], limited: &str) {
    let of = |failure: SourceError| {
        let store = crate::store::Store { failure: Some(failure), ..sample_store() };
        World::new(Setup { store, ..Setup::default() })
    };
    for path in paths {
        let path = format!("/api/v1/{path}");
        refused(&of(SourceError::Limit("too much".into())), &path, 422, "execution", limited);
        refused(&of(SourceError::Internal("oops".into())), &path, 500, "internal", "oops");
        refused(&of(SourceError::Corrupt("damaged".into())), &path, 500, "internal", "damaged");
        let away = of(SourceError::Unavailable("no leader".into()));
        refused(&away, &path, 503, "unavailable", "no leader");
        assert_eq!(away.get(&path).headers["retry-after"], "1");
    }
}

#[test]
fn storage_errors_have_their_codes() {
    assert_failures(
        &["labels", "label/job/values", "series?match[]=up", "metadata", "query_exemplars?query=up"],
        "too much",
    );
}

#[test]
fn a_query_without_time_times_out() {
    let world = World::usual();
    for timeout in ["0", "-1", "0s"] {
        let path = format!("/api/v1/query?query=up&timeout={timeout}");
        refused(&world, &path, 503, "timeout", "query timed out in query execution");
    }
}

#[test]
fn nothing_but_the_replay_is_answered_before_the_server_is_ready() {
    let world = World::usual();
    world.status.not_ready.store(true, Ordering::Relaxed);
    for path in ["query?query=1", "labels", "status/buildinfo", "rules"] {
        let answer = world.get(&format!("/api/v1/{path}"));
        assert_eq!((answer.status, answer.body.as_str()), (503, "Service Unavailable"));
        assert_eq!(answer.headers["x-prometheus-stopping"], "false");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(world.get("/api/v1/status/walreplay").status, 200);
}
