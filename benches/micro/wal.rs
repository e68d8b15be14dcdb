//! A group's proposals: into the log, to the disk (one fsync for all that wait), applied. On a real disk: that of
//! the target directory.

use std::cell::OnceCell;
use std::io;

use bytes::Bytes;
use cluster::{Cluster, ClusterConfig, Group, SnapshotDir, SnapshotJob, StateMachine};
use criterion::{Criterion, Throughput};
use futures::future::join_all;
use model::{GroupId, LogPosition, NodeId};
use runtime::Runtime;

use crate::folder;

/// About what one entry of six thousand samples takes.
const PAYLOAD_BYTES: usize = 10_000;

/// Forgets what it applies.
struct Forget;

impl StateMachine for Forget {
    fn apply(&mut self, _position: LogPosition, _payload: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotJob {
        Box::new(|dir| {
            dir.write("nothing", b"-")?;
            dir.sync()?;
            Ok(Bytes::from_static(b"nothing"))
        })
    }

    fn restore(&mut self, _manifest: &Bytes, _dir: &SnapshotDir) -> io::Result<()> {
        Ok(())
    }

    fn collect_garbage(&mut self, _manifest: &Bytes, _dir: &SnapshotDir) -> io::Result<()> {
        Ok(())
    }
}

async fn open(runtime: &Runtime, config: ClusterConfig) -> (Cluster, Group) {
    let cluster = Cluster::open(runtime.clone(), config).await.expect("an empty folder opens");
    let group = Box::pin(cluster.start_group(GroupId::FIRST_DATA, Box::new(Forget))).await;
    let group = group.expect("a new group starts");
    group.is_ready().await.expect("a single voter leads");
    (cluster, group)
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let folder = folder();
    let opened = OnceCell::new();
    let start = || runtime.block_on(Box::pin(open(&runtime, ClusterConfig::new(folder.path(), NodeId(1)))));
    let payload: Bytes = (0..PAYLOAD_BYTES).map(|i| benches::noise(i as u64) as u8).collect();

    let mut group = criterion.benchmark_group("wal");
    group.sample_size(20);
    for depth in [1, 4, 16] {
        // elements: proposals
        group.throughput(Throughput::Elements(depth));
        group.bench_function(format!("propose and fsync/{depth} at a time"), |bencher| {
            let (_, node) = opened.get_or_init(start);
            let propose = async |rounds: u64| {
                for _ in 0..rounds {
                    node.propose(payload.clone()).await.expect("the disk takes it");
                }
            };
            bencher.iter_custom(|rounds| {
                let began = runtime.monotonic();
                runtime.block_on(join_all((0..depth).map(|_| Box::pin(propose(rounds)))));
                runtime.monotonic().since(began)
            });
        });
    }
    group.finish();
    if let Some((cluster, _)) = opened.into_inner() {
        runtime.block_on(Box::pin(cluster.shutdown())).expect("closes");
    }
}
