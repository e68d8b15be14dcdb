//! Queries under way, by what they ask: one that comes meanwhile waits for the same answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use promql::QueryProgress;
use proto::DataVersion;
use runtime::HashMap;

use super::{Answered, Asked, Front};
use crate::ApiError;

/// The answer to come. Dropped by all who wait for it, the query ends.
pub(super) type ToCome = Shared<BoxFuture<'static, Result<Arc<Answered>, ApiError>>>;

/// How far a query has come, for those who would share it.
#[derive(Debug, Clone, Default)]
enum Stage {
    /// It may have read anything, at a moment not noted.
    #[default]
    Unknown,
    /// It has read nothing yet: its answer will be right for whoever asks now.
    Waits,
    /// It has read nothing before this version.
    Reads(DataVersion),
}

/// A query under way.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    stage: Mutex<Stage>,
    progress: QueryProgress,
}

impl Flight {
    /// Whether it waits for a place.
    pub(crate) fn is_waiting(&self) -> bool {
        self.has_not_read()
    }

    /// Follows its evaluation.
    pub(crate) fn progress(&self) -> &QueryProgress {
        &self.progress
    }

    pub(super) fn waits(&self) {
        *self.stage.lock() = Stage::Waits;
    }

    pub(super) fn starts(&self) {
        *self.stage.lock() = Stage::Unknown;
    }

    pub(super) fn reads(&self, version: Option<DataVersion>) {
        *self.stage.lock() = version.map_or(Stage::Unknown, Stage::Reads);
    }

    pub(super) fn has_not_read(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Waits)
    }

    pub(super) fn version_read(&self) -> Option<DataVersion> {
        match &*self.stage.lock() {
            Stage::Reads(version) => Some(version.clone()),
            Stage::Unknown | Stage::Waits => None,
        }
    }
}

type Known = (Arc<Flight>, WeakShared<BoxFuture<'static, Result<Arc<Answered>, ApiError>>>);

/// All queries under way: as many as run and wait.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<Asked, Known>>,
    shared: AtomicU64,
}

/// Takes a query off the list when it ends, however it ends.
pub(super) struct Listed {
    front: Arc<Front>,
    asked: Asked,
    flight: Arc<Flight>,
}

impl Flights {
    pub(super) fn find(&self, asked: &Asked) -> Option<(Arc<Flight>, ToCome)> {
        let under_way = self.under_way.lock();
        let (flight, answer) = under_way.get(asked)?;
        Some((Arc::clone(flight), answer.upgrade()?))
    }

    pub(super) fn leave_at_end(front: &Arc<Front>, asked: &Asked, flight: &Arc<Flight>) -> Listed {
        Listed { front: Arc::clone(front), asked: asked.clone(), flight: Arc::clone(flight) }
    }

    /// Lists a query; one that was listed for the same and cannot be shared goes on for those who wait for it.
    pub(super) fn add(&self, asked: Asked, flight: Arc<Flight>, answer: &ToCome) {
        if let Some(answer) = answer.downgrade() {
            self.under_way.lock().insert(asked, (flight, answer));
        }
    }

    pub(super) fn note_shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.under_way.lock().len()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut under_way = self.front.flights.under_way.lock();
        if under_way.get(&self.asked).is_some_and(|(flight, _)| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(&self.asked);
        }
    }
}
