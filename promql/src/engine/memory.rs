//! Memory of queries: reserved before it is used, from the query's budget, its tenant's and the engine's at once.
//!
//! A query's pool is a DataFusion memory pool, so that operators reserve as those of DataFusion do. What is
//! counted: selections, samples read, batches, states of aggregations, answers until they are sent. Always: a
//! reservation counts in all three budgets or in none, and is given back when its holder is dropped.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use datafusion_common::{DataFusionError, Result as PlanResult};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use hashbrown::HashMap;
use model::TenantId;
use parking_lot::Mutex;

use super::{QueryError, QueryLimit};

/// Most bytes that queries may hold at a time; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryLimits {
    /// One query.
    pub query_bytes_max: usize,
    /// All queries of one tenant.
    pub tenant_bytes_max: usize,
    /// All queries of the engine.
    pub total_bytes_max: usize,
}

/// What an engine's queries hold, and how often one asked for more than it could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUsage {
    /// Bytes held now.
    pub held: u64,
    /// Most bytes held at a time.
    pub peak: u64,
    /// Queries ended by the limit of one query.
    pub refused_query: u64,
    /// Queries ended by the limit of a tenant.
    pub refused_tenant: u64,
    /// Queries ended by the limit of all.
    pub refused_total: u64,
}

/// One budget.
#[derive(Debug, Default)]
struct Budget {
    /// 0: no limit.
    limit: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Budget { limit, ..Budget::default() }
    }

    /// Takes `bytes` if they are there.
    fn take(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| self.limit == 0 || *sum <= self.limit);
        match self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes `bytes` whether they are there or not.
    fn force(&self, bytes: usize) {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        self.peak.fetch_max(before.saturating_add(bytes), Ordering::Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        match self.limit {
            0 => usize::MAX,
            limit => limit.saturating_sub(self.held.load(Ordering::Relaxed)),
        }
    }
}

/// The budgets of an engine.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    limits: MemoryLimits,
    total: Budget,
    /// Of tenants with queries under way.
    tenants: Mutex<HashMap<TenantId, Weak<Budget>>>,
    refused_query: AtomicU64,
    refused_tenant: AtomicU64,
    refused_total: AtomicU64,
}

impl Budgets {
    pub(crate) fn new(limits: MemoryLimits) -> Arc<Self> {
        Arc::new(Budgets { limits, total: Budget::new(limits.total_bytes_max), ..Budgets::default() })
    }

    /// The memory of a new query.
    pub(crate) fn query(self: &Arc<Self>, tenant: &TenantId) -> Arc<QueryMemory> {
        let of_tenant = {
            let mut tenants = self.tenants.lock();
            let known = tenants.get(tenant).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let budget = Arc::new(Budget::new(self.limits.tenant_bytes_max));
                tenants.insert(tenant.clone(), Arc::downgrade(&budget));
                budget
            })
        };
        Arc::new(QueryMemory {
            query: Budget::new(self.limits.query_bytes_max),
            tenant: tenant.clone(),
            of_tenant,
            budgets: Arc::clone(self),
        })
    }

    pub(crate) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            held: self.total.held.load(Ordering::Relaxed) as u64,
            peak: self.total.peak.load(Ordering::Relaxed) as u64,
            refused_query: self.refused_query.load(Ordering::Relaxed),
            refused_tenant: self.refused_tenant.load(Ordering::Relaxed),
            refused_total: self.refused_total.load(Ordering::Relaxed),
        }
    }
}

/// The memory of one query.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    query: Budget,
    tenant: TenantId,
    of_tenant: Arc<Budget>,
    budgets: Arc<Budgets>,
}

impl QueryMemory {
    /// A reservation of nothing yet.
    pub(crate) fn reservation(self: &Arc<Self>, what: &'static str) -> MemoryReservation {
        let pool: Arc<dyn MemoryPool> = Arc::<Self>::clone(self);
        MemoryConsumer::new(what).register(&pool)
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.query.held.load(Ordering::Relaxed)
    }

    /// Most bytes held at a time.
    pub(crate) fn peak(&self) -> usize {
        self.query.peak.load(Ordering::Relaxed)
    }

    /// Bytes that may still be reserved.
    pub(crate) fn left(&self) -> usize {
        self.query.left().min(self.of_tenant.left()).min(self.budgets.total.left())
    }

    /// The smallest of the limits; `usize::MAX` when there is none.
    pub(crate) fn limit(&self) -> usize {
        let limits = [self.query.limit, self.of_tenant.limit, self.budgets.total.limit];
        limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(usize::MAX)
    }

    fn take(&self, bytes: usize) -> Result<(), QueryError> {
        if !self.query.take(bytes) {
            self.budgets.refused_query.fetch_add(1, Ordering::Relaxed);
            return Err(QueryError::Limit(
                QueryLimit::QueryMemory,
                format!(
                    "query processing would hold more than {} bytes in memory, the limit of a query \
                 (`query.max_memory_bytes`)",
                    self.query.limit
                ),
            ));
        }
        if !self.of_tenant.take(bytes) {
            self.query.give(bytes);
            self.budgets.refused_tenant.fetch_add(1, Ordering::Relaxed);
            return Err(QueryError::Limit(
                QueryLimit::TenantMemory,
                format!(
                    "query processing would hold more than {} bytes in memory with the other queries of tenant `{}`, \
                 the limit of a tenant (`query.max_tenant_memory_bytes`)",
                    self.of_tenant.limit, self.tenant
                ),
            ));
        }
        if !self.budgets.total.take(bytes) {
            self.query.give(bytes);
            self.of_tenant.give(bytes);
            self.budgets.refused_total.fetch_add(1, Ordering::Relaxed);
            return Err(QueryError::Limit(
                QueryLimit::TotalMemory,
                format!(
                    "query processing would hold more than {} bytes in memory with all other queries, the limit of \
                 this process (`query.max_total_memory_bytes`)",
                    self.budgets.total.limit
                ),
            ));
        }
        Ok(())
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query({} bytes held)", self.held())
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &'static str {
        "query"
    }

    fn grow(&self, _reservation: &MemoryReservation, additional: usize) {
        self.query.force(additional);
        self.of_tenant.force(additional);
        self.budgets.total.force(additional);
    }

    fn shrink(&self, _reservation: &MemoryReservation, shrink: usize) {
        self.query.give(shrink);
        self.of_tenant.give(shrink);
        self.budgets.total.give(shrink);
    }

    fn try_grow(&self, _reservation: &MemoryReservation, additional: usize) -> PlanResult<()> {
        self.take(additional).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    fn reserved(&self) -> usize {
        self.held()
    }

    fn memory_limit(&self) -> MemoryLimit {
        match self.limit() {
            usize::MAX => MemoryLimit::Infinite,
            limit => MemoryLimit::Finite(limit),
        }
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        let mut tenants = self.budgets.tenants.lock();
        // this query is the last one of its tenant
        if Arc::strong_count(&self.of_tenant) == 1 {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn refusal(result: PlanResult<()>) -> String {
        crate::exec::from_plan_error(result.unwrap_err()).to_string()
    }

    #[test]
    fn each_limit_refuses_and_names_its_setting() {
        let limits = MemoryLimits { query_bytes_max: 100, tenant_bytes_max: 150, total_bytes_max: 220 };
        let budgets = Budgets::new(limits);
        let (a, b) = (budgets.query(&tenant("t")), budgets.query(&tenant("t")));
        let c = budgets.query(&tenant("u"));
        let (of_a, of_b, of_c) = (a.reservation("a"), b.reservation("b"), c.reservation("c"));
        of_a.try_grow(90).unwrap();
        assert!(
            refusal(of_a.try_grow(11))
                .contains("100 bytes in memory, the limit of a query (`query.max_memory_bytes`)")
        );
        assert!(refusal(of_b.try_grow(61)).contains("(`query.max_tenant_memory_bytes`)"));
        of_b.try_grow(60).unwrap();
        assert!(refusal(of_c.try_grow(71)).contains("(`query.max_total_memory_bytes`)"));
        of_c.try_grow(70).unwrap();
        assert_eq!((a.held(), b.held(), c.held()), (90, 60, 70));
        let usage = budgets.usage();
        assert_eq!((usage.held, usage.peak), (220, 220));
        assert_eq!((usage.refused_query, usage.refused_tenant, usage.refused_total), (1, 1, 1));
        drop((of_a, of_b, of_c));
        assert_eq!(budgets.usage().held, 0);
        assert_eq!((a.held(), a.peak(), a.left()), (0, 90, 100));
        drop((a, b));
        assert_eq!(budgets.tenants.lock().keys().cloned().collect::<Vec<_>>(), [tenant("u")]);
    }

    #[test]
    fn what_is_refused_counts_nowhere() {
        let limits = MemoryLimits { query_bytes_max: 0, tenant_bytes_max: 0, total_bytes_max: 10 };
        let budgets = Budgets::new(limits);
        let memory = budgets.query(&tenant("t"));
        let reservation = memory.reservation("r");
        reservation.try_grow(11).unwrap_err();
        assert_eq!(
            (memory.held(), memory.of_tenant.held.load(Ordering::Relaxed), budgets.usage().held),
            (0, 0, 0)
        );
        assert_eq!(reservation.size(), 0);
        reservation.try_grow(10).unwrap();
        assert_eq!((memory.left(), memory.limit()), (0, 10));
    }
}
