//! The kept answers of range queries, bounded by bytes; those least often asked for go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::TenantId;

use super::entry::Entry;
use super::{Asked, Times};

/// An answer takes at most this part of the cache.
const SHARE_MAX: u64 = 4;

/// Times beyond, in milliseconds, are nobody's; so sums of a few never overflow.
const TIMES_MAX: u64 = 1 << 60;

/// Queries whose steps are evaluated at the same times of the same grid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tenant: TenantId,
    expr: Arc<str>,
    step: i64,
    /// The grid's offset from the multiples of the step.
    phase: i64,
    lookback_ms: Option<i64>,
    series_max: usize,
}

impl Key {
    /// `None`: nothing of such a query is kept.
    pub(super) fn of(asked: &Asked) -> Option<Self> {
        let Times::Range { start, end, step } = asked.times else { return None };
        let is_usual = |ms: i64| ms.unsigned_abs() < TIMES_MAX;
        if !asked.may_keep || ![start, end, step].into_iter().all(is_usual) {
            return None;
        }
        // one step is evaluated as fast as it is looked up
        if end - start < step {
            return None;
        }
        Some(Key {
            tenant: asked.tenant.clone(),
            expr: Arc::clone(&asked.expr),
            step,
            phase: start.rem_euclid(step),
            lookback_ms: asked.lookback_ms,
            series_max: asked.series_max,
        })
    }

    fn bytes(&self) -> usize {
        self.expr.len() + self.tenant.as_str().len() + size_of::<Key>()
    }
}

/// What became of queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResultCacheMetrics {
    /// Range queries answered from what was kept.
    pub hits: u64,
    /// Range queries of which some steps were kept.
    pub partial: u64,
    /// Range queries of which nothing was kept.
    pub misses: u64,
    /// Range queries that keep nothing: by their own wish, by what they ask, or because the source cannot tell
    /// what changes.
    pub bypassed: u64,
    /// Steps that did not have to be evaluated.
    pub steps_kept: u64,
    /// Answers that were pushed out by others.
    pub evictions: u64,
    /// Answers kept.
    pub entries: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Bytes they may take.
    pub bytes_max: u64,
    /// Queries that shared the evaluation of one under way.
    pub shared: u64,
}

/// What a look at the cache gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    All,
    Some,
    None,
    NotKept,
}

/// The cache.
pub(super) struct ResultCache {
    entries: Option<moka::sync::Cache<Key, Arc<Entry>, runtime::HashState>>,
    bytes_max: u64,
    found: [AtomicU64; 4],
    steps_kept: AtomicU64,
    evictions: Arc<AtomicU64>,
}

impl ResultCache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&evictions);
        let entries = (bytes_max > 0).then(|| {
            moka::sync::Cache::builder()
                .max_capacity(bytes_max)
                .weigher(|key: &Key, entry: &Arc<Entry>| {
                    u32::try_from(key.bytes() + entry.bytes()).unwrap_or(u32::MAX)
                })
                .eviction_listener(move |_, _, cause| {
                    if cause.was_evicted() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .build_with_hasher(runtime::HashState::default())
        });
        let found = std::array::from_fn(|_| AtomicU64::new(0));
        ResultCache { entries, bytes_max, found, steps_kept: AtomicU64::new(0), evictions }
    }

    /// Whether anything is kept at all.
    pub(super) fn is_on(&self) -> bool {
        self.entries.is_some()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.as_ref()?.get(key)
    }

    pub(super) fn put(&self, key: Key, entry: Entry) {
        let Some(entries) = &self.entries else { return };
        if (entry.bytes() as u64) <= self.bytes_max / SHARE_MAX {
            entries.insert(key, Arc::new(entry));
        } else {
            entries.invalidate(&key);
        }
    }

    pub(super) fn note(&self, found: Found, steps_kept: u64) {
        self.found[found as usize].fetch_add(1, Ordering::Relaxed);
        self.steps_kept.fetch_add(steps_kept, Ordering::Relaxed);
    }

    pub(super) fn metrics(&self) -> ResultCacheMetrics {
        let found = |found: Found| self.found[found as usize].load(Ordering::Relaxed);
        ResultCacheMetrics {
            hits: found(Found::All),
            partial: found(Found::Some),
            misses: found(Found::None),
            bypassed: found(Found::NotKept),
            steps_kept: self.steps_kept.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            entries: self.entries.as_ref().map_or(0, |entries| {
                entries.run_pending_tasks();
                entries.entry_count()
            }),
            bytes: self.entries.as_ref().map_or(0, moka::sync::Cache::weighted_size),
            bytes_max: self.bytes_max,
            shared: 0,
        }
    }
}
