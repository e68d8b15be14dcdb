//! One node: its groups over its write-ahead log.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::{GroupId, NodeId};
use parking_lot::Mutex;
use runtime::{Runtime, Shutdown, Task};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::group::{self, Group, SnapshotDir, StateMachine};
use crate::keeper;
use crate::wal::{Limits, Wal, WalConfig, WalStats};

/// Settings of a node.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Where the log (`wal/`) and the snapshots (`snapshots/`) lie.
    pub data_dir: PathBuf,
    /// This node.
    pub node_id: NodeId,
    /// Where other nodes reach it.
    pub address: String,
    /// A group is snapshotted once its log exceeds this.
    pub snapshot_log_bytes: u64,
    /// A segment of the log is closed once it exceeds this.
    pub segment_bytes: u64,
    /// Groups that hold old segments are snapshotted once all segments together exceed this.
    pub wal_bytes_max: u64,
    /// Written and applied entries kept in memory.
    pub cache_bytes: u64,
    /// Proposals on their way, over all groups; more wait.
    pub in_flight_bytes: u64,
}

impl ClusterConfig {
    /// The defaults for a node.
    pub fn new(data_dir: impl Into<PathBuf>, node_id: NodeId) -> Self {
        ClusterConfig {
            data_dir: data_dir.into(),
            node_id,
            address: String::new(),
            snapshot_log_bytes: 256 << 20,
            segment_bytes: 64 << 20,
            wal_bytes_max: 640 << 20,
            cache_bytes: 1 << 20,
            in_flight_bytes: 64 << 20,
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let setting = |setting, reason: &str| Err(Error::Setting { setting, reason: reason.into() });
        if self.segment_bytes < 4096 {
            return setting("segment_bytes", "at least 4096");
        }
        if self.wal_bytes_max < 2 * self.segment_bytes {
            return setting("wal_bytes_max", "at least two segments");
        }
        if self.in_flight_bytes < 1024 {
            return setting("in_flight_bytes", "at least 1024");
        }
        Ok(())
    }
}

/// What a node counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterStats {
    /// The log.
    pub wal: WalStats,
    /// The running groups.
    pub groups: Vec<GroupStats>,
    /// Why the log cannot be written, when it cannot.
    pub trouble: Option<String>,
}

/// What a group counts.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupStats {
    /// Which one.
    pub group: GroupId,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Index of the last durable entry.
    pub flushed_index: u64,
    /// Index of the last entry the latest snapshot holds.
    pub snapshot_index: u64,
    /// Bytes of its entries in the log.
    pub log_bytes: u64,
    /// Whether this node leads it.
    pub is_leader: bool,
}

pub(crate) struct Inner {
    pub(crate) config: ClusterConfig,
    pub(crate) runtime: Runtime,
    pub(crate) wal: Arc<Wal>,
    groups: Mutex<BTreeMap<GroupId, Group>>,
    shared: group::Shared,
    shutdown: Shutdown,
    keeper: Mutex<Option<Task<()>>>,
}

impl Inner {
    pub(crate) fn running(&self) -> Vec<Group> {
        self.groups.lock().values().cloned().collect()
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<Group> {
        self.groups.lock().get(&id).cloned()
    }
}

/// One node; clones are the same node.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("node", &self.inner.config.node_id).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Opens the log under the data directory, or makes it. A torn last write is cut; damage
    /// elsewhere is an error that names the repair.
    pub async fn open(runtime: Runtime, config: ClusterConfig) -> Result<Self, Error> {
        config.validate()?;
        let disk = runtime.disk();
        let data_dir = config.data_dir.clone();
        disk.create_dir_all(&data_dir)
            .map_err(Error::io(format!("data directory {}", data_dir.display())))?;
        let wal = WalConfig {
            data_dir,
            limits: Limits {
                segment_bytes: config.segment_bytes,
                group_bytes: config.snapshot_log_bytes,
                total_bytes: config.wal_bytes_max,
            },
            cache_bytes_max: config.cache_bytes,
        };
        let wal = Arc::new(Wal::open(runtime.clone(), wal).await?);
        let admission_units = group::admission_units(config.in_flight_bytes);
        let shared = group::Shared {
            runtime: runtime.clone(),
            node: config.node_id,
            address: config.address.clone(),
            wal: Arc::clone(&wal),
            admission: Arc::new(Semaphore::new(admission_units as usize)),
            admission_units,
            snapshots: Arc::new(tokio::sync::Mutex::new(())),
        };
        let shutdown = Shutdown::new();
        let inner = Arc::new(Inner {
            config,
            runtime: runtime.clone(),
            wal,
            groups: Mutex::new(BTreeMap::new()),
            shared,
            shutdown: shutdown.clone(),
            keeper: Mutex::new(None),
        });
        let keeper = runtime
            .spawn("wal-keeper", keeper::run(Arc::downgrade(&inner), Arc::clone(&inner.wal), shutdown));
        *inner.keeper.lock() = Some(keeper);
        Ok(Cluster { inner })
    }

    /// Starts a group: restores its latest snapshot into `machine`, applies what was committed
    /// after, and takes part in elections. `machine` must be empty.
    pub async fn start_group(&self, id: GroupId, machine: Box<dyn StateMachine>) -> Result<Group, Error> {
        if self.inner.group(id).is_some() {
            return Err(Error::Running(id));
        }
        let path = self.inner.config.data_dir.join("snapshots").join(format!("group-{id}"));
        let dir = SnapshotDir::new(self.inner.runtime.disk(), path);
        let group = Box::pin(Group::start(&self.inner.shared, id, machine, dir)).await?;
        match self.inner.groups.lock().entry(id) {
            std::collections::btree_map::Entry::Occupied(_) => Err(Error::Running(id)),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(group.clone());
                Ok(group)
            }
        }
    }

    /// A running group.
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.inner.group(id)
    }

    /// The groups the log knows, running or not.
    pub fn known_groups(&self) -> Vec<GroupId> {
        self.inner.wal.shared.groups.lock().keys().copied().collect()
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.inner.config.node_id
    }

    /// Counts, now.
    pub fn stats(&self) -> ClusterStats {
        let group = |group: &Group| GroupStats {
            group: group.id(),
            applied_index: group.applied().index,
            flushed_index: group.flushed().index,
            snapshot_index: group.snapshot_position().index,
            log_bytes: group.log_bytes(),
            is_leader: group.is_leader(),
        };
        let trouble = self.inner.wal.shared.trouble.borrow().as_ref().map(|trouble| trouble.reason.clone());
        let groups = self.inner.running().iter().map(group).collect();
        ClusterStats { wal: self.inner.wal.shared.stats(), groups, trouble }
    }

    /// Stops the groups, writes out the log and closes it. Proposals fail from now on.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.inner.shutdown.trigger();
        let keeper = self.inner.keeper.lock().take();
        if let Some(keeper) = keeper
            && let Err(error) = keeper.await
        {
            tracing::warn!(%error, "keeper did not end cleanly");
        }
        self.inner.shared.admission.close();
        let groups = std::mem::take(&mut *self.inner.groups.lock());
        for group in groups.values() {
            group.stop().await;
        }
        self.inner.wal.close().await.map_err(Error::io("closing the write-ahead log"))
    }
}
