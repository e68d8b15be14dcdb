//! Takes a snapshot of a group and frees its log.
//!
//! Order: freeze → write files, fsync → manifest in the log, durable → delete unused files → tell
//! openraft → purge the log. A crash between any two leaves the older snapshot with its files, or
//! the newer one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Group;
use super::machine::{Frozen, Machine};
use super::state_machine::SnapshotDir;
use openraft::base::BoxFuture;

use crate::error::Error;
use crate::types::{StoredSnapshot, Types};
use crate::wal::Request;

/// How long openraft may take to notice a snapshot that is already there.
const NOTICE_WAIT_MAX: Duration = Duration::from_secs(30);

fn freeze(machine: &mut Machine) -> BoxFuture<'_, (Option<Frozen>, SnapshotDir)> {
    Box::pin(std::future::ready((machine.freeze(), machine.dir())))
}

fn collect(machine: &mut Machine) -> BoxFuture<'_, ()> {
    machine.collect_garbage();
    Box::pin(std::future::ready(()))
}

impl Group {
    /// Writes a snapshot of what is applied now and drops the log it replaces. Does nothing when
    /// nothing was applied since the last one. Waits for snapshots of other groups.
    pub async fn snapshot_now(&self) -> Result<(), Error> {
        let inner = &*self.inner;
        let _one_at_a_time = inner.snapshots.lock().await;
        let stopped = |error: openraft::error::Fatal<Types>| Error::Stopped {
            group: inner.id,
            reason: error.to_string(),
        };
        let (frozen, dir) = inner.raft.with_state_machine(freeze).await.map_err(stopped)?;
        if let Some(frozen) = frozen {
            let what = || Error::io(format!("snapshot of group {}", inner.id));
            let job = frozen.job;
            let manifest = inner.runtime.blocking(move || job(&dir)).await;
            let manifest = manifest.map_err(io::Error::other).flatten().map_err(what())?;
            let snapshot =
                Arc::new(StoredSnapshot { last: frozen.last, membership: frozen.membership, manifest });
            let group = Arc::clone(&inner.log);
            let stored = inner.wal.send_and_wait(|done| Request::Snapshot { group, snapshot, done }).await;
            stored.map_err(what())?;
            inner.raft.with_state_machine(collect).await.map_err(stopped)?;
        }
        self.release_log().await
    }

    /// Tells openraft of the snapshot there is and drops the log up to it.
    async fn release_log(&self) -> Result<(), Error> {
        let inner = &*self.inner;
        let stopped = |error: String| Error::Stopped { group: inner.id, reason: error };
        let last = inner.log.state.lock().snapshot.as_ref().and_then(|snapshot| snapshot.last);
        let Some(last) = last else { return Ok(()) };
        if inner.log.state.lock().purged >= Some(last) {
            return Ok(());
        }
        let trigger = inner.raft.trigger();
        trigger.snapshot().await.map_err(|error| stopped(error.to_string()))?;
        let noticed = inner.raft.wait(Some(NOTICE_WAIT_MAX));
        let noticed = noticed.metrics(|metrics| metrics.snapshot >= Some(last), "snapshot noticed").await;
        noticed.map_err(|error| stopped(error.to_string()))?;
        trigger.purge_log(last.index).await.map_err(|error| stopped(error.to_string()))?;
        let purged = inner.raft.wait(Some(NOTICE_WAIT_MAX));
        let purged = purged.metrics(|metrics| metrics.purged >= Some(last), "log purged").await;
        purged.map_err(|error| stopped(error.to_string()))?;
        Ok(())
    }
}
