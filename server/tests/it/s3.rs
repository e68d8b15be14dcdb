//! A bucket over the S3 protocol: an S3 server in this process, the product against it over real HTTP.

use std::net::TcpListener;
use std::path::Path;

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use crate::process::{Server, free_port};
use crate::write::{named, push};

/// Serves the folders of `root` as buckets until the test ends; returns the port.
fn serve_s3(root: &Path) -> (tokio::runtime::Runtime, u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let io = hyper_util::rt::TokioIo::new(socket);
                let server =
                    hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                // The product may close connections as it likes.
                let _closed = server.serve_connection(io, service).await;
            });
        }
    });
    (runtime, port)
}

#[test]
fn blocks_in_an_s3_bucket_read_the_same_after_the_local_data_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("s3");
    std::fs::create_dir_all(root.join("metrics")).unwrap();
    let (_runtime, s3_port) = serve_s3(&root);
    let bucket = format!("--bucket=s3://metrics?endpoint=http://127.0.0.1:{s3_port}&region=us-east-1");
    let env = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut server = Server::start_on(free_port(), &dir.path().join("a"), &[&bucket], &env);
    for step in 0..100 {
        push(&server, &[named("m", 1, vec![(now - 1_000_000 + step * 10_000, step as f64)])]);
    }
    let before =
        server.query("sum_over_time(m[1h:10s])", now).to_string() + &server.query("m[1h]", now).to_string();
    assert_eq!(server.request("POST", "/ingester/flush", &[], b"").status, 204);
    assert!(server.terminate());

    let server = Server::start_on(free_port(), &dir.path().join("b"), &[&bucket], &env);
    let after =
        server.query("sum_over_time(m[1h:10s])", now).to_string() + &server.query("m[1h]", now).to_string();
    assert_eq!(after, before, "another node, nothing but the bucket");
}
