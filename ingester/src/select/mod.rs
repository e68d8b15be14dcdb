//! Answers reads from the heads: which series match, their samples, names, values, exemplars, metadata.

mod metadata;
mod projection;
mod selection;

use std::sync::Arc;

use async_trait::async_trait;
use model::{Labels, Metadata, TenantId};
use proto::{
    DataChanges, DataVersion, MetadataRequest, SelectRequest, Selection, SeriesExemplars, Source, SourceError,
};
use runtime::Runtime;

use crate::machine::{Heads, SharedHead};
use selection::HeadSelection;

/// Recent data of all tenants as a source for the query engine.
///
/// Samples that were dropped while a selection lives stay readable through it. A reader that joins heads
/// and blocks selects from the heads first and looks at the catalog after: data is published before it
/// is dropped.
#[derive(Debug, Clone)]
pub struct HeadSource {
    runtime: Runtime,
    groups: Vec<Arc<Heads>>,
}

impl HeadSource {
    pub(crate) fn new(runtime: Runtime, groups: Vec<Arc<Heads>>) -> Self {
        HeadSource { runtime, groups }
    }

    fn heads(&self, tenant: &TenantId) -> Vec<SharedHead> {
        self.groups.iter().filter_map(|heads| heads.get(tenant)).collect()
    }

    /// Runs `work` on every head of the tenant on the CPU pool and gathers what it returns.
    async fn on_heads<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl Fn(&SharedHead) -> T + Send + 'static,
    ) -> Vec<T> {
        let heads = self.heads(tenant);
        if heads.is_empty() {
            return Vec::new();
        }
        self.runtime.cpu(move || heads.iter().map(&work).collect()).await
    }
}

#[async_trait]
impl Source for HeadSource {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let heads = self.heads(&request.tenant);
        let request = request.clone();
        let selection = self.runtime.cpu(move || HeadSelection::new(&heads, &request)).await?;
        Ok(Arc::new(selection))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let (tenant, request) = (request.tenant.clone(), request.clone());
        let limit = request.limit;
        let lists = self.on_heads(&tenant, move |head| metadata::label_names(&head.read(), &request)).await;
        Ok(merge(lists, limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let (tenant, request, name) = (request.tenant.clone(), request.clone(), name.to_owned());
        let limit = request.limit;
        let lists =
            self.on_heads(&tenant, move |head| metadata::label_values(&head.read(), &request, &name)).await;
        Ok(merge(lists, limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let (tenant, request) = (request.tenant.clone(), request.clone());
        let limit = request.limit;
        let lists = self.on_heads(&tenant, move |head| metadata::series(&head.read(), &request)).await;
        Ok(merge(lists, limit))
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        let mut all = Vec::new();
        for head in self.heads(tenant) {
            let head = head.read();
            match metric {
                Some(metric) => {
                    all.extend(head.metadata.get_key_value(metric).map(|(k, v)| (k.clone(), v.clone())))
                }
                None => all.extend(head.metadata.iter().map(|(k, v)| (k.clone(), v.clone()))),
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        Ok(all)
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let (tenant, request) = (request.tenant.clone(), request.clone());
        let limit = request.limit;
        let lists = self.on_heads(&tenant, move |head| metadata::exemplars(&head.read(), &request)).await;
        let mut all: Vec<SeriesExemplars> = lists.into_iter().flatten().collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        if limit > 0 {
            all.truncate(limit);
        }
        Ok(all)
    }

    async fn changes(&self, tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        let since = since.and_then(|version| version.split(self.groups.len()));
        let of_group = |(i, heads): (usize, &Arc<Heads>)| {
            let since = since.as_ref().and_then(|parts| parts.get(i));
            // a head that appears later will not know this version: all has changed then
            let none = DataVersion::new(&[]);
            match heads.get(tenant) {
                Some(head) => head.read().changes(since),
                None if since == Some(&none) => DataChanges { now: none, changed: Vec::new() },
                None => DataChanges::all(none),
            }
        };
        Some(DataChanges::join(self.groups.iter().enumerate().map(of_group).collect()))
    }
}

/// One sorted list of several.
fn merge<T: Ord>(lists: Vec<Vec<T>>, limit: usize) -> Vec<T> {
    let mut lists = lists;
    let mut all = if lists.len() == 1 { lists.swap_remove(0) } else { lists.into_iter().flatten().collect() };
    all.sort();
    all.dedup();
    if limit > 0 {
        all.truncate(limit);
    }
    all
}
