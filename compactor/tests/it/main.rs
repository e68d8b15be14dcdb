//! Retention over real blocks.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::sync::Arc;

use block::{BlockSeries, BlockSpec, BlockWriter, Bucket, BucketOptions, Catalogs, upload};
use compactor::{Compactor, Outcome, Retention};
use model::{BlockId, Labels, LogPosition, SlotRange, TenantId};
use runtime::Runtime;

const HOUR: i64 = 3_600_000;

async fn publish(catalogs: &Catalogs, tenant: &TenantId, number: u128, start: i64) {
    let spec = BlockSpec {
        tenant: tenant.clone(),
        block: BlockId::new(1, number),
        slots: SlotRange::ALL,
        start,
        end: start + 2 * HOUR,
        generation: 0,
        level: 0,
        log_first: LogPosition::default(),
        log_last: LogPosition::default(),
        sources: Vec::new(),
    };
    let labels = Labels::new([("__name__", "up")]).unwrap();
    let mut writer = BlockWriter::new(spec).unwrap();
    writer.push(&BlockSeries::floats(&labels, &[start + 1], &[1.0])).unwrap();
    let (meta, files) = writer.finish().unwrap();
    upload(catalogs.bucket(), &meta.folder(), files).await.unwrap();
    catalogs.get(tenant).await.unwrap().publish_block(Arc::new(meta)).await.unwrap();
}

#[test]
fn blocks_past_retention_go_first_from_the_catalog_then_from_the_bucket() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = Bucket::open(&runtime, "/bucket", &BucketOptions::default()).unwrap();
        let catalogs = Arc::new(Catalogs::new(bucket.clone()));
        let (kept, dropped) = (TenantId::new("kept").unwrap(), TenantId::new("short").unwrap());
        let now = runtime.now_ms();
        for (i, age) in [30, 20, 3].into_iter().enumerate() {
            publish(&catalogs, &kept, i as u128 + 1, now - age * HOUR).await;
            publish(&catalogs, &dropped, i as u128 + 1, now - age * HOUR).await;
        }
        let compactor = Compactor::new(runtime.clone(), Arc::clone(&catalogs), |tenant| Retention {
            keep_ms: (tenant.as_str() == "short").then_some(10 * HOUR),
            grace_ms: HOUR,
        });
        assert_eq!(compactor.run_once().await, Ok(Outcome { dropped: 2, deleted: 0 }));
        assert_eq!(catalogs.get(&dropped).await.unwrap().live().len(), 1);
        assert_eq!(catalogs.get(&kept).await.unwrap().live().len(), 3);
        let files = |prefix: &'static str| bucket.list(prefix, None, 1000);
        let parquet =
            |listed: Vec<block::ObjectInfo>| listed.iter().filter(|o| !o.path.contains("/catalog")).count();
        let before = parquet(files("tenant=short").await.unwrap());
        assert_eq!(compactor.run_once().await, Ok(Outcome::default()));
        runtime.sleep(std::time::Duration::from_secs(3600)).await;
        assert_eq!(compactor.run_once().await, Ok(Outcome { dropped: 0, deleted: 2 }));
        assert_eq!(parquet(files("tenant=short").await.unwrap()), before / 3);
        assert_eq!(compactor.run_once().await, Ok(Outcome::default()));
        assert_eq!(parquet(files("tenant=kept").await.unwrap()), before);
        let again = Catalogs::new(bucket.clone());
        assert!(again.get(&dropped).await.unwrap().state().removed.is_empty());
    });
}
