//! What heads and blocks say of changes: a range they name unchanged reads as before, whatever was written,
//! cut, published and dropped since.

use std::sync::Arc;
use std::time::Duration;

use ingester::IngesterConfig;
use model::TimeRange;
use proto::{DataVersion, LabelsWanted, SelectRequest, Source};
use runtime::{Random, Runtime};
use store_gateway::{BlockSource, BlockSourceOptions};

use crate::node::{HOUR, Node, Samples, WINDOW, gather_all, simulated, tenant};

struct World {
    node: Node,
    blocks: BlockSource,
    random: Random,
    now: i64,
}

/// What a read of a range gave, and when.
struct Kept {
    heads: DataVersion,
    blocks: DataVersion,
    range: TimeRange,
    samples: Samples,
}

impl World {
    async fn read(&self, range: TimeRange) -> Samples {
        let (tenant, labels) = (tenant(), LabelsWanted::All);
        let request = SelectRequest { tenant, matchers: Vec::new(), range, labels, series_max: 0 };
        let heads = self.node.ingester.source().select(&request).await.expect("heads and blocks are there");
        let held = self.node.ingester.held_blocks(&request.tenant);
        let blocks = self.blocks.select_except(&request, &held).await.expect("heads and blocks are there");
        let mut samples = Samples::new();
        // the first to name a sample is believed; so blocks first, heads over them
        gather_all(&blocks, &mut samples).await;
        gather_all(&heads, &mut samples).await;
        samples.retain(|(_, t), _| range.contains(*t));
        samples
    }

    async fn keep(&mut self) -> Kept {
        let heads = self
            .node
            .ingester
            .source()
            .changes(&tenant(), None)
            .await
            .expect("heads and blocks are there")
            .now;
        let blocks = self.blocks.changes(&tenant(), None).await.expect("heads and blocks are there").now;
        let start = self.now - self.random.below(6 * HOUR as u64) as i64;
        let range = TimeRange::new(start, start + 1 + self.random.below(HOUR as u64) as i64);
        let samples = self.read(range).await;
        Kept { heads, blocks, range, samples }
    }

    async fn is_unchanged(&self, kept: &Kept) -> bool {
        let heads = self
            .node
            .ingester
            .source()
            .changes(&tenant(), Some(&kept.heads))
            .await
            .expect("heads and blocks are there");
        let blocks =
            self.blocks.changes(&tenant(), Some(&kept.blocks)).await.expect("heads and blocks are there");
        !heads.changed.iter().chain(&blocks.changed).any(|range| range.overlaps(&kept.range))
    }

    async fn step(&mut self) {
        match self.random.below(10) {
            0..7 => {
                self.now = (self.now + self.random.below(10) as i64 * 60_000).min(self.node.runtime.now_ms());
                let back = if self.random.one_in(6) { self.random.below(5 * HOUR as u64) as i64 } else { 0 };
                let t = self.now - back;
                let first = self.random.below(20) as usize;
                let samples: Vec<_> = (first..first + 10).map(|i| (i, t, (t + i as i64) as f64)).collect();
                self.node.write(&samples).await;
            }
            7 => self.node.ingester.cut_due().await,
            8 => {
                self.node.ingester.flush(false).await.expect("heads and blocks are there");
            }
            _ => {
                self.node.ingester.flush(true).await.expect("heads and blocks are there");
            }
        }
    }
}

/// How often something kept was said to be unchanged, and to be changed.
async fn explore(runtime: Runtime, seed: u64) -> (usize, usize) {
    let config = IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
    let node = Node::open(&runtime, config).await;
    let blocks =
        BlockSource::new(runtime.clone(), Arc::clone(&node.catalogs), &BlockSourceOptions::default());
    let now = runtime.now_ms() - runtime.now_ms().rem_euclid(WINDOW) - 20 * HOUR;
    let mut world = World { node, blocks, random: Random::new(seed), now };
    let mut kept: Vec<Kept> = Vec::new();
    let mut seen = (0, 0);
    for _ in 0..60 {
        world.step().await;
        kept.push(world.keep().await);
        for one in &kept {
            if !world.is_unchanged(one).await {
                seen.1 += 1;
                continue;
            }
            seen.0 += 1;
            assert!(world.read(one.range).await == one.samples, "seed {seed}: {:?} has changed", one.range);
        }
        if kept.len() > 12 {
            kept.remove(world.random.below(12) as usize);
        }
    }
    world.node.close().await;
    seen
}

#[test]
fn what_is_said_to_be_unchanged_reads_as_before() {
    let mut sum = (0, 0);
    for seed in 0..12 {
        let (runtime, _disk) = simulated(seed);
        let (unchanged, changed) = runtime.block_on(explore(runtime.clone(), seed));
        sum = (sum.0 + unchanged, sum.1 + changed);
    }
    assert!(sum.0 > 500 && sum.1 > 500, "the test did nothing: {sum:?}");
}
