//! Recent and old data as one, each sample read from one of them.
//!
//! Heads are asked before blocks, always: data is published before heads let go of it, so what the first
//! no longer have the second have already. Blocks whose every sample the heads hold are not read.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use model::{BlockId, Labels, Metadata, TenantId};
use proto::{
    DataChanges, DataVersion, MetadataRequest, SelectRequest, Selection, SeriesExemplars, Source, SourceError,
};

use super::{changes_of, lists, merged};

/// The blocks whose every sample a tenant's heads hold now.
type Held = Box<dyn Fn(&TenantId) -> BTreeSet<BlockId> + Send + Sync>;
/// Selects from all blocks but some.
type SelectExcept = Box<
    dyn Fn(SelectRequest, BTreeSet<BlockId>) -> BoxFuture<'static, Result<Arc<dyn Selection>, SourceError>>
        + Send
        + Sync,
>;

/// Heads and blocks of one store.
pub struct HeadsAndBlocks {
    heads: Arc<dyn Source>,
    blocks: Arc<dyn Source>,
    held: Held,
    select_except: SelectExcept,
}

impl std::fmt::Debug for HeadsAndBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadsAndBlocks").finish_non_exhaustive()
    }
}

impl HeadsAndBlocks {
    /// `held` names the blocks that heads hold wholly, `select_except` selects from `blocks` without some.
    /// A selection from heads must stay readable whatever they let go of later.
    pub fn new(
        heads: Arc<dyn Source>,
        blocks: Arc<dyn Source>,
        held: impl Fn(&TenantId) -> BTreeSet<BlockId> + Send + Sync + 'static,
        select_except: impl Fn(
            SelectRequest,
            BTreeSet<BlockId>,
        ) -> BoxFuture<'static, Result<Arc<dyn Selection>, SourceError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        HeadsAndBlocks { heads, blocks, held: Box::new(held), select_except: Box::new(select_except) }
    }
}

#[async_trait]
impl Source for HeadsAndBlocks {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let heads = self.heads.select(request).await?;
        // After the heads: what they hold now, the selection holds too, for they never take anything back.
        let held = (self.held)(&request.tenant);
        let blocks = (self.select_except)(request.clone(), held).await?;
        if blocks.series().is_empty() && blocks.warnings().is_empty() {
            return Ok(heads);
        }
        if heads.series().is_empty() && heads.warnings().is_empty() {
            return Ok(blocks);
        }
        merged(vec![heads, blocks], request)
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let heads = self.heads.label_names(request).await?;
        Ok(lists::union(vec![heads, self.blocks.label_names(request).await?], request.limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let heads = self.heads.label_values(request, name).await?;
        Ok(lists::union(vec![heads, self.blocks.label_values(request, name).await?], request.limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let heads = self.heads.series(request).await?;
        Ok(lists::union(vec![heads, self.blocks.series(request).await?], request.limit))
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let heads = self.heads.metadata(tenant, metric).await?;
        Ok(lists::union_metadata(vec![heads, self.blocks.metadata(tenant, metric).await?]))
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let heads = self.heads.exemplars(request).await?;
        let parts = vec![heads, self.blocks.exemplars(request).await?];
        Ok(lists::union_exemplars(parts, request.limit))
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        changes_of([&*self.heads, &*self.blocks].into_iter(), tenant, since).await
    }
}
