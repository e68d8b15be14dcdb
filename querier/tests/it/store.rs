//! A store in memory: what the API's tests read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use model::{
    Exemplar, FloatHistogram, HistogramPoint, Labels, Matcher, Metadata, SampleBatch, TenantId, TimeRange,
};
use proto::{
    DataChanges, DataVersion, LabelsWanted, MetadataRequest, SelectRequest, SelectedSeries, Selection,
    SeriesExemplars, Source, SourceError,
};

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) floats: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<(i64, Arc<FloatHistogram>)>,
    pub(crate) exemplars: Vec<Exemplar>,
}

/// All series of all tenants; a failure can be set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) tenants: BTreeMap<String, Vec<Series>>,
    pub(crate) metadata: BTreeMap<String, Vec<(String, Metadata)>>,
    pub(crate) failure: Option<SourceError>,
    pub(crate) warning: Option<String>,
    /// Never answers what names there are.
    pub(crate) stuck: bool,
    /// Never answers what samples there are.
    pub(crate) stuck_reads: bool,
    /// Tells that nothing ever changes.
    pub(crate) is_fixed: bool,
}

impl Store {
    fn of(&self, tenant: &TenantId) -> Result<&[Series], SourceError> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.tenants.get(tenant.as_str()).map_or(&[], Vec::as_slice)),
        }
    }

    fn matching<'a>(
        &'a self,
        request: &'a MetadataRequest,
    ) -> Result<impl Iterator<Item = &'a Series> + 'a, SourceError> {
        let any = |labels: &Labels| {
            request.matchers.is_empty() || request.matchers.iter().any(|set| Matcher::all_match(set, labels))
        };
        let series = self.of(&request.tenant)?.iter();
        Ok(series.filter(move |s| any(&s.labels) && s.has_data(&request.range)))
    }
}

impl Series {
    fn has_data(&self, range: &TimeRange) -> bool {
        let times = self.floats.iter().map(|p| p.0).chain(self.histograms.iter().map(|p| p.0));
        times.into_iter().any(|t| range.contains(t))
    }
}

fn limited<T>(entries: impl Iterator<Item = T>, limit: usize) -> Vec<T> {
    entries.take(if limit == 0 { usize::MAX } else { limit }).collect()
}

struct Selected {
    series: Vec<SelectedSeries>,
    samples: Vec<Series>,
    range: TimeRange,
    warning: Option<String>,
    is_stuck: bool,
}

#[async_trait]
impl Selection for Selected {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        if self.is_stuck {
            std::future::pending::<()>().await;
        }
        let mut batch = SampleBatch::default();
        for series in &self.samples[range] {
            let floats: Vec<&(i64, f64)> =
                series.floats.iter().filter(|(t, _)| self.range.contains(*t)).collect();
            let times: Vec<i64> = floats.iter().map(|p| p.0).collect();
            let values: Vec<f64> = floats.iter().map(|p| p.1).collect();
            let histograms: Vec<HistogramPoint> = series
                .histograms
                .iter()
                .filter(|(t, _)| self.range.contains(*t))
                .map(|(t, h)| HistogramPoint { t: *t, h: Arc::clone(h), start_t: 0 })
                .collect();
            batch.push_series(&times, &values, &histograms);
        }
        Ok(batch)
    }

    fn warnings(&self) -> Vec<String> {
        self.warning.clone().into_iter().collect()
    }
}

#[async_trait]
impl Source for Store {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let samples: Vec<Series> = self
            .of(&request.tenant)?
            .iter()
            .filter(|s| Matcher::all_match(&request.matchers, &s.labels))
            .cloned()
            .collect();
        let project = |labels: &Labels| match &request.labels {
            LabelsWanted::All => labels.clone(),
            wanted => labels.filter(|name| wanted.wants(name)),
        };
        let series = samples
            .iter()
            .map(|s| SelectedSeries { id: s.labels.series_id(), labels: project(&s.labels) })
            .collect();
        let (range, warning, is_stuck) = (request.range, self.warning.clone(), self.stuck_reads);
        Ok(Arc::new(Selected { series, samples, range, warning, is_stuck }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        let names: BTreeSet<String> = self
            .matching(request)?
            .flat_map(|s| s.labels.iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>())
            .collect();
        Ok(limited(names.into_iter(), request.limit))
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        let values: BTreeSet<String> =
            self.matching(request)?.filter_map(|s| s.labels.get(name).map(str::to_owned)).collect();
        Ok(limited(values.into_iter(), request.limit))
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let series: BTreeSet<Labels> = self.matching(request)?.map(|s| s.labels.clone()).collect();
        Ok(limited(series.into_iter(), request.limit))
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.of(tenant)?;
        let all = self.metadata.get(tenant.as_str()).cloned().unwrap_or_default();
        Ok(all.into_iter().filter(|(name, _)| metric.is_none_or(|m| m == name)).collect())
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        let mut out: Vec<SeriesExemplars> = self
            .matching(&MetadataRequest { range: TimeRange::all(), ..request.clone() })?
            .map(|s| SeriesExemplars {
                labels: s.labels.clone(),
                exemplars: s.exemplars.iter().filter(|e| request.range.contains(e.t)).cloned().collect(),
            })
            .filter(|s| !s.exemplars.is_empty())
            .collect();
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(out)
    }

    async fn changes(&self, _tenant: &TenantId, since: Option<&DataVersion>) -> Option<DataChanges> {
        let now = DataVersion::new(&[]);
        let unchanged = DataChanges { now: now.clone(), changed: Vec::new() };
        self.is_fixed.then(|| if since.is_some() { unchanged } else { DataChanges::all(now) })
    }
}
