//! The head through the ingester: durable appends, postings, reads.

use std::cell::{Cell, OnceCell};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ::block::{Bucket, BucketOptions, Catalogs};
use benches::{REQUEST_SAMPLES, STEP_MS, labels, value};
use cluster::{Cluster, ClusterConfig};
use criterion::{Criterion, Throughput};
use ingester::{Ingester, IngesterConfig};
use model::{GroupId, MatchOp, Matcher, NodeId, TenantId, TimeRange, TimestampMs};
use proto::{
    AppendBatch, AppendSamples, LabelsWanted, NEW_SERIES, SelectRequest, Selection, SeriesRef, Source,
};
use runtime::Runtime;

use crate::folder;

pub(crate) const SERIES: usize = 20_000;
/// Scrapes that are there before anything is measured: an hour.
pub(crate) const SCRAPES: usize = 240;
/// Series read at once.
const RUN: usize = 500;

pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) ingester: Ingester,
    references: Vec<SeriesRef>,
    /// Time of the first scrape.
    pub(crate) start: TimestampMs,
}

impl Node {
    pub(crate) async fn open(runtime: &Runtime, folder: &str) -> Self {
        let config = ClusterConfig::new(folder, NodeId(1));
        let cluster = Cluster::open(runtime.clone(), config).await.expect("an empty folder opens");
        let bucket = Bucket::open(runtime, &format!("{folder}/bucket"), &BucketOptions::default());
        let catalogs = Arc::new(Catalogs::new(bucket.expect("a folder")));
        // nothing is cut while it is measured
        let config = IngesterConfig { cut_check: Duration::from_secs(86_400), ..IngesterConfig::default() };
        let ingester = Box::pin(Ingester::start(runtime.clone(), &cluster, catalogs, config)).await;
        let ingester = ingester.expect("a new group starts");
        // far enough in the past for as many scrapes as are measured
        let start = (runtime.now_ms() - 48 * 3_600_000) / 7_200_000 * 7_200_000;
        let mut node = Node { cluster, ingester, references: Vec::new(), start };
        let mut first = node.batch(0, 0..SERIES);
        first.floats.series = (0..SERIES as u32).map(|i| NEW_SERIES | i).collect();
        first.new_series = (0..SERIES).map(labels).collect();
        node.references = node.append(first).await;
        for scrape in 1..SCRAPES {
            node.append(node.batch(scrape, 0..SERIES)).await;
        }
        node
    }

    pub(crate) fn batch(&self, scrape: usize, series: std::ops::Range<usize>) -> AppendBatch {
        let mut batch = AppendBatch::default();
        batch.floats.timestamps = vec![self.start + scrape as i64 * STEP_MS; series.len()];
        batch.floats.values = series.clone().map(|index| value(index, scrape)).collect();
        batch.floats.series = self.references.get(series).unwrap_or(&[]).to_vec();
        batch
    }

    pub(crate) async fn append(&self, batch: AppendBatch) -> Vec<SeriesRef> {
        let outcome = self.ingester.append(&TenantId::anonymous(), GroupId::FIRST_DATA, batch).await;
        let outcome = outcome.expect("the group takes writes");
        assert_eq!(outcome.rejections, []);
        outcome.references
    }

    async fn select(&self, matchers: &[Matcher], labels: LabelsWanted) -> Arc<dyn Selection> {
        let request = SelectRequest {
            tenant: TenantId::anonymous(),
            matchers: matchers.to_vec(),
            range: TimeRange::new(self.start, self.start + SCRAPES as i64 * STEP_MS),
            labels,
            series_max: 0,
        };
        self.ingester.source().select(&request).await.expect("the head answers")
    }

    async fn read(&self, matchers: &[Matcher]) -> usize {
        let selection = self.select(matchers, LabelsWanted::Only(Vec::new())).await;
        let count = selection.series().len();
        let mut samples = 0;
        for first in (0..count).step_by(RUN) {
            let batch = selection.read(first..(first + RUN).min(count)).await.expect("the head answers");
            samples += batch.values.len();
            black_box(&batch);
        }
        samples
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let folder = folder();
    let opened = OnceCell::new();
    let start = || {
        let path = folder.path().to_str().expect("the target directory's name is UTF-8");
        runtime.block_on(Box::pin(Node::open(&runtime, path)))
    };
    let regex = |name, value| Matcher::new(MatchOp::Regex, name, value).expect("a regex");

    let mut group = criterion.benchmark_group("head");
    group.sample_size(20);
    for (name, matchers) in [
        ("all series", vec![regex("job", ".+")]),
        ("one metric", vec![Matcher::equal("__name__", "http_requests_total")]),
        ("prefix of pods", vec![regex("pod", "checkout-0.*"), Matcher::equal("code", "200")]),
    ] {
        // elements: all series of the head, matching or not
        group.throughput(Throughput::Elements(SERIES as u64));
        for (labels, wanted) in [("", LabelsWanted::Only(Vec::new())), (" with labels", LabelsWanted::All)] {
            group.bench_function(format!("select/{name}{labels}"), |bencher| {
                let node = opened.get_or_init(start);
                bencher.iter(|| {
                    runtime.block_on(Box::pin(node.select(&matchers, wanted.clone()))).series().len()
                });
            });
        }
    }
    group.throughput(Throughput::Elements((SERIES * SCRAPES) as u64));
    let all = [regex("job", ".+")];
    group.bench_function("read", |bencher| {
        let node = opened.get_or_init(start);
        assert_eq!(runtime.block_on(Box::pin(node.read(&all))), SERIES * SCRAPES);
        bencher.iter(|| runtime.block_on(Box::pin(node.read(&all))));
    });
    // last, for it makes the head longer
    group.throughput(Throughput::Elements(REQUEST_SAMPLES as u64));
    let request = Cell::new(0);
    group.bench_function("append and fsync", |bencher| {
        let node = opened.get_or_init(start);
        bencher.iter(|| {
            let number = request.replace(request.get() + 1);
            let first = number * REQUEST_SAMPLES % SERIES;
            let batch =
                node.batch(SCRAPES + number * REQUEST_SAMPLES / SERIES, first..first + REQUEST_SAMPLES);
            runtime.block_on(Box::pin(node.append(batch)))
        });
    });
    group.finish();
    if let Some(node) = opened.into_inner() {
        runtime.block_on(Box::pin(async {
            node.ingester.shutdown().await;
            node.cluster.shutdown().await.expect("closes");
        }));
    }
}
