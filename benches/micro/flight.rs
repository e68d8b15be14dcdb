//! What goes between nodes for `sum by`: the same for 1,000 series and for 100,000 of the same groups. Prints a table
//! of bytes; the times are those of the whole query, over a socket of this machine.

use std::cell::LazyCell;
use std::sync::Arc;

use ::flight::{Direction, NodeServer, RemoteNode, Traffic};
use ::promql::{Engine, EngineOptions, LocalFragments, MemorySource, QueryRequest, Rewrites};
use ::runtime::{Runtime, Shutdown, net};
use criterion::{Criterion, Throughput};
use model::{Labels, TenantId};
use proto::Source;

const GROUPS: usize = 100;
const STEP_MS: i64 = 60_000;
/// An hour and the five minutes before.
const SAMPLES: i64 = 66;
const QUERY: &str = "sum by (namespace) (rate(requests_total[5m]))";

fn source(series: usize) -> Arc<dyn Source> {
    let source = MemorySource::new();
    for i in 0..series {
        let (namespace, pod) = (format!("namespace-{}", i % GROUPS), format!("pod-{i}"));
        let pairs = [("__name__", "requests_total"), ("namespace", &*namespace), ("pod", &*pod)];
        let labels = Labels::new(pairs).expect("labels are sorted and named once");
        let samples: Vec<_> = (0..SAMPLES).map(|s| (s * STEP_MS, (s * (i as i64 + 1)) as f64, 0)).collect();
        source.add_floats(&labels, &samples);
    }
    Arc::new(source)
}

struct Setup {
    runtime: Runtime,
    tokio: tokio::runtime::Runtime,
    remote: Arc<RemoteNode>,
    traffic: Arc<Traffic>,
}

impl Setup {
    fn new(series: usize) -> Setup {
        let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
        let traffic = Arc::<Traffic>::default();
        let counted = Arc::clone(&traffic);
        let (runtime, remote) = tokio.block_on(async move {
            let runtime = Runtime::real();
            let listener = net::listen(([127, 0, 0, 1], 0).into()).await.expect("a free port");
            let address = listener.local_addr().expect("it is bound").to_string();
            let (source, engine) = (source(series), Engine::new(runtime.clone(), EngineOptions::default()));
            let fragments = Arc::new(LocalFragments::new(engine, Arc::clone(&source)));
            let server = NodeServer::new(runtime.clone(), source, fragments, Arc::default());
            let serve = async move { server.serve(listener, Shutdown::new()).await };
            runtime.spawn("node", serve).detach();
            let remote = RemoteNode::new(&address, counted).expect("an address");
            (runtime, Arc::new(remote))
        });
        Setup { runtime, tokio, remote, traffic }
    }

    fn engine(&self, rewrites: Rewrites) -> Engine {
        Engine::new(self.runtime.clone(), EngineOptions { rewrites, ..EngineOptions::default() })
    }

    fn ask(&self, engine: &Engine) {
        let request = QueryRequest::new(TenantId::anonymous(), QUERY);
        let remote = Arc::<RemoteNode>::clone(&self.remote);
        let (start, end) = (5 * STEP_MS, (SAMPLES - 1) * STEP_MS);
        let answer = self.tokio.block_on(engine.range(remote, request, start, end, STEP_MS));
        answer.expect("the query has an answer");
    }

    /// Bytes in both directions for one query.
    fn bytes(&self, rewrites: Rewrites) -> u64 {
        let count = || {
            let both = [Direction::Sent, Direction::Received];
            let of = |direction| {
                self.traffic.bytes(direction, "fragment") + self.traffic.bytes(direction, "select")
            };
            both.map(of).into_iter().sum::<u64>()
        };
        let before = count();
        self.ask(&self.engine(rewrites));
        count() - before
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print_row(series: usize, setup: &Setup) {
    let (pushed, raw) = (setup.bytes(Rewrites::default()), setup.bytes(Rewrites::NONE));
    let cells = GROUPS * (SAMPLES as usize - 5);
    println!(
        "flight: {QUERY}: {series} series, {GROUPS} groups x {} steps: {pushed} bytes ({:.1} a cell); \
         as samples: {raw} bytes",
        SAMPLES - 5,
        pushed as f64 / cells as f64
    );
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flight");
    for series in [1_000, 100_000] {
        let setup = LazyCell::new(|| {
            let setup = Setup::new(series);
            print_row(series, &setup);
            setup
        });
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(format!("sum by over a socket, {series} series"), |bencher| {
            let engine = setup.engine(Rewrites::default());
            bencher.iter(|| setup.ask(&engine));
        });
    }
    group.finish();
}
