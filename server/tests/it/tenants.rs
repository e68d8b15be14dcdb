//! What one tenant wrote no other tenant sees, on any endpoint.

use crate::process::{Server, escape};
use crate::write::{named, push_as};

#[test]
fn no_endpoint_shows_another_tenants_data() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--multi-tenancy"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let write = |tenant: &str, name: &str| {
        let answer = push_as(&server, tenant, &[named(name, 1, vec![(now, 1.0)])]);
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    write("red", "secret_of_red");
    write("blue", "secret_of_blue");

    let time = format!("{}.{:03}", now / 1000, now % 1000);
    let range = format!("start={}&end={}", now / 1000 - 3600, now / 1000 + 3600);
    let all = escape("{__name__=~\".+\"}");
    let paths = [
        format!("/api/v1/query?query={all}&time={time}"),
        format!("/api/v1/query_range?query={all}&{range}&step=60"),
        format!("/api/v1/query_exemplars?query={all}&{range}"),
        format!("/api/v1/series?match[]={all}&{range}"),
        format!("/api/v1/labels?{range}"),
        format!("/api/v1/label/__name__/values?{range}"),
        "/api/v1/metadata".to_owned(),
        "/api/v1/status/tsdb".to_owned(),
        "/api/v1/rules".to_owned(),
        "/api/v1/alerts".to_owned(),
        "/api/v1/targets".to_owned(),
    ];
    for flush in [false, true] {
        if flush {
            assert_eq!(server.request("POST", "/ingester/flush?drop=true", &[], b"").status, 204);
        }
        for path in &paths {
            for base in ["", "/prometheus"] {
                let path = format!("{base}{path}");
                let as_tenant = |tenant| server.request("GET", &path, &[("x-scope-orgid", tenant)], b"");
                let (red, blue) = (as_tenant("red"), as_tenant("blue"));
                assert_eq!((red.status, blue.status), (200, 200), "{path}: {}", red.text());
                assert!(!red.text().contains("secret_of_blue"), "{path} as red shows blue");
                assert!(!blue.text().contains("secret_of_red"), "{path} as blue shows red");
                let nobody = server.request("GET", &path, &[], b"");
                assert_eq!(nobody.status, 401, "{path} without a tenant: {}", nobody.text());
                let bad = server.request("GET", &path, &[("x-scope-orgid", "a/b")], b"");
                assert_eq!(bad.status, 400, "{path} with a bad tenant: {}", bad.text());
            }
        }
        let mine = server.query_as("{__name__=~\".+\"}", now, &[("x-scope-orgid", "red")]);
        assert_eq!(mine.as_array().unwrap().len(), 1, "red sees its own");
    }
    let refused = server.request("POST", "/api/v1/push", &[], b"");
    assert_eq!(refused.status, 401);
    let retry = server.get("/api/v1/labels");
    assert!(retry.header("www-authenticate").starts_with("Basic"), "{:?}", retry.headers);
}
