//! One replicated group: propose, wait, read how far it is.

mod log_store;
mod machine;
mod network;
mod snapshot;
mod state_machine;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{GroupId, LogPosition, NodeId};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::error::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::impls::BasicNode;
use openraft::{Config, Raft, ReadPolicy, SnapshotPolicy};
use runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::error::{Error, ProposeError};
use crate::types::{LogId, Payload, Types, position};
use crate::wal::{GroupLog, Trouble, Wal};

use log_store::LogStore;
use machine::Machine;
use network::Network;
pub use state_machine::{SnapshotDir, SnapshotJob, StateMachine};

/// Bytes of the largest proposal.
pub const PROPOSAL_BYTES_MAX: usize = 64 << 20;

/// How long a proposal looks for a leader.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(10);
const LEADER_RETRY_AFTER: Duration = Duration::from_millis(5);
/// Proposals on their way are admitted in units of this.
const ADMISSION_UNIT_BYTES: usize = 1024;

/// A running group; clones are the same group.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    id: GroupId,
    node: u64,
    runtime: Runtime,
    raft: Raft<Types, Machine>,
    wal: Arc<Wal>,
    log: Arc<GroupLog>,
    applied: watch::Receiver<Option<LogId>>,
    admission: Arc<Semaphore>,
    admission_units: u32,
    /// One snapshot at a time on a node.
    snapshots: Arc<tokio::sync::Mutex<()>>,
}

/// What groups of one node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) runtime: Runtime,
    pub(crate) node: NodeId,
    pub(crate) address: String,
    pub(crate) wal: Arc<Wal>,
    pub(crate) admission: Arc<Semaphore>,
    pub(crate) admission_units: u32,
    pub(crate) snapshots: Arc<tokio::sync::Mutex<()>>,
}

/// Units of admission for so many bytes in flight.
pub(crate) fn admission_units(bytes: u64) -> u32 {
    u32::try_from(bytes / ADMISSION_UNIT_BYTES as u64).unwrap_or(u32::MAX).max(1)
}

/// openraft's settings for every group.
///
/// `enable_leader_restore` must be off: a leader that restarts into its old term without an election
/// hands out log positions again that followers hold already, and acknowledged entries are lost.
fn raft_config() -> Result<Arc<Config>, Error> {
    let config = Config {
        cluster_name: "epimetheus".into(),
        heartbeat_interval: 100,
        heartbeat_min_interval: Some(100),
        election_timeout_min: 500,
        election_timeout_max: 1000,
        max_payload_entries: 64,
        api_channel_size: Some(1024),
        notification_channel_size: Some(1024),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        replication_lag_threshold: 1 << 32,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    let config =
        config.validate().map_err(|error| Error::Setting { setting: "raft", reason: error.to_string() })?;
    assert_eq!(config.enable_leader_restore, Some(false), "leader restore loses acknowledged entries");
    Ok(Arc::new(config))
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Group {
    /// Restores the state, starts the group, and makes it elect itself when it has no other voter.
    pub(crate) async fn start(
        shared: &Shared,
        id: GroupId,
        machine: Box<dyn StateMachine>,
        dir: SnapshotDir,
    ) -> Result<Self, Error> {
        let log = shared.wal.group(id);
        let store = LogStore { wal: Arc::clone(&shared.wal), group: Arc::clone(&log) };
        dir.create().map_err(Error::io(format!("snapshot folder {}", dir.path().display())))?;
        let (applied_sender, applied) = watch::channel(None);
        let mut machine = Machine::new(machine, dir, store.clone(), applied_sender);
        machine.recover().await.map_err(Error::io(format!("restoring group {id}")))?;
        let node = shared.node.0;
        let stopped = |reason: String| Error::Stopped { group: id, reason };
        let raft = Box::pin(Raft::new(node, raft_config()?, Network, store, machine));
        let raft = raft.await.map_err(|error| stopped(error.to_string()))?;
        let fatal = |error: openraft::error::Fatal<Types>| stopped(error.to_string());
        if !raft.is_initialized().await.map_err(fatal)? {
            let members = [(node, BasicNode { addr: shared.address.clone() })];
            let members: std::collections::BTreeMap<u64, BasicNode> = members.into_iter().collect();
            raft.initialize(members).await.map_err(|error| stopped(error.to_string()))?;
        } else if raft.voter_ids().eq([node]) {
            raft.trigger().elect(false).await.map_err(fatal)?;
        }
        let inner = Inner {
            id,
            node,
            runtime: shared.runtime.clone(),
            raft,
            wal: Arc::clone(&shared.wal),
            log,
            applied,
            admission: Arc::clone(&shared.admission),
            admission_units: shared.admission_units,
            snapshots: Arc::clone(&shared.snapshots),
        };
        Ok(Group { inner: Arc::new(inner) })
    }

    /// Which group it is.
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// Puts `payload` into the log; returns where it went and what the state machine answered once
    /// it is on a majority's disks and applied here. Waits while too many bytes are on their way.
    pub async fn propose(&self, payload: Bytes) -> Result<(LogPosition, Bytes), ProposeError> {
        let inner = &*self.inner;
        if payload.len() > PROPOSAL_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: payload.len(), max: PROPOSAL_BYTES_MAX });
        }
        let mut trouble = inner.wal.shared.trouble.subscribe();
        let write = self.write(payload);
        tokio::select! { biased;
            trouble = trouble.wait_for(Option::is_some) => {
                let trouble = trouble.ok().and_then(|trouble| trouble.clone());
                Err(self.trouble(trouble))
            }
            answer = write => answer,
        }
    }

    fn trouble(&self, trouble: Option<Trouble>) -> ProposeError {
        match trouble {
            Some(Trouble { reason, fatal: false }) => ProposeError::Disk { reason },
            Some(Trouble { reason, fatal: true }) => ProposeError::Stopped { group: self.inner.id, reason },
            None => self.stopped("the write-ahead log is closed"),
        }
    }

    fn stopped(&self, reason: impl fmt::Display) -> ProposeError {
        ProposeError::Stopped { group: self.inner.id, reason: reason.to_string() }
    }

    async fn write(&self, payload: Bytes) -> Result<(LogPosition, Bytes), ProposeError> {
        let inner = &*self.inner;
        let units = payload.len() / ADMISSION_UNIT_BYTES + 1;
        let units = u32::try_from(units).unwrap_or(u32::MAX).min(inner.admission_units);
        let admitted = inner.admission.acquire_many(units).await;
        let _admitted = admitted.map_err(|_| self.stopped("the cluster is shut down"))?;
        let group = inner.id;
        let started = inner.runtime.monotonic();
        loop {
            let error = match inner.raft.client_write(Payload(payload.clone())).await {
                Ok(written) => return Ok((position(&written.log_id), written.data.0)),
                Err(RaftError::APIError(error)) => error,
                Err(RaftError::Fatal(error)) => return Err(self.stopped(error)),
            };
            let ClientWriteError::ForwardToLeader(forward) = error else {
                return Err(ProposeError::LeaderLost { group });
            };
            self.retry_or_forward(&forward)?;
            if inner.runtime.monotonic() - started > LEADER_WAIT_MAX {
                return Err(ProposeError::NoLeader { group });
            }
            inner.runtime.sleep(LEADER_RETRY_AFTER).await;
        }
    }

    /// "Forward to nobody" passes by itself: an election, a lease not yet renewed.
    fn retry_or_forward(&self, forward: &ForwardToLeader<Types>) -> Result<(), ProposeError> {
        match forward.leader_id {
            Some(leader) if leader != self.inner.node => {
                Err(ProposeError::NotLeader { group: self.inner.id, leader: NodeId(leader) })
            }
            _ => Ok(()),
        }
    }

    /// Completes once this node leads the group and has applied all that was committed before.
    pub async fn is_ready(&self) -> Result<(), ProposeError> {
        let inner = &*self.inner;
        let started = inner.runtime.monotonic();
        loop {
            match inner.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
                Ok(_) => return Ok(()),
                Err(RaftError::Fatal(error)) => return Err(self.stopped(error)),
                Err(RaftError::APIError(error)) => {
                    if let openraft::error::LinearizableReadError::ForwardToLeader(forward) = &error {
                        self.retry_or_forward(forward)?;
                    }
                }
            }
            if inner.runtime.monotonic() - started > LEADER_WAIT_MAX {
                return Err(ProposeError::NoLeader { group: inner.id });
            }
            inner.runtime.sleep(LEADER_RETRY_AFTER).await;
        }
    }

    /// The last entry that is durable on this node.
    pub fn flushed(&self) -> LogPosition {
        self.inner.log.flushed.borrow().as_ref().map(position).unwrap_or_default()
    }

    /// Completes once the entry at `position` is durable on this node.
    pub async fn wait_flushed(&self, position: LogPosition) {
        let mut flushed = self.inner.log.flushed.subscribe();
        // fails only without a sender, and the log holds it
        let _closed =
            flushed.wait_for(|last| last.is_some_and(|last| last.index >= position.index)).await.is_err();
    }

    /// The last entry that is applied on this node.
    pub fn applied(&self) -> LogPosition {
        self.inner.applied.borrow().as_ref().map(position).unwrap_or_default()
    }

    /// Completes once the entry at `position` is applied on this node, or the group has stopped.
    pub async fn wait_applied(&self, position: LogPosition) {
        let mut applied = self.inner.applied.clone();
        let _stopped =
            applied.wait_for(|last| last.is_some_and(|last| last.index >= position.index)).await.is_err();
    }

    /// The node that leads the group, as far as this one knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.raft.metrics().borrow_watched().current_leader.map(NodeId)
    }

    /// Whether this node leads the group.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(NodeId(self.inner.node))
    }

    /// Bytes the group's entries take in the log.
    pub fn log_bytes(&self) -> u64 {
        self.inner.log.state.lock().live_bytes
    }

    /// Where the latest durable snapshot ends; the default position when there is none.
    pub fn snapshot_position(&self) -> LogPosition {
        let snapshot = self.inner.log.state.lock().snapshot.clone();
        snapshot.and_then(|snapshot| snapshot.last).as_ref().map(position).unwrap_or_default()
    }

    pub(crate) async fn stop(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(group = %self.inner.id, %error, "group did not stop cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use runtime::SimulatedDisk;

    use super::*;
    use crate::cluster::{Cluster, ClusterConfig};

    struct Nothing;

    impl StateMachine for Nothing {
        fn apply(&mut self, _: LogPosition, payload: &Bytes) -> Bytes {
            payload.clone()
        }

        fn snapshot(&mut self) -> SnapshotJob {
            Box::new(|_| Ok(Bytes::new()))
        }

        fn restore(&mut self, _: &Bytes, _: &SnapshotDir) -> io::Result<()> {
            Ok(())
        }

        fn collect_garbage(&mut self, _: &Bytes, _: &SnapshotDir) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn leader_restore_is_off() {
        assert_eq!(raft_config().unwrap().enable_leader_restore, Some(false));
    }

    #[test]
    fn an_election_during_a_stalled_fsync_counts_nothing_as_durable() {
        let disk = SimulatedDisk::new(1);
        let runtime = Runtime::simulated(1).with_disk(Arc::new(disk.clone()));
        runtime.block_on(async {
            let cluster =
                Cluster::open(runtime.clone(), ClusterConfig::new("/data", NodeId(1))).await.unwrap();
            let group = cluster.start_group(GroupId(1), Box::new(Nothing)).await.unwrap();
            group.is_ready().await.unwrap();
            let (flushed, applied) = (group.flushed(), group.applied());
            disk.set_faults(|faults| faults.stall_syncs = true);
            let proposal = runtime.spawn("proposal", {
                let group = group.clone();
                async move { group.propose(Bytes::from_static(b"in flight")).await }
            });
            runtime.sleep(Duration::from_millis(10)).await;
            group.inner.raft.trigger().elect(false).await.unwrap();
            runtime.sleep(Duration::from_secs(60)).await;
            assert!(!proposal.is_finished(), "acknowledged without an fsync");
            assert_eq!((group.flushed(), group.applied()), (flushed, applied));
            disk.set_faults(|faults| faults.stall_syncs = false);
            group.is_ready().await.unwrap();
            let (position, answer) = group.propose(Bytes::from_static(b"after")).await.unwrap();
            assert!(group.flushed() >= position);
            assert_eq!(answer, "after");
            // written before the election: taken over by the new term, or refused; not forgotten
            if let Ok((position, answer)) = proposal.await.unwrap() {
                assert!(position <= group.applied());
                assert_eq!(answer, "in flight");
            }
        });
    }
}
