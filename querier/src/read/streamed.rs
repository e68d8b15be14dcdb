//! Chunks in frames, written while they are sent.
//!
//! A frame is its length (varint), the CRC-32C of its bytes (big endian) and one message with chunks of one series.
//! Series come sorted by labels, whatever order storage has them in: they are read in that order, as many at a time
//! as bounded memory allows.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use model::{Labels, SampleBatch, TimeRange};
use prost::Message;
use proto::prometheus::{Chunk, ChunkedReadResponse, ChunkedSeries};
use proto::{SelectedSeries, Selection, Source};

use super::chunks;
use super::request::{Query, Wanted};
use super::samples::labels_of;
use crate::admission::Permit;
use crate::{Api, ApiError};

const CONTENT_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Series that are read, encoded and ordered together, at most.
const SERIES_PER_BATCH: usize = 4096;
/// Samples of such a batch, guessed from its time.
const SAMPLES_PER_BATCH: i64 = 4_000_000;
/// Time between samples, for that guess.
const USUAL_INTERVAL_MS: i64 = 15_000;
/// Series nobody asked for that are read along, so that neighbours are one read.
const GAP_MAX: usize = 8;
/// Frames are handed over in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

pub(super) async fn answer(api: Arc<Api>, wanted: Wanted, permit: Permit) -> Result<Response, ApiError> {
    let mut frames = Frames {
        source: (api.source)(&wanted.tenant),
        api,
        queries: (0..).zip(wanted.queries).collect(),
        current: None,
        ready: VecDeque::new(),
        _permit: permit,
    };
    // what fails at the start still has a status
    let Some(first) = frames.next().await? else {
        return Ok(super::response(Body::empty(), CONTENT_TYPE, None));
    };
    let body = stream::unfold((Some(first), frames), |(first, mut frames)| async move {
        let piece = match first {
            Some(first) => Ok(first),
            // an error ends the connection: the reader sees that the answer is not whole
            None => frames.next().await.transpose()?,
        };
        if let Err(error) = &piece {
            tracing::error!(%error, "a remote read broke off");
        }
        Some((piece, (None, frames)))
    });
    Ok(super::response(Body::from_stream(body), CONTENT_TYPE, None))
}

/// What is still to be sent.
struct Frames {
    api: Arc<Api>,
    source: Arc<dyn Source>,
    queries: VecDeque<(i64, Query)>,
    current: Option<Current>,
    ready: VecDeque<Bytes>,
    _permit: Permit,
}

/// A query under way.
struct Current {
    index: i64,
    labels_only: bool,
    selection: Arc<dyn Selection>,
    /// Positions in the selection, by labels.
    order: Vec<u32>,
    /// How many of them are done.
    done: usize,
    /// How many are done at a time.
    batch: usize,
}

impl Frames {
    /// The next piece; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.api.recorder.bytes(piece.len());
                return Ok(Some(piece));
            }
            match &mut self.current {
                Some(current) if current.done < current.order.len() => {
                    let from = current.done;
                    current.done = (from + current.batch).min(current.order.len());
                    let frame_bytes = self.api.limits.remote_read_frame_bytes;
                    self.ready = current.frames(&self.api, from..current.done, frame_bytes).await?;
                }
                _ => match self.queries.pop_front() {
                    Some((index, query)) => self.current = self.begin(index, query).await?,
                    None => return Ok(None),
                },
            }
        }
    }

    async fn begin(&self, index: i64, query: Query) -> Result<Option<Current>, ApiError> {
        let Some(request) = query.select else { return Ok(None) };
        let selection = self.source.select(&request).await?;
        for warning in selection.warnings() {
            tracing::warn!(tenant = %request.tenant, warning, "a remote read may lack samples");
        }
        let sorting = Arc::clone(&selection);
        let order = self.api.runtime.cpu(move || order_of(sorting.series())).await;
        let batch = series_per_batch(&request.range);
        Ok(Some(Current { index, labels_only: query.labels_only, selection, order, done: 0, batch }))
    }
}

fn order_of(series: &[SelectedSeries]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..series.len() as u32).collect();
    if !series.is_sorted_by(|a, b| a.labels <= b.labels) {
        order.sort_by(|a, b| series[*a as usize].labels.cmp(&series[*b as usize].labels));
    }
    order
}

fn series_per_batch(range: &TimeRange) -> usize {
    let samples = (range.end.saturating_sub(range.start) / USUAL_INTERVAL_MS).max(1);
    usize::try_from(SAMPLES_PER_BATCH / samples).unwrap_or(0).clamp(1, SERIES_PER_BATCH)
}

impl Current {
    /// Frames of `order[range]`, in pieces.
    async fn frames(
        &self,
        api: &Api,
        range: std::ops::Range<usize>,
        frame_bytes: usize,
    ) -> Result<VecDeque<Bytes>, ApiError> {
        let order = &self.order[range];
        let mut encoded: Vec<(u32, Vec<Chunk>)> = Vec::with_capacity(order.len());
        if !self.labels_only {
            for run in runs(order) {
                let batch = self.selection.read(run.start..run.end).await?;
                let wanted = run.wanted;
                let chunks = api.runtime.cpu(move || encode(&batch, run.start, &wanted)).await;
                encoded.extend(chunks);
            }
            encoded.sort_by_key(|(position, _)| *position);
        }
        let mut pieces = Pieces::default();
        for position in order {
            let labels = &self.selection.series()[*position as usize].labels;
            if self.labels_only {
                pieces.frame(self.index, labels, Vec::new());
                continue;
            }
            let found = encoded.binary_search_by_key(position, |(p, _)| *p);
            let chunks = found.ok().and_then(|i| encoded.get_mut(i)).map(|(_, c)| std::mem::take(c));
            pieces.series(self.index, labels, chunks.unwrap_or_default(), frame_bytes);
        }
        Ok(pieces.finish())
    }
}

/// A read of neighbours.
struct Run {
    start: usize,
    end: usize,
    wanted: Vec<u32>,
}

/// Reads that give all `positions`.
fn runs(positions: &[u32]) -> Vec<Run> {
    let mut sorted = positions.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<Run> = Vec::new();
    for position in sorted {
        let at = position as usize;
        match out.last_mut() {
            Some(run) if at <= run.end + GAP_MAX => {
                run.end = at + 1;
                run.wanted.push(position);
            }
            _ => out.push(Run { start: at, end: at + 1, wanted: vec![position] }),
        }
    }
    out
}

fn encode(batch: &SampleBatch, start: usize, wanted: &[u32]) -> Vec<(u32, Vec<Chunk>)> {
    let of = |position: &u32| {
        let i = *position as usize - start;
        let chunks = chunks::encode(batch.timestamps_of(i), batch.values_of(i), batch.histograms_of(i));
        (*position, chunks)
    };
    wanted.iter().map(of).collect()
}

/// Frames, joined to pieces.
#[derive(Default)]
struct Pieces {
    done: VecDeque<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    /// One series in as many frames as it takes.
    fn series(&mut self, query: i64, labels: &Labels, chunks: Vec<Chunk>, frame_bytes: usize) {
        let room = frame_bytes.saturating_sub(labels_of(labels).iter().map(Message::encoded_len).sum());
        let (mut held, mut used) = (Vec::new(), 0);
        for chunk in chunks {
            used += chunk.encoded_len();
            held.push(chunk);
            if used >= room {
                self.frame(query, labels, std::mem::take(&mut held));
                used = 0;
            }
        }
        if !held.is_empty() {
            self.frame(query, labels, held);
        }
    }

    fn frame(&mut self, query_index: i64, labels: &Labels, chunks: Vec<Chunk>) {
        let series = ChunkedSeries { labels: labels_of(labels), chunks };
        let message = ChunkedReadResponse { chunked_series: vec![series], query_index }.encode_to_vec();
        prost::encoding::encode_varint(message.len() as u64, &mut self.last);
        self.last.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        self.last.extend_from_slice(&message);
        if self.last.len() >= PIECE_BYTES {
            self.done.push_back(Bytes::from(std::mem::take(&mut self.last)));
        }
    }

    fn finish(mut self) -> VecDeque<Bytes> {
        if !self.last.is_empty() {
            self.done.push_back(Bytes::from(self.last));
        }
        self.done
    }
}
