//! Snapshots free the log: by its size, for idle groups that pin it, and never too early.

use std::time::Duration;

use cluster::{Cluster, ClusterConfig};
use model::GroupId;

use crate::ledger::{GROUP, check, config, open, payload, simulated, start};

fn small() -> ClusterConfig {
    ClusterConfig {
        segment_bytes: 16 << 10,
        snapshot_log_bytes: 64 << 10,
        wal_bytes_max: 128 << 10,
        ..config("/data")
    }
}

#[test]
fn the_log_stays_within_its_budget_while_entries_keep_coming() {
    let (runtime, disk) = simulated(41);
    let mut acknowledged = Vec::new();
    runtime.block_on(async {
        let (cluster, group, _) = open(&runtime, &small()).await;
        let mut peak = 0;
        for number in 0..1000 {
            acknowledged.push((group.propose(payload(number, 1500)).await.unwrap().0.index, number));
            peak = peak.max(cluster.stats().wal.segment_bytes);
        }
        let stats = cluster.stats();
        assert!(peak < 300 << 10, "peak {peak} of {} bytes written", stats.wal.written_bytes);
        assert!(stats.wal.segments_recycled > 0, "{stats:?}");
        assert!(stats.groups[0].snapshot_index > 800);
    });
    disk.power_loss();
    runtime.block_on(async {
        let (_cluster, _group, applied) = open(&runtime, &small()).await;
        check(&acknowledged, &applied.lock(), "snapshot and tail");
        assert_eq!(applied.lock().len(), 1000);
    });
}

#[test]
fn an_idle_group_is_snapshotted_when_it_pins_old_segments() {
    let (runtime, disk) = simulated(42);
    let idle_id = GroupId(7);
    runtime.block_on(async {
        let (cluster, busy, _) = open(&runtime, &small()).await;
        let (idle, _) = start(&cluster, idle_id).await;
        for number in 0..3 {
            idle.propose(payload(number, 10)).await.unwrap();
        }
        for number in 0..1000 {
            busy.propose(payload(number, 1500)).await.unwrap();
        }
        runtime.sleep(Duration::from_secs(5)).await;
        let bytes = cluster.stats().wal.segment_bytes;
        assert!(bytes <= 160 << 10, "{bytes} bytes of log are held");
        assert_eq!(idle.snapshot_position(), idle.applied());
    });
    disk.power_loss();
    runtime.block_on(async {
        let cluster = Cluster::open(runtime.clone(), small()).await.unwrap();
        let (_idle, applied) = start(&cluster, idle_id).await;
        assert_eq!(applied.lock().iter().map(|(_, number)| *number).collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn entries_leave_memory_and_are_read_back_from_their_segments() {
    let (runtime, _disk) = simulated(43);
    let config = ClusterConfig { cache_bytes: 4096, ..config("/data") };
    runtime.block_on(async {
        let (cluster, group, _) = open(&runtime, &config).await;
        for number in 0..200 {
            group.propose(payload(number, 2000)).await.unwrap();
        }
        assert!(cluster.stats().wal.cached_bytes <= 4096);
        assert!(group.log_bytes() > 400_000);
    });
    runtime.block_on(async {
        // replay reads every one of them from its place
        let (_cluster, _group, applied) = open(&runtime, &config).await;
        assert_eq!(
            applied.lock().iter().map(|(_, number)| *number).collect::<Vec<_>>(),
            (0..200).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_snapshot_replaces_the_log_and_old_files_go() {
    let (runtime, disk) = simulated(44);
    runtime.block_on(async {
        let (_cluster, group, _) = open(&runtime, &config("/data")).await;
        for round in 0..5 {
            for number in 0..10 {
                group.propose(payload(round * 10 + number, 500)).await.unwrap();
            }
            group.snapshot_now().await.unwrap();
            assert_eq!(group.log_bytes(), 0);
            // again does nothing
            group.snapshot_now().await.unwrap();
        }
        let dir = std::path::Path::new("/data/snapshots").join(format!("group-{GROUP}"));
        assert_eq!(runtime.disk().list(&dir).unwrap().len(), 1);
    });
    disk.power_loss();
    runtime.block_on(async {
        let (_cluster, group, applied) = open(&runtime, &config("/data")).await;
        assert_eq!(applied.lock().len(), 50);
        let (position, _) = group.propose(payload(50, 10)).await.unwrap();
        assert!(position.index > applied.lock()[49].0);
    });
}
