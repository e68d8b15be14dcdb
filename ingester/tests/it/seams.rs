//! Queries over heads and blocks while data moves from one to the other: each sample is found, in whichever
//! order the steps of a query and those of a flush follow each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ingester::IngesterConfig;
use model::{BlockId, TimeRange};
use proto::{LabelsWanted, SelectRequest, Source};
use runtime::{Random, Runtime};
use store_gateway::{BlockSource, BlockSourceOptions};

use crate::node::{HOUR, Node, Samples, WINDOW, gather_all, labels, simulated, tenant};

struct World {
    node: Node,
    blocks: BlockSource,
    random: Random,
    /// Everything written.
    model: Samples,
    now: i64,
}

impl World {
    async fn step(&mut self) {
        match self.random.below(6) {
            0..3 => {
                self.now = (self.now + self.random.below(20) as i64 * 60_000).min(self.node.runtime.now_ms());
                let back = if self.random.one_in(4) { self.random.below(3 * HOUR as u64) as i64 } else { 0 };
                let t = self.now - back;
                let first = self.random.below(20) as usize;
                let samples: Vec<_> = (first..first + 10).map(|i| (i, t, (t + i as i64) as f64)).collect();
                self.node.write(&samples).await;
                self.model.extend(samples.iter().map(|(i, t, v)| ((labels(*i), *t), v.to_bits())));
            }
            3 => self.node.ingester.cut_due().await,
            4 => {
                self.node.ingester.flush(false).await.unwrap();
            }
            _ => {
                self.node.ingester.flush(true).await.unwrap();
            }
        }
    }

    async fn steps(&mut self) {
        for _ in 0..self.random.below(3) {
            self.step().await;
        }
    }
}

async fn explore(runtime: Runtime, seed: u64) -> (usize, usize) {
    let config = IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
    let node = Node::open(&runtime, config).await;
    let blocks =
        BlockSource::new(runtime.clone(), Arc::clone(&node.catalogs), &BlockSourceOptions::default());
    let now = runtime.now_ms() - runtime.now_ms().rem_euclid(WINDOW) - 20 * HOUR;
    let mut world = World { node, blocks, random: Random::new(seed), model: Samples::new(), now };
    let (mut spared, mut read_blocks) = (0, 0);
    for _ in 0..30 {
        world.steps().await;
        let start = if world.random.one_in(2) { i64::MIN } else { world.now - 3 * HOUR };
        let request = SelectRequest {
            tenant: tenant(),
            matchers: Vec::new(),
            range: TimeRange::new(start, i64::MAX),
            labels: LabelsWanted::All,
            series_max: 0,
        };
        let wanted: Samples =
            world.model.iter().filter(|((_, t), _)| *t >= start).map(|(k, v)| (k.clone(), *v)).collect();
        let heads = world.node.ingester.source().select(&request).await.unwrap();
        world.steps().await;
        let held: BTreeSet<BlockId> = world.node.ingester.held_blocks(&tenant());
        world.steps().await;
        let blocks = world.blocks.select_except(&request, &held).await.unwrap();
        world.steps().await;
        let mut found = Samples::new();
        gather_all(&heads, &mut found).await;
        world.steps().await;
        gather_all(&blocks, &mut found).await;
        for (key, bits) in &wanted {
            assert_eq!(found.get(key), Some(bits), "seed {seed}: {key:?} is missing");
        }
        for (key, bits) in &found {
            assert_eq!(world.model.get(key), Some(bits), "seed {seed}: {key:?} is too much");
        }
        spared += held.len();
        read_blocks += blocks.series().len();
    }
    world.node.close().await;
    (spared, read_blocks)
}

#[test]
fn queries_find_everything_whatever_moves_meanwhile() {
    let mut sum = (0, 0);
    for seed in 0..16 {
        let (runtime, _disk) = simulated(seed);
        let (spared, read) = runtime.block_on(explore(runtime.clone(), seed));
        sum = (sum.0 + spared, sum.1 + read);
    }
    assert!(sum.0 > 50 && sum.1 > 50, "the test did nothing: {sum:?}");
}
