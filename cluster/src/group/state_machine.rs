//! What a group replicates, and the folder its snapshots live in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::LogPosition;
use runtime::{Disk, DiskEntry, DiskFile, OpenMode};

/// Writes a frozen state into a folder and returns its manifest. Everything the manifest names is
/// durable when it returns, the names in the folder included.
pub type SnapshotJob = Box<dyn FnOnce(&SnapshotDir) -> io::Result<Bytes> + Send>;

/// A deterministic function of a group's log.
pub trait StateMachine: Send + 'static {
    /// Applies one committed entry, in log order, once in the life of this state. Reads no clock and
    /// no configuration. The answer goes to the proposer.
    fn apply(&mut self, position: LogPosition, payload: &Bytes) -> Bytes;

    /// Freezes the state as it is now, cheaply, and returns the job that writes it. The job runs on
    /// another thread and may use and extend files of earlier snapshots. One job runs at a time.
    fn snapshot(&mut self) -> SnapshotJob;

    /// Replaces the state by the one a manifest describes.
    fn restore(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()>;

    /// Deletes the files in the folder that the manifest, the latest durable one, does not use.
    fn collect_garbage(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()>;
}

/// The folder of a group's snapshots; names in it are flat.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl SnapshotDir {
    /// The folder at `path`.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        SnapshotDir { disk, path }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Opens a file of the folder.
    pub fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.path.join(name), mode)
    }

    /// A whole file.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(&self.path.join(name))
    }

    /// Writes a whole file, durable but for its name: call [`SnapshotDir::sync`] after the last.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.open(name, OpenMode::Truncate)?;
        file.write_at(0, bytes)?;
        file.sync_data()
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.path.join(name))
    }

    /// The files, sorted by name.
    pub fn list(&self) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(&self.path)
    }

    /// Makes the names of the files durable.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.path)
    }

    pub(crate) fn create(&self) -> io::Result<()> {
        self.disk.create_dir_all(&self.path)?;
        for dir in self.path.ancestors().skip(1).take(2) {
            self.disk.sync_dir(dir)?;
        }
        Ok(())
    }
}
