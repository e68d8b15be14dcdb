//! Cut, publish, drop: the way of samples from heads to blocks.

use std::time::Duration;

use ingester::IngesterConfig;
use model::{
    CounterResetHint, Exemplar, Histogram, IntHistogram, Labels, Metadata, MetricType, Span, TimeRange,
};
use proto::{ExemplarAppend, HistogramAppend, MetadataAppend, NEW_SERIES, RejectReason};

use crate::node::{HOUR, Node, Samples, WINDOW, batch, labels, simulated, tenant};

/// The start of the window now.
fn window_now(node: &Node) -> i64 {
    let now = node.runtime.now_ms();
    now - now.rem_euclid(WINDOW)
}

fn scrape(t: i64, series: std::ops::Range<usize>) -> Vec<(usize, i64, f64)> {
    series.map(|i| (i, t, (t / 15_000) as f64 * (i + 1) as f64)).collect()
}

/// Equal, or the first difference.
fn same(found: &Samples, wanted: &Samples) {
    for (key, bits) in wanted {
        assert_eq!(found.get(key), Some(bits), "{key:?}");
    }
    for key in found.keys() {
        assert!(wanted.contains_key(key), "{key:?} is too much");
    }
}

fn wanted(samples: &[(usize, i64, f64)], into: &mut Samples) {
    into.extend(samples.iter().map(|(i, t, v)| ((labels(*i), *t), v.to_bits())));
}

#[test]
fn flush_publishes_partial_windows_and_drop_leaves_them_to_blocks() {
    let (runtime, _disk) = simulated(1);
    runtime.block_on(async {
        let node = Node::open(&runtime, IngesterConfig::default()).await;
        let start = node.runtime.now_ms() - HOUR;
        let mut model = Samples::new();
        for tick in 0..80 {
            let samples = scrape(start + tick * 15_000, 0..30);
            node.write(&samples).await;
            wanted(&samples, &mut model);
        }
        let report = node.ingester.flush(false).await.unwrap();
        assert_eq!(report.samples, 80 * 30);
        same(&node.head(TimeRange::all()).await, &model);
        same(&node.blocks(TimeRange::all()).await, &model);
        // Later samples of the same window, and one behind what is frozen.
        for tick in 80..100 {
            let samples = scrape(start + tick * 15_000, 0..30);
            node.write(&samples).await;
            wanted(&samples, &mut model);
        }
        let late = [(3, start + 7_000, 5.0)];
        node.write(&late).await;
        wanted(&late, &mut model);
        node.ingester.flush(true).await.unwrap();
        same(&node.head(TimeRange::all()).await, &Samples::new());
        same(&node.blocks(TimeRange::all()).await, &model);
        assert!(node.ingester.head_min_time(&tenant()) > start);
        // Nothing to cut: nothing is published.
        assert_eq!(node.ingester.flush(true).await.unwrap().blocks, 0);
        // A sample sent again lands in a further generation and merges away.
        node.write(&scrape(start + 5 * 15_000, 0..1)).await;
        node.ingester.flush(true).await.unwrap();
        same(&node.everything().await, &model);
        node.close().await;
    });
}

#[test]
fn windows_are_cut_by_event_time_and_dropped_after_the_overlap() {
    let (runtime, _disk) = simulated(2);
    runtime.block_on(async {
        // The background task is out of the way.
        let config = IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
        let node = Node::open(&runtime, config).await;
        // Data of long ago: only its own time counts.
        let start = window_now(&node) - 48 * HOUR;
        let mut model = Samples::new();
        let mut t = start;
        let mut blocks_seen = Vec::new();
        while t < start + 7 * HOUR {
            let samples = scrape(t, 0..10);
            node.write(&samples).await;
            wanted(&samples, &mut model);
            node.ingester.cut_due().await;
            let blocks = node.catalogs.get(&tenant()).await.unwrap().live().len();
            if blocks_seen.last().is_none_or(|(count, _)| *count != blocks) {
                blocks_seen.push((blocks, t - start));
            }
            let head_min = node.ingester.head_min_time(&tenant());
            let head = node.head(TimeRange::new(head_min, i64::MAX)).await;
            assert!(head.keys().all(|(_, t)| *t >= head_min));
            assert_eq!(head.len(), model.keys().filter(|(_, t)| *t >= head_min).count());
            t += 60_000;
        }
        same(&node.everything().await, &model);
        for (blocks, at) in &blocks_seen[1..] {
            let end = *blocks as i64 * WINDOW;
            let after = at - end;
            assert!(
                (15 * 60_000..18 * 60_000).contains(&after),
                "{blocks} blocks {after} ms after their end"
            );
        }
        assert_eq!(blocks_seen.len(), 4);
        let floor = node.ingester.head_min_time(&tenant());
        assert_eq!(floor, start + 2 * WINDOW, "two hours of overlap are kept");
        // An hour without writes: the rest is cut too.
        node.runtime.sleep(Duration::from_secs(3700)).await;
        node.ingester.cut_due().await;
        same(&node.blocks(TimeRange::all()).await, &model);
        node.close().await;
    });
}

#[test]
fn late_samples_are_judged_against_the_head_and_become_generations() {
    let (runtime, _disk) = simulated(3);
    runtime.block_on(async {
        let config = IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
        let node = Node::open(&runtime, config).await;
        let start = window_now(&node) - 4 * HOUR;
        let mut model = Samples::new();
        for tick in 0..960 {
            let samples = scrape(start + tick * 15_000, 0..3);
            node.write(&samples).await;
            wanted(&samples, &mut model);
        }
        node.ingester.cut_due().await;
        assert_eq!(node.catalogs.get(&tenant()).await.unwrap().live().len(), 1);
        // Behind the frozen boundary: the same again, another value, something new.
        let outcome = node.append(batch(&scrape(start, 0..3))).await.unwrap();
        assert_eq!(outcome.rejections, []);
        let outcome = node.append(batch(&[(0, start, -1.0), (1, start + 1, -1.0)])).await.unwrap();
        assert_eq!(outcome.rejections.len(), 1);
        assert_eq!(outcome.rejections[0].reason, RejectReason::Duplicate);
        model.insert((labels(1), start + 1), (-1.0_f64).to_bits());
        // An hour of a sender that was behind.
        for tick in 0..240 {
            let samples = scrape(start + tick * 15_000, 10..13);
            node.write(&samples).await;
            wanted(&samples, &mut model);
        }
        same(&node.head(TimeRange::all()).await, &model);
        node.ingester.flush(true).await.unwrap();
        same(&node.head(TimeRange::all()).await, &Samples::new());
        same(&node.everything().await, &model);
        let live = node.catalogs.get(&tenant()).await.unwrap().live();
        let mut keys: Vec<_> =
            live.iter().map(|meta| ((meta.start - start) / WINDOW, meta.generation)).collect();
        keys.sort_unstable();
        assert_eq!(keys, [(0, 0), (0, 1), (1, 0)]);
        node.close().await;
    });
}

#[test]
fn a_selection_reads_what_was_dropped_after_it_was_made() {
    use proto::{LabelsWanted, SelectRequest, Source};
    let (runtime, _disk) = simulated(7);
    runtime.block_on(async {
        let config = IngesterConfig { cut_check: Duration::from_secs(1 << 30), ..IngesterConfig::default() };
        let node = Node::open(&runtime, config).await;
        let start = window_now(&node) - 12 * HOUR;
        let mut t = start;
        let mut selection = None;
        let mut count = 0;
        while t < start + 5 * HOUR {
            node.write(&scrape(t, 0..4)).await;
            node.ingester.cut_due().await;
            if t == start + 4 * HOUR - 30_000 {
                let request = SelectRequest {
                    tenant: tenant(),
                    matchers: Vec::new(),
                    range: TimeRange::new(start, start + WINDOW),
                    labels: LabelsWanted::All,
                    series_max: 0,
                };
                assert_eq!(node.ingester.head_min_time(&tenant()), i64::MIN);
                selection = Some(node.ingester.source().select(&request).await.unwrap());
                count = node.head(TimeRange::new(start, start + WINDOW)).await.len();
            }
            t += 30_000;
        }
        assert_eq!(node.ingester.head_min_time(&tenant()), start + WINDOW);
        assert_eq!(node.head(TimeRange::new(start, start + WINDOW)).await.len(), 0);
        let samples = selection.unwrap().read(0..4).await.unwrap();
        assert_eq!((samples.values.len(), count), (4 * 240, 4 * 240));
        node.close().await;
    });
}

#[test]
fn references_of_collected_series_are_stale_and_their_labels_make_new_ones() {
    let (runtime, _disk) = simulated(8);
    runtime.block_on(async {
        let node = Node::open(&runtime, IngesterConfig::default()).await;
        let now = node.runtime.now_ms() - 10 * HOUR;
        let outcome = node.append(batch(&[(1, now, 1.0), (2, now, 1.0)])).await.unwrap();
        assert_eq!(outcome.references, [0, 1]);
        // Twice, for a series outlives one floor.
        for i in 1..3 {
            node.write(&[(2, now + i * HOUR, 1.0)]).await;
            node.ingester.flush(true).await.unwrap();
        }
        let mut known = batch(&[]);
        known.floats.series = vec![0, 1];
        known.floats.timestamps = vec![now + 3 * HOUR; 2];
        known.floats.values = vec![2.0; 2];
        let outcome = node.append(known).await.unwrap();
        assert_eq!(outcome.rejections.len(), 1);
        assert_eq!(
            (outcome.rejections[0].index, outcome.rejections[0].reason),
            (0, RejectReason::StaleReference)
        );
        let outcome = node.append(batch(&[(1, now + 3 * HOUR, 2.0)])).await.unwrap();
        assert_eq!(outcome, proto::AppendOutcome { references: vec![2], ..Default::default() });
        assert_eq!(node.everything().await.len(), 6);
        node.close().await;
    });
}

fn histogram(count: u64) -> Histogram {
    Histogram::Int(Box::new(IntHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: count,
        count: count * 4,
        sum: count as f64 * 1.5,
        positive_spans: vec![Span { offset: -1, length: 2 }],
        negative_spans: Vec::new(),
        positive_deltas: vec![count as i64, count as i64],
        negative_deltas: Vec::new(),
        custom_values: std::sync::Arc::from([]),
    }))
}

#[test]
fn histograms_exemplars_metadata_and_starts_survive_restart_and_cut() {
    use proto::{MetadataRequest, SelectRequest, Source};
    let (runtime, disk) = simulated(4);
    let request =
        || MetadataRequest { tenant: tenant(), matchers: Vec::new(), range: TimeRange::all(), limit: 0 };
    let life = |is_first: bool| {
        let runtime = runtime.with_disk(std::sync::Arc::new(disk.mount()));
        async move {
            let node = Node::open(&runtime, IngesterConfig::default()).await;
            let metadata = Metadata { metric_type: MetricType::Counter, help: "h".into(), unit: "s".into() };
            let trace = Labels::new([("trace_id", "abc")]).unwrap();
            let start = 1_704_067_200_000 - 3 * HOUR;
            if is_first {
                for tick in 0..70 {
                    let t = start + tick * 15_000;
                    let mut batch = batch(&[(0, t, tick as f64)]);
                    batch.floats.start_timestamps = vec![if tick < 40 { start - 5 } else { t - 1 }];
                    batch.new_series.push(labels(1));
                    let series = NEW_SERIES | 1;
                    let histogram = histogram(tick as u64);
                    batch.histograms.push(HistogramAppend { series, t, start_t: start, histogram });
                    let exemplar = Exemplar { labels: trace.clone(), value: 0.5, t };
                    batch.exemplars.push(ExemplarAppend { series, exemplar });
                    let metric = "even_total".to_owned();
                    batch.metadata.push(MetadataAppend { metric, metadata: metadata.clone() });
                    assert_eq!(node.append(batch).await.unwrap().rejections, []);
                    if tick == 50 {
                        node.cluster.group(model::GroupId::FIRST_DATA).unwrap().snapshot_now().await.unwrap();
                    }
                }
                // No shutdown: the process dies.
                return;
            }
            let source = node.ingester.source();
            let select = SelectRequest {
                tenant: tenant(),
                matchers: Vec::new(),
                range: TimeRange::all(),
                labels: proto::LabelsWanted::All,
                series_max: 0,
            };
            let selection = source.select(&select).await.unwrap();
            let samples = selection.read(0..2).await.unwrap();
            let starts = samples.series[0].start_ts.clone().unwrap();
            assert_eq!((starts[0], starts[39], starts[40]), (start - 5, start - 5, start + 40 * 15_000 - 1));
            assert_eq!(samples.histograms_of(1).len(), 70);
            assert_eq!(samples.histograms_of(1)[9].h.count, 36.0);
            assert_eq!(samples.histograms_of(1)[9].start_t, start);
            let exemplars = source.exemplars(&request()).await.unwrap();
            assert_eq!(exemplars.len(), 1);
            assert_eq!((exemplars[0].exemplars.len(), &exemplars[0].labels), (70, &labels(1)));
            let known = source.metadata(&tenant(), Some("even_total")).await.unwrap();
            assert_eq!(known, [("even_total".to_owned(), metadata.clone())]);
            node.ingester.flush(true).await.unwrap();
            let live = node.catalogs.get(&tenant()).await.unwrap().live();
            let counts = live
                .iter()
                .map(|meta| meta.counts)
                .fold((0, 0, 0), |sum, c| (sum.0 + c.samples, sum.1 + c.histograms, sum.2 + c.exemplars));
            assert_eq!(counts, (70, 70, 70));
            let cache = block::BlockCache::new(&block::BlockCacheOptions::default());
            let bucket = node.catalogs.bucket().clone();
            let reader =
                block::BlockReader::new(runtime.clone(), bucket, cache, std::sync::Arc::clone(&live[0]));
            assert_eq!(reader.metadata().await.unwrap()[..], [("even_total".to_owned(), metadata)]);
            let found = reader.select(&[], TimeRange::all()).await.unwrap();
            let batch = reader.read(found.rows(), TimeRange::all()).await.unwrap();
            assert_eq!(batch.series[0].start_ts.as_ref().map(|s| s[0]), Some(start - 5));
            assert_eq!(batch.histograms_of(1)[9].h.count, 36.0);
            node.close().await;
        }
    };
    runtime.block_on(life(true));
    disk.process_death();
    runtime.block_on(life(false));
}
