//! The service: a node's `Source` and `RunFragment` for other nodes.
//!
//! It knows no user but the tenant that the metadata names, and refuses more answers at once than it can give instead
//! of letting them wait: who waits might hold what others wait for.

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use model::{ErrorKind, TenantId};
use prost::Message;
use proto::{DataVersion, RunFragment, Selection, Source};
use runtime::{Runtime, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{of_fragment, of_source};
use crate::generated as wire;
use crate::limits::{
    CONNECTION_STREAMS_MAX, CONNECTION_WINDOW_BYTES, PIECE_BYTES, PROBE_INTERVAL, PROBE_TIMEOUT,
    READS_AT_ONCE, STOP_TIMEOUT, STREAM_WINDOW_BYTES, STREAMS_MAX, TICKET_BYTES_MAX,
};
use crate::list::{List, encode_selected};
use crate::ticket::{Ticket, TicketError, TicketKind};
use crate::traffic::{Direction, Traffic};
use crate::{fragment, samples};

/// The metadata that names the tenant.
pub(crate) const TENANT_METADATA: &str = "x-scope-orgid";

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
#[error("the service for other nodes ended: {0}")]
pub struct ServeError(String);

impl ServeError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// A node as others see it. Cheap to clone.
#[derive(Clone)]
pub struct NodeServer {
    runtime: Runtime,
    source: Arc<dyn Source>,
    fragments: Arc<dyn RunFragment>,
    streams: Arc<Semaphore>,
    traffic: Arc<Traffic>,
    /// Tells this run of the process from others: versions of data mean nothing to the next one.
    run: u64,
}

impl std::fmt::Debug for NodeServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeServer").finish_non_exhaustive()
    }
}

/// The messages of an answer.
type Messages<T = FlightData> = BoxStream<'static, Result<T, Status>>;

impl NodeServer {
    /// Gives others `source` and `fragments`, and counts what goes over the wire in `traffic`.
    pub fn new(
        runtime: Runtime,
        source: Arc<dyn Source>,
        fragments: Arc<dyn RunFragment>,
        traffic: Arc<Traffic>,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let run = runtime.random_u64();
        NodeServer { runtime, source, fragments, streams, traffic, run }
    }

    /// Answers that are under way.
    pub fn streams(&self) -> usize {
        STREAMS_MAX - self.streams.available_permits()
    }

    /// Serves until `shutdown`; answers under way then have a moment left.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) -> Result<(), ServeError> {
        let runtime = self.runtime.clone();
        let service = FlightServiceServer::new(self)
            .max_decoding_message_size(TICKET_BYTES_MAX + PIECE_BYTES)
            .max_encoding_message_size(usize::MAX);
        let sockets = TcpListenerStream::new(listener).map(|socket| {
            let socket = socket?;
            socket.set_nodelay(true)?;
            Ok::<_, std::io::Error>(socket)
        });
        let served = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(CONNECTION_STREAMS_MAX)
            // a query that ends early drops everything it asked for
            .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX))
            .http2_keepalive_interval(Some(PROBE_INTERVAL))
            .http2_keepalive_timeout(Some(PROBE_TIMEOUT))
            .add_service(service)
            .serve_with_incoming_shutdown(sockets, shutdown.cancelled());
        let stopped = async {
            shutdown.cancelled().await;
            runtime.sleep(STOP_TIMEOUT).await;
        };
        tokio::select! { biased;
            served = served => served.map_err(|error| ServeError(error.to_string())),
            () = stopped => Ok(()),
        }
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::unavailable(format!("it gives {STREAMS_MAX} answers at once, which is the most it does"))
        })
    }

    /// `messages`, counted, holding `permit` until they end.
    fn counted(&self, kind: TicketKind, permit: OwnedSemaphorePermit, messages: Messages) -> Messages {
        let traffic = Arc::clone(&self.traffic);
        messages
            .inspect_ok(move |message| {
                let _held = &permit;
                traffic.count(Direction::Sent, kind, message.encoded_len());
            })
            .boxed()
    }

    /// What `changes` answers, with versions that only this run of the process takes for its own.
    async fn changes(&self, tenant: &TenantId, since: Option<DataVersion>) -> List {
        let own = since.as_ref().and_then(|version| match version.numbers().split_first() {
            Some((run, rest)) if *run == self.run => Some(DataVersion::new(rest)),
            _ => None,
        });
        let changes = self.source.changes(tenant, own.as_ref()).await.map(|mut changes| {
            let numbers: Vec<u64> =
                std::iter::once(self.run).chain(changes.now.numbers().iter().copied()).collect();
            changes.now = DataVersion::new(&numbers);
            changes
        });
        List::Changes(changes)
    }

    async fn list(&self, tenant: &TenantId, ticket: Ticket) -> Result<Messages, Status> {
        let source = &self.source;
        let list = match ticket {
            Ticket::LabelNames(request) => source.label_names(&request).await.map(List::Strings),
            Ticket::LabelValues(request, name) => {
                source.label_values(&request, &name).await.map(List::Strings)
            }
            Ticket::Series(request) => source.series(&request).await.map(List::Series),
            Ticket::Metadata(metric) => source.metadata(tenant, metric.as_deref()).await.map(List::Metadata),
            Ticket::Exemplars(request) => source.exemplars(&request).await.map(List::Exemplars),
            Ticket::Changes(since) => Ok(self.changes(tenant, since).await),
            Ticket::Fragment(fragment) => {
                let parts = self.fragments.run(*fragment).await.map_err(of_fragment)?;
                return Ok(fragment::encode(parts));
            }
            Ticket::Select(_) => {
                return Err(Status::invalid_argument("a selection is asked for by DoExchange"));
            }
        };
        let pieces = list.map_err(of_source)?.encode();
        Ok(stream::iter(pieces).map(|piece| Ok(metadata_only(piece))).boxed())
    }
}

/// A message that holds nothing for Arrow.
pub(crate) fn metadata_only(app_metadata: Bytes) -> FlightData {
    FlightData { app_metadata, ..FlightData::default() }
}

fn of_ticket(error: TicketError) -> Status {
    match error {
        TicketError::Unknown => Status::unimplemented(error.to_string()),
        TicketError::TooLong(_) | TicketError::Malformed(_) => Status::invalid_argument(error.to_string()),
    }
}

/// Whose request it is.
fn tenant_of(metadata: &MetadataMap) -> Result<TenantId, Status> {
    let value = metadata.get(TENANT_METADATA).ok_or_else(|| Status::unauthenticated("no org id"))?;
    let text = value.to_str().map_err(|_| Status::invalid_argument("tenant id is not text"))?;
    TenantId::new(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The pieces of one read.
async fn read(selection: Arc<dyn Selection>, request: wire::ReadRequest) -> Result<Vec<FlightData>, Status> {
    let range = usize::try_from(request.from).ok().zip(usize::try_from(request.to).ok());
    let count = selection.series().len();
    let range = range.filter(|(from, to)| from <= to && *to <= count).map(|(from, to)| from..to);
    let range = range.ok_or_else(|| {
        let (from, to) = (request.from, request.to);
        Status::invalid_argument(format!("series {from} to {to} of a selection of {count} were asked for"))
    })?;
    let bytes = samples::encode(&selection.read(range).await.map_err(of_source)?);
    let pieces = bytes.len().div_ceil(PIECE_BYTES).max(1);
    let piece = |i: usize| {
        let piece = bytes.slice(i * PIECE_BYTES..((i + 1) * PIECE_BYTES).min(bytes.len()));
        let piece = wire::ReadPiece { id: request.id, piece, last: i + 1 == pieces };
        metadata_only(Bytes::from(piece.encode_to_vec()))
    };
    Ok((0..pieces).map(piece).collect())
}

fn unknown<T>(method: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("{method} is not served here")))
}

#[async_trait]
impl FlightService for NodeServer {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages;
    type DoPutStream = Messages<PutResult>;
    type DoExchangeStream = Messages;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;

    async fn do_get(
        &self,
        request: Request<arrow_flight::Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let tenant = tenant_of(request.metadata())?;
        let bytes = request.into_inner();
        let size = bytes.encoded_len();
        let ticket = Ticket::decode(bytes.ticket, &tenant).map_err(of_ticket)?;
        let kind = ticket.kind();
        self.traffic.count(Direction::Received, kind, size);
        let permit = self.permit()?;
        let messages = self.list(&tenant, ticket).await?;
        Ok(Response::new(self.counted(kind, permit, messages)))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let tenant = tenant_of(request.metadata())?;
        let mut questions = request.into_inner();
        let first =
            questions.message().await?.ok_or_else(|| Status::invalid_argument("nothing was asked"))?;
        let size = first.encoded_len();
        let command = first.flight_descriptor.map(|descriptor| descriptor.cmd).unwrap_or_default();
        let Ticket::Select(select) = Ticket::decode(command, &tenant).map_err(of_ticket)? else {
            return Err(Status::invalid_argument("only selections are asked for by DoExchange"));
        };
        self.traffic.count(Direction::Received, TicketKind::Select, size);
        let permit = self.permit()?;
        let selection = self.source.select(&select).await.map_err(of_source)?;
        let series = encode_selected(&*selection).into_iter().map(|piece| Ok(metadata_only(piece)));
        let traffic = Arc::clone(&self.traffic);
        let reads = questions
            .and_then(move |question| {
                traffic.count(Direction::Received, TicketKind::Select, question.encoded_len());
                let request = wire::ReadRequest::decode(question.app_metadata)
                    .map_err(|error| Status::invalid_argument(error.to_string()));
                futures::future::ready(request)
            })
            .map_ok(move |request| read(Arc::clone(&selection), request))
            .try_buffer_unordered(READS_AT_ONCE)
            .map_ok(|pieces| stream::iter(pieces).map(Ok))
            .try_flatten();
        Ok(Response::new(self.counted(TicketKind::Select, permit, stream::iter(series).chain(reads).boxed())))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unknown("Handshake")
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        unknown("ListFlights")
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        unknown("GetFlightInfo")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        unknown("PollFlightInfo")
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        unknown("GetSchema")
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        unknown("DoPut")
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        unknown("DoAction")
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        unknown("ListActions")
    }
}
