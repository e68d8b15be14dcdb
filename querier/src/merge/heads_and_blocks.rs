//! Recent and old data as one, each sample read from one of them.
//!
//! Heads are asked before blocks, always: data is published before heads let go of it, so what the first
//! no longer have the second have already. Blocks whose every sample the heads hold are not read. Queries whose
//! windows lie on one side of the seam are told so (`layout`) and read one side only.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use model::{BlockId, Labels, Metadata, TenantId, TimeRange, TimestampMs};
use proto::{
    DataChanges, DataVersion, LabelsWanted, Layout, MetadataRequest, Place, SelectRequest, Selection,
    SeriesExemplars, Shard, Source, SourceError, Span,
};

use super::hinted::{HintedSelection, SelectEarlier};
use super::{changes_of, lists, merged};

/// The blocks whose every sample a tenant's heads hold now.
type Held = Box<dyn Fn(&TenantId) -> BTreeSet<BlockId> + Send + Sync>;
/// Selects from all blocks but some.
type SelectExcept = Box<
    dyn Fn(SelectRequest, BTreeSet<BlockId>) -> BoxFuture<'static, Result<Arc<dyn Selection>, SourceError>>
        + Send
        + Sync,
>;

/// From when on a tenant's heads hold every stored sample.
type HeadsSince = Box<dyn Fn(TenantId) -> BoxFuture<'static, Result<TimestampMs, SourceError>> + Send + Sync>;
/// Until when a tenant's blocks do.
type BlocksUntil = Box<dyn Fn(&TenantId) -> TimestampMs + Send + Sync>;

/// Heads and blocks of one store. Cheap to clone.
#[derive(Clone)]
pub struct HeadsAndBlocks(Arc<Sides>);

struct Sides {
    heads: Arc<dyn Source>,
    blocks: Arc<dyn Source>,
    held: Held,
    select_except: SelectExcept,
    seams: Option<Arc<Seams>>,
}

/// How far each side is complete.
struct Seams {
    heads_from: HeadsSince,
    blocks_until: BlocksUntil,
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
        let (held, select_except) = (Box::new(held), Box::new(select_except));
        HeadsAndBlocks(Arc::new(Sides { heads, blocks, held, select_except, seams: None }))
    }

    /// The same, with what lets queries read one side only: every stored sample from `heads_from` on is in the
    /// heads, every one before `blocks_until` in blocks.
    #[must_use]
    pub fn with_seams(
        self,
        heads_from: impl Fn(TenantId) -> BoxFuture<'static, Result<TimestampMs, SourceError>>
        + Send
        + Sync
        + 'static,
        blocks_until: impl Fn(&TenantId) -> TimestampMs + Send + Sync + 'static,
    ) -> Self {
        let seams = Seams { heads_from: Box::new(heads_from), blocks_until: Box::new(blocks_until) };
        match Arc::try_unwrap(self.0) {
            Ok(sides) => HeadsAndBlocks(Arc::new(Sides { seams: Some(Arc::new(seams)), ..sides })),
            Err(shared) => HeadsAndBlocks(shared),
        }
    }
}

/// How far back the histogram before a range is looked for.
const EARLIER_MS: i64 = 10 * 60_000;

impl HeadsAndBlocks {
    /// `selection`, with counter resets of its histograms known across the seam.
    fn hinted(
        &self,
        selection: Arc<dyn Selection>,
        is_merged: bool,
        request: &SelectRequest,
    ) -> Arc<dyn Selection> {
        let start = request.range.start;
        let range = TimeRange { start: start.saturating_sub(EARLIER_MS), end: start };
        let (both, request) =
            (self.clone(), SelectRequest { range, labels: LabelsWanted::All, ..request.clone() });
        let earlier: SelectEarlier = Box::new(move || {
            let (both, request) = (both.clone(), request.clone());
            Box::pin(async move { both.select_both(&request).await })
        });
        Arc::new(HintedSelection::new(selection, is_merged, earlier))
    }

    async fn select_both(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let heads = self.0.heads.select(request).await?;
        // After the heads: what they hold now, the selection holds too, for they never take anything back.
        let held = (self.0.held)(&request.tenant);
        let blocks = (self.0.select_except)(request.clone(), held).await?;
        if blocks.series().is_empty() && blocks.warnings().is_empty() {
            return Ok(heads);
        }
        if heads.series().is_empty() && heads.warnings().is_empty() {
            return Ok(blocks);
        }
        merged(vec![heads, blocks], request)
    }
}

#[async_trait]
impl Source for HeadsAndBlocks {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        Ok(self.hinted(self.select_both(request).await?, true, request))
    }

    async fn layout(&self, tenant: &TenantId, range: TimeRange) -> Result<Option<Layout>, SourceError> {
        let Some(seams) = &self.0.seams else { return Ok(None) };
        let from = (seams.heads_from)(tenant.clone()).await?;
        let span = |name: &str, holds: TimeRange, side: &Arc<dyn Source>, from: Option<TimestampMs>| Span {
            name: name.to_owned(),
            holds,
            place: Place::Here(Arc::new(OneSide { both: self.clone(), side: Arc::clone(side), from })),
        };
        let holds = TimeRange { start: from, end: TimestampMs::MAX };
        let mut spans = vec![span("heads", holds, &self.0.heads, Some(from))];
        if range.start < from {
            // before anything is selected: later, blocks hold only more
            let end = (seams.blocks_until)(tenant);
            spans.push(span("blocks", TimeRange { start: TimestampMs::MIN, end }, &self.0.blocks, None));
        }
        Ok(Some(Layout { shards: vec![Shard { spans, whole: Arc::new(self.clone()) }] }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let heads = self.0.heads.label_names(request).await?;
        Ok(lists::union(vec![heads, self.0.blocks.label_names(request).await?], request.limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let heads = self.0.heads.label_values(request, name).await?;
        Ok(lists::union(vec![heads, self.0.blocks.label_values(request, name).await?], request.limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let heads = self.0.heads.series(request).await?;
        Ok(lists::union(vec![heads, self.0.blocks.series(request).await?], request.limit))
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let heads = self.0.heads.metadata(tenant, metric).await?;
        Ok(lists::union_metadata(vec![heads, self.0.blocks.metadata(tenant, metric).await?]))
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let heads = self.0.heads.exemplars(request).await?;
        let parts = vec![heads, self.0.blocks.exemplars(request).await?];
        Ok(lists::union_exemplars(parts, request.limit))
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        changes_of([&*self.0.heads, &*self.0.blocks].into_iter(), tenant, since).await
    }
}

/// One side, for ranges that lie wholly in it.
struct OneSide {
    both: HeadsAndBlocks,
    side: Arc<dyn Source>,
    /// For heads: from when on they must hold everything.
    from: Option<TimestampMs>,
}

#[async_trait]
impl Source for OneSide {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let selection = self.side.select(request).await?;
        if let (Some(from), Some(seams)) = (self.from, &self.both.0.seams) {
            // a selection keeps what it found: what counts is what was there when it was made
            if (seams.heads_from)(request.tenant.clone()).await? > from {
                return Err(SourceError::Moved("heads let go of samples while they were asked".to_owned()));
            }
        }
        // where heads hold all of time there is nothing before them
        let is_all = self.from == Some(TimestampMs::MIN);
        Ok(if is_all { selection } else { self.both.hinted(selection, false, request) })
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.side.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.side.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.side.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.side.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.side.exemplars(request).await
    }
}
