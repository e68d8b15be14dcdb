//! Power loss at random moments: every acknowledged entry is there, in order, once.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, ClusterConfig, Group};
use model::GroupId;
use parking_lot::Mutex;
use runtime::{Random, Runtime, SimulatedDisk};

use crate::ledger::{check, config, mounted, payload, simulated, start};

const GROUPS: u32 = 3;

type Acknowledged = Vec<Arc<Mutex<Vec<(u64, u64)>>>>;

/// Proposes until it fails; numbers are unique.
async fn write_on(runtime: Runtime, group: Group, acknowledged: Arc<Mutex<Vec<(u64, u64)>>>, seed: u64) {
    let mut random = Random::new(seed);
    loop {
        let number = random.next_u64();
        let len = usize::try_from(8 + random.below(6000)).unwrap();
        let Ok((position, _)) = group.propose(payload(number, len)).await else { return };
        acknowledged.lock().push((position.index, number));
        if random.one_in(8) {
            runtime.sleep(Duration::from_micros(random.below(3000))).await;
        }
    }
}

/// One life of the node: recovery is checked, then writers, snapshots and a crash at a random time.
async fn live(
    runtime: &Runtime,
    disk: &SimulatedDisk,
    config: &ClusterConfig,
    acknowledged: &Acknowledged,
    what: &str,
) -> Vec<Vec<(u64, u64)>> {
    let runtime = &mounted(runtime, disk);
    let mut random = runtime.random();
    let cluster =
        Cluster::open(runtime.clone(), config.clone()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut states = Vec::new();
    let mut writers = Vec::new();
    let mut groups = Vec::new();
    for (i, acknowledged) in acknowledged.iter().enumerate() {
        let (group, applied) = start(&cluster, GroupId(u32::try_from(i).unwrap())).await;
        check(&acknowledged.lock(), &applied.lock(), what);
        states.push(applied.lock().clone());
        groups.push(group);
    }
    for (i, group) in groups.iter().enumerate() {
        // the last group hardly writes: it pins old segments
        let count = if i + 1 == groups.len() { 1 } else { 4 };
        for _ in 0..count {
            let writer =
                write_on(runtime.clone(), group.clone(), Arc::clone(&acknowledged[i]), random.next_u64());
            writers.push(runtime.spawn("writer", writer));
        }
    }
    for _ in 0..random.below(4) {
        runtime.sleep(Duration::from_micros(random.below(40_000))).await;
        let group = groups[usize::try_from(random.below(u64::from(GROUPS))).unwrap()].clone();
        runtime.spawn("snapshot", async move { group.snapshot_now().await }).detach();
    }
    runtime.sleep(Duration::from_micros(random.below(60_000))).await;
    if random.one_in(4) {
        disk.process_death()
    } else {
        disk.power_loss()
    }
    states
}

fn rounds(seed: u64, lives: usize) {
    let (runtime, disk) = simulated(seed);
    disk.set_faults(|faults| faults.sync_latency = Duration::from_micros(300));
    let config = ClusterConfig {
        segment_bytes: 32 << 10,
        wal_bytes_max: 160 << 10,
        snapshot_log_bytes: 96 << 10,
        cache_bytes: 8 << 10,
        ..config("/data")
    };
    let acknowledged: Acknowledged = (0..GROUPS).map(|_| Arc::default()).collect();
    let mut before: Vec<Vec<(u64, u64)>> = Vec::new();
    for life in 0..lives {
        let what = format!("seed {seed}, life {life}");
        let states = runtime.block_on(live(&runtime, &disk, &config, &acknowledged, &what));
        for (now, before) in states.iter().zip(&before) {
            assert!(now.starts_with(before), "{what}: what was applied once is applied ever after");
        }
        before = states;
    }
    let total: usize = acknowledged.iter().map(|group| group.lock().len()).sum();
    assert!(total > lives, "seed {seed}: only {total} acknowledged, the test did nothing");
}

#[test]
fn power_loss_loses_nothing_acknowledged() {
    for seed in 0..16 {
        rounds(seed, 8);
    }
}

#[test]
fn many_lives_of_one_node_keep_everything() {
    rounds(1_000, 40);
}
