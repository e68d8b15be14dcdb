//! A small block of format 1 that must stay readable for ever: `testdata/v1`.

use std::path::Path;
use std::sync::Arc;

use block::BlockMeta;
use model::TimeRange;
use runtime::Runtime;

use crate::common::{check, folder_bucket, put, reader, spec};
use crate::round_trip::mixed;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

#[test]
fn format_one_stays_readable() {
    let runtime = Runtime::real();
    runtime.block_on(async {
        let bucket = folder_bucket(&runtime, &folder());
        if std::env::var_os("EPIMETHEUS_WRITE_GOLDEN").is_some() {
            put(&bucket, spec(1), mixed()).await;
        }
        let objects = bucket.list("tenant=anonymous", None, 100).await.unwrap();
        let path = &objects.iter().find(|o| o.path.ends_with("/meta.json")).unwrap().path;
        let meta = BlockMeta::from_json(&bucket.get(path).await.unwrap()).unwrap();
        assert_eq!(*path, meta.path("meta.json"));
        let reader = reader(&runtime, &bucket, &Arc::new(meta));
        check(&reader, &mixed(), TimeRange::all()).await;
    });
}
