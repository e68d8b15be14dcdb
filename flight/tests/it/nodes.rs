//! Nodes under test: sources in memory behind sockets of this machine.

use std::net::SocketAddr;
use std::sync::Arc;

use flight::{NodeServer, RemoteNode, Traffic};
use model::{CounterResetHint, FloatHistogram, Histogram, Labels, Span, TenantId, TimeRange};
use promql::{Answer, Engine, EngineOptions, Features, LocalFragments, MemorySource, QueryRequest, Rewrites};
use proto::{RunFragment, Source};
use querier::SpreadSource;
use runtime::{Runtime, Shutdown, Task};

pub(crate) const STEP: i64 = 15_000;
pub(crate) const SAMPLES: i64 = 80;

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn engine(rewrites: Rewrites) -> Engine {
    let features = Features::of_test_scripts();
    Engine::new(Runtime::real(), EngineOptions { rewrites, features, ..EngineOptions::default() })
}

/// A node that serves.
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) server: NodeServer,
    shutdown: Shutdown,
    task: Task<()>,
}

impl TestNode {
    pub(crate) async fn start(source: Arc<dyn Source>) -> TestNode {
        let fragments = LocalFragments::new(engine(Rewrites::default()), Arc::clone(&source));
        Self::start_on(any_port(), source, Arc::new(fragments)).await
    }

    pub(crate) async fn start_on(
        address: SocketAddr,
        source: Arc<dyn Source>,
        fragments: Arc<dyn RunFragment>,
    ) -> TestNode {
        let runtime = Runtime::real();
        let listener = runtime::net::listen(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (traffic, shutdown) = (Arc::<Traffic>::default(), Shutdown::new());
        let server = NodeServer::new(runtime.clone(), source, fragments, Arc::clone(&traffic));
        let (serving, stop) = (server.clone(), shutdown.clone());
        let task = runtime.spawn("node", async move { serving.serve(listener, stop).await.unwrap() });
        TestNode { address, traffic, server, shutdown, task }
    }

    /// The node as another sees it.
    pub(crate) fn remote(&self) -> RemoteNode {
        RemoteNode::new(&self.address.to_string(), Arc::default()).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.task.await.unwrap();
    }
}

/// One series: labels, floats, histograms.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    floats: Vec<(i64, f64, i64)>,
    histograms: Vec<(i64, Histogram, i64)>,
}

impl Series {
    /// Its samples of a time.
    pub(crate) fn during(&self, time: TimeRange) -> Series {
        let mut some = self.clone();
        some.floats.retain(|(t, _, _)| time.contains(*t));
        some.histograms.retain(|(t, _, _)| time.contains(*t));
        some
    }
}

fn histogram(grown: f64) -> Histogram {
    Histogram::Float(Box::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 1.0 + 3.0 * grown,
        sum: grown * 4.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        positive_buckets: vec![grown, 2.0 * grown],
        negative_buckets: Vec::new(),
        custom_values: Arc::from([]),
    }))
}

/// Counters that reset, gauges with gaps, classic and native histograms, a metric that is both.
pub(crate) fn data() -> Vec<Series> {
    let mut all = Vec::new();
    for i in 0..30i64 {
        let name = ["c_total", "g", "h_bucket", "n", "mixed"][i as usize % 5];
        let pod = format!("p{}", i % 4);
        let instance = format!("i{i}");
        let mut pairs = vec![("__name__", name), ("pod", &pod), ("instance", &instance)];
        if name == "h_bucket" {
            pairs.push(("le", ["0.1", "1", "+Inf"][(i as usize / 5) % 3]));
        }
        let labels = Labels::new(pairs).unwrap();
        let mut series = Series { labels, floats: Vec::new(), histograms: Vec::new() };
        for step in 0..SAMPLES {
            let t = step * STEP + i % 3 * 1_000;
            if (step + i) % 11 == 0 {
                continue;
            }
            if name == "n" || (name == "mixed" && step % 2 == 0) {
                series.histograms.push((t, histogram((step % 50 + i) as f64), 0));
                continue;
            }
            let value = match name {
                "g" | "mixed" => ((step * 7 + i * 13) % 29) as f64 - 14.0,
                // no two alike: which of two equals is the largest hangs on the order of series
                _ => ((step % 37) * (i + 1)) as f64 + i as f64 / 100.0,
            };
            series.floats.push((t, value, 0));
        }
        all.push(series);
    }
    all
}

pub(crate) fn memory<'a>(series: impl IntoIterator<Item = &'a Series>) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for one in series {
        source.add_floats(&one.labels, &one.floats);
        source.add_histograms(&one.labels, &one.histograms);
    }
    Arc::new(source)
}

/// `count` nodes, each with every `count`th series, and all of them as one source.
pub(crate) async fn spread(series: &[Series], count: usize) -> (Vec<TestNode>, Arc<SpreadSource>) {
    let mut nodes = Vec::new();
    for number in 0..count {
        let mine = series.iter().enumerate().filter(|(i, _)| i % count == number).map(|(_, s)| s);
        nodes.push(TestNode::start(memory(mine)).await);
    }
    let remotes = nodes.iter().map(|node| Arc::new(node.remote()) as Arc<dyn Source>).collect();
    (nodes, Arc::new(SpreadSource::new(remotes)))
}

pub(crate) fn query(expr: &str) -> QueryRequest {
    QueryRequest::new(TenantId::anonymous(), expr)
}

pub(crate) async fn range(
    engine: &Engine,
    source: Arc<dyn Source>,
    expr: &str,
) -> Result<Answer, promql::QueryError> {
    engine.range(source, query(expr), 5 * 60_000, SAMPLES * STEP + 60_000, 30_000).await
}
