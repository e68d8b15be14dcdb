//! An alerting rule and its alerts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::{Labels, LabelsBuilder, TimestampMs};
use promql::{SampleValue, VectorSample};

use crate::alert::{Alert, AlertState, Outcome};
use crate::template::{AlertData, Answers, Expansion, Sample, Template, TemplateError, Value};
use crate::{Rule, RuleError, RuleStorage, Span};

/// Queries that one template may ask.
const QUERIES_MAX: usize = 100;

/// Where alerts come from, as their templates may say.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Labels of the server.
    pub external_labels: BTreeMap<String, String>,
    /// Address of the server.
    pub external_url: String,
}

/// A rule whose samples are alerts.
#[derive(Debug)]
pub struct AlertingRule {
    name: String,
    query: String,
    hold: Span,
    keep_firing_for: Span,
    /// As written.
    labels: BTreeMap<String, String>,
    label_templates: Vec<(String, Template)>,
    annotation_templates: Vec<(String, Template)>,
    origin: Arc<Origin>,
    alerts: BTreeMap<Labels, Alert>,
}

fn templates(
    alert: &str,
    texts: &BTreeMap<String, String>,
) -> Result<Vec<(String, Template)>, TemplateError> {
    texts.iter().map(|(name, text)| Ok((name.clone(), Template::parse(alert, text)?))).collect()
}

impl AlertingRule {
    /// A rule out of a valid file; `labels` are those of its group and its own.
    ///
    /// # Errors
    /// When a label or an annotation is no template.
    pub fn new(
        rule: &Rule,
        query: String,
        labels: BTreeMap<String, String>,
        origin: Arc<Origin>,
    ) -> Result<Self, TemplateError> {
        Ok(AlertingRule {
            name: rule.alert.clone(),
            query,
            hold: rule.hold,
            keep_firing_for: rule.keep_firing_for,
            label_templates: templates(&rule.alert, &labels)?,
            annotation_templates: templates(&rule.alert, &rule.annotations)?,
            labels,
            origin,
            alerts: BTreeMap::new(),
        })
    }

    /// Name of its alerts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its alerts in any state.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// Evaluates the rule `offset` before `now`: alerts begin, go on and end; gives the samples of the series `ALERTS`
    /// and `ALERTS_FOR_STATE`.
    ///
    /// # Errors
    /// When the query fails, two alerts are one, or there are more than `limit` (0: any number).
    pub async fn evaluate(
        &mut self,
        storage: &dyn RuleStorage,
        now: TimestampMs,
        offset: Span,
        limit: i64,
    ) -> Result<Vec<VectorSample>, RuleError> {
        let found = storage.query(&self.query, now - offset.0).await.map_err(RuleError::Query)?;
        let mut held = HashSet::with_capacity(found.len());
        let mut fresh = Vec::with_capacity(found.len());
        let mut answers = Answers::new();
        for sample in &found {
            let alert = self.alert(sample, storage, now, &mut answers).await;
            if !held.insert(alert.labels.clone()) {
                return Err(RuleError::SameAlerts);
            }
            fresh.push(alert);
        }
        for alert in fresh {
            match self.alerts.get_mut(&alert.labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    (known.value, known.annotations) = (alert.value, alert.annotations);
                }
                _ => drop(self.alerts.insert(alert.labels.clone(), alert)),
            }
        }
        let mut samples = Vec::new();
        let (hold, keep_firing_for) = (self.hold, self.keep_firing_for);
        let (labels, name) = (&self.labels, &self.name);
        self.alerts.retain(|key, alert| {
            let outcome = alert.advance(held.contains(key), now, hold, keep_firing_for);
            if outcome == Outcome::Active {
                samples.extend(series_of(alert, labels, name, now - offset.0));
            }
            outcome != Outcome::Gone
        });
        let count = samples.len() / 2;
        if limit > 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit {
            self.alerts.clear();
            return Err(RuleError::Limit { limit, count, of: "alerts" });
        }
        Ok(samples)
    }

    async fn alert(
        &self,
        sample: &VectorSample,
        storage: &dyn RuleStorage,
        now: TimestampMs,
        answers: &mut Answers,
    ) -> Alert {
        let (value, shown) = match &sample.value {
            SampleValue::Float(v) => (*v, Value::Float(*v)),
            SampleValue::Histogram(h) => (0.0, Value::Histogram(Arc::clone(h))),
        };
        let data = AlertData {
            labels: sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            external_labels: self.origin.external_labels.clone(),
            external_url: self.origin.external_url.clone(),
            value: shown,
            now,
        };
        let mut labels = LabelsBuilder::from_labels(&sample.labels);
        labels.delete("__name__");
        for (name, template) in &self.label_templates {
            let text = expand(template, &self.name, &data, storage, answers).await;
            labels.set(name, &text);
        }
        labels.set("alertname", &self.name);
        let mut annotations = BTreeMap::new();
        for (name, template) in &self.annotation_templates {
            let text = expand(template, &self.name, &data, storage, answers).await;
            annotations.insert(name.clone(), text);
        }
        Alert::new(labels.build(), annotations, value, now)
    }
}

/// The samples that show an alert as series.
fn series_of(
    alert: &Alert,
    rule_labels: &BTreeMap<String, String>,
    name: &str,
    t: TimestampMs,
) -> [VectorSample; 2] {
    let mut labels = LabelsBuilder::default();
    for (name, value) in rule_labels {
        labels.set(name, value);
    }
    for (name, value) in alert.labels.iter() {
        labels.set(name, value);
    }
    labels.set("__name__", "ALERTS_FOR_STATE").set("alertname", name);
    let since = alert.active_at.div_euclid(1000) as f64;
    let state = VectorSample { labels: labels.build(), t, value: SampleValue::Float(since) };
    labels.set("__name__", "ALERTS").set("alertstate", alert.state.name());
    [VectorSample { labels: labels.build(), t, value: SampleValue::Float(1.0) }, state]
}

/// Expands a template, asking what it asks; what fails is told in its place.
async fn expand(
    template: &Template,
    alert: &str,
    data: &AlertData,
    storage: &dyn RuleStorage,
    answers: &mut Answers,
) -> String {
    let failed =
        |why: String| format!("<error expanding template: error executing template __alert_{alert}: {why}>");
    for _ in 0..QUERIES_MAX {
        match template.expand(data, answers) {
            Ok(Expansion::Done(text)) => return text,
            Err(error) => return failed(error.to_string()),
            Ok(Expansion::Needs(query)) => {
                let answer = storage.query(&query, data.now).await;
                answers.insert(query, answer.map(|samples| samples.iter().map(seen).collect()));
            }
        }
    }
    failed(format!("the template asks more than {QUERIES_MAX} queries"))
}

/// A sample as templates see it.
fn seen(sample: &VectorSample) -> Arc<Sample> {
    let value = match &sample.value {
        SampleValue::Float(v) => Value::Float(*v),
        SampleValue::Histogram(h) => Value::Histogram(Arc::clone(h)),
    };
    let labels = sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Arc::new(Sample { labels, value })
}
