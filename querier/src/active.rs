//! The queries under way: who runs what since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TenantId;
use parking_lot::Mutex;
use runtime::Moment;

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
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    queries: BTreeMap<u64, ActiveQuery>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct ActiveQueries(Mutex<State>);

/// Takes its query off the list when dropped.
pub(crate) struct Listed<'a> {
    list: &'a ActiveQueries,
    id: u64,
}

impl ActiveQueries {
    pub(crate) fn add(
        &self,
        tenant: &TenantId,
        endpoint: &'static str,
        expr: &str,
        since: Moment,
    ) -> Listed<'_> {
        let mut state = self.0.lock();
        let id = state.next;
        state.next += 1;
        let query = ActiveQuery { id, tenant: tenant.clone(), endpoint, expr: Arc::from(expr), since };
        state.queries.insert(id, query);
        Listed { list: self, id }
    }

    pub(crate) fn list(&self) -> Vec<ActiveQuery> {
        self.0.lock().queries.values().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().queries.len()
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.0.lock().queries.remove(&self.id);
    }
}
