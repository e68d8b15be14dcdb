//! The newest exemplars of a tenant, in a ring.

use std::collections::{BTreeMap, VecDeque};

use model::{Exemplar, TimestampMs};
use proto::RejectReason;

/// Most exemplars kept per tenant and group.
pub(crate) const EXEMPLARS_MAX: usize = 16_384;

/// One exemplar and its series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredExemplar {
    pub(crate) reference: u32,
    /// Whether it belongs to a cut already.
    pub(crate) is_cut: bool,
    pub(crate) exemplar: Exemplar,
}

#[derive(Debug, Default)]
pub(crate) struct ExemplarRing {
    pub(crate) ring: VecDeque<StoredExemplar>,
    /// Newest timestamp by reference.
    pub(crate) newest: BTreeMap<u32, TimestampMs>,
}

impl ExemplarRing {
    /// Adds one; the same one again is taken silently.
    pub(crate) fn push(&mut self, reference: u32, exemplar: &Exemplar) -> Result<(), RejectReason> {
        if let Some(newest) = self.newest.get(&reference) {
            if exemplar.t < *newest {
                return Err(RejectReason::ExemplarOutOfOrder);
            }
            let is_same = |e: &StoredExemplar| {
                e.reference == reference
                    && e.exemplar.t == exemplar.t
                    && e.exemplar.value.to_bits() == exemplar.value.to_bits()
                    && e.exemplar.labels == exemplar.labels
            };
            if exemplar.t == *newest && self.ring.iter().rev().any(is_same) {
                return Ok(());
            }
        }
        if self.ring.len() >= EXEMPLARS_MAX {
            self.ring.pop_front();
        }
        self.newest.insert(reference, exemplar.t);
        self.ring.push_back(StoredExemplar { reference, is_cut: false, exemplar: exemplar.clone() });
        Ok(())
    }

    /// Forgets exemplars of series that are gone.
    pub(crate) fn retain(&mut self, mut lives: impl FnMut(u32) -> bool) {
        self.ring.retain(|e| lives(e.reference));
        self.newest.retain(|reference, _| lives(*reference));
    }
}
