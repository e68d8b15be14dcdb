//! Files: the machine's, or a simulation's that can lose what no fsync covers.
//!
//! A write is durable once `sync_data` of the file returned; a name (created, renamed, removed)
//! once `sync_dir` of its folder returned. Calls block: make them from `Runtime::spawn_loop`,
//! `Runtime::blocking` or `Runtime::cpu`, not from a task.

mod real;
mod simulated;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use real::RealDisk;
pub use simulated::{DiskFaults, SimulatedDisk};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; reading only.
    Read,
    /// It must exist; reading and writing.
    Write,
    /// It must not exist; reading and writing.
    CreateNew,
    /// Made if missing, otherwise kept as it is; reading and writing.
    CreateOrOpen,
    /// Made if missing, otherwise emptied; reading and writing.
    Truncate,
}

/// What a folder lists or `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// Name within the folder.
    pub name: String,
    /// Bytes of a file; 0 for a folder.
    pub len: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A lock on a folder's use by this process, released when dropped.
#[derive(Debug)]
pub struct DiskLock(#[expect(dead_code, reason = "held, not used")] Option<std::fs::File>);

/// The file system.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames within one file system, replacing the target. Durable after `sync_dir` of both folders.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with everything in it; fine when there is none.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;
    /// What lies at `path`; `None` when nothing does.
    fn stat(&self, path: &Path) -> io::Result<Option<DiskEntry>>;
    /// Makes a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes a lock file for this process, made if missing; held until the value is dropped. Fails
    /// with `WouldBlock` while another holds it. A simulated disk has one user and locks nothing.
    fn lock(&self, path: &Path) -> io::Result<DiskLock>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file so that a crash leaves the old one or the new one, never a part: a temporary
    /// file, fsync, rename, fsync of the folder.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut temporary = name.to_os_string();
        temporary.push(".tmp");
        let temporary = path.with_file_name(temporary);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.write_at(0, bytes)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => self.sync_dir(dir),
            _ => self.sync_dir(Path::new(".")),
        }
    }
}

/// An open file. Reads and writes name their offset; the file has no position.
pub trait DiskFile: Send + Sync + fmt::Debug + 'static {
    /// Reads what is there, up to `into.len()` bytes; 0 at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `parts`, one after the other, from `offset`. After an error any part may have
    /// been written.
    fn write_vectored_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes everything written so far durable, the length included.
    fn sync_data(&self) -> io::Result<()>;

    /// As `sync_data`; in a simulation it takes the time that is set for it. Blocks on a real disk.
    fn sync_data_timed(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(self.sync_data()))
    }

    /// Writes all of `bytes` from `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_vectored_at(offset, &mut [IoSlice::new(bytes)])
    }

    /// Writes at the end.
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_at(self.len()?, bytes)
    }

    /// Fills `into`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            let read = self.read_at(offset, into)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += read as u64;
            into = &mut into[read..];
        }
        Ok(())
    }

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
