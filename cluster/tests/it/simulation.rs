//! One node in a simulation: the same seed twice gives the same trace, another seed another.

use std::time::Duration;

use runtime::Random;

use crate::ledger::{config, mounted, open, payload, simulated};

/// Everything a run of one node shows: every answer with its virtual time, every disk operation.
fn trace(seed: u64) -> (Vec<(Duration, u64, u64)>, u64) {
    let (runtime, disk) = simulated(seed);
    disk.set_faults(|faults| faults.sync_latency = Duration::from_micros(250));
    let mut events = Vec::new();
    for life in 0..3u64 {
        let runtime = mounted(&runtime, &disk);
        let seen = runtime.block_on(async {
            let (_cluster, group, applied) = open(&runtime, &config("/data")).await;
            let start = runtime.monotonic();
            let mut random = runtime.random();
            let writers: Vec<_> = (0..4u64)
                .map(|writer| {
                    let (runtime, group, seed) = (runtime.clone(), group.clone(), random.next_u64());
                    runtime.clone().spawn("writer", async move {
                        let mut random = Random::new(seed);
                        let mut seen = Vec::new();
                        for i in 0..20 {
                            runtime.sleep(Duration::from_micros(random.below(2000))).await;
                            let number = (life << 32) | (writer << 16) | i;
                            let len = usize::try_from(8 + random.below(3000)).unwrap();
                            if let Ok((position, _)) = group.propose(payload(number, len)).await {
                                seen.push((runtime.monotonic() - start, position.index, number));
                            }
                        }
                        seen
                    })
                })
                .collect();
            runtime.sleep(Duration::from_micros(15_000 + random.below(10_000))).await;
            group.snapshot_now().await.unwrap();
            let mut seen = Vec::new();
            for writer in writers {
                seen.extend(writer.await.unwrap());
            }
            assert_eq!(applied.lock().len() as u64 % 80, 0);
            seen
        });
        events.extend(seen);
        disk.power_loss();
    }
    (events, disk.trace_hash())
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for seed in [1, 2, 77] {
        let (first, again) = (trace(seed), trace(seed));
        assert_eq!(first, again, "seed {seed}");
        assert_eq!(first.0.len(), 240);
    }
    assert_ne!(trace(1), trace(2));
}
