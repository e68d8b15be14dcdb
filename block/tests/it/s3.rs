//! An S3-compatible server in this process, over real HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use block::{Bucket, BucketError, BucketOptions, Catalog, Published};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::{TenantId, TimeRange};
use runtime::Runtime;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::common::{check, put, reader, spec};
use crate::round_trip::mixed;

/// Serves the folder until the runtime ends. The server looks before it writes; a real store decides at once:
/// so puts are let in one by one.
async fn serve(runtime: &Runtime, root: &Path) -> SocketAddr {
    std::fs::create_dir_all(root.join("blocks")).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service: S3Service = builder.build();
    let listener = runtime::net::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let puts = Arc::new(tokio::sync::Mutex::new(()));
    let inner = runtime.clone();
    runtime
        .spawn("s3", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (service, puts) = (service.clone(), Arc::clone(&puts));
                let handle = service_fn(move |request: hyper::Request<Incoming>| {
                    let (service, puts) = (service.clone(), Arc::clone(&puts));
                    async move {
                        let _alone = match *request.method() == hyper::Method::PUT {
                            true => Some(puts.lock().await),
                            false => None,
                        };
                        service.call(request.map(s3s::Body::from)).await
                    }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handle);
                inner.spawn("s3 connection", async move { drop(connection.await) }).detach();
            }
        })
        .detach();
    address
}

fn open(runtime: &Runtime, address: SocketAddr, secret: &str) -> Bucket {
    let options = BucketOptions {
        access_key_id: Some("key".into()),
        secret_access_key: Some(secret.into()),
        ..Default::default()
    };
    let url = format!("s3://blocks?endpoint=http://{address}&region=eu-central-1");
    Bucket::open(runtime, &url, &options).unwrap()
}

#[test]
fn blocks_and_catalogs_live_in_a_store_behind_http() {
    let runtime = Runtime::real();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let address = serve(&runtime, folder.path()).await;
        let bucket = open(&runtime, address, "secret");
        let body = Bytes::from_static(b"0123456789");
        bucket.put_if_absent("a/x!'(*)_1", body.clone()).await.unwrap();
        assert!(matches!(
            bucket.put_if_absent("a/x!'(*)_1", body.clone()).await,
            Err(BucketError::AlreadyExists(_))
        ));
        assert_eq!(bucket.get("a/x!'(*)_1").await, Ok(body));
        assert_eq!(&bucket.get_range("a/x!'(*)_1", 3..5).await.unwrap()[..], b"34");
        assert_eq!(bucket.head("a/x!'(*)_1").await, Ok(10));
        assert!(matches!(bucket.get("a/nope").await, Err(BucketError::NotFound(_))));
        bucket.delete("a/x!'(*)_1").await.unwrap();
        bucket.delete("a/x!'(*)_1").await.unwrap();
        let meta = put(&bucket, spec(1), mixed()).await;
        check(&reader(&runtime, &bucket, &meta), &mixed(), TimeRange::all()).await;
        let catalog = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        assert_eq!(catalog.publish_block(Arc::clone(&meta)).await, Ok(Published::Committed));
        let again = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        assert_eq!(again.live().len(), 1);
        assert_eq!(block::list_tenants(&bucket).await, Ok(vec![TenantId::anonymous()]));
        let verified = block::verify_blocks(&runtime, &bucket, None).await.unwrap();
        assert!(verified.is_sound(), "{verified:?}");
    });
}

#[test]
fn puts_that_race_over_http_have_one_winner() {
    let runtime = Runtime::real();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let address = serve(&runtime, folder.path()).await;
        let buckets: Vec<Bucket> = (0..6).map(|_| open(&runtime, address, "secret")).collect();
        for round in 0..5 {
            let path = format!("race/{round}");
            let puts = buckets
                .iter()
                .enumerate()
                .map(|(i, bucket)| bucket.put_if_absent(&path, Bytes::from(vec![i as u8; 1000])));
            let done = futures::future::join_all(puts).await;
            let winners: Vec<usize> = (0..6).filter(|i| done[*i].is_ok()).collect();
            assert_eq!(winners.len(), 1, "{done:?}");
            for lost in done.iter().filter_map(|d| d.as_ref().err()) {
                assert!(matches!(lost, BucketError::AlreadyExists(_)), "{lost}");
            }
            assert_eq!(buckets[0].get(&path).await.unwrap()[0] as usize, winners[0]);
        }
    });
}

#[test]
fn wrong_credentials_are_told_as_such() {
    let runtime = Runtime::real();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let address = serve(&runtime, folder.path()).await;
        let refused = open(&runtime, address, "wrong").get("x").await.unwrap_err();
        assert_eq!(refused.kind(), model::ErrorKind::Forbidden, "{refused}");
    });
}
