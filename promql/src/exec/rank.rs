//! Aggregations that choose series or look at all values: `topk`, `bottomk`, `limitk`, `limit_ratio`, `quantile`,
//! `count_values`.

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh64::xxh64;

use super::aggregate::{GroupKey, Groups};
use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, compute, once};
use super::scalar::{ScalarExpr, evaluate_all};
use crate::annotations::Annotation;
use crate::ast::{AggregateOp, PosRange};
use crate::engine::QueryError;
use crate::functions::quantile;
use crate::go_format::{format_f, format_g};
use model::{Labels, LabelsBuilder, LabelsIter};

/// The operator: child 0 is the vector, the others are what the parameter needs.
#[derive(Debug, Clone)]
pub(crate) struct Rank {
    pub op: AggregateOp,
    pub key: GroupKey,
    pub grid: Grid,
    pub param: ScalarExpr,
    /// The label of `count_values`.
    pub value_label: String,
    pub pos: PosRange,
    pub inner_pos: PosRange,
    pub param_pos: PosRange,
}

/// A series: batch, row.
type Place = (usize, usize);

impl Operator for Rank {
    fn name(&self) -> &'static str {
        "AggregateRank"
    }

    fn detail(&self) -> String {
        format!("{} {:?}", self.op.as_str(), self.key)
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let exprs = std::slice::from_ref(&self.param);
            let param = evaluate_all(exprs, self.grid, &inputs, 1).await?.swap_remove(0);
            let batches = inputs.collect(0).await?;
            let query = Arc::clone(&inputs.query);
            compute(&query, batches.values(), move || {
                let batch = match self.op {
                    AggregateOp::CountValues => self.count_values(&batches),
                    AggregateOp::Quantile => self.quantile(&batches, &param, &inputs),
                    _ => self.choose(&batches, &param, &inputs)?,
                };
                batches.encode(batch, &inputs)
            })
            .await
        })
    }
}

/// Series of each group.
fn members(key: &GroupKey, batches: &[SeriesBatch]) -> (Groups, Vec<Vec<Place>>) {
    let mut groups = Groups::default();
    let mut members: Vec<Vec<Place>> = Vec::new();
    for (b, batch) in batches.iter().enumerate() {
        for i in 0..batch.rows() {
            let (group, is_new) = groups.find(key, batch.labels.value(i), batch.drop_name.value(i));
            if is_new {
                members.push(Vec::new());
            }
            members[group].push((b, i));
        }
    }
    (groups, members)
}

fn histogram_at(batches: &[SeriesBatch], place: Place, step: usize) -> Option<&HistogramSlot> {
    batches[place.0].histogram_row(place.1).map(|row| &row[step]).filter(|slot| slot.is_some())
}

/// Prometheus's hash of a label set: xxh64 over strings with their lengths before them.
fn label_hash(labels: &[u8]) -> u64 {
    let mut bytes = Vec::with_capacity(labels.len() + 8);
    for (name, value) in LabelsIter::over(labels) {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length) if length < 255 => bytes.push(length),
                _ => {
                    bytes.push(255);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxh64(&bytes, 0)
}

impl Rank {
    fn quantile(&self, batches: &[SeriesBatch], param: &[f64], inputs: &Inputs) -> SeriesBatch {
        let note = |q: f64| inputs.query.annotate(Annotation::invalid_quantile(q, self.param_pos));
        if batches.iter().any(|b| b.rows() > 0) || !param.is_empty() {
            if param.iter().any(|q| q.is_nan()) {
                note(f64::NAN);
            }
            let max = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let min = param.iter().copied().fold(f64::INFINITY, f64::min);
            if max > 1.0 {
                note(max);
            }
            if min < 0.0 {
                note(min);
            }
        }
        let (groups, members) = members(&self.key, batches);
        let mut out = BatchBuilder::new(self.grid.steps, members.len());
        let mut values = Vec::new();
        let mut ignored = false;
        for (group, places) in members.iter().enumerate() {
            out.push_empty(&groups.labels[group], groups.drop_name[group]);
            for (step, q) in param.iter().enumerate() {
                values.clear();
                for place in places {
                    let v = batches[place.0].row(place.1)[step];
                    if !is_absent(v) {
                        values.push(v);
                    } else if histogram_at(batches, *place, step).is_some() {
                        ignored = true;
                    }
                }
                if !values.is_empty() {
                    out.floats()[step] = quantile(*q, &mut values);
                }
            }
            if !out.last_has_values() {
                out.pop();
            }
        }
        if ignored {
            inputs.query.annotate(Annotation::histogram_ignored_in_aggregation("quantile", self.inner_pos));
        }
        out.finish()
    }

    fn count_values(&self, batches: &[SeriesBatch]) -> SeriesBatch {
        let steps = self.grid.steps;
        let mut rows: HashMap<Labels, Vec<f64>> = HashMap::new();
        let mut order = Vec::new();
        for batch in batches {
            for i in 0..batch.rows() {
                let labels = Labels::from_trusted(batch.labels.value(i));
                // value → labels of the group, per series
                let mut cache: HashMap<u64, Labels> = HashMap::new();
                for step in 0..steps {
                    let v = batch.row(i)[step];
                    let slot = batch.histogram_row(i).and_then(|h| h[step].as_ref());
                    let group_of = |text: String| {
                        let mut builder = LabelsBuilder::from_labels(&labels);
                        builder.set(&self.value_label, &text);
                        let mut bytes = Vec::new();
                        self.key.write(builder.build().as_bytes(), &mut bytes);
                        Labels::from_trusted(&bytes)
                    };
                    let group = if let Some(h) = slot {
                        group_of(crate::histogram::to_text(h))
                    } else if is_absent(v) {
                        continue;
                    } else {
                        cache.entry(v.to_bits()).or_insert_with(|| group_of(format_f(v))).clone()
                    };
                    let row = rows.entry(group.clone()).or_insert_with(|| {
                        order.push(group);
                        vec![ABSENT; steps]
                    });
                    row[step] = if is_absent(row[step]) { 1.0 } else { row[step] + 1.0 };
                }
            }
        }
        let mut out = BatchBuilder::new(steps, order.len());
        for labels in order {
            out.push_row(labels.as_bytes(), false, &rows[&labels], None);
        }
        out.finish()
    }

    /// Checks the parameter as a whole; `None` when nothing can be chosen.
    fn check(&self, param: &[f64], inputs: &Inputs) -> Result<Option<()>, QueryError> {
        let max = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = param.iter().copied().fold(f64::INFINITY, f64::min);
        let has_nan = param.iter().any(|v| v.is_nan());
        if self.op == AggregateOp::LimitRatio {
            if max == 0.0 && min == 0.0 {
                return Ok(None);
            }
            if has_nan {
                return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
            }
            if max > 1.0 {
                inputs.query.annotate(Annotation::invalid_ratio(max, 1.0, self.param_pos));
            }
            if min < -1.0 {
                inputs.query.annotate(Annotation::invalid_ratio(min, -1.0, self.param_pos));
            }
            return Ok(Some(()));
        }
        if max < 1.0 && !has_nan {
            return Ok(None);
        }
        if has_nan {
            return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
        }
        if min <= -9_223_372_036_854_775_808.0 {
            return Err(QueryError::Execution(format!("Scalar value {} underflows int64", format_g(min))));
        }
        if max >= 9_223_372_036_854_774_784.0 {
            return Err(QueryError::Execution(format!("Scalar value {} overflows int64", format_g(max))));
        }
        Ok(Some(()))
    }

    fn choose(
        &self,
        batches: &[SeriesBatch],
        param: &[f64],
        inputs: &Inputs,
    ) -> Result<SeriesBatch, QueryError> {
        let steps = self.grid.steps;
        let mut out = BatchBuilder::new(steps, 0);
        if self.check(param, inputs)?.is_none() {
            return Ok(out.finish());
        }
        let (_, members) = members(&self.key, batches);
        let mut ignored = false;
        // chosen[group member] = values; series appear in the order of their rank at the first step
        for places in &members {
            let mut kept: HashMap<Place, (Vec<f64>, Vec<HistogramSlot>)> = HashMap::new();
            let mut order = Vec::new();
            for (step, k) in param.iter().enumerate() {
                let mut candidates: Vec<(Place, f64)> = Vec::new();
                for place in places {
                    let v = batches[place.0].row(place.1)[step];
                    let is_histogram = histogram_at(batches, *place, step).is_some();
                    if is_absent(v) && !is_histogram {
                        continue;
                    }
                    if is_histogram && matches!(self.op, AggregateOp::Topk | AggregateOp::Bottomk) {
                        ignored |= *k >= 1.0;
                        continue;
                    }
                    candidates.push((*place, v));
                }
                self.keep_best(batches, &mut candidates, *k);
                for (place, v) in candidates {
                    let (floats, histograms) = kept.entry(place).or_insert_with(|| {
                        order.push(place);
                        (vec![ABSENT; steps], Vec::new())
                    });
                    floats[step] = v;
                    if let Some(slot) = histogram_at(batches, place, step) {
                        histograms.resize(steps, None);
                        histograms[step].clone_from(slot);
                    }
                }
            }
            for place in order {
                let (floats, histograms) = &kept[&place];
                let batch = &batches[place.0];
                let slots = (!histograms.is_empty()).then_some(histograms.as_slice());
                out.push_row(batch.labels.value(place.1), batch.drop_name.value(place.1), floats, slots);
            }
        }
        if ignored {
            let note = Annotation::histogram_ignored_in_aggregation(self.op.as_str(), self.pos);
            inputs.query.annotate(note);
        }
        Ok(out.finish())
    }

    fn keep_best(&self, batches: &[SeriesBatch], candidates: &mut Vec<(Place, f64)>, k: f64) {
        let count = if k < 1.0 { 0 } else { k as usize };
        let by_value = |a: &(Place, f64), b: &(Place, f64)| match (a.1.is_nan(), b.1.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            (false, false) => {
                let order = a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal);
                if self.op == AggregateOp::Topk { order.reverse() } else { order }
            }
        };
        match self.op {
            AggregateOp::Topk | AggregateOp::Bottomk => {
                if count < candidates.len() && count > 0 {
                    // ties go to the series that came first
                    candidates.sort_by(by_value);
                    candidates.truncate(count);
                } else if count == 0 {
                    candidates.clear();
                } else {
                    candidates.sort_by(by_value);
                }
            }
            AggregateOp::Limitk => candidates.truncate(count),
            _ => {
                let ratio = k.clamp(-1.0, 1.0);
                candidates.retain(|((b, i), _)| {
                    let offset = label_hash(batches[*b].labels.value(*i)) as f64 / u64::MAX as f64;
                    (ratio > 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_all_labels() {
        let labels = Labels::new([("__name__", "http_requests"), ("foo", "bar")]).unwrap();
        assert_ne!(label_hash(labels.as_bytes()), label_hash(&[]));
    }
}
