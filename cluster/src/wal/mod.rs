//! The write-ahead log that all groups of a node share.
//!
//! One queue, one writer, first in first out for entries, votes, truncations, purges and snapshots.
//! What is acknowledged is durable; what is appended is readable at once.

mod log;
pub(crate) mod record;
mod recovery;
mod repair;
mod scan;
mod segment;
mod shared;
mod span;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::GroupId;
use runtime::{Disk, DiskLock, Runtime, Task};
use tokio::sync::{mpsc, oneshot};

pub(crate) use log::{Found, GroupLog, LogState, Slot, payload_len};
use recovery::{Failure, Recovered, Segment, last_index};
pub use repair::{RepairReport, repair};
use shared::Shared;
pub(crate) use shared::Trouble;
pub use shared::WalStats;
pub(crate) use writer::{Limits, Request};
use writer::{Writer, Written};

use crate::error::Error;

const QUEUE_REQUESTS_MAX: usize = 1024;

/// Settings of the log.
#[derive(Debug, Clone)]
pub(crate) struct WalConfig {
    pub(crate) data_dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) cache_bytes_max: u64,
}

/// The folder of the log in a data directory.
pub(crate) fn wal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("wal")
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Wal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Runtime,
    requests: mpsc::Sender<Request>,
    writer: parking_lot::Mutex<Option<Task<()>>>,
}

impl Wal {
    /// Reads the log back, cuts a torn tail, begins a new segment, starts the writer.
    pub(crate) async fn open(runtime: Runtime, config: WalConfig) -> Result<Self, Error> {
        let dir = wal_dir(&config.data_dir);
        let disk = runtime.disk();
        let lock = lock(&runtime, &config.data_dir).await?;
        let opened = {
            let dir = dir.clone();
            runtime.blocking(move || start(&*disk, &dir)).await
        };
        let opened = opened.map_err(|error| Error::Io {
            what: "reading the write-ahead log".into(),
            source: io::Error::other(error),
        })?;
        let (recovered, active) = opened.map_err(|failure| describe(failure, &config.data_dir))?;
        tracing::info!(
            segments = recovered.segments.len(),
            groups = recovered.groups.len(),
            entries = recovered.entries,
            torn = recovered.torn,
            "write-ahead log read"
        );
        let mut groups = BTreeMap::new();
        let mut written = BTreeMap::new();
        for (id, group) in recovered.groups {
            let last = last_index(&group.log);
            written.insert(id, Written { checkpoint: group.checkpoint, spans: group.spans, last });
            groups.insert(id, Arc::new(GroupLog::new(id, group.log)));
        }
        let mut segments = recovered.segments;
        segments.insert(active.number, Segment { file: Arc::clone(&active.file), bytes: active.offset });
        let shared = Arc::new(Shared::new(groups, segments, config.cache_bytes_max));
        let (sender, requests) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let writer = Writer {
            runtime: runtime.clone(),
            disk: runtime.disk(),
            dir,
            limits: config.limits,
            requests,
            shared: Arc::clone(&shared),
            groups: written,
            durable: active.offset,
            active,
            sealed: false,
            free: recovered.free,
            failed: None,
            _lock: lock,
        };
        writer.publish_floors();
        let task = runtime.spawn_loop("wal-writer", writer.run());
        Ok(Wal { shared, runtime, requests: sender, writer: parking_lot::Mutex::new(Some(task)) })
    }

    /// The group's log, empty if it is new.
    pub(crate) fn group(&self, id: GroupId) -> Arc<GroupLog> {
        let mut groups = self.shared.groups.lock();
        Arc::clone(groups.entry(id).or_insert_with(|| Arc::new(GroupLog::new(id, LogState::default()))))
    }

    /// Puts a request into the queue, waiting while it is full.
    pub(crate) async fn send(&self, request: Request) -> io::Result<()> {
        self.requests.send(request).await.map_err(|_| io::Error::other("the write-ahead log is closed"))
    }

    /// Puts a request into the queue and waits for it to be durable.
    pub(crate) async fn send_and_wait(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(request(done)).await?;
        answer.await.map_err(|_| io::Error::other("the write-ahead log is closed"))?
    }

    /// Everything sent before is durable when this returns.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.send_and_wait(|done| Request::Flush { done, close: false }).await
    }

    /// Writes out what is queued and ends the writer. While the disk refuses, gives up at once.
    pub(crate) async fn close(&self) -> io::Result<()> {
        self.shared.closing.store(true, Ordering::Relaxed);
        let task = self.writer.lock().take();
        let Some(task) = task else { return Ok(()) };
        let flushed = self.send_and_wait(|done| Request::Flush { done, close: true }).await;
        let ended = task.await.map_err(io::Error::other);
        flushed.and(ended)
    }
}

const LOCK_FILE: &str = "lock";
/// How long a predecessor that is just ending may hold the data directory.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(50);

/// Makes sure that this is the only process, and the only cluster in it, that writes here.
async fn lock(runtime: &Runtime, data_dir: &Path) -> Result<DiskLock, Error> {
    let started = runtime.monotonic();
    loop {
        match try_lock(&*runtime.disk(), data_dir) {
            Err(Error::InUse { .. }) if runtime.monotonic() - started < LOCK_WAIT_MAX => {
                runtime.sleep(LOCK_RETRY_AFTER).await;
            }
            other => return other,
        }
    }
}

fn try_lock(disk: &dyn Disk, data_dir: &Path) -> Result<DiskLock, Error> {
    let path = data_dir.join(LOCK_FILE);
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::InUse { data_dir: data_dir.display().to_string() },
        _ => Error::Io { what: format!("lock file {}", path.display()), source },
    })
}

fn start(disk: &dyn Disk, dir: &Path) -> Result<(Recovered, segment::Begun), Failure> {
    let mut recovered = recovery::recover(disk, dir)?;
    // what was read may be in the system's cache only: a process that died need not have synced it
    match (recovered.cut, recovered.segments.last_key_value()) {
        (Some((number, offset)), Some((_, last))) => segment::seal(&*last.file, number, offset)?,
        (None, Some((_, last))) => last.file.sync_data()?,
        (_, None) => {}
    }
    let next = recovered.segments.keys().next_back().map_or(1, |last| last + 1);
    let recycled = recovered.free.pop();
    let checkpoints = recovered.groups.iter().map(|(id, group)| (*id, &group.checkpoint));
    let active = segment::begin(disk, dir, next, recycled, checkpoints)?;
    Ok((recovered, active))
}

pub(crate) fn describe(failure: Failure, data_dir: &Path) -> Error {
    match failure {
        Failure::Io(source) => {
            Error::Io { what: format!("write-ahead log in {}", data_dir.display()), source }
        }
        Failure::Damage(damage) => Error::Damaged {
            segment: segment::name(damage.segment),
            offset: damage.offset,
            reason: damage.reason,
            data_dir: data_dir.display().to_string(),
        },
    }
}
