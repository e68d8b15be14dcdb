//! Carries plans out, tenant by tenant.

use std::sync::Arc;
use std::time::Duration;

use block::{BlockError, Catalogs, Edit, delete_files};
use model::TenantId;
use runtime::Runtime;

use crate::plan::{Retention, plan};

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Blocks dropped from catalogs.
    pub dropped: usize,
    /// Blocks whose files were deleted.
    pub deleted: usize,
}

/// Drops what is past retention.
pub struct Compactor {
    runtime: Runtime,
    catalogs: Arc<Catalogs>,
    retention: Box<dyn Fn(&TenantId) -> Retention + Send + Sync>,
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compactor").finish_non_exhaustive()
    }
}

impl Compactor {
    /// For all tenants of `catalogs`; `retention` is asked at every run, so it may change.
    pub fn new(
        runtime: Runtime,
        catalogs: Arc<Catalogs>,
        retention: impl Fn(&TenantId) -> Retention + Send + Sync + 'static,
    ) -> Self {
        Compactor { runtime, catalogs, retention: Box::new(retention) }
    }

    /// One pass over one tenant.
    pub async fn run_tenant(&self, tenant: &TenantId) -> Result<Outcome, BlockError> {
        let catalog = self.catalogs.get(tenant).await?;
        catalog.refresh().await?;
        let plan = plan(&catalog.state(), self.runtime.now_ms(), &(self.retention)(tenant));
        let mut outcome = Outcome::default();
        if !plan.edits.is_empty() {
            outcome.dropped = plan.edits.len();
            catalog.publish(plan.edits).await?;
            tracing::info!(%tenant, blocks = outcome.dropped, "blocks past retention dropped");
        }
        let mut deleted = Vec::with_capacity(plan.delete.len());
        for meta in &plan.delete {
            delete_files(catalog.bucket(), meta).await?;
            deleted.push(Edit::Deleted { block: meta.block.to_string() });
        }
        outcome.deleted = deleted.len();
        if !deleted.is_empty() {
            catalog.publish(deleted).await?;
        }
        Ok(outcome)
    }

    /// One pass over all tenants. A tenant that fails does not keep the others waiting; the first failure is
    /// told at the end.
    pub async fn run_once(&self) -> Result<Outcome, BlockError> {
        let mut sum = Outcome::default();
        let mut failure = None;
        for tenant in self.catalogs.tenants().await? {
            match self.run_tenant(&tenant).await {
                Ok(outcome) => {
                    sum.dropped += outcome.dropped;
                    sum.deleted += outcome.deleted;
                }
                Err(error) => {
                    tracing::warn!(%tenant, %error, "retention not applied");
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(sum), Err)
    }

    /// Runs every `interval` until the task is dropped.
    pub async fn run(&self, interval: Duration) {
        loop {
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "compactor pass failed; tried again after the interval");
            }
            self.runtime.sleep(interval).await;
        }
    }
}
