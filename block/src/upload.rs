//! Brings the files of a block into the bucket. Nothing is visible before the catalog says so.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::meta::BlockMeta;
use crate::writer::EncodedFile;
use crate::{BlockError, Bucket, BucketError};

/// Files uploaded at once.
const CONCURRENCY: usize = 4;

/// Uploads `files` below `folder` ([`BlockMeta::folder`]). A file that lies there with the same bytes is fine:
/// an upload that was interrupted can be repeated.
pub async fn upload(bucket: &Bucket, folder: &str, files: Vec<EncodedFile>) -> Result<(), BlockError> {
    let puts = futures::stream::iter(files.into_iter().map(|file| async move {
        let path = format!("{folder}/{}", file.path);
        match bucket.put_if_absent(&path, file.bytes.clone()).await {
            Err(BucketError::AlreadyExists(_)) => {
                let there = bucket.get(&path).await?;
                if there == file.bytes {
                    Ok(())
                } else {
                    Err(BlockError::Bucket(BucketError::AlreadyExists(path)))
                }
            }
            other => other.map_err(BlockError::from),
        }
    }));
    puts.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// Deletes the files of a block, `meta.json` last. What is gone already is fine.
pub async fn delete_files(bucket: &Bucket, meta: &BlockMeta) -> Result<(), BlockError> {
    let paths: Vec<String> = meta.files.iter().map(|file| meta.path(&file.path)).collect();
    let deletes = futures::stream::iter(paths.into_iter().map(|path| {
        let path = Arc::<str>::from(path);
        async move { bucket.delete(&path).await }
    }));
    deletes.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    Ok(bucket.delete(&meta.path(crate::layout::META_FILE)).await?)
}
