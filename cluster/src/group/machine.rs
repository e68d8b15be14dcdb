//! openraft's view of a state machine.
//!
//! Snapshots are written by the keeper, outside openraft: a disk that refuses one must not stop the
//! group. openraft is then told to build, and is given the one that is durable already.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, alias};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::log_store::LogStore;
use super::state_machine::{SnapshotDir, SnapshotJob, StateMachine};
use crate::types::{
    Answer, Entry, LogId, SnapshotMeta, StoredMembership, StoredSnapshot, Types, next_index, position,
};
use crate::wal::Request;

/// A state machine with its position in the log.
pub(crate) struct Machine {
    /// Never contended: openraft wants a machine that is `Sync`, ours need not be.
    inner: Mutex<Box<dyn StateMachine>>,
    dir: SnapshotDir,
    store: LogStore,
    applied: Option<LogId>,
    applied_to: watch::Sender<Option<LogId>>,
    membership: StoredMembership,
}

/// A frozen state on its way to disk.
pub(crate) struct Frozen {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) job: SnapshotJob,
}

impl Machine {
    /// An empty machine; `applied` follows what it applies.
    pub(crate) fn new(
        inner: Box<dyn StateMachine>,
        dir: SnapshotDir,
        store: LogStore,
        applied_to: watch::Sender<Option<LogId>>,
    ) -> Self {
        Machine {
            inner: Mutex::new(inner),
            dir,
            store,
            applied: None,
            applied_to,
            membership: StoredMembership::default(),
        }
    }

    /// Restores the latest snapshot and applies what was committed after it, in bounded memory.
    pub(crate) async fn recover(&mut self) -> io::Result<()> {
        let (snapshot, committed) = {
            let state = self.store.group.state.lock();
            (state.snapshot.clone(), state.committed)
        };
        if let Some(snapshot) = snapshot {
            self.inner.get_mut().restore(&snapshot.manifest, &self.dir)?;
            self.inner.get_mut().collect_garbage(&snapshot.manifest, &self.dir)?;
            self.applied = snapshot.last;
            self.membership = snapshot.membership.clone();
        }
        let end = next_index(committed.as_ref());
        let mut next = next_index(self.applied.as_ref());
        let mut entries = std::pin::pin!(self.store.stream(next, end));
        while let Some(entry) = entries.try_next().await? {
            if entry.log_id.index != next {
                break;
            }
            next += 1;
            self.apply_entry(entry);
        }
        if next < end {
            let reason = format!("committed entry {next} is not in the log");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        self.publish();
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry) -> Answer {
        let id = entry.log_id;
        self.applied = Some(id);
        match entry.payload {
            EntryPayload::Blank => Answer::default(),
            EntryPayload::Normal(payload) => Answer(self.inner.get_mut().apply(position(&id), &payload.0)),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(id), membership);
                Answer::default()
            }
        }
    }

    fn publish(&self) {
        if let Some(applied) = self.applied {
            self.store.group.set_applied(applied.index);
        }
        self.applied_to.send_replace(self.applied);
    }

    /// Freezes the state; `None` when nothing was applied since the snapshot there is.
    pub(crate) fn freeze(&mut self) -> Option<Frozen> {
        let current = self.store.group.state.lock().snapshot.clone();
        if self.applied.is_none() || current.is_some_and(|snapshot| snapshot.last == self.applied) {
            return None;
        }
        let job = self.inner.get_mut().snapshot();
        Some(Frozen { last: self.applied, membership: self.membership.clone(), job })
    }

    /// The snapshot is durable and in the log: files it does not use may go.
    pub(crate) fn collect_garbage(&mut self) {
        let Some(snapshot) = self.store.group.state.lock().snapshot.clone() else { return };
        if let Err(error) = self.inner.get_mut().collect_garbage(&snapshot.manifest, &self.dir) {
            tracing::warn!(group = %self.store.group.id, %error, "old snapshot files not removed");
        }
    }

    pub(crate) fn dir(&self) -> SnapshotDir {
        self.dir.clone()
    }
}

/// Hands openraft the snapshot there is.
pub(crate) struct Builder(Arc<StoredSnapshot>);

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<alias::SnapshotOf<Types, Bytes>, io::Error> {
        Ok(Snapshot { meta: self.0.meta(), snapshot: self.0.manifest.clone() })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let answer = self.apply_entry(entry);
            self.publish();
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        self.store.wal.shared.trim();
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let snapshot = self.store.group.state.lock().snapshot.clone();
        match snapshot {
            Some(snapshot) => Some(Builder(snapshot)),
            // asked for with force only where a log was purged, which no log is before a snapshot
            None if force => Some(Builder(Arc::new(StoredSnapshot {
                last: None,
                membership: StoredMembership::default(),
                manifest: Bytes::new(),
            }))),
            None => None,
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let builder = self.try_create_snapshot_builder(true).await;
        builder.expect("with force there always is one")
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, manifest: Bytes) -> Result<(), io::Error> {
        self.inner.get_mut().restore(&manifest, &self.dir)?;
        let snapshot = Arc::new(StoredSnapshot {
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
            manifest,
        });
        let group = Arc::clone(&self.store.group);
        self.store.wal.send_and_wait(|done| Request::Snapshot { group, snapshot, done }).await?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.publish();
        self.collect_garbage();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<alias::SnapshotOf<Types, Bytes>>, io::Error> {
        let snapshot = self.store.group.state.lock().snapshot.clone();
        Ok(snapshot.map(|snapshot| Snapshot { meta: snapshot.meta(), snapshot: snapshot.manifest.clone() }))
    }
}
