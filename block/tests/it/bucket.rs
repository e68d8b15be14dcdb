//! The folder as bucket: whole or not at all, durable when it says so.

use std::sync::Arc;

use block::{Bucket, BucketError, BucketOptions};
use bytes::Bytes;
use runtime::{Disk, Runtime, SimulatedDisk};

use crate::common::folder_bucket;

fn fixed(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

async fn exercise(bucket: &Bucket) {
    bucket.put_if_absent("a/b/one", fixed(b"first")).await.unwrap();
    let again = bucket.put_if_absent("a/b/one", fixed(b"second")).await;
    assert_eq!(again, Err(BucketError::AlreadyExists("a/b/one".into())));
    bucket.put_if_absent("a/b-c", fixed(b"0123456789")).await.unwrap();
    bucket.put_if_absent("z", fixed(b"")).await.unwrap();
    assert_eq!(&bucket.get("a/b/one").await.unwrap()[..], b"first");
    assert_eq!(&bucket.get_range("a/b-c", 2..5).await.unwrap()[..], b"234");
    let ranges = bucket.get_ranges("a/b-c", &[0..1, 3..4, 9..10]).await.unwrap();
    assert_eq!(ranges, [&b"0"[..], b"3", b"9"]);
    assert!(bucket.get_range("a/b-c", 8..20).await.is_err());
    assert_eq!(bucket.get("nope").await, Err(BucketError::NotFound("nope".into())));
    assert_eq!(bucket.head("a/b-c").await, Ok(10));
    assert!(matches!(bucket.head("a/x").await, Err(BucketError::NotFound(_))));
    let paths = |listed: Vec<block::ObjectInfo>| listed.into_iter().map(|o| o.path).collect::<Vec<_>>();
    assert_eq!(paths(bucket.list("a", None, 10).await.unwrap()), ["a/b-c", "a/b/one"]);
    assert_eq!(paths(bucket.list("a", Some("a/b-c"), 10).await.unwrap()), ["a/b/one"]);
    assert_eq!(paths(bucket.list("a", None, 1).await.unwrap()), ["a/b-c"]);
    assert!(bucket.list("nothing", None, 1).await.unwrap().is_empty());
    assert_eq!(bucket.list_folders("").await.unwrap(), ["a"]);
    bucket.delete("a/b/one").await.unwrap();
    bucket.delete("a/b/one").await.unwrap();
    assert!(bucket.get("a/b/one").await.is_err());
}

#[test]
fn a_folder_does_what_a_bucket_must() {
    let runtime = Runtime::real();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        exercise(&folder_bucket(&runtime, &folder.path().join("deep/bucket"))).await;
        let bucket = folder_bucket(&runtime, folder.path());
        for bad in ["../x", "a//b", "", ".tmp-x", "a/./b"] {
            assert!(bucket.put_if_absent(bad, Bytes::new()).await.is_err(), "{bad}");
        }
    });
    let simulated = Runtime::simulated(1);
    simulated.block_on(async {
        exercise(&Bucket::open(&simulated, "/b", &BucketOptions::default()).unwrap()).await;
    });
}

#[test]
fn addresses_that_are_no_bucket_are_refused() {
    let runtime = Runtime::real();
    let error = Bucket::open(&runtime, "gs://x", &BucketOptions::default()).unwrap_err();
    assert!(error.to_string().contains("expected a folder or s3://name"), "{error}");
}

#[test]
fn racing_puts_have_one_winner() {
    let runtime = Runtime::real();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let bucket = folder_bucket(&runtime, folder.path());
        for round in 0..20 {
            let path = format!("r/{round}");
            let puts = (0..8u8).map(|i| bucket.put_if_absent(&path, Bytes::from(vec![i; 100])));
            let done = futures::future::join_all(puts).await;
            let winners: Vec<usize> = (0..8).filter(|i| done[*i].is_ok()).collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(bucket.get(&path).await.unwrap()[0] as usize, winners[0]);
        }
    });
}

/// After any power loss an object that was acknowledged is there, whole; one that was not is whole or absent.
#[test]
fn power_loss_takes_nothing_that_was_acknowledged() {
    for seed in 0..60u64 {
        let runtime = Runtime::simulated(seed);
        let disk = SimulatedDisk::new(seed);
        let runtime = runtime.with_disk(Arc::new(disk.clone()));
        runtime.block_on(async {
            let bucket = Bucket::open(&runtime, "/data/bucket", &BucketOptions::default()).unwrap();
            let body = |i: u64| Bytes::from(vec![i as u8; 3000]);
            for i in 0..5 {
                bucket.put_if_absent(&format!("d/{i}"), body(i)).await.unwrap();
            }
            disk.set_faults(|f| f.fail_syncs = true);
            assert!(bucket.put_if_absent("d/5", body(5)).await.is_err());
            disk.power_loss();
            disk.set_faults(|f| f.fail_syncs = false);
            let bucket = Bucket::open(&runtime, "/data/bucket", &BucketOptions::default()).unwrap();
            for i in 0..5 {
                assert_eq!(bucket.get(&format!("d/{i}")).await, Ok(body(i)), "seed {seed}");
            }
            bucket.remove_leftovers().await.unwrap();
            let listed = bucket.list("d", None, 100).await.unwrap();
            assert!(listed.iter().all(|o| o.size == 3000), "seed {seed}: {listed:?}");
            // and the lost one can be put again
            match bucket.put_if_absent("d/5", body(5)).await {
                Ok(()) | Err(BucketError::AlreadyExists(_)) => {}
                Err(error) => panic!("{error}"),
            }
            assert_eq!(bucket.get("d/5").await, Ok(body(5)));
        });
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let runtime = Runtime::simulated(5);
    let disk = SimulatedDisk::new(5);
    let runtime = runtime.with_disk(Arc::new(disk.clone()));
    runtime.block_on(async {
        let bucket = Bucket::open(&runtime, "/b", &BucketOptions::default()).unwrap();
        disk.set_faults(|f| f.free_bytes = Some(1000));
        let full = bucket.put_if_absent("x/big", Bytes::from(vec![1; 5000])).await.unwrap_err();
        assert_eq!(full.kind(), model::ErrorKind::Unavailable);
        assert!(matches!(bucket.get("x/big").await, Err(BucketError::NotFound(_))));
        disk.set_faults(|f| f.free_bytes = None);
        bucket.put_if_absent("x/big", Bytes::from(vec![1; 5000])).await.unwrap();
        let left = disk.list(std::path::Path::new("/b/x")).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
    });
}
