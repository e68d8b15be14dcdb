//! Windows that reach over a seam: old samples in one place, new ones in another, as states and as merged samples.
//! In one process the time of the query; between processes a table of bytes, too.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;

use ::flight::{Direction, NodeServer, RemoteNode, Traffic};
use ::promql::{Engine, EngineOptions, LocalFragments, MemorySource, QueryRequest};
use ::runtime::{Runtime, Shutdown, net};
use async_trait::async_trait;
use criterion::{Criterion, Throughput};
use model::{Labels, Metadata, TenantId, TimeRange};
use proto::{
    Layout, MetadataRequest, Place, SelectRequest, Selection, SeriesExemplars, Shard, Source, SourceError,
    Span,
};
use querier::MergedSource;

const SERIES: usize = 500;
const STEP_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// The new place holds the last three hours of these, the old one all but the last.
const HOURS: i64 = 36;
const NEW: i64 = (HOURS - 3) * HOUR_MS;
const OLD: i64 = (HOURS - 1) * HOUR_MS;
const END: i64 = HOURS * HOUR_MS - STEP_MS;

/// What is asked: window, first point from the end, distance of points (0: one point).
struct Asked {
    name: &'static str,
    window: &'static str,
    length: i64,
    step: i64,
}

const ASKED: [Asked; 6] = [
    Asked { name: "1d at once", window: "1d", length: 0, step: 0 },
    Asked { name: "6h at once", window: "6h", length: 0, step: 0 },
    Asked { name: "6h, 24h by 1h", window: "6h", length: 24 * HOUR_MS, step: HOUR_MS },
    Asked { name: "6h, 24h by 5m", window: "6h", length: 24 * HOUR_MS, step: HOUR_MS / 12 },
    Asked { name: "6h, 24h by 1m", window: "6h", length: 24 * HOUR_MS, step: HOUR_MS / 60 },
    Asked { name: "5m, 24h by 1m", window: "5m", length: 24 * HOUR_MS, step: HOUR_MS / 60 },
];

fn memory(time: TimeRange) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for i in 0..SERIES {
        let (namespace, pod) = (format!("namespace-{}", i % 10), format!("pod-{i}"));
        let pairs = [("__name__", "requests_total"), ("namespace", &*namespace), ("pod", &*pod)];
        let labels = Labels::new(pairs).expect("labels are sorted and named once");
        let times = (0..=END).step_by(STEP_MS as usize).filter(|t| time.contains(*t));
        let samples: Vec<_> = times.map(|t| (t, (t / 1_000 * (i as i64 + 1)) as f64, 0)).collect();
        source.add_floats(&labels, &samples);
    }
    Arc::new(source)
}

/// Old and new samples of the same series.
struct TwoTimes {
    spans: Vec<Span>,
    whole: Arc<MergedSource>,
}

impl TwoTimes {
    fn new(places: [(Place, Arc<dyn Source>); 2]) -> Arc<TwoTimes> {
        let [(new, new_source), (old, old_source)] = places;
        let span = |name: &str, holds: TimeRange, place: Place| Span { name: name.to_owned(), holds, place };
        let spans = vec![
            span("new", TimeRange::new(NEW, i64::MAX), new),
            span("old", TimeRange::new(i64::MIN, OLD), old),
        ];
        Arc::new(TwoTimes { spans, whole: Arc::new(MergedSource::new(vec![new_source, old_source])) })
    }

    fn here() -> Arc<TwoTimes> {
        Self::new(sources().map(|source| (Place::Here(Arc::clone(&source)), source)))
    }
}

fn sources() -> [Arc<dyn Source>; 2] {
    [memory(TimeRange::new(NEW, i64::MAX)), memory(TimeRange::new(i64::MIN, OLD))]
}

#[async_trait]
impl Source for TwoTimes {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.whole.select(request).await
    }

    async fn layout(&self, _: &TenantId, _: TimeRange) -> Result<Option<Layout>, SourceError> {
        let shard = Shard { spans: self.spans.clone(), whole: self.whole.clone() };
        Ok(Some(Layout { shards: vec![shard] }))
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

struct Setup {
    runtime: Runtime,
    tokio: tokio::runtime::Runtime,
    source: Arc<TwoTimes>,
    traffic: Arc<Traffic>,
}

impl Setup {
    fn new(are_nodes: bool) -> Setup {
        let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
        let traffic = Arc::<Traffic>::default();
        let runtime = tokio.block_on(async { Runtime::real() });
        if !are_nodes {
            return Setup { runtime, tokio, source: TwoTimes::here(), traffic };
        }
        let (counted, inside) = (Arc::clone(&traffic), runtime.clone());
        let source = tokio.block_on(async move {
            let mut nodes = Vec::new();
            for source in sources() {
                let listener = net::listen(([127, 0, 0, 1], 0).into()).await.expect("a free port");
                let address = listener.local_addr().expect("it is bound").to_string();
                let engine = Engine::new(inside.clone(), EngineOptions::default());
                let fragments = Arc::new(LocalFragments::new(engine, Arc::clone(&source)));
                let server = NodeServer::new(inside.clone(), source, fragments, Arc::default());
                let serve = async move { server.serve(listener, Shutdown::new()).await };
                inside.spawn("node", serve).detach();
                let node = Arc::new(RemoteNode::new(&address, Arc::clone(&counted)).expect("an address"));
                let place = Place::There(Arc::<RemoteNode>::clone(&node));
                nodes.push((place, node as Arc<dyn Source>));
            }
            TwoTimes::new(<[_; 2]>::try_from(nodes).unwrap_or_else(|_| unreachable!("there are two")))
        });
        Setup { runtime, tokio, source, traffic }
    }

    /// `states_from`: as engines take it.
    fn ask(&self, asked: &Asked, states_from: Option<i64>) {
        let engine =
            Engine::new(self.runtime.clone(), EngineOptions { states_from, ..EngineOptions::default() });
        let text = format!("sum by (namespace) (rate(requests_total[{}]))", asked.window);
        let request = QueryRequest::new(TenantId::anonymous(), text);
        let source = Arc::<TwoTimes>::clone(&self.source);
        let answer = self.tokio.block_on(async {
            if asked.step == 0 {
                Box::pin(engine.instant(source, request, END)).await
            } else {
                Box::pin(engine.range(source, request, END - asked.length, END, asked.step)).await
            }
        });
        black_box(answer.expect("the query has an answer"));
    }

    /// Bytes in both directions.
    fn bytes(&self, asked: &Asked, states_from: Option<i64>) -> u64 {
        let count = || {
            let of = |direction| {
                self.traffic.bytes(direction, "fragment") + self.traffic.bytes(direction, "select")
            };
            of(Direction::Sent) + of(Direction::Received)
        };
        let before = count();
        self.ask(asked, states_from);
        count() - before
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print_bytes(setup: &Setup) {
    println!("seams: bytes between nodes for {SERIES} series; windows, as states, as samples, as chosen");
    for asked in &ASKED {
        let [states, samples, chosen] = [Some(0), Some(i64::MAX), None].map(|from| setup.bytes(asked, from));
        println!("seams: {}: {states} {samples} {chosen}", asked.name);
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seams");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SERIES as u64));
    for (place, are_nodes) in [("here", false), ("nodes", true)] {
        let setup = LazyCell::new(|| {
            let setup = Setup::new(are_nodes);
            if are_nodes {
                print_bytes(&setup);
            }
            setup
        });
        for asked in &ASKED {
            for (how, from) in [("states", Some(0)), ("samples", Some(i64::MAX)), ("chosen", None)] {
                group.bench_function(format!("{place}: {}, {how}", asked.name), |bencher| {
                    bencher.iter(|| setup.ask(asked, from));
                });
            }
        }
    }
    group.finish();
}
