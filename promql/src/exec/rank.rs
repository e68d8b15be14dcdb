//! Aggregations that choose series or look at all values: `topk`, `bottomk`, `limitk`, `limit_ratio`, `quantile`,
//! `count_values`.

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh64::xxh64;

use super::aggregate::{GroupKey, Groups};
use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::context::QueryContext;
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, compute, once};
use super::scalar::{ScalarExpr, evaluate_all};
use crate::annotations::Annotation;
use crate::ast::{AggregateOp, PosRange};
use crate::engine::QueryError;
use crate::functions::{go_max, go_min, quantile};
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
                    AggregateOp::CountValues => self.count_values(&batches, &inputs.query),
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

/// The least and the greatest value of a parameter; NaN when any value is.
fn extremes(param: &[f64]) -> (f64, f64) {
    let min = param.iter().copied().fold(f64::INFINITY, go_min);
    let max = param.iter().copied().fold(f64::NEG_INFINITY, go_max);
    (min, max)
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
            let (min, max) = extremes(param);
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
            ignored |= places.iter().any(|place| {
                let slots = batches[place.0].histogram_row(place.1).unwrap_or_default();
                let row = batches[place.0].row(place.1);
                slots.iter().zip(row).take(param.len()).any(|(slot, v)| slot.is_some() && is_absent(*v))
            });
            let floats = out.floats();
            by_step(&inputs.query, batches, places, param.len(), |step, column| {
                values.clear();
                values.extend(column.iter().filter(|v| !is_absent(**v)));
                if !values.is_empty() {
                    floats[step] = quantile(param[step], &mut values);
                }
            });
            if !out.last_has_values() {
                out.pop();
            }
        }
        if ignored {
            inputs.query.annotate(Annotation::histogram_ignored_in_aggregation("quantile", self.inner_pos));
        }
        out.finish()
    }

    fn count_values(&self, batches: &[SeriesBatch], query: &QueryContext) -> SeriesBatch {
        let steps = self.grid.steps;
        let mut rows: HashMap<Labels, Vec<f64>> = HashMap::new();
        let mut order = Vec::new();
        for batch in batches {
            for i in 0..batch.rows() {
                if query.is_abandoned() {
                    break;
                }
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
        let (min, max) = extremes(param);
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
        for places in &members {
            let mut kept = Kept::new(steps, places.len());
            let histogram_of = |at: u32, step: usize| histogram_at(batches, places[at as usize], step);
            if matches!(self.op, AggregateOp::Topk | AggregateOp::Bottomk) {
                let mut best = Vec::new();
                by_step(&inputs.query, batches, places, param.len(), |step, column| {
                    let count = if param[step] < 1.0 { 0 } else { param[step] as usize };
                    select_best(column, count, self.op == AggregateOp::Topk, &mut best);
                    for (_, at) in &best {
                        kept.put(*at, step, column[*at as usize], None);
                    }
                });
                ignored |= places.iter().any(|place| {
                    let slots = batches[place.0].histogram_row(place.1).unwrap_or_default();
                    slots.iter().zip(param).any(|(slot, k)| slot.is_some() && *k >= 1.0)
                });
            } else {
                let hashes = self.hashes(batches, places);
                let mut chosen = Vec::new();
                by_step(&inputs.query, batches, places, param.len(), |step, column| {
                    chosen.clear();
                    let mut left = if param[step] < 1.0 { 0 } else { param[step] as usize };
                    for (at, v) in (0u32..).zip(column) {
                        let slot = histogram_of(at, step);
                        if is_absent(*v) && slot.is_none() {
                            continue;
                        }
                        if self.op == AggregateOp::Limitk {
                            if left == 0 {
                                break;
                            }
                            left -= 1;
                        } else if !is_in_ratio(hashes[at as usize], param[step]) {
                            continue;
                        }
                        chosen.push((if slot.is_some() { 0.0 } else { *v }, at));
                        if step == 0 {
                            // series come in the order of Prometheus's first heap, histograms taken as 0
                            sift_up(&mut chosen, |a, b| a.is_nan() || a < b);
                        }
                    }
                    for (_, at) in &chosen {
                        kept.put(*at, step, column[*at as usize], histogram_of(*at, step));
                    }
                });
            }
            for row in &kept.rows {
                let (b, i) = places[row.place as usize];
                let slots = (!row.histograms.is_empty()).then_some(row.histograms.as_slice());
                let batch = &batches[b];
                out.push_row(batch.labels.value(i), batch.drop_name.value(i), &row.floats, slots);
            }
        }
        if ignored {
            let note = Annotation::histogram_ignored_in_aggregation(self.op.as_str(), self.pos);
            inputs.query.annotate(note);
        }
        Ok(out.finish())
    }

    /// For `limit_ratio`, where in 0..1 each series stands.
    fn hashes(&self, batches: &[SeriesBatch], places: &[Place]) -> Vec<f64> {
        if self.op != AggregateOp::LimitRatio {
            return Vec::new();
        }
        let of = |place: &Place| label_hash(batches[place.0].labels.value(place.1)) as f64 / u64::MAX as f64;
        places.iter().map(of).collect()
    }
}

/// Whether `limit_ratio` keeps a series that stands there.
fn is_in_ratio(offset: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    (ratio > 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}

/// Steps gone over at a time: a cache line of each row.
const COLUMNS: usize = 8;

/// Calls `visit` for each step with the values that the series at `places` have there, until nobody waits for it.
fn by_step(
    query: &QueryContext,
    batches: &[SeriesBatch],
    places: &[Place],
    steps: usize,
    mut visit: impl FnMut(usize, &[f64]),
) {
    let count = places.len();
    if count == 0 {
        return;
    }
    let mut columns = vec![ABSENT; count * COLUMNS.min(steps)];
    for first in (0..steps).step_by(COLUMNS) {
        if query.is_abandoned() {
            return;
        }
        let width = COLUMNS.min(steps - first);
        for (at, place) in places.iter().enumerate() {
            let row = &batches[place.0].row(place.1)[first..first + width];
            for (step, v) in row.iter().enumerate() {
                columns[step * count + at] = *v;
            }
        }
        for (step, column) in columns.chunks_exact(count).take(width).enumerate() {
            visit(first + step, column);
        }
    }
}

/// Moves what was appended to a heap to its place.
fn sift_up(heap: &mut [(f64, u32)], is_less: impl Fn(f64, f64) -> bool) {
    let mut child = heap.len().saturating_sub(1);
    while child > 0 {
        let parent = (child - 1) / 2;
        if !is_less(heap[child].0, heap[parent].0) {
            break;
        }
        heap.swap(child, parent);
        child = parent;
    }
}

/// The `count` greatest (or least) of the values that are there, best first, as (value, place). Which of equal ones
/// stay, and in what order, is what Prometheus's heap leaves: it holds the worst on top, and a better one takes its
/// place.
fn select_best(column: &[f64], count: usize, is_greatest: bool, heap: &mut Vec<(f64, u32)>) {
    heap.clear();
    if count == 0 {
        return;
    }
    let better = |a: f64, b: f64| if is_greatest { a > b } else { a < b };
    // NaN is the worst, even of two
    let is_less = |a: f64, b: f64| a.is_nan() || better(b, a);
    for (at, v) in (0u32..).zip(column).filter(|(_, v)| !is_absent(**v)) {
        if heap.len() < count {
            heap.push((*v, at));
            sift_up(heap, is_less);
        } else if better(*v, heap[0].0) || (heap[0].0.is_nan() && !v.is_nan()) {
            heap[0] = (*v, at);
            let mut parent = 0;
            loop {
                let mut child = 2 * parent + 1;
                if child >= heap.len() {
                    break;
                }
                if child + 1 < heap.len() && is_less(heap[child + 1].0, heap[child].0) {
                    child += 1;
                }
                if !is_less(heap[child].0, heap[parent].0) {
                    break;
                }
                heap.swap(child, parent);
                parent = child;
            }
        }
    }
    if heap.len() > INSERTED_MAX {
        heap.sort_by(|a, b| {
            let order = a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal);
            a.0.is_nan().cmp(&b.0.is_nan()).then(if is_greatest { order.reverse() } else { order })
        });
        return;
    }
    for i in 1..heap.len() {
        let mut at = i;
        while at > 0 && is_less(heap[at - 1].0, heap[at].0) {
            heap.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Go sorts by insertion what is not longer.
const INSERTED_MAX: usize = 12;

/// What was chosen of one group, series in the order in which they were first.
struct Kept {
    steps: usize,
    /// By place: its row, if it has one.
    row_of: Vec<u32>,
    rows: Vec<KeptRow>,
}

struct KeptRow {
    place: u32,
    floats: Vec<f64>,
    histograms: Vec<HistogramSlot>,
}

impl Kept {
    fn new(steps: usize, places: usize) -> Self {
        Kept { steps, row_of: vec![u32::MAX; places], rows: Vec::new() }
    }

    fn put(&mut self, place: u32, step: usize, v: f64, slot: Option<&HistogramSlot>) {
        let row = &mut self.row_of[place as usize];
        if *row == u32::MAX {
            *row = self.rows.len() as u32;
            let floats = vec![ABSENT; self.steps];
            self.rows.push(KeptRow { place, floats, histograms: Vec::new() });
        }
        let row = &mut self.rows[*row as usize];
        row.floats[step] = v;
        if let Some(slot) = slot {
            row.histograms.resize(self.steps, None);
            row.histograms[step].clone_from(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_are_what_a_heap_leaves() {
        let all = [1.0, 1.0, f64::NAN, 2.0, 1.0];
        let chosen = |count, greatest| -> Vec<u32> {
            let mut best = Vec::new();
            select_best(&all, count, greatest, &mut best);
            best.into_iter().map(|(_, at)| at).collect()
        };
        assert_eq!(chosen(1, true), [3]);
        // the first of two equal ones was on top, and made place
        assert_eq!(chosen(2, true), [3, 1]);
        assert_eq!(chosen(9, false).len(), 5);
        assert_eq!(chosen(9, false)[4], 2);
        assert_eq!(chosen(0, true), [0; 0]);
    }

    #[test]
    fn hashes_depend_on_all_labels() {
        let labels = Labels::new([("__name__", "http_requests"), ("foo", "bar")]).unwrap();
        assert_ne!(label_hash(labels.as_bytes()), label_hash(&[]));
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-3i32..3).prop_map(f64::from),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(ABSENT),
        ]
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sort(
            column in proptest::collection::vec(value(), 0..120),
            count in 0usize..80,
            is_greatest in any::<bool>(),
        ) {
            let mut sorted: Vec<(u32, f64)> = (0u32..).zip(column.clone()).filter(|(_, v)| !is_absent(*v)).collect();
            sorted.sort_by(|(_, a), (_, b)| a.is_nan().cmp(&b.is_nan()).then_with(|| {
                let order = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
                if is_greatest { order.reverse() } else { order }
            }));
            // zeros are equal
            let key = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() };
            let expected: Vec<u64> = sorted.iter().take(count).map(|(_, v)| key(*v)).collect();
            let mut best = Vec::new();
            select_best(&column, count, is_greatest, &mut best);
            prop_assert_eq!(best.iter().map(|(v, _)| key(*v)).collect::<Vec<_>>(), expected);
        }
    }
}
