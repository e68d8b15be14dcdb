//! How far a query has come, for those who look on while it runs.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::exec::QueryContext;

/// Follows the evaluations that one answer is made of. Costs the query nothing: who wants to know asks its counters.
#[derive(Clone, Default)]
pub struct QueryProgress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The evaluation under way.
    now: Weak<QueryContext>,
    /// Samples and series of those before.
    before: (u64, u64),
}

impl QueryProgress {
    /// Follows an evaluation until what is returned is dropped: then nobody waits for its answer any more.
    pub(crate) fn follow<'a>(&'a self, query: &'a Arc<QueryContext>) -> Followed<'a> {
        self.0.lock().now = Arc::downgrade(query);
        Followed { progress: self, query }
    }

    /// Samples looked at so far.
    pub fn samples(&self) -> u64 {
        let (state, now) = self.read();
        state.0 + now.map_or(0, |query| query.samples.total())
    }

    /// Series read so far.
    pub fn series(&self) -> u64 {
        let (state, now) = self.read();
        state.1 + now.map_or(0, |query| query.series())
    }

    /// Bytes held now.
    pub fn memory_bytes(&self) -> u64 {
        self.read().1.map_or(0, |query| query.memory.held() as u64)
    }

    fn read(&self) -> ((u64, u64), Option<Arc<QueryContext>>) {
        let state = self.0.lock();
        (state.before, state.now.upgrade())
    }
}

impl fmt::Debug for QueryProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryProgress").field("samples", &self.samples()).finish_non_exhaustive()
    }
}

/// An evaluation that is followed.
pub(crate) struct Followed<'a> {
    progress: &'a QueryProgress,
    query: &'a Arc<QueryContext>,
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        // work for it on other threads ends too
        self.query.abandon();
        let mut state = self.progress.0.lock();
        state.now = Weak::new();
        state.before.0 += self.query.samples.total();
        state.before.1 += self.query.series();
    }
}
