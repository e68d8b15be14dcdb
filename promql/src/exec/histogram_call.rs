//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: over classic buckets and native histograms.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{BUCKET_LABEL, Labels, LabelsBuilder, METRIC_NAME};

use super::batch::{BatchBuilder, SeriesBatch, is_absent};
use super::grid::Grid;
use super::label_bytes::{self, NameAction, filter_into, is_metadata};
use super::operator::{BatchStream, Inputs, Operator, compute, once};
use super::scalar::{ScalarExpr, evaluate_all};
use super::unique::merge_equal;
use crate::annotations::Annotation;
use crate::ast::PosRange;
use crate::functions::{Bucket, Notes, bucket_fraction, bucket_quantile};
use crate::go_format::format_open_metrics;
use crate::histogram;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HistogramCallKind {
    /// φ is param 0.
    Quantile,
    /// The params are the φs; the answer to each carries it in this label.
    Quantiles(String),
    /// Between params 0 and 1.
    Fraction,
}

/// The operator: child 0 is the vector, the others are what scalar arguments need.
#[derive(Debug, Clone)]
pub(crate) struct HistogramCall {
    pub kind: HistogramCallKind,
    pub grid: Grid,
    pub params: Vec<ScalarExpr>,
    /// Where the params stand.
    pub param_pos: Vec<PosRange>,
    /// Where the vector stands.
    pub pos: PosRange,
    pub delayed_names: bool,
}

impl Operator for HistogramCall {
    fn name(&self) -> &'static str {
        "HistogramCall"
    }

    fn detail(&self) -> String {
        format!("{:?}", self.kind)
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let params = evaluate_all(&self.params, self.grid, &inputs, 1).await?;
            let batches = inputs.collect(0).await?;
            let query = Arc::clone(&inputs.query);
            compute(&query, batches.values(), move || {
                let made = self.evaluate(&batches, &params, &inputs);
                batches.encode(merge_equal(&[made], self.grid.steps, true)?, &inputs)
            })
            .await
        })
    }
}

/// The classic buckets of one histogram.
#[derive(Debug)]
struct Classic {
    /// Labels without `le` and name.
    labels: Vec<u8>,
    metric: String,
    /// (bound, batch, row)
    members: Vec<(f64, usize, usize)>,
}

impl HistogramCall {
    fn evaluate(&self, batches: &[SeriesBatch], params: &[Vec<f64>], inputs: &Inputs) -> SeriesBatch {
        let steps = self.grid.steps;
        if self.kind != HistogramCallKind::Fraction {
            for (values, pos) in params.iter().zip(&self.param_pos) {
                for q in values {
                    if q.is_nan() || !(0.0..=1.0).contains(q) {
                        inputs.query.annotate(Annotation::invalid_quantile(*q, *pos));
                    }
                }
            }
        }
        let (classics, by_signature) = self.classics(batches, inputs);
        let action = if self.delayed_names { NameAction::DropLater } else { NameAction::Drop };
        let mut out = BatchBuilder::new(steps, classics.len());
        // (classic, step) that a native histogram stands in the way of
        let mut blocked: HashMap<usize, Vec<bool>> = HashMap::new();
        let mut scratch = Vec::new();
        for batch in batches {
            for i in 0..batch.rows() {
                let Some(slots) = batch.histogram_row(i) else { continue };
                if inputs.query.is_abandoned() {
                    break;
                }
                if slots.iter().all(Option::is_none) {
                    continue;
                }
                let bytes = batch.labels.value(i);
                let classic = by_signature.get(bytes).copied();
                let metric =
                    if self.delayed_names { label_bytes::get(bytes, METRIC_NAME) } else { "" }.to_owned();
                let mut usable = vec![true; steps];
                for (step, slot) in slots.iter().enumerate() {
                    let Some(classic) = classic else { break };
                    let has_buckets = classics[classic]
                        .members
                        .iter()
                        .any(|(_, b, r)| !is_absent(batches[*b].row(*r)[step]));
                    if slot.is_some() && has_buckets {
                        inputs.query.annotate(Annotation::mixed_classic_native(&metric, self.pos));
                        blocked.entry(classic).or_insert_with(|| vec![false; steps])[step] = true;
                        usable[step] = false;
                    }
                }
                scratch.clear();
                let drop_name =
                    label_bytes::apply_into(bytes, action, batch.drop_name.value(i), &mut scratch);
                let values = |param: usize, out: &mut BatchBuilder| {
                    let mut notes = Notes { metric: &metric, pos: self.pos, noted: Vec::new() };
                    for (step, slot) in slots.iter().enumerate() {
                        let Some(h) = slot.as_ref().filter(|_| usable[step]) else { continue };
                        out.floats()[step] = match &self.kind {
                            HistogramCallKind::Fraction => {
                                histogram::fraction(params[0][step], params[1][step], h, &mut notes)
                            }
                            _ => histogram::quantile(params[param][step], h, &mut notes),
                        };
                    }
                    inputs.query.annotate_all(notes.noted);
                };
                self.emit(&scratch, drop_name, params, &mut out, values);
            }
        }
        for (number, classic) in classics.iter().enumerate() {
            if inputs.query.is_abandoned() {
                break;
            }
            scratch.clear();
            if self.delayed_names {
                scratch.extend_from_slice(&classic.labels);
            } else {
                filter_into(&classic.labels, &mut scratch, |n| !is_metadata(n));
            }
            let blocked = blocked.get(&number);
            let values = |param: usize, out: &mut BatchBuilder| {
                let mut buckets = Vec::new();
                for step in 0..steps {
                    if blocked.is_some_and(|b| b[step]) {
                        continue;
                    }
                    buckets.clear();
                    for (bound, b, r) in &classic.members {
                        let count = batches[*b].row(*r)[step];
                        if !is_absent(count) {
                            buckets.push(Bucket { bound: *bound, count });
                        }
                    }
                    if buckets.is_empty() {
                        continue;
                    }
                    out.floats()[step] = if self.kind == HistogramCallKind::Fraction {
                        bucket_fraction(params[0][step], params[1][step], &mut buckets)
                    } else {
                        let (value, repair) = bucket_quantile(params[param][step], &mut buckets);
                        // where a quantile before this one has been taken, it has repaired the buckets
                        let earlier = params.get(..param).unwrap_or_default();
                        let repaired = earlier.iter().any(|qs| (0.0..=1.0).contains(&qs[step]));
                        if let Some(r) = repair.filter(|_| !repaired) {
                            let metric = if self.delayed_names { classic.metric.as_str() } else { "" };
                            inputs.query.annotate(Annotation::forced_monotonicity(
                                metric,
                                self.pos,
                                self.grid.at(step),
                                r.min_bucket,
                                r.max_bucket,
                                r.max_diff,
                            ));
                        }
                        value
                    };
                }
            };
            self.emit(&scratch, self.delayed_names, params, &mut out, values);
        }
        out.finish()
    }

    /// Appends the row, or a row per quantile.
    fn emit(
        &self,
        labels: &[u8],
        drop_name: bool,
        params: &[Vec<f64>],
        out: &mut BatchBuilder,
        values: impl Fn(usize, &mut BatchBuilder),
    ) {
        let HistogramCallKind::Quantiles(name) = &self.kind else {
            out.push_empty(labels, drop_name);
            values(0, out);
            if !out.last_has_values() {
                out.pop();
            }
            return;
        };
        for (param, qs) in params.iter().enumerate() {
            let q = qs.first().copied().unwrap_or(f64::NAN);
            let mut builder = LabelsBuilder::from_labels(&Labels::from_trusted(labels));
            builder.set(name, &format_open_metrics(q));
            out.push_empty(builder.build().as_bytes(), drop_name);
            values(param, out);
            if !out.last_has_values() {
                out.pop();
            }
        }
    }

    /// The classic histograms, and their numbers by the labels without `le`.
    fn classics(&self, batches: &[SeriesBatch], inputs: &Inputs) -> (Vec<Classic>, HashMap<Vec<u8>, usize>) {
        let mut classics: Vec<Classic> = Vec::new();
        let mut by_signature: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut signature = Vec::new();
        for (b, batch) in batches.iter().enumerate() {
            for i in 0..batch.rows() {
                if batch.row(i).iter().all(|v| is_absent(*v)) {
                    continue;
                }
                let bytes = batch.labels.value(i);
                let le = label_bytes::get(bytes, BUCKET_LABEL);
                let Ok(bound) = le.parse::<f64>() else {
                    let metric = if self.delayed_names { label_bytes::get(bytes, METRIC_NAME) } else { "" };
                    inputs.query.annotate(Annotation::bad_bucket_label(metric, le, self.pos));
                    continue;
                };
                signature.clear();
                filter_into(bytes, &mut signature, |n| n != BUCKET_LABEL);
                let number = match by_signature.get(&signature) {
                    Some(number) => *number,
                    None => {
                        let mut labels = Vec::new();
                        filter_into(bytes, &mut labels, |n| n != BUCKET_LABEL && n != METRIC_NAME);
                        let metric = label_bytes::get(bytes, METRIC_NAME).to_owned();
                        let kept = if self.delayed_names { signature.clone() } else { labels };
                        classics.push(Classic { labels: kept, metric, members: Vec::new() });
                        by_signature.insert(signature.clone(), classics.len() - 1);
                        classics.len() - 1
                    }
                };
                classics[number].members.push((bound, b, i));
            }
        }
        (classics, by_signature)
    }
}
