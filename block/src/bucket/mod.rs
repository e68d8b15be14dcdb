//! The bucket: where blocks and catalogs lie; a folder or an S3-compatible store.
//!
//! Objects are immutable: they are created by put-if-absent, read, listed, deleted, never changed. A put
//! that returned is durable. Requests in flight are bounded.

mod folder;
mod s3;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use runtime::Runtime;
use tokio::sync::Semaphore;

use crate::BucketError;
use folder::Folder;

/// Requests in flight when nothing else is said.
const CONCURRENCY: usize = 64;
/// Ranges closer than this are fetched as one.
const COALESCE_GAP_BYTES: u64 = 64 << 10;
/// Longest range fetched at once.
const COALESCE_BYTES_MAX: u64 = 8 << 20;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its full path in the bucket.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// How a bucket is opened.
#[derive(Debug, Clone, Default)]
pub struct BucketOptions {
    /// Requests in flight at most; 0: the default of 64.
    pub concurrency: usize,
    /// Access key id; from the environment or `~/.aws/credentials` when `None`.
    pub access_key_id: Option<String>,
    /// Secret access key, beside the access key id.
    pub secret_access_key: Option<String>,
}

/// What the bucket has been asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BucketStats {
    /// Reads (ranges fetched as one count once).
    pub gets: u64,
    /// Bytes read.
    pub get_bytes: u64,
    /// Objects created.
    pub puts: u64,
    /// Bytes written.
    pub put_bytes: u64,
    /// Listings.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Requests that failed (an object that is missing or exists already is no failure).
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Counters {
    gets: AtomicU64,
    get_bytes: AtomicU64,
    puts: AtomicU64,
    put_bytes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    errors: AtomicU64,
}

/// What a store must do. Tests put faults in between here.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A whole object.
    async fn get(&self, path: &str) -> Result<Bytes, BucketError>;
    /// One range of an object, complete or an error.
    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, BucketError>;
    /// Creates an object, durably and whole, unless one of that name exists.
    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<(), BucketError>;
    /// Bytes of an object.
    async fn head(&self, path: &str) -> Result<u64, BucketError>;
    /// Deletes an object; fine when there is none.
    async fn delete(&self, path: &str) -> Result<(), BucketError>;
    /// Up to `max` objects below the folder `prefix` (no slash at the end), sorted by path, those after
    /// `after` only.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError>;
    /// Names of the folders directly in `prefix` (empty: the bucket), sorted.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BucketError>;
    /// Deletes what crashes left unfinished; how many. Only while nobody writes.
    async fn remove_leftovers(&self) -> Result<usize, BucketError> {
        Ok(0)
    }
}

/// A bucket; clones share connections, bounds and counters.
#[derive(Debug, Clone)]
pub struct Bucket {
    backend: Arc<dyn Backend>,
    slots: Arc<Semaphore>,
    counters: Arc<Counters>,
    address: Arc<str>,
}

impl Bucket {
    /// Opens `s3://name?endpoint=…&region=…` or a folder (made when missing). Nothing is asked of a
    /// remote store yet.
    pub fn open(runtime: &Runtime, address: &str, options: &BucketOptions) -> Result<Self, BucketError> {
        let backend: Arc<dyn Backend> = if address.starts_with("s3://") {
            Arc::new(s3::open(address, options)?)
        } else if let Some((scheme, _)) = address.split_once("://") {
            return Err(BucketError::Address {
                address: address.to_owned(),
                reason: format!("scheme `{scheme}` is not known; expected a folder or s3://name"),
            });
        } else {
            Arc::new(Folder::open(runtime, PathBuf::from(address))?)
        };
        let concurrency = if options.concurrency == 0 { CONCURRENCY } else { options.concurrency };
        Ok(Bucket {
            backend,
            slots: Arc::new(Semaphore::new(concurrency)),
            counters: Arc::default(),
            address: Arc::from(address),
        })
    }

    /// A bucket over any backend: tests with faults.
    pub fn with_backend(backend: Arc<dyn Backend>) -> Self {
        Bucket {
            backend,
            slots: Arc::new(Semaphore::new(CONCURRENCY)),
            counters: Arc::default(),
            address: Arc::from("custom"),
        }
    }

    /// What lies below: to wrap it.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// As it was opened.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Counters since it was opened.
    pub fn stats(&self) -> BucketStats {
        let c = &self.counters;
        BucketStats {
            gets: c.gets.load(Ordering::Relaxed),
            get_bytes: c.get_bytes.load(Ordering::Relaxed),
            puts: c.puts.load(Ordering::Relaxed),
            put_bytes: c.put_bytes.load(Ordering::Relaxed),
            lists: c.lists.load(Ordering::Relaxed),
            deletes: c.deletes.load(Ordering::Relaxed),
            errors: c.errors.load(Ordering::Relaxed),
        }
    }

    fn count<T>(&self, result: Result<T, BucketError>) -> Result<T, BucketError> {
        if let Err(error) = &result
            && !matches!(error, BucketError::NotFound(_) | BucketError::AlreadyExists(_))
        {
            self.counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn slot(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.slots.acquire().await.expect("the semaphore is never closed")
    }

    /// A whole object.
    pub async fn get(&self, path: &str) -> Result<Bytes, BucketError> {
        let _slot = self.slot().await;
        self.counters.gets.fetch_add(1, Ordering::Relaxed);
        let bytes = self.count(self.backend.get(path).await)?;
        self.counters.get_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// One range of an object.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let _slot = self.slot().await;
        self.counters.gets.fetch_add(1, Ordering::Relaxed);
        let wanted = range.end - range.start;
        let bytes = self.count(self.backend.get_range(path, range.clone()).await)?;
        if bytes.len() as u64 != wanted {
            return Err(BucketError::Range { path: path.to_owned(), end: range.end });
        }
        self.counters.get_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Several ranges of an object, ascending and not overlapping, in their order. Ranges with small
    /// gaps are fetched as one.
    pub async fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, BucketError> {
        let fetches = coalesce(ranges);
        let parts = futures::future::try_join_all(
            fetches.iter().map(|(fetch, _)| self.get_range(path, fetch.clone())),
        )
        .await?;
        let mut out = Vec::with_capacity(ranges.len());
        for ((fetch, members), bytes) in fetches.iter().zip(parts) {
            for range in &ranges[members.clone()] {
                let start = usize::try_from(range.start - fetch.start).unwrap_or(usize::MAX);
                let end = usize::try_from(range.end - fetch.start).unwrap_or(usize::MAX);
                out.push(bytes.slice(start..end));
            }
        }
        Ok(out)
    }

    /// Creates an object unless one of that name exists.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<(), BucketError> {
        let _slot = self.slot().await;
        let length = bytes.len() as u64;
        self.count(self.backend.put_if_absent(path, bytes).await)?;
        self.counters.puts.fetch_add(1, Ordering::Relaxed);
        self.counters.put_bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes of an object.
    pub async fn head(&self, path: &str) -> Result<u64, BucketError> {
        let _slot = self.slot().await;
        self.count(self.backend.head(path).await)
    }

    /// Deletes an object; fine when there is none.
    pub async fn delete(&self, path: &str) -> Result<(), BucketError> {
        let _slot = self.slot().await;
        self.count(self.backend.delete(path).await)?;
        self.counters.deletes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Up to `max` objects below the folder `prefix`, sorted, those after `after` only.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let _slot = self.slot().await;
        self.counters.lists.fetch_add(1, Ordering::Relaxed);
        self.count(self.backend.list(prefix, after, max).await)
    }

    /// Names of the folders directly in `prefix`, sorted.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let _slot = self.slot().await;
        self.counters.lists.fetch_add(1, Ordering::Relaxed);
        self.count(self.backend.list_folders(prefix).await)
    }

    /// Deletes what a crash left of unfinished puts (a folder's alone; a store has none). For the one process
    /// that writes, before it does.
    pub async fn remove_leftovers(&self) -> Result<usize, BucketError> {
        self.count(self.backend.remove_leftovers().await)
    }
}

/// Joins ranges with small gaps: what to fetch, and which of `ranges` lie in it.
fn coalesce(ranges: &[Range<u64>]) -> Vec<(Range<u64>, Range<usize>)> {
    let mut out: Vec<(Range<u64>, Range<usize>)> = Vec::new();
    for (i, range) in ranges.iter().enumerate() {
        match out.last_mut() {
            Some((fetch, members))
                if range.start >= fetch.end
                    && range.start - fetch.end <= COALESCE_GAP_BYTES
                    && range.end - fetch.start <= COALESCE_BYTES_MAX =>
            {
                fetch.end = range.end;
                members.end = i + 1;
            }
            _ => out.push((range.clone(), i..i + 1)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_fetched_as_one() {
        let far = 10 << 20;
        assert_eq!(
            coalesce(&[0..10, 10..20, 100..200, far..far + 5]),
            vec![(0..200, 0..3), (far..far + 5, 3..4)]
        );
    }
}
