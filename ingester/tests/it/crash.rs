//! Power loss at random moments, with cuts, flushes, drops and snapshots under way: every acknowledged
//! sample is there, once, in heads or blocks, and nothing else is.

use std::sync::Arc;
use std::time::Duration;

use ingester::IngesterConfig;
use model::GroupId;
use parking_lot::Mutex;
use runtime::{Random, Runtime, SimulatedDisk};

use crate::node::{Node, Samples, batch, labels, simulated};

/// Series of each writer; writers never share one.
const SERIES: usize = 12;
const WRITERS: usize = 3;

#[derive(Default)]
struct Ledger {
    acknowledged: Samples,
    sent: Samples,
    tick: i64,
}

fn value(series: usize, t: i64) -> f64 {
    match series % 3 {
        0 => (t / 1000) as f64,
        1 => (t % 977) as f64 / 10.0,
        _ => (t as f64).sqrt(),
    }
}

async fn write_on(node: Arc<Node>, ledger: Arc<Mutex<Ledger>>, writer: usize, seed: u64) {
    let mut random = Random::new(seed);
    loop {
        let tick = {
            let mut ledger = ledger.lock();
            ledger.tick += 1;
            ledger.tick
        };
        // Most are in order; some come late, some again.
        let back = if random.one_in(6) { random.below(400) as i64 } else { 0 };
        let t = 1_704_067_200_000 - 6 * 3_600_000 + (tick - back) * 5_000;
        let samples: Vec<_> = (0..SERIES)
            .filter(|_| !random.one_in(9))
            .map(|i| (writer * SERIES + i, t, value(i, t)))
            .collect();
        let keys = || samples.iter().map(|(i, t, v)| ((labels(*i), *t), v.to_bits()));
        ledger.lock().sent.extend(keys());
        let Ok(outcome) = node.append(batch(&samples)).await else { return };
        assert_eq!(outcome.rejections, []);
        ledger.lock().acknowledged.extend(keys());
        node.runtime.sleep(Duration::from_micros(random.below(2_000))).await;
    }
}

async fn check(node: &Node, ledger: &Mutex<Ledger>, what: &str) {
    let found = node.everything().await;
    let ledger = ledger.lock();
    for (key, bits) in &ledger.acknowledged {
        assert_eq!(found.get(key), Some(bits), "{what}: {key:?} is lost");
    }
    for (key, bits) in &found {
        assert_eq!(ledger.sent.get(key), Some(bits), "{what}: {key:?} was never sent");
    }
}

async fn live(runtime: Runtime, disk: SimulatedDisk, ledger: Arc<Mutex<Ledger>>, what: String) {
    let mut random = runtime.random();
    let config = IngesterConfig { cut_check: Duration::from_millis(20), ..IngesterConfig::default() };
    let node = Arc::new(Node::open(&runtime, config).await);
    check(&node, &ledger, &what).await;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let work = write_on(Arc::clone(&node), Arc::clone(&ledger), writer, random.next_u64());
        tasks.push(runtime.spawn("writer", work));
    }
    for _ in 0..random.below(4) {
        runtime.sleep(Duration::from_micros(random.below(60_000))).await;
        let node = Arc::clone(&node);
        let what = random.below(3);
        let work = async move {
            // These fail when the disk dies under them.
            match what {
                0 => {
                    let group = node.cluster.group(GroupId::FIRST_DATA).unwrap();
                    let _dead = group.snapshot_now().await.is_err();
                }
                1 => {
                    let _dead = node.ingester.flush(false).await.is_err();
                }
                _ => {
                    let _dead = node.ingester.flush(true).await.is_err();
                }
            }
        };
        tasks.push(runtime.spawn("operator", work));
    }
    runtime.sleep(Duration::from_micros(random.below(80_000))).await;
    if random.one_in(4) {
        disk.process_death()
    } else {
        disk.power_loss()
    }
    // Tasks die with the node.
    drop(tasks);
}

fn lives(seed: u64, count: usize) {
    let (runtime, disk) = simulated(seed);
    disk.set_faults(|faults| faults.sync_latency = Duration::from_micros(300));
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for life in 0..count {
        let mounted = runtime.with_disk(Arc::new(disk.mount()));
        let what = format!("seed {seed}, life {life}");
        runtime.block_on(live(mounted, disk.clone(), Arc::clone(&ledger), what));
    }
    assert!(ledger.lock().acknowledged.len() > count * 50, "seed {seed}: the test did nothing");
}

#[test]
fn power_loss_loses_no_acknowledged_sample() {
    for seed in 0..12 {
        lives(seed, 6);
    }
}

#[test]
fn a_restart_gives_the_same_heads() {
    let (runtime, disk) = simulated(77);
    let mut hashes = Vec::new();
    for life in 0..4 {
        let mounted = runtime.with_disk(Arc::new(disk.mount()));
        let before = hashes.last().cloned();
        let now = runtime.block_on(async move {
            let config =
                IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
            let node = Node::open(&mounted, config).await;
            if let Some(before) = before {
                assert_eq!(node.ingester.state_hashes(), before, "life {life}");
            }
            for tick in 0..150 {
                let t = 1_704_067_200_000 + life * 3_600_000 + tick * 15_000;
                let samples: Vec<_> = (0..30)
                    .map(|i| (i, t - if i == 4 { tick % 3 * 40_000 } else { 0 }, value(i, t)))
                    .collect();
                // Far in the future of a clock that stands still; the outcome is part of the state.
                node.append(batch(&samples)).await.unwrap();
                if tick == 70 && life % 2 == 0 {
                    node.cluster.group(GroupId::FIRST_DATA).unwrap().snapshot_now().await.unwrap();
                }
            }
            node.ingester.state_hashes()
        });
        disk.process_death();
        hashes.push(now);
    }
}
