//! A recording rule.

use std::collections::{BTreeMap, HashSet};

use model::{LabelsBuilder, TimestampMs};
use promql::VectorSample;

use crate::{RuleError, RuleStorage, Span};

/// A rule whose samples are stored under a name of its own.
#[derive(Debug)]
pub struct RecordingRule {
    name: String,
    query: String,
    labels: BTreeMap<String, String>,
}

impl RecordingRule {
    /// A rule; `labels` are those of its group and its own.
    pub fn new(name: &str, query: String, labels: BTreeMap<String, String>) -> Self {
        RecordingRule { name: name.to_owned(), query, labels }
    }

    /// Name of its series.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Evaluates the rule `offset` before `now`.
    ///
    /// # Errors
    /// When the query fails, two series are one, or there are more than `limit` (0: any number).
    pub async fn evaluate(
        &self,
        storage: &dyn RuleStorage,
        now: TimestampMs,
        offset: Span,
        limit: i64,
    ) -> Result<Vec<VectorSample>, RuleError> {
        let mut samples = storage.query(&self.query, now - offset.0).await.map_err(RuleError::Query)?;
        let mut known = HashSet::with_capacity(samples.len());
        for sample in &mut samples {
            let mut labels = LabelsBuilder::from_labels(&sample.labels);
            labels.set("__name__", &self.name);
            for (name, value) in &self.labels {
                labels.set(name, value);
            }
            sample.labels = labels.build();
            if !known.insert(sample.labels.clone()) {
                return Err(RuleError::SameSeries);
            }
        }
        if limit > 0 && i64::try_from(samples.len()).unwrap_or(i64::MAX) > limit {
            return Err(RuleError::Limit { limit, count: samples.len(), of: "series" });
        }
        Ok(samples)
    }
}
