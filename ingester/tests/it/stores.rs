//! Several stores on one bucket, and attempts to publish that were cut off: nothing is lost, nothing doubled.

use std::sync::Arc;
use std::time::Duration;

use ingester::IngesterConfig;
use model::TimeRange;
use proto::{LabelsWanted, SelectRequest, Source};

use crate::node::{HOUR, Node, Samples, WINDOW, labels, simulated, tenant};

fn quiet() -> IngesterConfig {
    IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() }
}

fn scrape(t: i64, series: std::ops::Range<usize>) -> Vec<(usize, i64, f64)> {
    series.map(|i| (i, t, (t / 1000 + i as i64) as f64)).collect()
}

fn model(samples: &[(usize, i64, f64)]) -> Samples {
    samples.iter().map(|(i, t, v)| ((labels(*i), *t), v.to_bits())).collect()
}

#[test]
fn two_stores_with_one_bucket_keep_each_others_samples() {
    let (runtime, disk) = simulated(31);
    let first = runtime.with_disk(Arc::new(disk.mount()));
    let second = runtime.with_disk(Arc::new(disk.mount()));
    runtime.block_on(async {
        let start = runtime.now_ms() - runtime.now_ms().rem_euclid(WINDOW) - 6 * HOUR;
        let nodes =
            [Node::open_at(&first, "/one", quiet()).await, Node::open_at(&second, "/two", quiet()).await];
        let mut all = Samples::new();
        for round in 0..3 {
            for (which, node) in nodes.iter().enumerate() {
                let t = start + round * 600_000 + which as i64 * 1000;
                let samples = scrape(t, 0..8);
                node.write(&samples).await;
                all.extend(model(&samples));
            }
            for node in &nodes {
                let report = node.ingester.flush(true).await.unwrap();
                assert_eq!((report.blocks, report.samples), (1, 8));
            }
        }
        for node in nodes {
            node.catalogs.refresh().await.unwrap();
            assert_eq!(node.head(TimeRange::all()).await, Samples::new());
            assert_eq!(node.blocks(TimeRange::all()).await, all);
            let catalog = node.catalogs.get(&tenant()).await.unwrap();
            let mut generations: Vec<u32> = catalog.live().iter().map(|meta| meta.generation).collect();
            generations.sort_unstable();
            assert_eq!(generations, [0, 1, 2, 3, 4, 5]);
            for meta in catalog.live().iter() {
                let verified = block::verify_block(&node.runtime, node.catalogs.bucket(), meta).await;
                assert_eq!(verified.unwrap(), Vec::<String>::new());
            }
            node.close().await;
        }
    });
}

#[test]
fn a_publish_that_was_cut_off_is_adopted_once() {
    let mut were_pending = [0, 0];
    for seed in 40..52 {
        let is_foreign_first = seed % 2 == 0;
        let (runtime, disk) = simulated(seed);
        // Slower than the look at the catalog below.
        disk.set_faults(|faults| faults.sync_latency = Duration::from_millis(10));
        let start = runtime.now_ms() - runtime.now_ms().rem_euclid(WINDOW) - 6 * HOUR;
        let mut all = Samples::new();
        let ours = scrape(start, 0..8);
        let theirs = scrape(start + 1000, 0..8);
        if is_foreign_first {
            let life = runtime.with_disk(Arc::new(disk.mount()));
            runtime.block_on(async {
                let node = Node::open_at(&life, "/two", quiet()).await;
                node.write(&theirs).await;
                node.ingester.flush(true).await.unwrap();
                node.close().await;
            });
            all.extend(model(&theirs));
        }
        all.extend(model(&ours));
        let blocks = if is_foreign_first { 2 } else { 1 };
        // Dies as soon as the block is in the catalog, before the log says so.
        let life = runtime.with_disk(Arc::new(disk.mount()));
        let killer = disk.clone();
        runtime.block_on(async {
            let node = Arc::new(Node::open_at(&life, "/one", quiet()).await);
            node.write(&ours).await;
            let flushed = Arc::clone(&node);
            let task = life.spawn("flush", async move {
                let _dead = flushed.ingester.flush(false).await.is_err();
            });
            let catalog = node.catalogs.get(&tenant()).await.unwrap();
            while catalog.live().len() < blocks {
                life.sleep(Duration::from_millis(1)).await;
            }
            killer.power_loss();
            drop(task);
        });
        let life = runtime.with_disk(Arc::new(disk.mount()));
        let was_pending = runtime.block_on(async {
            let node = Node::open_at(&life, "/one", quiet()).await;
            assert!(node.ingester.stats().cuts_pending <= 1);
            let was_pending = node.ingester.stats().cuts_pending == 1;
            assert_eq!(node.ingester.flush(false).await.unwrap().blocks, 0);
            let catalog = node.catalogs.get(&tenant()).await.unwrap();
            assert_eq!(catalog.live().len(), blocks, "nothing is published twice");
            let held = node.ingester.held_blocks(&tenant());
            assert_eq!(held.len(), 1);
            let ours_live: Vec<_> =
                catalog.live().iter().filter(|meta| held.contains(&meta.block)).cloned().collect();
            assert_eq!(ours_live.len(), 1, "the live one was adopted");
            assert_eq!(node.everything().await, all);
            node.ingester.flush(true).await.unwrap();
            assert!(node.ingester.held_blocks(&tenant()).is_empty());
            assert_eq!(node.blocks(TimeRange::all()).await, all);
            node.close().await;
            was_pending
        });
        were_pending[usize::from(is_foreign_first)] += u32::from(was_pending);
    }
    assert!(were_pending.iter().all(|count| *count > 0), "the test did nothing: {were_pending:?}");
}

#[test]
fn a_selection_misses_nothing_that_was_open_when_it_was_made() {
    let (runtime, _disk) = simulated(33);
    runtime.block_on(async {
        let node = Node::open(&runtime, quiet()).await;
        let start = runtime.now_ms() - runtime.now_ms().rem_euclid(WINDOW) - 6 * HOUR;
        let mut all = Samples::new();
        for tick in 0..20 {
            let samples = scrape(start + tick * 15_000, 0..1500);
            node.write(&samples).await;
            all.extend(model(&samples));
        }
        let late = scrape(start + 7, 0..3);
        node.write(&late).await;
        all.extend(model(&late));
        let request = SelectRequest {
            tenant: tenant(),
            matchers: Vec::new(),
            range: TimeRange::all(),
            labels: LabelsWanted::All,
            series_max: 0,
        };
        let selection = node.ingester.source().select(&request).await.unwrap();
        // Flushed, dropped, written on, dropped again until its series are collected and their places given away.
        for round in 1..4 {
            node.ingester.flush(true).await.unwrap();
            node.write(&scrape(start + round * HOUR, 2000..3000)).await;
        }
        node.ingester.flush(true).await.unwrap();
        assert_eq!(node.head(TimeRange::all()).await, Samples::new());
        let mut found = Samples::new();
        let count = selection.series().len();
        assert_eq!(count, 1500);
        for from in (0..count).step_by(700) {
            let to = (from + 700).min(count);
            let batch = selection.read(from..to).await.unwrap();
            for i in from..to {
                for (t, v) in batch.timestamps_of(i - from).iter().zip(batch.values_of(i - from)) {
                    found.insert((selection.series()[i].labels.clone(), *t), v.to_bits());
                }
            }
        }
        assert_eq!(found, all);
        node.close().await;
    });
}

#[test]
fn tenants_without_news_cost_no_entries() {
    let (runtime, _disk) = simulated(34);
    runtime.block_on(async {
        let node = Node::open(&runtime, quiet()).await;
        node.write(&scrape(runtime.now_ms() - HOUR, 0..3)).await;
        for _ in 0..3 {
            node.ingester.flush(true).await.unwrap();
        }
        assert_eq!(node.ingester.stats().series, 0, "collected at last");
        let before = node.ingester.state_hashes();
        let group = node.cluster.group(model::GroupId::FIRST_DATA).unwrap();
        let at = group.applied();
        node.ingester.flush(true).await.unwrap();
        assert_eq!((group.applied(), node.ingester.state_hashes()), (at, before));
        node.close().await;
    });
}
