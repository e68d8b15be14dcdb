//! The files in `deploy/` are what the product and its clients understand.

use std::path::PathBuf;

use serde_json::Value;

use crate::process::Server;

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(deploy(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn compose_starts_what_is_documented_with_flags_that_exist() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    for name in ["minio", "epimetheus", "prometheus", "node-exporter", "grafana"] {
        assert!(services.contains_key(name), "{name}");
    }
    for (name, service) in services {
        assert!(service["image"].is_string() || service["build"].is_object(), "{name} has an image");
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            if source.starts_with("./") {
                assert!(deploy(source).exists(), "{name}: {source}");
            } else if !source.starts_with('/') {
                assert!(compose["volumes"].as_object().unwrap().contains_key(source), "{name}: {source}");
            }
        }
        for dependency in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(dependency.as_str().unwrap()));
        }
    }
    // The flags of the compose file start a server (with the bucket turned into a folder).
    let flags: Vec<&str> =
        services["epimetheus"]["command"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert!(flags.iter().any(|f| f.starts_with("--bucket=s3://metrics?endpoint=http://minio:9000&region=")));
    let dockerfile = std::fs::read_to_string(deploy("Dockerfile")).unwrap();
    assert!(dockerfile.contains("--bin epimetheus") && dockerfile.matches("FROM ").count() == 2);
    let context = deploy(services["epimetheus"]["build"]["context"].as_str().unwrap());
    assert!(context.join(services["epimetheus"]["build"]["dockerfile"].as_str().unwrap()).exists());
    assert!(context.join("Cargo.lock").exists());
}

#[test]
fn prometheus_and_grafana_point_at_paths_that_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let prometheus = yaml("prometheus.yml");
    let url = prometheus["remote_write"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://epimetheus:9009").unwrap();
    assert_eq!(server.request("POST", path, &[], b"\0").status, 204, "an empty request is fine");
    let source = yaml("grafana/provisioning/datasources/epimetheus.yml");
    assert_eq!(source["datasources"][0]["url"], "http://epimetheus:9009");
    assert_eq!(source["datasources"][0]["type"], "prometheus");

    let dashboard: Value =
        serde_json::from_slice(&std::fs::read(deploy("grafana/dashboards/node.json")).unwrap()).unwrap();
    let uid = &source["datasources"][0]["uid"];
    let mut expressions = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        assert_eq!(&panel["datasource"]["uid"], uid, "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            let answer = server.get(&format!("/api/v1/query?query={}", crate::process::escape(&expr)));
            assert_eq!(answer.status, 200, "{expr}: {}", answer.text());
            expressions += 1;
        }
    }
    assert!(expressions >= 8);
}

#[test]
fn the_reading_tables_name_files_that_exist() {
    let root = deploy("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let paths: Vec<&str> = readme.split('`').skip(1).step_by(2).filter(|p| p.contains("/src/")).collect();
    assert!(paths.len() >= 15, "{paths:?}");
    for path in paths {
        assert!(root.join(path).exists(), "README names {path}");
    }
}
