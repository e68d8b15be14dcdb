//! The one loop that writes the log, on a thread of its own.
//!
//! It drains the queue, writes everything in one vectored write, makes it durable by one fsync if
//! anything asks for it, and completes the requests in their order. A write that fails is tried
//! again at the same place until it succeeds; a failed fsync stops the log until a restart, for
//! nobody can tell what the disk kept.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::GroupId;
use runtime::{Disk, DiskLock, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::log::{GroupLog, Place, payload_len};
use super::record::{Checkpoint, Encoder, entry_record_len};
use super::recovery::Segment;
use super::segment::{self, Begun};
use super::shared::{Shared, Trouble, add};
use super::span::Spans;
use crate::types::{Body, Flushed, LogId, StoredSnapshot, Vote};

const BATCH_REQUESTS_MAX: usize = 1024;
const BATCH_BYTES_MAX: u64 = 8 << 20;
const RETRY_AFTER: Duration = Duration::from_millis(100);
const FREE_FILES_MAX: usize = 2;

pub(crate) type Done = oneshot::Sender<io::Result<()>>;

/// What groups ask of the writer.
pub(crate) enum Request {
    Append {
        group: Arc<GroupLog>,
        entries: Vec<(LogId, Body)>,
        done: Flushed,
    },
    Vote {
        group: Arc<GroupLog>,
        vote: Vote,
        done: Done,
    },
    Truncate {
        group: Arc<GroupLog>,
        after: Option<LogId>,
    },
    Purge {
        group: Arc<GroupLog>,
        upto: LogId,
    },
    Snapshot {
        group: Arc<GroupLog>,
        snapshot: Arc<StoredSnapshot>,
        done: Done,
    },
    /// Everything before is durable once this is done; the last one also ends the loop.
    Flush {
        done: Done,
        close: bool,
    },
}

impl Request {
    fn bytes(&self) -> u64 {
        match self {
            Request::Append { entries, .. } => {
                entries.iter().map(|(_, body)| entry_record_len(payload_len(body))).sum()
            }
            Request::Snapshot { snapshot, .. } => snapshot.manifest.len() as u64,
            _ => 0,
        }
    }

    fn group(&self) -> Option<&Arc<GroupLog>> {
        match self {
            Request::Append { group, .. }
            | Request::Vote { group, .. }
            | Request::Truncate { group, .. }
            | Request::Purge { group, .. }
            | Request::Snapshot { group, .. } => Some(group),
            Request::Flush { .. } => None,
        }
    }
}

/// A group as far as it is written, in the order of the records.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) spans: Spans,
    pub(crate) last: Option<u64>,
}

/// Limits the writer watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) segment_bytes: u64,
    pub(crate) group_bytes: u64,
    pub(crate) total_bytes: u64,
}

pub(crate) struct Writer {
    pub(crate) runtime: Runtime,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) groups: BTreeMap<GroupId, Written>,
    pub(crate) active: Begun,
    /// How far the active segment is durable.
    pub(crate) durable: u64,
    pub(crate) sealed: bool,
    pub(crate) free: Vec<PathBuf>,
    pub(crate) failed: Option<String>,
    /// Nobody else writes here as long as this lives.
    pub(crate) _lock: DiskLock,
}

/// Where the entries of one request went.
type Places = Vec<(LogId, Place, u32)>;

impl Writer {
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        let mut encoder = Encoder::default();
        let mut more = true;
        while more && let Some(first) = self.requests.recv().await {
            let mut bytes = first.bytes();
            batch.push(first);
            while batch.len() < BATCH_REQUESTS_MAX && bytes < BATCH_BYTES_MAX {
                let Ok(next) = self.requests.try_recv() else { break };
                bytes += next.bytes();
                batch.push(next);
            }
            more = !batch.iter().any(|request| matches!(request, Request::Flush { close: true, .. }));
            self.write(&mut batch, &mut encoder).await;
            // holds the payloads otherwise until the next write
            encoder.clear(0);
            self.watch_limits();
        }
    }

    async fn write(&mut self, batch: &mut Vec<Request>, encoder: &mut Encoder) {
        if let Err(reason) = self.try_write(batch, encoder).await {
            for request in batch.drain(..) {
                refuse(request, &reason);
            }
        }
    }

    async fn try_write(&mut self, batch: &mut Vec<Request>, encoder: &mut Encoder) -> Result<(), String> {
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        if self.active.offset >= self.limits.segment_bytes {
            self.roll().await?;
        }
        encoder.clear(self.active.number);
        let (places, sync) = self.encode(batch, encoder);
        self.put(encoder).await?;
        if sync {
            self.sync().await?;
        }
        self.complete(batch, places);
        Ok(())
    }

    /// Writes the encoded records at the end of the active segment, however often it takes.
    async fn put(&mut self, encoder: &Encoder) -> Result<(), String> {
        loop {
            let written = self.active.file.write_vectored_at(self.active.offset, &mut encoder.slices());
            match written {
                Ok(()) => break,
                Err(error) => self.wait_out(&error, "write").await?,
            }
        }
        self.recovered_from_trouble();
        self.active.offset += encoder.len();
        add(&self.shared.counters.written_bytes, encoder.len());
        add(&self.shared.counters.writes, 1);
        Ok(())
    }

    /// A write failed: waits before the next attempt, or gives up when nobody waits any more.
    async fn wait_out(&mut self, error: &io::Error, what: &str) -> Result<(), String> {
        let reason = format!("{what} of segment {}: {error}", segment::name(self.active.number));
        let trouble = Some(Trouble { reason: reason.clone(), fatal: false });
        if self.shared.trouble.send_replace(trouble.clone()) != trouble {
            tracing::error!(%reason, "the write-ahead log cannot be written, trying again");
        }
        if self.shared.closing.load(Ordering::Relaxed) || self.requests.is_closed() {
            return Err(self.fail(reason));
        }
        self.runtime.sleep(RETRY_AFTER).await;
        Ok(())
    }

    fn recovered_from_trouble(&self) {
        if self.shared.trouble.borrow().is_some() {
            tracing::info!("the write-ahead log can be written again");
            self.shared.trouble.send_replace(None);
        }
    }

    fn fail(&mut self, reason: String) -> String {
        self.failed = Some(reason.clone());
        self.shared.trouble.send_replace(Some(Trouble { reason: reason.clone(), fatal: true }));
        reason
    }

    async fn sync(&mut self) -> Result<(), String> {
        let before = self.runtime.monotonic();
        let synced = self.active.file.sync_data_timed().await;
        let took = self.runtime.monotonic() - before;
        add(&self.shared.counters.fsyncs, 1);
        add(&self.shared.counters.fsync_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        match synced {
            Ok(()) => {
                self.durable = self.active.offset;
                Ok(())
            }
            Err(error) => {
                let name = segment::name(self.active.number);
                let reason = format!("fsync of segment {name}: {error}; restart the server");
                tracing::error!(%reason, "the write-ahead log has stopped");
                Err(self.fail(reason))
            }
        }
    }

    /// Seals the active segment and begins the next, which starts with a checkpoint of all groups.
    async fn roll(&mut self) -> Result<(), String> {
        if !self.sealed {
            let mut seal = Encoder::default();
            seal.clear(self.active.number);
            seal.seal();
            self.put(&seal).await?;
            self.sync().await?;
            self.sealed = true;
        }
        let begun = loop {
            let recycled = self.free.pop();
            let reused = recycled.is_some();
            let checkpoints = self.groups.iter().map(|(id, written)| (*id, &written.checkpoint));
            match segment::begin(&*self.disk, &self.dir, self.active.number + 1, recycled, checkpoints) {
                Ok(begun) => {
                    add(&self.shared.counters.segments_recycled, u64::from(reused));
                    break begun;
                }
                Err(error) => self.wait_out(&error, "beginning the successor").await?,
            }
        };
        self.recovered_from_trouble();
        add(&self.shared.counters.segments_begun, 1);
        let mut segments = self.shared.segments.lock();
        if let Some(sealed) = segments.get_mut(&self.active.number) {
            sealed.bytes = self.active.offset;
        }
        segments.insert(begun.number, Segment { file: Arc::clone(&begun.file), bytes: begun.offset });
        drop(segments);
        self.durable = begun.offset;
        self.active = begun;
        self.sealed = false;
        Ok(())
    }

    /// Turns the batch into records; tells where entries went and whether an fsync must follow.
    fn encode(&mut self, batch: &[Request], encoder: &mut Encoder) -> (Vec<Places>, bool) {
        encoder.batch(self.durable);
        let mut places = Vec::with_capacity(batch.len());
        let mut sync = false;
        for request in batch {
            let mut went = Places::new();
            // the order of records is the order of requests, and `written` follows it
            match request {
                Request::Append { group, entries, .. } => {
                    sync = true;
                    let written = self.groups.entry(group.id).or_default();
                    for (id, body) in entries {
                        let offset = self.active.offset + encoder.len();
                        let place = Place { segment: self.active.number, offset };
                        encoder.entry(group.id, id, body);
                        let len = u32::try_from(payload_len(body)).expect("payloads are capped below 4 GiB");
                        went.push((*id, place, len));
                        written.last = Some(id.index);
                    }
                    add(&self.shared.counters.entries, entries.len() as u64);
                }
                Request::Vote { group, vote, .. } => {
                    sync = true;
                    encoder.vote(group.id, vote);
                    self.groups.entry(group.id).or_default().checkpoint.vote = Some(*vote);
                }
                Request::Truncate { group, after } => {
                    encoder.truncate(group.id, after.as_ref());
                    self.groups.entry(group.id).or_default().last = after.map(|id| id.index);
                }
                Request::Purge { group, upto } => {
                    // synced so that its segments can go even if nothing follows
                    sync = true;
                    encoder.purge(group.id, upto);
                    let written = self.groups.entry(group.id).or_default();
                    written.checkpoint.purged = Some(*upto);
                    written.last = written.last.max(Some(upto.index));
                }
                Request::Snapshot { group, snapshot, .. } => {
                    sync = true;
                    encoder.snapshot(group.id, snapshot);
                    self.groups.entry(group.id).or_default().checkpoint.snapshot =
                        Some(StoredSnapshot::clone(snapshot));
                }
                Request::Flush { .. } => {
                    sync = true;
                    let groups: Vec<_> = self.shared.groups.lock().values().cloned().collect();
                    groups.iter().for_each(|group| self.encode_committed(group, encoder));
                }
            }
            places.push(went);
        }
        for request in batch {
            if let Some(group) = request.group() {
                self.encode_committed(group, encoder);
            }
        }
        (places, sync)
    }

    /// What is committed travels with the next write, never ahead of its entries.
    fn encode_committed(&mut self, group: &Arc<GroupLog>, encoder: &mut Encoder) {
        let committed = group.state.lock().committed;
        let written = self.groups.entry(group.id).or_default();
        if let Some(id) = committed
            && written.checkpoint.committed != committed
            && written.last.is_some_and(|last| id.index <= last)
        {
            encoder.committed(group.id, &id);
            written.checkpoint.committed = committed;
        }
    }

    fn complete(&mut self, batch: &mut Vec<Request>, places: Vec<Places>) {
        let mut purged = false;
        if let Some(active) = self.shared.segments.lock().get_mut(&self.active.number) {
            active.bytes = active.bytes.max(self.active.offset);
        }
        for (request, places) in batch.drain(..).zip(places) {
            match request {
                Request::Append { group, done, .. } => {
                    let written = self.groups.entry(group.id).or_default();
                    for (id, place, _) in &places {
                        written.spans.wrote(id.index, place.segment);
                    }
                    self.shared.written(&group, &places);
                    group.flushed.send_replace(places.last().map(|(id, _, _)| *id));
                    done.io_completed(Ok(()));
                }
                Request::Vote { group, vote, done } => {
                    group.state.lock().vote = Some(vote);
                    answer(done);
                }
                Request::Truncate { group, after } => {
                    group.flushed.send_replace(after);
                }
                Request::Purge { group, upto } => {
                    self.groups.entry(group.id).or_default().spans.purge(upto.index);
                    purged = true;
                }
                Request::Snapshot { group, snapshot, done } => {
                    group.state.lock().snapshot = Some(snapshot);
                    answer(done);
                }
                Request::Flush { done, .. } => answer(done),
            }
        }
        self.publish_floors();
        if purged {
            self.drop_segments();
        }
    }

    pub(crate) fn publish_floors(&self) {
        let floors = self.groups.iter().filter_map(|(id, written)| Some((*id, written.spans.oldest()?)));
        *self.shared.floors.lock() = floors.collect();
    }

    /// Removes from the front the segments no group needs; a few files are kept to be written over.
    fn drop_segments(&mut self) {
        let needed = self.groups.values().filter_map(|written| written.spans.oldest()).min();
        let needed = needed.unwrap_or(self.active.number).min(self.active.number);
        let dropped: Vec<(u64, u64)> = {
            let mut segments = self.shared.segments.lock();
            let kept = segments.split_off(&needed);
            let dropped = std::mem::replace(&mut *segments, kept);
            dropped.into_iter().map(|(number, segment)| (number, segment.bytes)).collect()
        };
        let mut recycled = Vec::new();
        for (number, bytes) in dropped {
            let path = self.dir.join(segment::name(number));
            let fits = bytes >= self.limits.segment_bytes / 2 && bytes <= self.limits.segment_bytes * 2;
            let done = if fits && self.free.len() + recycled.len() < FREE_FILES_MAX {
                let free = self.dir.join(segment::free_name(number));
                self.disk.rename(&path, &free).map(|()| recycled.push(free))
            } else {
                self.disk.remove(&path)
            };
            if let Err(error) = done {
                // it stays as a leftover; the next start removes it
                tracing::warn!(path = %path.display(), %error, "segment not removed");
            }
        }
        // a file is written over only once nobody can find it under its old name
        match self.disk.sync_dir(&self.dir) {
            Ok(()) => self.free.extend(recycled),
            Err(error) => tracing::warn!(%error, "write-ahead log folder not synced"),
        }
    }

    fn watch_limits(&self) {
        let over = |group: &Arc<GroupLog>| group.state.lock().live_bytes > self.limits.group_bytes;
        if self.shared.segment_bytes() > self.limits.total_bytes
            || self.shared.groups.lock().values().any(over)
        {
            self.shared.grown.notify_one();
        }
    }
}

fn answer(done: Done) {
    // whoever asked may have gone
    let _gone = done.send(Ok(())).is_err();
}

fn refuse(request: Request, reason: &str) {
    let error = || io::Error::other(reason.to_string());
    match request {
        Request::Append { done, .. } => done.io_completed(Err(error())),
        Request::Vote { done, .. } | Request::Snapshot { done, .. } | Request::Flush { done, .. } => {
            let _gone = done.send(Err(error())).is_err();
        }
        Request::Truncate { .. } | Request::Purge { .. } => {}
    }
}
