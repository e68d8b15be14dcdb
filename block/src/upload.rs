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

/// Writes the description of a block that is not published yet; one that an earlier try left is replaced.
pub async fn upload_meta(bucket: &Bucket, meta: &BlockMeta) -> Result<(), BlockError> {
    let (path, json) = (meta.path(crate::layout::META_FILE), bytes::Bytes::from(meta.to_json()));
    match bucket.put_if_absent(&path, json.clone()).await {
        Err(BucketError::AlreadyExists(_)) if bucket.get(&path).await? == json => Ok(()),
        Err(BucketError::AlreadyExists(_)) => {
            bucket.delete(&path).await?;
            Ok(bucket.put_if_absent(&path, json).await?)
        }
        other => Ok(other?),
    }
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
