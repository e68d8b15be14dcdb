//! A selection on another node, which lives there as long as this one does here.
//!
//! Series come at once, samples when they are asked for. Several reads share one stream: whoever waits reads on for
//! all of them, so no task is needed and nothing is read that nobody waits for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_flight::{FlightData, FlightDescriptor};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use model::SampleBatch;
use parking_lot::Mutex;
use prost::Message;
use proto::{SelectRequest, SelectedSeries, Selection, SourceError};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::Node;
use crate::generated as wire;
use crate::limits::READ_BYTES_MAX;
use crate::list::{Malformed, take_selected};
use crate::samples;
use crate::server::metadata_only;
use crate::ticket::{Ticket, TicketKind};

/// Requests on their way.
const REQUESTS_MAX: usize = 16;
const KIND: TicketKind = TicketKind::Select;

/// The bytes of a read, or why there are none.
type ReadAnswer = Result<Bytes, SourceError>;

/// A read that waits for its answer.
struct Waiting {
    bytes: BytesMut,
    done: oneshot::Sender<ReadAnswer>,
}

#[derive(Default)]
struct Reads {
    next: u32,
    waiting: BTreeMap<u32, Waiting>,
    /// Why there will be no further answer.
    ended: Option<SourceError>,
}

/// The selection.
pub(crate) struct RemoteSelection {
    node: Arc<Node>,
    series: Vec<SelectedSeries>,
    warnings: Vec<String>,
    bytes_estimate: Option<usize>,
    requests: mpsc::Sender<FlightData>,
    reads: Mutex<Reads>,
    answers: AsyncMutex<Streaming<FlightData>>,
}

impl RemoteSelection {
    /// Selects on `node`.
    pub(crate) async fn open(node: Arc<Node>, request: &SelectRequest) -> Result<Self, SourceError> {
        let ticket = Ticket::Select(request.clone()).encode().map_err(|error| node.refused(&error))?;
        let first = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(ticket));
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        node.sent(KIND, first.encoded_len());
        let all = futures::stream::once(async { first }).chain(ReceiverStream::new(receiver));
        let failed = |status| node.source_error(&status);
        let exchange = Node::request(&request.tenant, all).map_err(failed)?;
        let mut answers = node.client().do_exchange(exchange).await.map_err(failed)?.into_inner();
        let mut series = Vec::new();
        loop {
            let message = answers.message().await.map_err(failed)?.ok_or_else(|| node.malformed())?;
            node.received(KIND, &message);
            let end =
                take_selected(message.app_metadata, &mut series).map_err(|Malformed| node.malformed())?;
            if let Some(end) = end {
                return Ok(RemoteSelection {
                    series,
                    warnings: end.warnings,
                    bytes_estimate: end.bytes_estimate.and_then(|bytes| usize::try_from(bytes).ok()),
                    requests,
                    reads: Mutex::default(),
                    answers: AsyncMutex::new(answers),
                    node: Arc::clone(&node),
                });
            }
        }
    }

    /// The question for series, and where its answer will be.
    fn question(
        &self,
        range: &Range<usize>,
    ) -> Result<(FlightData, oneshot::Receiver<ReadAnswer>), SourceError> {
        let (done, answer) = oneshot::channel();
        let mut reads = self.reads.lock();
        if let Some(error) = &reads.ended {
            return Err(error.clone());
        }
        let id = reads.next;
        reads.next = id.wrapping_add(1);
        // those that nobody waits for any more
        reads.waiting.retain(|_, waiting| !waiting.done.is_closed());
        reads.waiting.insert(id, Waiting { bytes: BytesMut::new(), done });
        let request = wire::ReadRequest { id, from: range.start as u64, to: range.end as u64 };
        Ok((metadata_only(Bytes::from(request.encode_to_vec())), answer))
    }

    /// Reads on for everybody until the stream ends or the future is dropped; gives why it ended.
    async fn read_on(&self) -> SourceError {
        let mut answers = self.answers.lock().await;
        loop {
            if let Some(error) = &self.reads.lock().ended {
                return error.clone();
            }
            let error = match answers.message().await {
                Ok(Some(message)) => {
                    self.node.received(KIND, &message);
                    match self.take(message) {
                        Ok(()) => continue,
                        Err(Malformed) => self.node.malformed(),
                    }
                }
                Ok(None) => self.node.malformed(),
                Err(status) => self.node.source_error(&status),
            };
            let mut reads = self.reads.lock();
            reads.ended = Some(error);
            for waiting in std::mem::take(&mut reads.waiting).into_values() {
                let error = reads.ended.clone().map_or_else(|| Err(self.node.malformed()), Err);
                let _gone = waiting.done.send(error);
            }
        }
    }

    /// Gives a piece to the read it belongs to.
    fn take(&self, message: FlightData) -> Result<(), Malformed> {
        let piece = wire::ReadPiece::decode(message.app_metadata)?;
        let mut reads = self.reads.lock();
        // a read that was given up is still answered
        let Some(waiting) = reads.waiting.get_mut(&piece.id) else { return Ok(()) };
        if waiting.bytes.len() + piece.piece.len() > READ_BYTES_MAX {
            return Err(Malformed);
        }
        if waiting.bytes.is_empty() && piece.last {
            waiting.bytes = BytesMut::from(piece.piece);
        } else {
            waiting.bytes.extend_from_slice(&piece.piece);
        }
        if piece.last
            && let Some(waiting) = reads.waiting.remove(&piece.id)
        {
            let _gone = waiting.done.send(Ok(waiting.bytes.freeze()));
        }
        Ok(())
    }
}

#[async_trait]
impl Selection for RemoteSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let count = range.len();
        if count == 0 {
            return Ok(SampleBatch::default());
        }
        let (question, answer) = self.question(&range)?;
        self.node.sent(KIND, question.encoded_len());
        let asked = async {
            // a stream that ended tells why to whoever reads on
            let _ended = self.requests.send(question).await;
            answer.await
        };
        let bytes = tokio::select! { biased;
            answer = asked => answer.unwrap_or_else(|_| Err(self.node.malformed())),
            error = self.read_on() => Err(error),
        }?;
        let batch = samples::decode(bytes).map_err(|_| self.node.malformed())?;
        if batch.series.len() != count {
            return Err(self.node.malformed());
        }
        Ok(batch)
    }

    fn bytes_estimate(&self) -> Option<usize> {
        self.bytes_estimate
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
