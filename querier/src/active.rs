//! The queries under way: who runs what since when, how far it has come, and the means to end it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TenantId;
use parking_lot::Mutex;
use runtime::Moment;
use tokio::sync::oneshot;

use crate::front::{Flight, Times};

/// A query under way or waiting. As many as admission lets in.
#[derive(Debug, Clone)]
pub struct ActiveQuery {
    /// Numbers queries in the order they came.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// `query` or `query_range`.
    pub endpoint: &'static str,
    /// Its text.
    pub expr: Arc<str>,
    /// When it came.
    pub since: Moment,
    /// When it came, Unix ms.
    pub since_ms: i64,
    /// First and last time asked for, Unix ms, and the step in ms; 0 for an instant query.
    pub times: (i64, i64, i64),
    /// Whether it waits for its turn.
    pub is_waiting: bool,
    /// Samples looked at so far.
    pub samples: u64,
    /// Series read so far.
    pub series: u64,
    /// Bytes held now, as budgets count them.
    pub memory_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    query: ActiveQuery,
    /// What evaluates it, once there is something.
    flight: Option<Arc<Flight>>,
    kill: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    queries: BTreeMap<u64, Entry>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct ActiveQueries(Mutex<State>);

/// Takes its query off the list when dropped.
pub(crate) struct Listed<'a> {
    list: &'a ActiveQueries,
    id: u64,
}

/// Comes when somebody ends the query.
pub(crate) struct Killed(oneshot::Receiver<()>);

impl ActiveQueries {
    /// Lists a query that came now.
    pub(crate) fn add(
        &self,
        tenant: &TenantId,
        endpoint: &'static str,
        expr: &str,
        times: Times,
        (since, since_ms): (Moment, i64),
    ) -> (Listed<'_>, Killed) {
        let (first, last) = (times.ends().0, times.end());
        let step = if matches!(times, Times::Instant(_)) { 0 } else { times.step() };
        let (kill, killed) = oneshot::channel();
        let mut state = self.0.lock();
        let id = state.next;
        state.next += 1;
        let query = ActiveQuery {
            id,
            tenant: tenant.clone(),
            endpoint,
            expr: Arc::from(expr),
            since,
            since_ms,
            times: (first, last, step),
            is_waiting: false,
            samples: 0,
            series: 0,
            memory_bytes: 0,
        };
        state.queries.insert(id, Entry { query, flight: None, kill: Some(kill) });
        (Listed { list: self, id }, Killed(killed))
    }

    /// All queries as they are now, oldest first; those of one tenant when one is named.
    pub(crate) fn list(&self, of: Option<&TenantId>) -> Vec<ActiveQuery> {
        let state = self.0.lock();
        let wanted = state.queries.values().filter(|entry| of.is_none_or(|t| entry.query.tenant == *t));
        wanted.map(Entry::now).collect()
    }

    /// Ends a tenant's query; false when it has none of that number.
    pub(crate) fn kill(&self, tenant: &TenantId, id: u64) -> bool {
        let mut state = self.0.lock();
        let Some(entry) = state.queries.get_mut(&id).filter(|entry| entry.query.tenant == *tenant) else {
            return false;
        };
        // the second time it is on its way out already
        if let Some(kill) = entry.kill.take() {
            let _ended_by_itself = kill.send(());
        }
        true
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().queries.len()
    }
}

impl Entry {
    fn now(&self) -> ActiveQuery {
        let mut query = self.query.clone();
        if let Some(flight) = &self.flight {
            let progress = flight.progress();
            query.is_waiting = flight.is_waiting();
            query.samples = progress.samples();
            query.series = progress.series();
            query.memory_bytes = progress.memory_bytes();
        }
        query
    }
}

impl Listed<'_> {
    /// What evaluates the query from now on.
    pub(crate) fn evaluated_by(&self, flight: &Arc<Flight>) {
        if let Some(entry) = self.list.0.lock().queries.get_mut(&self.id) {
            entry.flight = Some(Arc::clone(flight));
        }
    }

    /// Whether the query waits for its turn.
    pub(crate) fn is_waiting(&self) -> bool {
        let state = self.list.0.lock();
        let flight = state.queries.get(&self.id).and_then(|entry| entry.flight.as_ref());
        flight.is_some_and(|flight| flight.is_waiting())
    }
}

impl Killed {
    /// Waits for it, perhaps for ever.
    pub(crate) async fn wait(self) {
        if self.0.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.0.lock().queries.remove(&self.id);
    }
}
