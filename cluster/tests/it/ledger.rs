//! A state machine that remembers every payload it applied, and how a test opens a node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cluster::{Cluster, ClusterConfig, Group, SnapshotDir, SnapshotJob, StateMachine};
use model::{GroupId, LogPosition, NodeId};
use parking_lot::Mutex;
use runtime::{Runtime, SimulatedDisk};

/// What a ledger applied, in order: (log index, number in the payload).
pub(crate) type Applied = Arc<Mutex<Vec<(u64, u64)>>>;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) applied: Applied,
    snapshots: u64,
}

impl Ledger {
    pub(crate) fn new() -> (Box<Self>, Applied) {
        let ledger = Box::new(Ledger::default());
        let applied = Arc::clone(&ledger.applied);
        (ledger, applied)
    }
}

impl StateMachine for Ledger {
    fn apply(&mut self, position: LogPosition, payload: &Bytes) -> Bytes {
        let number = u64::from_le_bytes(payload[..8].try_into().unwrap());
        let mut applied = self.applied.lock();
        applied.push((position.index, number));
        Bytes::copy_from_slice(&(applied.len() as u64).to_le_bytes())
    }

    fn snapshot(&mut self) -> SnapshotJob {
        let applied = self.applied.lock().clone();
        self.snapshots += 1;
        let name = format!("ledger-{}-{}", applied.last().map_or(0, |(index, _)| *index), self.snapshots);
        Box::new(move |dir: &SnapshotDir| {
            let bytes: Vec<u8> = applied
                .iter()
                .flat_map(|(index, number)| [index.to_le_bytes(), number.to_le_bytes()].concat())
                .collect();
            dir.write(&name, &bytes)?;
            dir.sync()?;
            Ok(Bytes::from(name))
        })
    }

    fn restore(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        let name = std::str::from_utf8(manifest).map_err(io::Error::other)?;
        let bytes = dir.read(name)?;
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        *self.applied.lock() = bytes.chunks(16).map(|pair| (word(&pair[..8]), word(&pair[8..]))).collect();
        Ok(())
    }

    fn collect_garbage(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        for entry in dir.list()? {
            if entry.name.as_bytes() != &manifest[..] {
                dir.remove(&entry.name)?;
            }
        }
        Ok(())
    }
}

pub(crate) const GROUP: GroupId = GroupId::FIRST_DATA;

pub(crate) fn payload(number: u64, len: usize) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    // not compressible to a pattern that a shifted read could mistake for itself
    bytes.extend((0..len.saturating_sub(8)).map(|i| (number as u8).wrapping_mul(31).wrapping_add(i as u8)));
    Bytes::from(bytes)
}

pub(crate) fn config(data_dir: impl Into<PathBuf>) -> ClusterConfig {
    ClusterConfig {
        segment_bytes: 64 << 10,
        wal_bytes_max: 1 << 20,
        ..ClusterConfig::new(data_dir, NodeId(1))
    }
}

pub(crate) async fn start(cluster: &Cluster, id: GroupId) -> (Group, Applied) {
    let (ledger, applied) = Ledger::new();
    let group = cluster.start_group(id, ledger).await.unwrap();
    group.is_ready().await.unwrap();
    (group, applied)
}

pub(crate) async fn open(runtime: &Runtime, config: &ClusterConfig) -> (Cluster, Group, Applied) {
    let cluster = Cluster::open(runtime.clone(), config.clone()).await.unwrap();
    let (group, applied) = start(&cluster, GROUP).await;
    (cluster, group, applied)
}

/// A simulation with a disk the test can hurt. [`open`] mounts it anew.
pub(crate) fn simulated(seed: u64) -> (Runtime, SimulatedDisk) {
    let disk = SimulatedDisk::new(seed);
    (Runtime::simulated(seed).with_disk(Arc::new(disk.clone())), disk)
}

/// The runtime of the node's next life.
pub(crate) fn mounted(runtime: &Runtime, disk: &SimulatedDisk) -> Runtime {
    runtime.with_disk(Arc::new(disk.mount()))
}

/// Every acknowledged number is there, once, in the order of its log position.
pub(crate) fn check(acknowledged: &[(u64, u64)], applied: &[(u64, u64)], what: &str) {
    assert!(applied.is_sorted_by(|a, b| a.0 < b.0), "{what}: applied in log order, once");
    for entry in acknowledged {
        assert!(applied.binary_search(entry).is_ok(), "{what}: acknowledged {entry:?} is lost");
    }
}
