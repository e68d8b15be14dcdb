//! Another node as a `Source` and a `RunFragment`.

use std::sync::Arc;

use arrow_flight::FlightData;
use arrow_flight::flight_service_client::FlightServiceClient;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use model::{ErrorKind, Labels, Metadata, TenantId, TimeRange};
use prost::Message;
use proto::{
    DataChanges, DataVersion, Fragment, FragmentError, FragmentPart, FragmentStream, Layout, MetadataRequest,
    Place, RunFragment, SelectRequest, Selection, SeriesExemplars, Shard, Source, SourceError, Span,
};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::error::{to_fragment, to_source};
use crate::fragment::Decoder;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, MESSAGE_BYTES_MAX, PROBE_INTERVAL, PROBE_TIMEOUT, STREAM_WINDOW_BYTES,
};
use crate::list::{List, Malformed};
use crate::selection::RemoteSelection;
use crate::server::TENANT_METADATA;
use crate::ticket::{Ticket, TicketError, TicketKind};
use crate::traffic::{Direction, Traffic};

/// What is no address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a node; expected HOST:PORT, such as data-1:9095")]
pub struct AddressError(String);

impl AddressError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Another node. Cheap to clone; connects when it is first asked, and again after the connection broke.
///
/// As a `Source` it is one place that holds all its series at all times: what it does with heads and blocks is its
/// own affair.
#[derive(Clone)]
pub struct RemoteNode(Arc<Node>);

pub(crate) struct Node {
    address: String,
    client: FlightServiceClient<Channel>,
    traffic: Arc<Traffic>,
}

impl std::fmt::Debug for RemoteNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RemoteNode").field(&self.0.address).finish()
    }
}

impl RemoteNode {
    /// The node at `host:port`; what goes over the wire is counted in `traffic`. Called inside of a runtime.
    ///
    /// # Errors
    /// When that is no address. Whether somebody listens there is not looked at.
    pub fn new(address: &str, traffic: Arc<Traffic>) -> Result<Self, AddressError> {
        let wrong = || AddressError(address.to_owned());
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().map_err(|_| wrong())? == 0 {
            return Err(wrong());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| wrong())?
            .connect_timeout(PROBE_TIMEOUT)
            .http2_keep_alive_interval(PROBE_INTERVAL)
            .keep_alive_timeout(PROBE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let to = address.to_owned();
        let connect = tower::service_fn(move |_| {
            let to = to.clone();
            async move { runtime::net::connect_to(&to).await.map(TokioIo::new) }
        });
        let client = FlightServiceClient::new(endpoint.connect_with_connector_lazy(connect))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        Ok(RemoteNode(Arc::new(Node { address: address.to_owned(), client, traffic })))
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    async fn list(&self, tenant: &TenantId, ticket: Ticket, mut list: List) -> Result<List, SourceError> {
        let node = &self.0;
        let kind = ticket.kind();
        let ticket = ticket.encode().map_err(|error| node.refused(&error))?;
        let mut messages = node.get(tenant, kind, ticket).await.map_err(|e| node.source_error(&e))?;
        while let Some(message) = messages.message().await.map_err(|e| node.source_error(&e))? {
            node.received(kind, &message);
            list.take(message.app_metadata).map_err(|Malformed| node.malformed())?;
        }
        Ok(list)
    }

    /// A list that is not of the kind it was made.
    fn other(&self) -> SourceError {
        self.0.malformed()
    }
}

impl Node {
    pub(crate) fn source_error(&self, status: &Status) -> SourceError {
        to_source(&self.address, status)
    }

    pub(crate) fn malformed(&self) -> SourceError {
        SourceError::Internal(format!("node `{}` answered something that cannot be read", self.address))
    }

    /// A question that is not even sent.
    pub(crate) fn refused(&self, error: &TicketError) -> SourceError {
        SourceError::Limit(format!("node `{}` cannot be asked: {error}", self.address))
    }

    pub(crate) fn received(&self, kind: TicketKind, message: &FlightData) {
        self.traffic.count(Direction::Received, kind, message.encoded_len());
    }

    pub(crate) fn sent(&self, kind: TicketKind, bytes: usize) {
        self.traffic.count(Direction::Sent, kind, bytes);
    }

    pub(crate) fn client(&self) -> FlightServiceClient<Channel> {
        self.client.clone()
    }

    /// `message` as a request of `tenant`.
    pub(crate) fn request<T>(tenant: &TenantId, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let value = MetadataValue::try_from(tenant.as_str())
            .map_err(|_| Status::invalid_argument("the tenant id cannot be sent"))?;
        request.metadata_mut().insert(TENANT_METADATA, value);
        Ok(request)
    }

    async fn get(
        &self,
        tenant: &TenantId,
        kind: TicketKind,
        ticket: Bytes,
    ) -> Result<Streaming<FlightData>, Status> {
        let ticket = arrow_flight::Ticket { ticket };
        self.sent(kind, ticket.encoded_len());
        Ok(self.client().do_get(Self::request(tenant, ticket)?).await?.into_inner())
    }
}

#[async_trait]
impl RunFragment for RemoteNode {
    async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError> {
        let node = Arc::clone(&self.0);
        let (kind, tenant) = (TicketKind::Fragment, fragment.tenant.clone());
        let ticket = Ticket::Fragment(Box::new(fragment))
            .encode()
            .map_err(|error| FragmentError::Execution(format!("the query cannot be sent: {error}")))?;
        let failed = |node: &Node, status: &Status| to_fragment(&node.address, status);
        let messages = node.get(&tenant, kind, ticket).await.map_err(|status| failed(&node, &status))?;
        let state = (messages, Decoder::default(), node);
        let parts = stream::try_unfold(state, move |(mut messages, mut decoder, node)| async move {
            while let Some(message) = messages.message().await.map_err(|status| failed(&node, &status))? {
                node.received(kind, &message);
                let part = decoder
                    .decode(message)
                    .map_err(|Malformed| FragmentError::Internal(node.malformed().to_string()))?;
                if let Some(part) = part {
                    return Ok(Some((part, (messages, decoder, node))));
                }
            }
            Ok::<Option<(FragmentPart, _)>, FragmentError>(None)
        });
        Ok(parts.boxed())
    }
}

#[async_trait]
impl Source for RemoteNode {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        Ok(Arc::new(RemoteSelection::open(Arc::clone(&self.0), request).await?))
    }

    async fn layout(&self, _tenant: &TenantId, _range: TimeRange) -> Result<Option<Layout>, SourceError> {
        let span = Span {
            name: self.0.address.clone(),
            holds: TimeRange::all(),
            place: Place::There(Arc::new(self.clone())),
        };
        Ok(Some(Layout { shards: vec![Shard { spans: vec![span], whole: Arc::new(self.clone()) }] }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let ticket = Ticket::LabelNames(request.clone());
        match self.list(&request.tenant, ticket, List::Strings(Vec::new())).await? {
            List::Strings(names) => Ok(names),
            _ => Err(self.other()),
        }
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let ticket = Ticket::LabelValues(request.clone(), name.to_owned());
        match self.list(&request.tenant, ticket, List::Strings(Vec::new())).await? {
            List::Strings(values) => Ok(values),
            _ => Err(self.other()),
        }
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let ticket = Ticket::Series(request.clone());
        match self.list(&request.tenant, ticket, List::Series(Vec::new())).await? {
            List::Series(series) => Ok(series),
            _ => Err(self.other()),
        }
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let ticket = Ticket::Metadata(metric.map(str::to_owned));
        match self.list(tenant, ticket, List::Metadata(Vec::new())).await? {
            List::Metadata(metadata) => Ok(metadata),
            _ => Err(self.other()),
        }
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let ticket = Ticket::Exemplars(request.clone());
        match self.list(&request.tenant, ticket, List::Exemplars(Vec::new())).await? {
            List::Exemplars(exemplars) => Ok(exemplars),
            _ => Err(self.other()),
        }
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        let ticket = Ticket::Changes(since.cloned());
        match self.list(tenant, ticket, List::Changes(None)).await {
            Ok(List::Changes(changes)) => changes,
            // the question itself will tell the user why
            Ok(_) | Err(_) => None,
        }
    }
}
