//! Settings of the ingester.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::TenantId;

use crate::entry::Limits;

/// The limits in force for a tenant, now.
pub type LimitsOf = Arc<dyn Fn(&TenantId) -> Limits + Send + Sync>;

/// Settings.
#[derive(Clone)]
pub struct IngesterConfig {
    /// Data groups on this node; series are spread over them by slot. Fixed for the life of the data.
    pub groups: u32,
    /// How long after the end of its window published data stays in the head.
    pub query_overlap: Duration,
    /// How often heads are looked at for cuts.
    pub cut_check: Duration,
    /// Limits per tenant.
    pub limits: LimitsOf,
}

impl Default for IngesterConfig {
    fn default() -> Self {
        IngesterConfig {
            groups: 1,
            query_overlap: Duration::from_secs(2 * 3600),
            cut_check: Duration::from_secs(15),
            limits: crate::writer::default_limits(),
        }
    }
}

impl fmt::Debug for IngesterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngesterConfig")
            .field("groups", &self.groups)
            .field("query_overlap", &self.query_overlap)
            .field("cut_check", &self.cut_check)
            .finish_non_exhaustive()
    }
}
