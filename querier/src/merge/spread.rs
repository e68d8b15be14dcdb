//! Series spread over several sources, nodes most of all: none of them has a series of another.
//!
//! Read as one like any sources; besides, the layout tells that each can evaluate parts of queries by itself.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use model::{Labels, Metadata, TenantId, TimeRange};
use proto::{
    DataChanges, DataVersion, Layout, MetadataRequest, Place, SelectRequest, Selection, SeriesExemplars,
    Shard, Source, SourceError, Span,
};

use super::MergedSource;

/// The sources. Whoever puts them together answers for that no series lies in two of them: sums would count it twice.
#[derive(Debug)]
pub struct SpreadSource(MergedSource);

impl SpreadSource {
    /// Reads `sources` as one.
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        SpreadSource(MergedSource::new(sources))
    }
}

/// The shards of a source: those it tells, or itself as one.
async fn shards(
    number: usize,
    source: &Arc<dyn Source>,
    tenant: &TenantId,
    range: TimeRange,
) -> Result<Vec<Shard>, SourceError> {
    if let Some(layout) = source.layout(tenant, range).await? {
        return Ok(layout.shards);
    }
    let span = Span {
        name: format!("source {number}"),
        holds: TimeRange::all(),
        place: Place::Here(Arc::clone(source)),
    };
    Ok(vec![Shard { spans: vec![span], whole: Arc::clone(source) }])
}

#[async_trait]
impl Source for SpreadSource {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.0.select(request).await
    }

    async fn layout(&self, tenant: &TenantId, range: TimeRange) -> Result<Option<Layout>, SourceError> {
        let all = self.0.sources.iter().enumerate().map(|(i, source)| shards(i, source, tenant, range));
        Ok(Some(Layout { shards: try_join_all(all).await?.into_iter().flatten().collect() }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.0.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.0.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.0.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.0.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.0.exemplars(request).await
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        self.0.changes(tenant, since).await
    }
}
