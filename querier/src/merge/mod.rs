//! Several sources as one: heads and blocks, or heads of several groups.
//!
//! A series is one series whichever sources hold parts of it; of two samples with one timestamp that of the
//! source named first wins. All sources must answer: an answer that lacks a source would be wrong silently.

mod heads_and_blocks;
mod hinted;
mod lists;
mod samples;
mod selection;
mod spread;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use model::{Labels, Metadata, TenantId};
use proto::{
    DataChanges, DataVersion, MetadataRequest, SelectRequest, Selection, SeriesExemplars, Source, SourceError,
};

pub use heads_and_blocks::HeadsAndBlocks;
use selection::MergedSelection;
pub use spread::SpreadSource;

/// Sources read as one. In order of trust: of two values for one time the first source's is taken.
///
/// Series come in the order of the last source, then those that earlier ones add; so the source whose
/// reads gain most from long runs (blocks) belongs at the end.
pub struct MergedSource {
    sources: Vec<Arc<dyn Source>>,
}

impl std::fmt::Debug for MergedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MergedSource").field("sources", &self.sources.len()).finish()
    }
}

impl MergedSource {
    /// Reads `sources` as one; none at all is an empty store.
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        MergedSource { sources }
    }
}

/// Joins the answers of several sources; too many series are refused.
fn merged(
    parts: Vec<Arc<dyn Selection>>,
    request: &SelectRequest,
) -> Result<Arc<dyn Selection>, SourceError> {
    let merged = MergedSelection::new(parts);
    let count = merged.series().len();
    if request.series_max > 0 && count > request.series_max {
        return Err(SourceError::too_many_series(request.series_max));
    }
    Ok(Arc::new(merged))
}

#[async_trait]
impl Source for MergedSource {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        if let [only] = &self.sources[..] {
            return only.select(request).await;
        }
        let parts = try_join_all(self.sources.iter().map(|source| source.select(request))).await?;
        merged(parts, request)
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let parts = try_join_all(self.sources.iter().map(|source| source.label_names(request))).await?;
        Ok(lists::union(parts, request.limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let parts =
            try_join_all(self.sources.iter().map(|source| source.label_values(request, name))).await?;
        Ok(lists::union(parts, request.limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let parts = try_join_all(self.sources.iter().map(|source| source.series(request))).await?;
        Ok(lists::union(parts, request.limit))
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let parts = try_join_all(self.sources.iter().map(|source| source.metadata(tenant, metric))).await?;
        Ok(lists::union_metadata(parts))
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let parts = try_join_all(self.sources.iter().map(|source| source.exemplars(request))).await?;
        Ok(lists::union_exemplars(parts, request.limit))
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        changes_of(self.sources.iter().map(|source| &**source), tenant, since).await
    }
}

/// What changed in several sources.
async fn changes_of<'a>(
    sources: impl ExactSizeIterator<Item = &'a dyn Source>,
    tenant: &TenantId,
    since: Option<&DataVersion>,
) -> Option<DataChanges> {
    let since = since.and_then(|version| version.split(sources.len()));
    let mut parts = Vec::with_capacity(sources.len());
    for (i, source) in sources.enumerate() {
        parts.push(source.changes(tenant, since.as_ref().and_then(|parts| parts.get(i))).await?);
    }
    Some(DataChanges::join(parts))
}
