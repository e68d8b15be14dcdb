//! What the writer, the readers and the groups of one write-ahead log share.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use model::GroupId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::log::{GroupLog, Place};
use super::record::{self, HEADER_BYTES, Header, Record};
use super::recovery::Segment;
use crate::types::{Entry, LogId};

/// Counters of the log. All but `segments` and `segment_bytes` only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WalStats {
    /// Entries written.
    pub entries: u64,
    /// Bytes written, everything counted.
    pub written_bytes: u64,
    /// Writes: one each group commit.
    pub writes: u64,
    /// fsyncs that followed.
    pub fsyncs: u64,
    /// Seconds spent in them.
    pub fsync_seconds: f64,
    /// Segments begun.
    pub segments_begun: u64,
    /// Segments begun in a file that had been one before.
    pub segments_recycled: u64,
    /// Segments now.
    pub segments: u64,
    /// Bytes of the files of these segments.
    pub segment_bytes: u64,
    /// Bytes of written entries held in memory.
    pub cached_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) entries: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) fsync_micros: AtomicU64,
    pub(crate) segments_begun: AtomicU64,
    pub(crate) segments_recycled: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Written entries that wait to be applied are read from memory up to this many bytes.
const UNAPPLIED_BYTES_MAX: u64 = 64 << 20;

/// Why nothing can be written now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: String,
    /// No write will succeed before a restart.
    pub(crate) fatal: bool,
}

/// Written entries still in memory, oldest first.
#[derive(Debug, Default)]
struct Cache {
    queue: VecDeque<(Arc<GroupLog>, LogId, u64)>,
    bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) groups: Mutex<BTreeMap<GroupId, Arc<GroupLog>>>,
    pub(crate) segments: Mutex<BTreeMap<u64, Segment>>,
    /// The oldest segment each group needs; groups that need none are absent.
    pub(crate) floors: Mutex<BTreeMap<GroupId, u64>>,
    pub(crate) trouble: watch::Sender<Option<Trouble>>,
    /// Told when a group's log or the whole has outgrown its limit.
    pub(crate) grown: Notify,
    pub(crate) closing: AtomicBool,
    pub(crate) counters: Counters,
    cache: Mutex<Cache>,
    cache_bytes_max: u64,
}

impl Shared {
    pub(crate) fn new(
        groups: BTreeMap<GroupId, Arc<GroupLog>>,
        segments: BTreeMap<u64, Segment>,
        cache_bytes_max: u64,
    ) -> Self {
        Shared {
            groups: Mutex::new(groups),
            segments: Mutex::new(segments),
            floors: Mutex::new(BTreeMap::new()),
            trouble: watch::channel(None).0,
            grown: Notify::new(),
            closing: AtomicBool::new(false),
            counters: Counters::default(),
            cache: Mutex::new(Cache::default()),
            cache_bytes_max,
        }
    }

    /// The entries' records lie at their places now: their payloads may leave memory, oldest first.
    pub(crate) fn written(&self, group: &Arc<GroupLog>, entries: &[(LogId, Place, u32)]) {
        {
            let mut state = group.state.lock();
            for (id, place, _) in entries {
                if let Some(slot) = state.slot(id.index)
                    && slot.term == id.leader_id.term
                {
                    slot.place = Some(*place);
                }
            }
        }
        {
            let mut cache = self.cache.lock();
            for (id, _, payload_len) in entries {
                // a slot costs something even when its payload is empty
                let bytes = u64::from(*payload_len) + 64;
                cache.bytes += bytes;
                cache.queue.push_back((Arc::clone(group), *id, bytes));
            }
        }
        self.trim();
    }

    /// Lets the payloads of applied entries leave memory, oldest first, down to the limit; those
    /// still to be applied only where they are far too many.
    pub(crate) fn trim(&self) {
        let mut evicted = Vec::new();
        {
            let mut cache = self.cache.lock();
            while cache.bytes > self.cache_bytes_max
                && let Some((group, id, _)) = cache.queue.front()
                && (group.is_applied(id.index) || cache.bytes > UNAPPLIED_BYTES_MAX.max(self.cache_bytes_max))
                && let Some((group, id, bytes)) = cache.queue.pop_front()
            {
                cache.bytes -= bytes;
                evicted.push((group, id));
            }
        }
        for (group, id) in evicted {
            let mut state = group.state.lock();
            if let Some(slot) = state.slot(id.index)
                && slot.term == id.leader_id.term
                && slot.place.is_some()
            {
                slot.cached = None;
            }
        }
    }

    /// Reads an entry back from its place, checking it.
    pub(crate) fn read(
        &self,
        group: GroupId,
        id: LogId,
        place: Place,
        payload_len: u32,
    ) -> io::Result<Entry> {
        let file = self.segments.lock().get(&place.segment).map(|segment| Arc::clone(&segment.file));
        let gone =
            || io::Error::new(io::ErrorKind::NotFound, format!("entry {id} of group {group} is purged"));
        let file = file.ok_or_else(gone)?;
        let len = HEADER_BYTES + record::ENTRY_PREFIX_BYTES + payload_len as usize;
        let mut bytes = vec![0; len];
        file.read_exact_at(place.offset, &mut bytes)?;
        let bad = || {
            let place = format!("segment {}, byte {}", place.segment, place.offset);
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("entry {id} of group {group} is damaged ({place})"),
            )
        };
        let header = bytes.first_chunk::<HEADER_BYTES>().and_then(Header::parse).ok_or_else(bad)?;
        if header.group != group || !header.matches(place.segment, &bytes[HEADER_BYTES..]) {
            return Err(bad());
        }
        let payload_kind = match record::decode(header.kind, &bytes[HEADER_BYTES..]) {
            Ok(Record::Entry { id: found, payload_kind, .. }) if found == id => payload_kind,
            _ => return Err(bad()),
        };
        let payload = Bytes::from(bytes).slice(HEADER_BYTES + record::ENTRY_PREFIX_BYTES..);
        let payload = record::decode_payload(payload_kind, payload).map_err(|_| bad())?;
        Ok(Entry { log_id: id, payload })
    }

    /// Bytes of all segments' files.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segments.lock().values().map(|segment| segment.bytes).sum()
    }

    pub(crate) fn stats(&self) -> WalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
        let fsync_seconds = get(&counters.fsync_micros) as f64 / 1e6;
        // one lock at a time: guards within the expression below would live to its end
        let segments = self.segments.lock().len() as u64;
        let segment_bytes = self.segment_bytes();
        let cached_bytes = self.cache.lock().bytes;
        WalStats {
            entries: get(&counters.entries),
            written_bytes: get(&counters.written_bytes),
            writes: get(&counters.writes),
            fsyncs: get(&counters.fsyncs),
            fsync_seconds,
            segments_begun: get(&counters.segments_begun),
            segments_recycled: get(&counters.segments_recycled),
            segments,
            segment_bytes,
            cached_bytes,
        }
    }
}
