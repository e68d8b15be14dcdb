//! What to do, from what is there. No clock, no bucket.

use std::sync::Arc;

use block::{BlockMeta, CatalogState, Edit};
use model::TimestampMs;

/// How long data is kept. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A block is dropped once all of its window is older; `None`: kept for ever.
    pub keep_ms: Option<i64>,
    /// Files of a dropped block are deleted this long after: queries that run may still read them.
    pub grace_ms: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { keep_ms: None, grace_ms: 30 * 60 * 1000 }
    }
}

/// What is to be done for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To commit.
    pub edits: Vec<Edit>,
    /// Files of these blocks are to be deleted, then `Edit::Deleted` committed.
    pub delete: Vec<Arc<BlockMeta>>,
}

/// Decides for the catalog `state` at time `now`.
pub fn plan(state: &CatalogState, now: TimestampMs, retention: &Retention) -> Plan {
    let mut plan = Plan::default();
    if let Some(keep) = retention.keep_ms {
        let oldest = now.saturating_sub(keep);
        let past = state.live.iter().filter(|meta| meta.end <= oldest);
        plan.edits = past
            .map(|meta| Edit::Remove { block: meta.block.to_string(), at: now, reason: "retention".into() })
            .collect();
    }
    let ripe = |at: TimestampMs| at.saturating_add(retention.grace_ms) <= now;
    plan.delete = state.removed.values().filter(|r| ripe(r.at)).map(|r| Arc::clone(&r.meta)).collect();
    plan
}

#[cfg(test)]
mod tests {
    use block::{BlockSpec, BlockWriter, Retired};
    use model::{BlockId, LogPosition, SlotRange, TenantId};

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn meta(number: u128, end: TimestampMs) -> Arc<BlockMeta> {
        let spec = BlockSpec {
            tenant: TenantId::anonymous(),
            block: BlockId::new(1, number),
            slots: SlotRange::ALL,
            start: end - 2 * HOUR,
            end,
            generation: 0,
            level: 0,
            log_first: LogPosition::default(),
            log_last: LogPosition::default(),
            sources: Vec::new(),
        };
        Arc::new(BlockWriter::new(spec).unwrap().finish().unwrap().0)
    }

    #[test]
    fn only_windows_that_are_past_as_a_whole_are_dropped() {
        let state = CatalogState {
            live: Arc::new(vec![meta(1, 10 * HOUR), meta(2, 12 * HOUR), meta(3, 14 * HOUR)]),
            ..Default::default()
        };
        let keep = Retention { keep_ms: Some(5 * HOUR), grace_ms: HOUR };
        let planned = plan(&state, 17 * HOUR, &keep);
        assert_eq!(planned.edits.len(), 2);
        assert_eq!(plan(&state, 17 * HOUR - 1, &keep).edits.len(), 1);
        assert_eq!(plan(&state, i64::MAX, &Retention::default()), Plan::default());
        assert_eq!(plan(&state, i64::MIN, &keep), Plan::default());
    }

    #[test]
    fn files_are_deleted_after_the_grace_period() {
        let gone = meta(1, 10 * HOUR);
        let retired = Retired { meta: Arc::clone(&gone), at: 20 * HOUR, reason: "retention".into() };
        let state = CatalogState {
            removed: Arc::new([(gone.block, retired)].into_iter().collect()),
            ..Default::default()
        };
        let keep = Retention { keep_ms: None, grace_ms: HOUR };
        assert!(plan(&state, 21 * HOUR - 1, &keep).delete.is_empty());
        assert_eq!(plan(&state, 21 * HOUR, &keep).delete, [gone]);
    }
}
