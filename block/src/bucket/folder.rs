//! A folder as bucket: a put is durable when it returns, file and names, and is never seen in part.
//!
//! An object is written under a temporary name in its folder, fsynced, then renamed to its own name if that
//! is free, then the folder is fsynced. One process writes to a folder (the data directory is locked); its puts of
//! one name exclude each other here.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use runtime::{Disk, OpenMode, Runtime};

use super::{Backend, ObjectInfo};
use crate::BucketError;

/// Unfinished objects are called so; no object's name begins so.
const TEMPORARY: &str = ".tmp-";
/// Deepest folder a listing walks into.
const DEPTH_MAX: usize = 16;

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Held from "the name is free" until the name is taken durably.
    naming: Mutex<()>,
    sequence: AtomicU64,
    nonce: u64,
}

/// A folder as bucket.
#[derive(Debug)]
pub(super) struct Folder {
    runtime: Runtime,
    inner: Arc<Inner>,
}

fn failed(path: &str, error: &io::Error) -> BucketError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BucketError::NotFound(path.to_owned()),
        io::ErrorKind::PermissionDenied => {
            BucketError::Denied { path: path.to_owned(), reason: error.to_string() }
        }
        _ => BucketError::Unavailable { path: path.to_owned(), reason: error.to_string() },
    }
}

impl Folder {
    pub(super) fn open(runtime: &Runtime, root: PathBuf) -> Result<Self, BucketError> {
        let disk = runtime.disk();
        let inner = Inner {
            disk,
            root,
            naming: Mutex::new(()),
            sequence: AtomicU64::new(0),
            nonce: runtime.random_u64(),
        };
        let root = inner.root.clone();
        inner.make_folder(&root).map_err(|e| BucketError::Address {
            address: root.display().to_string(),
            reason: format!("folder cannot be made: {e}"),
        })?;
        Ok(Folder { runtime: runtime.clone(), inner: Arc::new(inner) })
    }

    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BucketError> {
        let inner = Arc::clone(&self.inner);
        match self.runtime.blocking(move || work(&inner)).await {
            Ok(result) => result.map_err(|e| failed(path, &e)),
            Err(error) => Err(BucketError::Unavailable { path: path.to_owned(), reason: error.to_string() }),
        }
    }
}

impl Inner {
    fn locate(&self, path: &str) -> io::Result<PathBuf> {
        let bad = |part: &str| {
            part.is_empty()
                || part == "."
                || part == ".."
                || part.contains('\\')
                || part.starts_with(TEMPORARY)
        };
        if path.split('/').any(bad) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path of an object"));
        }
        Ok(self.root.join(path))
    }

    /// Makes a folder and what is missing above it, durably.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = folder;
        while !at.as_os_str().is_empty() && self.disk.stat(at)?.is_none() {
            missing.push(at.to_owned());
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.disk.create_dir_all(folder)?;
        for made in missing.iter().rev() {
            match made.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => self.disk.sync_dir(parent)?,
                _ => self.disk.sync_dir(Path::new("."))?,
            }
        }
        Ok(())
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.locate(path)?;
        if self.disk.stat(&target)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        self.make_folder(folder)?;
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{TEMPORARY}{:016x}-{number}", self.nonce));
        let written = self.write_file(&temporary, bytes);
        let result = written.and_then(|()| {
            let _naming = self.naming.lock();
            if self.disk.stat(&target)?.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.disk.rename(&temporary, &target)?;
            self.disk.sync_dir(folder)
        });
        if result.is_err() {
            // a leftover is garbage, not an error; after a failed fsync of the folder it is gone already
            let _leftover = self.disk.remove(&temporary);
        }
        result
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::CreateNew)?;
        file.write_at(0, bytes)?;
        file.sync_data()
    }

    fn read_range(&self, path: &str, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&self.locate(path)?, OpenMode::Read)?;
        let length = file.len()?;
        let end = range.end.min(length);
        let wanted = usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; wanted];
        file.read_exact_at(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Deletes what a crash left unfinished below `folder`.
    fn sweep(&self, folder: &Path, depth: usize) -> io::Result<usize> {
        let mut removed = 0;
        for entry in self.disk.list(folder)? {
            let path = folder.join(&entry.name);
            if entry.is_dir && depth < DEPTH_MAX {
                removed += self.sweep(&path, depth + 1)?;
            } else if entry.name.starts_with(TEMPORARY) {
                self.disk.remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn walk(
        &self,
        folder: &Path,
        path: &str,
        after: Option<&str>,
        depth: usize,
        out: &mut Vec<ObjectInfo>,
    ) -> io::Result<()> {
        let entries = match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            if entry.name.starts_with(TEMPORARY) {
                continue;
            }
            let below = if path.is_empty() { entry.name.clone() } else { format!("{path}/{}", entry.name) };
            if entry.is_dir {
                if depth < DEPTH_MAX {
                    self.walk(&folder.join(&entry.name), &below, after, depth + 1, out)?;
                }
            } else if after.is_none_or(|after| below.as_str() > after) {
                out.push(ObjectInfo { path: below, size: entry.len });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Folder {
    async fn get(&self, path: &str) -> Result<Bytes, BucketError> {
        let name = path.to_owned();
        self.run(path, move |inner| inner.disk.read(&inner.locate(&name)?)).await.map(Bytes::from)
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let name = path.to_owned();
        self.run(path, move |inner| inner.read_range(&name, &range)).await.map(Bytes::from)
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<(), BucketError> {
        let name = path.to_owned();
        let inner = Arc::clone(&self.inner);
        let done = self.runtime.blocking(move || inner.put_if_absent(&name, &bytes)).await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BucketError::AlreadyExists(path.to_owned()))
            }
            Ok(Err(error)) => {
                Err(BucketError::Unavailable { path: path.to_owned(), reason: error.to_string() })
            }
            Err(error) => Err(BucketError::Unavailable { path: path.to_owned(), reason: error.to_string() }),
        }
    }

    async fn head(&self, path: &str) -> Result<u64, BucketError> {
        let name = path.to_owned();
        self.run(path, move |inner| match inner.disk.stat(&inner.locate(&name)?)? {
            Some(entry) if !entry.is_dir => Ok(entry.len),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), BucketError> {
        let name = path.to_owned();
        let done = self.run(path, move |inner| {
            let target = inner.locate(&name)?;
            inner.disk.remove(&target)?;
            match target.parent() {
                Some(folder) => inner.disk.sync_dir(folder),
                None => Ok(()),
            }
        });
        match done.await {
            Err(BucketError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let (name, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.run(prefix, move |inner| {
            let folder = if name.is_empty() { inner.root.clone() } else { inner.locate(&name)? };
            let mut out = Vec::new();
            inner.walk(&folder, &name, after.as_deref(), 0, &mut out)?;
            // folders sort by their names, paths by the slash too
            out.sort_by(|a, b| a.path.cmp(&b.path));
            out.truncate(max);
            Ok(out)
        })
        .await
    }

    async fn remove_leftovers(&self) -> Result<usize, BucketError> {
        self.run("", |inner| inner.sweep(&inner.root, 0)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let name = prefix.to_owned();
        let done = self.run(prefix, move |inner| {
            let folder = if name.is_empty() { inner.root.clone() } else { inner.locate(&name)? };
            let entries = inner.disk.list(&folder)?;
            Ok(entries.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect())
        });
        match done.await {
            Err(BucketError::NotFound(_)) => Ok(Vec::new()),
            other => other,
        }
    }
}
