//! A group of rules under evaluation.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Labels, TimestampMs};
use promql::parse::{ParseOptions, parse};
use promql::{SampleValue, VectorSample};

use crate::alerting_rule::{AlertingRule, Origin};
use crate::recording_rule::RecordingRule;
use crate::{RuleError, RuleGroup, RuleStorage, Span};

#[derive(Debug)]
enum Kind {
    Alerting(Box<AlertingRule>),
    Recording(RecordingRule),
}

/// A rule and the series it gave last.
#[derive(Debug)]
struct Slot {
    kind: Kind,
    series: HashSet<Labels>,
}

/// Rules that are evaluated in order.
#[derive(Debug)]
pub struct Group {
    name: String,
    query_offset: Span,
    limit: i64,
    slots: Vec<Slot>,
}

impl Group {
    /// A group out of a valid file.
    ///
    /// # Errors
    /// What is wrong with it, when the file was not valid.
    pub fn new(group: &RuleGroup, language: &ParseOptions, origin: &Arc<Origin>) -> Result<Self, String> {
        let mut slots = Vec::with_capacity(group.rules.len());
        for rule in &group.rules {
            // the plain form, so that positions in messages are those Prometheus gives
            let query = parse(&rule.expr, language).map_err(|e| e.to_string())?.to_string();
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            let kind = if rule.alert.is_empty() {
                Kind::Recording(RecordingRule::new(&rule.record, query, labels))
            } else {
                let alerting = AlertingRule::new(rule, query, labels, Arc::clone(origin));
                Kind::Alerting(Box::new(alerting.map_err(|e| e.to_string())?))
            };
            slots.push(Slot { kind, series: HashSet::new() });
        }
        let query_offset = group.query_offset.unwrap_or_default();
        Ok(Group { name: group.name.clone(), query_offset, limit: group.limit, slots })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its alerting rules.
    pub fn alerting_rules(&self) -> impl Iterator<Item = &AlertingRule> {
        self.slots.iter().filter_map(|slot| match &slot.kind {
            Kind::Alerting(rule) => Some(&**rule),
            Kind::Recording(_) => None,
        })
    }

    /// Evaluates its rules one after the other and writes what comes out, with staleness markers for series that came
    /// out last time and do not any more. Gives the rules that failed and why.
    pub async fn evaluate(
        &mut self,
        storage: &dyn RuleStorage,
        now: TimestampMs,
    ) -> Vec<(String, RuleError)> {
        let (offset, limit) = (self.query_offset, self.limit);
        let mut failed = Vec::new();
        for slot in &mut self.slots {
            let (name, samples) = match &mut slot.kind {
                Kind::Alerting(rule) => {
                    let samples = rule.evaluate(storage, now, offset, limit).await;
                    (rule.name(), samples)
                }
                Kind::Recording(rule) => (rule.name(), rule.evaluate(storage, now, offset, limit).await),
            };
            match samples {
                Ok(samples) => {
                    if let Err(error) = write(storage, &samples, &mut slot.series, now - offset.0).await {
                        failed.push((name.to_owned(), error));
                    }
                }
                Err(error) => failed.push((name.to_owned(), error)),
            }
        }
        failed
    }
}

/// Writes samples and marks what is missing since last time.
async fn write(
    storage: &dyn RuleStorage,
    samples: &[VectorSample],
    series: &mut HashSet<Labels>,
    t: TimestampMs,
) -> Result<(), RuleError> {
    let mut written = HashSet::with_capacity(samples.len());
    let mut last_error = None;
    for (sample, answer) in samples.iter().zip(storage.append(samples).await) {
        match answer {
            Ok(()) => drop(written.insert(sample.labels.clone())),
            Err(why) => last_error = Some(RuleError::Write(why)),
        }
    }
    let gone: Vec<VectorSample> = series
        .difference(&written)
        .map(|labels| VectorSample {
            labels: labels.clone(),
            t,
            value: SampleValue::Float(model::stale_nan()),
        })
        .collect();
    if !gone.is_empty() {
        // another rule may give the series now: its sample stays
        drop(storage.append(&gone).await);
    }
    *series = written;
    last_error.map_or(Ok(()), Err)
}
