//! Queries over nodes give what queries over the same series in one process give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use flight::Direction;
use model::{Labels, Matcher, Metadata, TenantId, TimeRange};
use promql::{Answer, QueryRequest, Rewrites, Value};
use proto::{
    DataChanges, DataVersion, LabelsWanted, MetadataRequest, SelectRequest, Selection, SeriesExemplars,
    Source, SourceError,
};

use crate::nodes::{TestNode, data, engine, memory, query, range, spread};

const EXPRESSIONS: [&str; 26] = [
    "g offset 1m smoothed",
    "increase(c_total[5m] anchored) + 1",
    "g",
    "mixed",
    "c_total{pod=~\"p[0-2]\"} offset 2m",
    "rate(c_total[5m])",
    "sum by (pod) (rate(c_total[5m]))",
    "sum without (instance) (rate(n[5m]))",
    "avg(mixed)",
    "sum by (pod) (mixed)",
    "stddev by (pod) (g)",
    "count(g > 3)",
    "topk by (pod) (1, c_total)",
    "count_values by (pod) (\"v\", round(g, 10))",
    "quantile by (pod) (0.4, g)",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
    "histogram_quantile(0.9, sum(rate(n[5m])))",
    "rate(g[5m]) / on (pod, instance) c_total",
    "g + on (pod) group_left sum by (pod) (c_total)",
    "max_over_time(sum by (pod) (rate(c_total[3m]))[6m:1m])",
    "sum(rate(mixed[5m]))",
    "quantile_over_time(2, g[5m])",
    "absent(nothing_there)",
    "absent(c_total)",
    "min by (pod) (c_total @ end())",
    "count by (pod) (limitk by (pod) (1, g))",
];

/// Series and values by label, and what was noted.
pub(crate) fn shown(answer: &Answer) -> (Vec<(Labels, String)>, Vec<String>) {
    let Value::Matrix(matrix) = &answer.value else { panic!("{:?}", answer.value) };
    let mut rows: Vec<_> = matrix
        .iter()
        .map(|series| {
            // sums in another order differ in the last digits
            let floats: Vec<String> = series.floats.iter().map(|(t, v)| format!("{t} {v:.9}")).collect();
            let histograms: Vec<String> = series
                .histograms
                .iter()
                .map(|(t, h)| {
                    let buckets: Vec<String> = h.positive_buckets.iter().map(|b| format!("{b:.6}")).collect();
                    let shape = (h.schema, h.counter_reset_hint, &h.positive_spans);
                    format!("{t} {:.6} {:.6} {buckets:?} {shape:?}", h.count, h.sum)
                })
                .collect();
            (series.labels.clone(), format!("{floats:?} {histograms:?}"))
        })
        .collect();
    rows.sort();
    let mut notes = [answer.warnings.clone(), answer.infos.clone()].concat();
    notes.sort();
    (rows, notes)
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_over_nodes_answer_as_over_one_process() {
    let series = data();
    let all = memory(&series);
    let plain = engine(Rewrites::NONE);
    let (mut rows, mut notes) = (0, 0);
    for count in [1, 3] {
        let (_nodes, source) = spread(&series, count).await;
        for rewrites in [Rewrites::default(), Rewrites::NONE] {
            let pushing = engine(rewrites);
            for expr in EXPRESSIONS {
                let a = range(&plain, all.clone(), expr).await.unwrap();
                let b = range(&pushing, source.clone(), expr).await.unwrap();
                assert_eq!(shown(&a), shown(&b), "{expr} over {count} nodes with {rewrites:?}");
                rows += shown(&b).0.len();
                notes += shown(&b).1.len();
            }
        }
    }
    assert!(rows > 300 && notes > 10, "{rows} rows, {notes} notes");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_queries_keep_their_text() {
    let series = data();
    let (_nodes, source) = spread(&series, 2).await;
    let engine = engine(Rewrites::default());
    for expr in
        ["rate({__name__=~\"g|c_total\", instance=~\"i[01]\"}[5m]) > 0 and {__name__=~\"g|c_total\"} + 1"]
    {
        let here = range(&engine, memory(&series), expr).await;
        let there = range(&engine, source.clone(), expr).await;
        assert_eq!(here.map(|a| shown(&a)), there.map(|a| shown(&a)), "{expr}");
    }
    let mut few = query("g");
    few.series_max = 2;
    let error = engine.instant(source, few, 600_000).await.unwrap_err();
    assert!(!error.to_string().contains("node `"), "a limit of the query names no node: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_counted_where_they_are_read() {
    let series = data();
    let here = memory(&series);
    let (_nodes, there) = spread(&series, 3).await;
    let (here, there): (Arc<dyn Source>, Arc<dyn Source>) = (here, there);
    let engine = engine(Rewrites::default());
    for expr in [
        "sum by (pod) (rate(c_total[5m]))",
        "g",
        "sum(sum_over_time(g[10m]))",
        "sum(g @ 300)",
        "max_over_time(sum(g)[5m:1m])",
    ] {
        let counted = async |source: &Arc<dyn Source>| {
            let request = QueryRequest { per_step_stats: true, ..query(expr) };
            let stats = engine.range(Arc::clone(source), request, 0, 600_000, 60_000).await.unwrap().stats;
            (stats.samples_total, stats.samples_read, stats.series, stats.samples_per_step)
        };
        let read = counted(&there).await;
        assert_eq!(counted(&here).await, read, "{expr}");
        assert!(read.1 > 0, "{expr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_tell_their_part_of_a_plan() {
    let series = data();
    let (nodes, source) = spread(&series, 2).await;
    let engine = engine(Rewrites::default());
    let expr = "sum by (pod) (rate(c_total[5m]))";
    for analyze in [false, true] {
        let explained = engine.explain(source.clone(), query(expr), 0, 600_000, 60_000, analyze);
        let explained = explained.await.unwrap();
        let places = &explained.root.inputs[0].inputs;
        assert_eq!(places.len(), nodes.len(), "{explained}");
        for place in places {
            let remote = &place.inputs[0];
            assert_eq!((remote.name.as_str(), remote.inputs.len()), ("Remote", 1), "{explained}");
            let mut operator = &remote.inputs[0];
            assert_eq!(operator.name, "AggregatePartial", "{explained}");
            while let [input] = &operator.inputs[..] {
                operator = input;
            }
            assert!(operator.series > Some(0), "{explained}");
            let samples = operator.measured.map(|measured| measured.samples);
            assert_eq!(samples.is_some_and(|samples| samples > 0), analyze, "{explained}");
        }
        assert_eq!(explained.stats.is_some(), analyze);
    }
}

fn listing(matchers: Vec<Vec<Matcher>>) -> MetadataRequest {
    MetadataRequest { tenant: TenantId::anonymous(), matchers, range: TimeRange::all(), limit: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_those_of_the_source() {
    let here = memory(&data());
    let node = TestNode::start(here.clone()).await;
    let there = node.remote();
    for request in [
        listing(vec![]),
        listing(vec![vec![Matcher::equal("pod", "p1")], vec![Matcher::equal("__name__", "g")]]),
    ] {
        assert_eq!(here.label_names(&request).await, there.label_names(&request).await);
        assert_eq!(
            here.label_values(&request, "instance").await,
            there.label_values(&request, "instance").await
        );
        let series = there.series(&request).await.unwrap();
        assert!(!series.is_empty());
        assert_eq!(here.series(&request).await.unwrap(), series);
    }
    let tenant = TenantId::anonymous();
    assert_eq!(here.metadata(&tenant, None).await, there.metadata(&tenant, None).await);
    assert_eq!(there.changes(&tenant, None).await, None, "a source that cannot tell");
    for ticket in ["label_names", "label_values", "series", "metadata", "changes"] {
        assert!(node.traffic.bytes(Direction::Received, ticket) > 0, "{ticket}");
    }
}

fn select(name: &str) -> SelectRequest {
    SelectRequest {
        tenant: TenantId::anonymous(),
        matchers: vec![Matcher::equal("__name__", name)],
        range: TimeRange::all(),
        labels: LabelsWanted::All,
        series_max: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_selection_is_read_by_many_at_once() {
    let node = TestNode::start(memory(&data())).await;
    let selection = node.remote().select(&select("mixed")).await.unwrap();
    let count = selection.series().len();
    let whole = selection.read(0..count).await.unwrap();
    let one = |i: usize| {
        let (selection, whole) = (&selection, &whole);
        async move {
            let batch = selection.read(i % count..i % count + 1).await.unwrap();
            assert_eq!(batch.timestamps_of(0), whole.timestamps_of(i % count));
            assert_eq!(batch.values_of(0), whole.values_of(i % count));
            assert_eq!(batch.histograms_of(0).len(), whole.histograms_of(i % count).len());
        }
    };
    futures::future::join_all((0..100).map(one)).await;
    // reads that are given up do not stop the others
    for i in 0..100 {
        let mut given_up = Box::pin(one(i));
        let _pending = futures::poll!(given_up.as_mut());
    }
    one(1).await;
    let wrong = selection.read(0..count + 1).await.unwrap_err();
    assert!(wrong.to_string().contains(&node.address.to_string()), "{wrong}");
    assert_eq!(selection.read(0..1).await.unwrap_err(), wrong, "the stream has ended");
}

/// A source whose data moves away under the first selections.
struct Moving {
    inner: Arc<dyn Source>,
    left: AtomicUsize,
}

#[async_trait]
impl Source for Moving {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(SourceError::Moved("heads let go of samples".to_owned())),
            Err(_) => self.inner.select(request).await,
        }
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.inner.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.inner.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.inner.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.inner.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.inner.exemplars(request).await
    }

    async fn changes(&self, _: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        let now = DataVersion::new(&[7]);
        match since {
            Some(since) if *since == now => Some(DataChanges { now, changed: Vec::new() }),
            _ => Some(DataChanges::all(now)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_moves_is_asked_for_again() {
    let series = data();
    let all = memory(&series);
    let expected = range(&engine(Rewrites::NONE), all.clone(), "sum by (pod) (g)").await.unwrap();
    for rewrites in [Rewrites::default(), Rewrites::NONE] {
        let moving = Arc::new(Moving { inner: all.clone(), left: AtomicUsize::new(3) });
        let node = TestNode::start(moving.clone()).await;
        let answer = range(&engine(rewrites), Arc::new(node.remote()), "sum by (pod) (g)").await.unwrap();
        assert_eq!(shown(&expected), shown(&answer));
        assert_eq!(moving.left.load(Ordering::Relaxed), 0);
        moving.left.store(100, Ordering::Relaxed);
        let error = range(&engine(rewrites), Arc::new(node.remote()), "sum by (pod) (g)").await.unwrap_err();
        assert!(error.to_string().contains("heads let go of samples"), "{error}");
    }
}

/// What was kept from a node means nothing to the process that takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn versions_are_those_of_one_process() {
    let source = Arc::new(Moving { inner: memory(&data()), left: AtomicUsize::new(0) });
    let (first, second) = (TestNode::start(source.clone()).await, TestNode::start(source).await);
    let tenant = TenantId::anonymous();
    let now = first.remote().changes(&tenant, None).await.unwrap().now;
    assert_eq!(first.remote().changes(&tenant, Some(&now)).await.unwrap().changed, []);
    assert_eq!(second.remote().changes(&tenant, Some(&now)).await.unwrap().changed, [TimeRange::all()]);
}
