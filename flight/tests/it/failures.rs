//! What goes wrong between nodes is told, and does no harm.

use std::sync::Arc;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use async_trait::async_trait;
use bytes::Bytes;
use flight::RemoteNode;
use futures::StreamExt;
use model::{Labels, Metadata, TenantId, TimeRange};
use promql::{LocalFragments, Rewrites, Value};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use proto::{
    Explain, Fragment, FragmentError, FragmentOutput, FragmentStream, MetadataRequest, RunFragment,
    SelectRequest, Selection, SeriesExemplars, Source, SourceError,
};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::nodes::{TestNode, any_port, data, engine, memory, query, range};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_named_and_used_again_when_it_is_up() {
    let source = memory(&data());
    let fragments = || Arc::new(LocalFragments::new(engine(Rewrites::default()), source.clone()));
    let node = TestNode::start_on(any_port(), source.clone(), fragments()).await;
    let (address, remote) = (node.address, Arc::new(node.remote()));
    for rewrites in [Rewrites::default(), Rewrites::NONE] {
        assert!(range(&engine(rewrites), remote.clone(), "sum(g)").await.is_ok());
    }
    node.stop().await;
    for rewrites in [Rewrites::default(), Rewrites::NONE] {
        let error = range(&engine(rewrites), remote.clone(), "sum(g)").await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("node `{address}` cannot be reached: ")), "{error}");
        assert!(matches!(error, promql::QueryError::Unavailable(_)), "{error:?}");
    }
    let _node = TestNode::start_on(address, source.clone(), fragments()).await;
    assert!(range(&engine(Rewrites::default()), remote, "sum(g)").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_checked() {
    for wrong in ["", "node", "node:", ":9095", "node:0", "node:99999", "a b:1", "http://node:1/x"] {
        let error = RemoteNode::new(wrong, Arc::default()).unwrap_err();
        assert!(error.to_string().contains("expected HOST:PORT"), "{error}");
    }
    for right in ["localhost:9095", "10.0.0.7:1", "[::1]:9095", "data-0.data.svc:9095"] {
        assert_eq!(RemoteNode::new(right, Arc::default()).unwrap().address(), right);
    }
}

/// A source for each tenant.
struct ByTenant(Vec<(&'static str, Arc<dyn Source>)>);

impl ByTenant {
    fn of(&self, tenant: &TenantId) -> Result<&Arc<dyn Source>, SourceError> {
        let found = self.0.iter().find(|(name, _)| *name == tenant.as_str());
        found.map(|(_, source)| source).ok_or_else(|| SourceError::Internal(format!("who is {tenant}?")))
    }
}

#[async_trait]
impl Source for ByTenant {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.of(&request.tenant)?.select(request).await
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.of(&request.tenant)?.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.of(&request.tenant)?.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.of(&request.tenant)?.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.of(tenant)?.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.of(&request.tenant)?.exemplars(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_sees_its_own() {
    let series = data();
    let (half, rest) = series.split_at(10);
    let node = TestNode::start(Arc::new(ByTenant(vec![("red", memory(half)), ("blue", memory(rest))]))).await;
    let remote: Arc<dyn Source> = Arc::new(node.remote());
    for (tenant, expected) in [("red", half.len()), ("blue", rest.len())] {
        let tenant = TenantId::new(tenant).unwrap();
        for rewrites in [Rewrites::default(), Rewrites::NONE] {
            let mut request = query("count({__name__=~\".+\"})");
            request.tenant = tenant.clone();
            let answer = engine(rewrites).instant(remote.clone(), request, 600_000).await.unwrap();
            let Value::Vector(samples) = answer.value else { panic!("no vector") };
            assert_eq!(format!("{:?}", samples[0].value), format!("Float({expected}.0)"));
        }
        let all = MetadataRequest { tenant, matchers: vec![], range: TimeRange::all(), limit: 0 };
        assert_eq!(remote.series(&all).await.unwrap().len(), expected);
        assert_eq!(remote.label_values(&all, "instance").await.unwrap().len(), expected);
    }
    let mut request = query("g");
    request.tenant = TenantId::new("green").unwrap();
    let error = engine(Rewrites::default()).instant(remote, request, 600_000).await.unwrap_err();
    assert!(error.to_string().contains("who is green?"), "{error}");
}

async fn client(node: &TestNode) -> FlightServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    FlightServiceClient::new(endpoint.connect().await.unwrap())
}

fn of_tenant<T>(message: T, tenant: Option<&'static str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(tenant) = tenant {
        request.metadata_mut().insert("x-scope-orgid", tenant.parse().unwrap());
    }
    request
}

async fn get(
    client: &mut FlightServiceClient<Channel>,
    bytes: Bytes,
    tenant: Option<&'static str>,
) -> Option<Status> {
    match client.do_get(of_tenant(Ticket { ticket: bytes }, tenant)).await {
        Err(status) => Some(status),
        Ok(answer) => answer.into_inner().collect::<Vec<_>>().await.into_iter().find_map(Result::err),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_questions_are_refused_and_nothing_else_happens() {
    let node = TestNode::start(memory(&data())).await;
    let mut client = client(&node).await;
    // field 6: metadata
    let metadata = Bytes::from_static(&[6 << 3 | 2, 0]);
    assert!(get(&mut client, metadata.clone(), Some("anonymous")).await.is_none());
    let code = |status: Option<Status>| status.map(|status| status.code());
    assert_eq!(code(get(&mut client, metadata.clone(), None).await), Some(Code::Unauthenticated));
    assert_eq!(code(get(&mut client, metadata, Some("a/b")).await), Some(Code::InvalidArgument));
    let empty = get(&mut client, Bytes::new(), Some("anonymous")).await;
    assert_eq!(code(empty), Some(Code::Unimplemented), "a question of the future");
    let cut = get(&mut client, Bytes::from_static(&[1 << 3 | 2, 9]), Some("anonymous")).await;
    assert_eq!(code(cut), Some(Code::InvalidArgument));
    let huge = get(&mut client, Bytes::from(vec![0; 16 << 20]), Some("anonymous")).await;
    assert!(huge.is_some(), "messages are capped before they are decoded");

    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..60);
    for _ in 0..300 {
        let mut bytes = bytes.new_tree(&mut runner).unwrap().current();
        if let Some(first) = bytes.first_mut() {
            // one of the tickets, of some length
            *first = (*first % 8 + 1) << 3 | 2;
        }
        let _answer = get(&mut client, Bytes::from(bytes.clone()), Some("anonymous")).await;
        let command = FlightDescriptor::new_cmd(bytes.clone());
        let questions =
            [FlightData::new().with_descriptor(command), FlightData::new().with_app_metadata(bytes)];
        let exchange = of_tenant(futures::stream::iter(questions), Some("anonymous"));
        if let Ok(answers) = client.do_exchange(exchange).await {
            let _messages = answers.into_inner().collect::<Vec<_>>().await;
        }
    }
    assert!(range(&engine(Rewrites::default()), Arc::new(node.remote()), "sum(g)").await.is_ok());
    assert_eq!(node.server.streams(), 0);
}

/// Evaluates nothing, tells when it begins and when nobody waits any more.
struct Endless {
    began: mpsc::Sender<()>,
    dropped: parking_lot::Mutex<Option<oneshot::Sender<()>>>,
}

struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _gone = sender.send(());
        }
    }
}

#[async_trait]
impl RunFragment for Endless {
    async fn run(&self, _: Fragment) -> Result<FragmentStream, FragmentError> {
        let guard = Guard(self.dropped.lock().take());
        self.began.send(()).await.unwrap();
        let parts = futures::stream::pending().map(move |part| {
            let _held = &guard;
            part
        });
        Ok(parts.boxed())
    }
}

fn fragment() -> Fragment {
    Fragment {
        tenant: TenantId::anonymous(),
        expr: "g".to_owned(),
        text_offset: 0,
        output: FragmentOutput::Rows,
        grid: (0, 0, 0),
        query: (0, 0, 0),
        lookback_ms: 300_000,
        features: Vec::new(),
        count_times: 1,
        stats_only: Vec::new(),
        per_step_stats: false,
        series_max: 0,
        samples_max: 1_000,
        timeout_ms: 10_000,
        explain: Explain::No,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_nobody_waits_for_is_not_worked_on() {
    let (began, mut begins) = mpsc::channel(1);
    let (sender, dropped) = oneshot::channel();
    let endless = Endless { began, dropped: parking_lot::Mutex::new(Some(sender)) };
    let node = TestNode::start_on(any_port(), memory(&data()), Arc::new(endless)).await;
    let remote = node.remote();
    let parts = remote.run(fragment()).await.unwrap();
    begins.recv().await.unwrap();
    assert_eq!(node.server.streams(), 1);
    drop(parts);
    dropped.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_that_make_no_sense_are_refused() {
    let node = TestNode::start(memory(&data())).await;
    let remote = node.remote();
    for expr in ["g[5m]", "1 +", "2", "\"x\""] {
        let refused = remote.run(Fragment { expr: expr.to_owned(), ..fragment() }).await.err().unwrap();
        assert!(matches!(refused, FragmentError::BadData(_)), "{expr}: {refused:?}");
    }
    let states = Fragment { output: FragmentOutput::AggregationStates, ..fragment() };
    let refused = remote.run(states).await.err().unwrap();
    assert!(matches!(refused, FragmentError::BadData(_)), "{refused:?}");
    let endless = Fragment { grid: (0, i64::MAX, 1), per_step_stats: true, ..fragment() };
    let refused = remote.run(endless).await.err().unwrap();
    assert!(refused.to_string().contains("points"), "{refused}");
}
