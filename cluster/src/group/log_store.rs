//! openraft's view of a group's log.
//!
//! Appends go into memory, into the writer's queue, and return; a vote returns when it is durable;
//! truncation, purge and commit are memory now and a record later. The queue keeps their order.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures::Stream;
use futures::stream;
use openraft::storage::RaftLogStorage;
use openraft::{LogState, OptionalSend, RaftLogReader};

use crate::types::{Body, Entry, Flushed, LogId, Types, Vote, next_index};
use crate::wal::{Found, GroupLog, Request, Slot, Wal, payload_len};

/// Payload bytes a single read gathers at most (but at least one entry).
const READ_BYTES_MAX: u64 = 4 << 20;

/// A group's log in the shared write-ahead log; clones are readers of the same log.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    pub(crate) wal: Arc<Wal>,
    pub(crate) group: Arc<GroupLog>,
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl LogStore {
    /// The entries there are in `start..end`, up to `bytes_max` of payload but at least one.
    pub(crate) async fn read(&self, start: u64, end: u64, bytes_max: u64) -> io::Result<Vec<Entry>> {
        let found = self.group.state.lock().find(start, end, bytes_max);
        if found.iter().all(|entry| matches!(entry, Found::Cached(_))) {
            return self.materialise(found);
        }
        let store = self.clone();
        let read = self.wal.runtime.blocking(move || store.materialise(found)).await;
        read.map_err(io::Error::other)?
    }

    fn materialise(&self, found: Vec<Found>) -> io::Result<Vec<Entry>> {
        let entry = |found| match found {
            Found::Cached(entry) => Ok(entry),
            Found::Stored { id, place, payload_len } => {
                self.wal.shared.read(self.group.id, id, place, payload_len)
            }
        };
        found.into_iter().map(entry).collect()
    }

    /// The entries there are in `start..end` one after the other, read in pieces of bounded size.
    pub(crate) fn stream(
        &self,
        start: u64,
        end: u64,
    ) -> impl Stream<Item = io::Result<Entry>> + Send + 'static {
        let chunks = stream::unfold((self.clone(), start), move |(store, next)| async move {
            let chunk = if next < end { store.read(next, end, READ_BYTES_MAX).await } else { Ok(Vec::new()) };
            let (items, next) = match chunk {
                Ok(chunk) => {
                    let next = chunk.last()?.log_id.index + 1;
                    (chunk.into_iter().map(Ok).collect(), next)
                }
                // nothing follows an error
                Err(error) => (vec![Err(error)], end),
            };
            Some((stream::iter(items), (store, next)))
        });
        futures::StreamExt::flatten(chunks)
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        self.read(start, end, u64::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX).await
    }

    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        Box::pin(self.stream(start, end))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.group.state.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.group.state.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last() })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (group, vote) = (Arc::clone(&self.group), *vote);
        self.wal.send_and_wait(|done| Request::Vote { group, vote, done }).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // the writer takes it along with the next entries
        self.group.state.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.group.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: Flushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<(LogId, Body)> =
            entries.into_iter().map(|entry| (entry.log_id, entry.payload)).collect();
        {
            let mut state = self.group.state.lock();
            for (id, body) in &entries {
                let payload_len = u32::try_from(payload_len(body)).map_err(io::Error::other)?;
                let slot =
                    Slot { term: id.leader_id.term, payload_len, place: None, cached: Some(body.clone()) };
                state.push(id.index, slot);
            }
        }
        let group = Arc::clone(&self.group);
        self.wal.send(Request::Append { group, entries, done: callback }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.group.state.lock().truncate_from(next_index(last.as_ref()));
        let group = Arc::clone(&self.group);
        self.wal.send(Request::Truncate { group, after: last }).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.group.state.lock().purge(upto);
        let group = Arc::clone(&self.group);
        self.wal.send(Request::Purge { group, upto }).await
    }
}

#[cfg(test)]
mod tests;
