//! A node of the tests: opens, writes, and reads everything back from heads and blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockCache, BlockCacheOptions, BlockReader, Bucket, BucketOptions, Catalogs};
use cluster::{Cluster, ClusterConfig};
use ingester::{Ingester, IngesterConfig};
use model::{GroupId, Labels, NodeId, SampleBatch, TenantId, TimeRange, TimestampMs};
use proto::{
    AppendBatch, AppendError, AppendOutcome, AppendSamples, LabelsWanted, NEW_SERIES, SelectRequest,
    Selection, Source,
};
use runtime::{Runtime, SimulatedDisk};

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const WINDOW: i64 = 2 * HOUR;

/// Value bits by series and time.
pub(crate) type Samples = BTreeMap<(Labels, TimestampMs), u64>;

pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) cluster: Cluster,
    pub(crate) ingester: Ingester,
    pub(crate) catalogs: Arc<Catalogs>,
}

pub(crate) fn simulated(seed: u64) -> (Runtime, SimulatedDisk) {
    let disk = SimulatedDisk::new(seed);
    (Runtime::simulated(seed).with_disk(Arc::new(disk.clone())), disk)
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("team-1").unwrap()
}

pub(crate) fn labels(i: usize) -> Labels {
    let (pod, instance) = (format!("pod-{}", i % 5), format!("i-{i}"));
    let name = if i.is_multiple_of(2) { "even_total" } else { "odd_total" };
    Labels::new([("__name__", name), ("pod", pod.as_str()), ("instance", instance.as_str())]).unwrap()
}

/// Floats with their labels.
pub(crate) fn batch(samples: &[(usize, TimestampMs, f64)]) -> AppendBatch {
    let mut batch = AppendBatch::default();
    for (series, t, value) in samples {
        batch.floats.series.push(NEW_SERIES | batch.new_series.len() as u32);
        batch.new_series.push(labels(*series));
        batch.floats.timestamps.push(*t);
        batch.floats.values.push(*value);
    }
    batch
}

impl Node {
    pub(crate) async fn open(runtime: &Runtime, config: IngesterConfig) -> Self {
        Self::open_at(runtime, "/data", config).await
    }

    /// With its log there; the bucket is always the same.
    pub(crate) async fn open_at(runtime: &Runtime, data: &str, config: IngesterConfig) -> Self {
        let cluster_config = ClusterConfig {
            segment_bytes: 256 << 10,
            wal_bytes_max: 2 << 20,
            snapshot_log_bytes: 1 << 20,
            ..ClusterConfig::new(data, NodeId(1))
        };
        let cluster = Cluster::open(runtime.clone(), cluster_config).await.unwrap();
        let bucket = Bucket::open(runtime, "/bucket", &BucketOptions::default()).unwrap();
        let catalogs = Arc::new(Catalogs::new(bucket));
        let ingester =
            Ingester::start(runtime.clone(), &cluster, Arc::clone(&catalogs), config).await.unwrap();
        Node { runtime: runtime.clone(), cluster, ingester, catalogs }
    }

    pub(crate) async fn append(&self, batch: AppendBatch) -> Result<AppendOutcome, AppendError> {
        let group = self.ingester.place_all(&tenant()).unwrap_or(GroupId::FIRST_DATA);
        self.ingester.append(&tenant(), group, batch).await
    }

    /// Appends, and expects that everything is taken.
    pub(crate) async fn write(&self, samples: &[(usize, TimestampMs, f64)]) {
        let outcome = self.append(batch(samples)).await.unwrap();
        assert_eq!(outcome.rejections, []);
    }

    pub(crate) async fn close(self) {
        self.ingester.shutdown().await;
        self.cluster.shutdown().await.unwrap();
    }

    /// What the heads have in range.
    pub(crate) async fn head(&self, range: TimeRange) -> Samples {
        let request = SelectRequest {
            tenant: tenant(),
            matchers: Vec::new(),
            range,
            labels: LabelsWanted::All,
            series_max: 0,
        };
        let selection = self.ingester.source().select(&request).await.unwrap();
        let mut out = Samples::new();
        let count = selection.series().len();
        for start in (0..count).step_by(7) {
            let end = (start + 7).min(count);
            let batch = selection.read(start..end).await.unwrap();
            let all: Vec<Labels> = selection.series()[start..end].iter().map(|s| s.labels.clone()).collect();
            for (i, series) in all.iter().enumerate() {
                assert_eq!(series.series_id(), selection.series()[start + i].id);
            }
            gather(&mut out, &all, &batch);
        }
        out
    }

    /// What the live blocks have in range.
    pub(crate) async fn blocks(&self, range: TimeRange) -> Samples {
        let catalog = self.catalogs.get(&tenant()).await.unwrap();
        let cache = BlockCache::new(&BlockCacheOptions::default());
        let mut out = Samples::new();
        // The first generation wins.
        let mut live: Vec<_> = catalog.live().iter().cloned().collect();
        live.sort_by_key(|meta| std::cmp::Reverse(meta.generation));
        for meta in live {
            let reader =
                BlockReader::new(self.runtime.clone(), self.catalogs.bucket().clone(), cache.clone(), meta);
            let selection = reader.select(&[], range).await.unwrap();
            let batch = reader.read(selection.rows(), range).await.unwrap();
            let which: Vec<usize> = (0..selection.rows().len()).collect();
            let all = selection.labels(&which, None).unwrap();
            gather(&mut out, &all, &batch);
        }
        out
    }

    /// Heads and blocks as a query reads them: heads first.
    pub(crate) async fn everything(&self) -> Samples {
        let head = self.head(TimeRange::all()).await;
        let mut all = self.blocks(TimeRange::all()).await;
        all.extend(head);
        all
    }
}

pub(crate) fn gather(out: &mut Samples, series: &[Labels], batch: &SampleBatch) {
    for (i, labels) in series.iter().enumerate() {
        let timestamps = batch.timestamps_of(i);
        assert!(timestamps.is_sorted_by(|a, b| a < b), "ascending, none twice");
        assert_eq!(timestamps.len(), batch.values_of(i).len());
        for (t, value) in timestamps.iter().zip(batch.values_of(i)) {
            out.insert((labels.clone(), *t), value.to_bits());
        }
    }
}

/// Reads all samples of what was selected.
pub(crate) async fn gather_all(selection: &Arc<dyn Selection>, into: &mut Samples) {
    let all: Vec<Labels> = selection.series().iter().map(|series| series.labels.clone()).collect();
    let batch = selection.read(0..all.len()).await.expect("heads and blocks are there");
    gather(into, &all, &batch);
}
