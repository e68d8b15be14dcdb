//! Series whose samples lie on two nodes, each with a part of the time: windows that reach over both come as states.

use std::sync::Arc;

use async_trait::async_trait;
use flight::{Direction, RemoteNode};
use model::{Labels, Metadata, TenantId, TimeRange};
use promql::{Answer, Engine, EngineOptions, Features, MemorySource, Rewrites};
use proto::{
    Layout, MetadataRequest, Place, SelectRequest, Selection, SeriesExemplars, Shard, Source, SourceError,
    Span,
};
use querier::MergedSource;
use runtime::Runtime;

use crate::nodes::{SAMPLES, STEP, TestNode, data, engine, memory, query, range};
use crate::queries::shown;

/// From when on the new node holds everything, until when the old one does.
const NEW: i64 = SAMPLES / 2 * STEP;
const OLD: i64 = NEW + 3 * STEP;

/// One shard: new samples on one node, old ones on another.
struct TwoTimes {
    new: RemoteNode,
    old: RemoteNode,
    whole: Arc<MergedSource>,
}

impl TwoTimes {
    async fn start(new: Arc<MemorySource>, old: Arc<MemorySource>) -> ([TestNode; 2], Arc<TwoTimes>) {
        let nodes = [TestNode::start(new).await, TestNode::start(old).await];
        let [new, old] = [nodes[0].remote(), nodes[1].remote()];
        let both: Vec<Arc<dyn Source>> = vec![Arc::new(new.clone()), Arc::new(old.clone())];
        (nodes, Arc::new(TwoTimes { new, old, whole: Arc::new(MergedSource::new(both)) }))
    }
}

#[async_trait]
impl Source for TwoTimes {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.whole.select(request).await
    }

    async fn layout(&self, _: &TenantId, _: TimeRange) -> Result<Option<Layout>, SourceError> {
        let span = |name: &str, holds: TimeRange, node: &RemoteNode| {
            let place = Place::There(Arc::new(node.clone()));
            Span { name: name.to_owned(), holds, place }
        };
        let spans = vec![
            span("new", TimeRange::new(NEW, i64::MAX), &self.new),
            span("old", TimeRange::new(i64::MIN, OLD), &self.old),
        ];
        Ok(Some(Layout { shards: vec![Shard { spans, whole: self.whole.clone() }] }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.whole.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.whole.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.whole.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.whole.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.whole.exemplars(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_over_two_nodes_are_those_over_all_samples() {
    let series = data();
    let during = |time: TimeRange| memory(&series.iter().map(|s| s.during(time)).collect::<Vec<_>>());
    let (_nodes, source) =
        TwoTimes::start(during(TimeRange::new(NEW, i64::MAX)), during(TimeRange::new(i64::MIN, OLD))).await;
    let (all, plain) = (memory(&series), engine(Rewrites::NONE));
    let features = Features::of_test_scripts();
    // states even where they are more bytes
    let options = EngineOptions { features, states_from: Some(0), ..EngineOptions::default() };
    let pushing = Engine::new(Runtime::real(), options);
    // what the first histogram of the new node follows on, these nodes do not ask each other
    let unhinted = |answer: &Answer| {
        let (rows, notes) = shown(answer);
        let rows: Vec<_> = rows.into_iter().map(|(l, row)| (l, row.replace("NotReset", "Unknown"))).collect();
        (rows, notes)
    };
    let mut rows = 0;
    for function in [
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "deriv",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "stddev_over_time",
        "present_over_time",
        "ts_of_max_over_time",
        "quantile_over_time",
    ] {
        for metric in ["c_total", "g", "n", "mixed"] {
            let first = if function.starts_with("quantile") { "0.3, " } else { "" };
            for expr in [
                format!("{function}({first}{metric}[5m])"),
                format!("sum by (pod) ({function}({first}{metric}[8m:] offset 30s))").replace(":]", "]"),
            ] {
                let a = range(&plain, all.clone(), &expr).await.unwrap();
                let b = range(&pushing, source.clone(), &expr).await.unwrap();
                assert_eq!(unhinted(&a), unhinted(&b), "{expr}");
                rows += shown(&b).0.len();
            }
        }
    }
    assert!(rows > 300, "{rows} rows");
}

/// Bytes from both nodes for a window of half an hour, a sample every second.
async fn bytes(rewrites: Rewrites) -> u64 {
    let source = |times: std::ops::Range<i64>| {
        let source = MemorySource::new();
        for i in 0..50 {
            let (pod, instance) = (format!("p{}", i % 5), format!("i{i}"));
            let pairs = [("__name__", "c_total"), ("pod", &*pod), ("instance", &*instance)];
            let labels = Labels::new(pairs).unwrap();
            let samples: Vec<_> = times.clone().map(|t| (t * 1_000, (t * (i + 3)) as f64, 0)).collect();
            source.add_floats(&labels, &samples);
        }
        Arc::new(source)
    };
    let (nodes, source) = TwoTimes::start(source(NEW / 1_000..2_000), source(0..OLD / 1_000)).await;
    let request = query("sum by (pod) (rate(c_total[30m]))");
    engine(rewrites).instant(source, request, 1_900_000).await.unwrap();
    let of = |node: &TestNode| {
        let both = |ticket| {
            let traffic = &node.traffic;
            traffic.bytes(Direction::Sent, ticket) + traffic.bytes(Direction::Received, ticket)
        };
        both("fragment") + both("select")
    };
    nodes.iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_long_windows_are_fewer_bytes_than_their_samples() {
    let (states, samples) = (bytes(Rewrites::default()).await, bytes(Rewrites::NONE).await);
    assert!(samples > 20 * states, "{states} bytes as states, {samples} as samples");
}
