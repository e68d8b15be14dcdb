//! Before the engine: waits for a place, shares what is being evaluated already, keeps what was evaluated.
//!
//! Always: an answer is what the engine would give over the data as it is when the request came, or later. What
//! is kept of range queries is used only where the source says that nothing it was made from has changed
//! since, and a query under way is shared only if the same is true of it.

mod asked;
mod cache;
mod entry;
mod evaluate;
mod flight;
mod stitch;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use promql::{Engine, QueryProgress};
use proto::Source;
use runtime::Runtime;

use crate::ApiError;
use crate::admission::Admission;
pub(crate) use asked::{Answered, Asked, Times};
use cache::ResultCache;
pub use cache::ResultCacheMetrics;
pub(crate) use flight::Flight;
use flight::Flights;

/// The way from a request to the engine.
pub(crate) struct Front {
    runtime: Runtime,
    engine: Engine,
    queries: Admission,
    cache: ResultCache,
    flights: Flights,
}

impl Front {
    /// `cache_bytes`: what may be kept of answers; 0: nothing.
    pub(crate) fn new(runtime: Runtime, engine: Engine, queries: Admission, cache_bytes: u64) -> Arc<Self> {
        let (cache, flights) = (ResultCache::new(cache_bytes), Flights::default());
        Arc::new(Front { runtime, engine, queries, cache, flights })
    }

    /// What became of queries.
    pub(crate) fn metrics(&self) -> ResultCacheMetrics {
        ResultCacheMetrics { shared: self.flights.shared(), ..self.cache.metrics() }
    }

    /// Answers a query. `watch` gets what evaluates it, by which it can be followed. Dropping the future ends it, unless somebody else waits for the same.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        source: Arc<dyn Source>,
        asked: Asked,
        watch: &(dyn Fn(&Arc<Flight>) + Sync),
    ) -> Result<Arc<Answered>, ApiError> {
        if let Some((flight, answer)) = self.flights.find(&asked)
            && self.may_share(&flight, &source, &asked).await
        {
            self.flights.note_shared();
            watch(&flight);
            return answer.await;
        }
        let flight = Arc::new(Flight::default());
        watch(&flight);
        let listed = Flights::leave_at_end(self, &asked, &flight);
        let (front, own, of_flight) = (Arc::clone(self), asked.clone(), Arc::clone(&flight));
        let answer = async move {
            let _listed = listed;
            front.fly(&of_flight, source, own).await.map(Arc::new)
        };
        let answer = answer.boxed().shared();
        self.flights.add(asked, flight, &answer);
        answer.await
    }

    /// Whether what a query under way answers is right for one that comes now.
    async fn may_share(&self, flight: &Flight, source: &Arc<dyn Source>, asked: &Asked) -> bool {
        let Some(version) = flight.version_read() else { return flight.has_not_read() };
        let Some(changes) = source.changes(&asked.tenant, Some(&version)).await else { return false };
        if changes.changed.is_empty() {
            return true;
        }
        let (first, last) = asked.times.ends();
        let request = asked.request(asked.timeout, &QueryProgress::default());
        let (start, end) = (first, asked.times.end());
        let reach = self.engine.reach(Arc::clone(source), request, start, end, asked.times.step());
        reach.is_some_and(|reach| !entry::looks_at_any(&reach, first, last, &changes.changed))
    }

    async fn fly(
        &self,
        flight: &Flight,
        source: Arc<dyn Source>,
        asked: Asked,
    ) -> Result<Answered, ApiError> {
        if let Some(answered) = self.kept(&source, &asked).await {
            return Ok(answered);
        }
        flight.waits();
        let queued = self.runtime.monotonic();
        let place = self.runtime.timeout(asked.timeout, self.queries.enter(&asked.tenant)).await;
        let _place = place.map_err(|_| ApiError::Timeout("query timed out in query queue".to_owned()))??;
        let waited = queued.elapsed();
        flight.starts();
        let changes = source.changes(&asked.tenant, None).await;
        flight.reads(changes.map(|changes| changes.now));
        self.evaluate(source, &asked, waited, flight.progress()).await
    }
}
