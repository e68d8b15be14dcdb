//! Operators between two vectors: series find each other by labels, then steps go side by side.
//!
//! Matching is by series, once; what Prometheus checks per step (duplicates within a match group) is checked per
//! step, over the series of the group only.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::{LabelsIter, METRIC_NAME};

use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::element::{Element, apply};
use super::label_bytes::{self, filter_into, is_metadata};
use super::operator::{BatchStream, Inputs, Operator, compute, once};
use super::unique::duplicate_series;
use crate::annotations::Annotation;
use crate::ast::{BinaryOp, Cardinality, PosRange, VectorMatching};
use crate::engine::QueryError;
use crate::functions::{arithmetic, compare};

/// The operator: children 0 and 1 are the sides.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub op: BinaryOp,
    pub matching: VectorMatching,
    pub return_bool: bool,
    pub steps: usize,
    pub pos: PosRange,
    /// Whether names go at the end of the query only.
    pub delayed_names: bool,
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        "Binary"
    }

    fn detail(&self) -> String {
        let m = &self.matching;
        let keyword = if m.on { "on" } else { "ignoring" };
        let side = match m.card {
            Cardinality::ManyToOne => format!(" group_left ({})", m.include.join(", ")),
            Cardinality::OneToMany => format!(" group_right ({})", m.include.join(", ")),
            Cardinality::OneToOne | Cardinality::ManyToMany => String::new(),
        };
        format!("{} {keyword} ({}){side}", self.op.as_str(), m.labels.join(", "))
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let (left, right) = (inputs.collect(0).await?, inputs.collect(1).await?);
            let query = Arc::clone(&inputs.query);
            compute(&query, left.values() + right.values(), move || {
                let sides = (Side::new(&left), Side::new(&right));
                let batch = if self.op.is_set() {
                    self.set_operation(&sides.0, &sides.1)?
                } else {
                    Join::new(&self, &sides.0, &sides.1, &inputs).run()?
                };
                right.free_room();
                left.encode(batch, &inputs)
            })
            .await
        })
    }
}

/// All series of one side.
#[derive(Debug)]
struct Side<'a> {
    batches: &'a [SeriesBatch],
    rows: Vec<(usize, usize)>,
}

impl<'a> Side<'a> {
    fn new(batches: &'a [SeriesBatch]) -> Self {
        let rows = batches
            .iter()
            .enumerate()
            .flat_map(|(b, batch)| (0..batch.rows()).map(move |i| (b, i)))
            .collect();
        Side { batches, rows }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn labels(&self, row: usize) -> &[u8] {
        let (b, i) = self.rows[row];
        self.batches[b].labels.value(i)
    }

    fn drop_name(&self, row: usize) -> bool {
        let (b, i) = self.rows[row];
        self.batches[b].drop_name.value(i)
    }

    fn floats(&self, row: usize) -> &[f64] {
        let (b, i) = self.rows[row];
        self.batches[b].row(i)
    }

    fn histograms(&self, row: usize) -> Option<&[HistogramSlot]> {
        let (b, i) = self.rows[row];
        self.batches[b].histogram_row(i)
    }

    fn is_present(&self, row: usize, step: usize) -> bool {
        !is_absent(self.floats(row)[step]) || self.histograms(row).is_some_and(|h| h[step].is_some())
    }

    fn element(&self, row: usize, step: usize) -> Option<Element> {
        if let Some(h) = self.histograms(row).and_then(|h| h[step].as_ref()) {
            return Some(Element::Histogram(Arc::clone(h)));
        }
        let v = self.floats(row)[step];
        (!is_absent(v)).then_some(Element::Float(v))
    }
}

impl Binary {
    /// The labels by which a series is matched.
    fn signature(&self, labels: &[u8], out: &mut Vec<u8>) {
        let listed = |n: &str| self.matching.labels.iter().any(|l| l == n);
        if self.matching.on {
            filter_into(labels, out, listed);
        } else {
            filter_into(labels, out, |n| n != METRIC_NAME && !listed(n));
        }
    }

    /// Numbers the signatures of both sides.
    fn signatures(&self, left: &Side<'_>, right: &Side<'_>) -> (Vec<usize>, Vec<usize>, usize) {
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut scratch = Vec::new();
        let mut number_all = |side: &Side<'_>| -> Vec<usize> {
            (0..side.len())
                .map(|row| {
                    scratch.clear();
                    self.signature(side.labels(row), &mut scratch);
                    let next = numbers.len();
                    match numbers.get(&scratch) {
                        Some(number) => *number,
                        None => {
                            numbers.insert(scratch.clone(), next);
                            next
                        }
                    }
                })
                .collect()
        };
        let l = number_all(left);
        let r = number_all(right);
        let count = numbers.len();
        (l, r, count)
    }

    /// `and`, `or`, `unless`.
    fn set_operation(&self, left: &Side<'_>, right: &Side<'_>) -> Result<SeriesBatch, QueryError> {
        let (l, r, count) = self.signatures(left, right);
        let words = self.steps.div_ceil(64);
        // steps at which the other side has a series of the signature
        let presence = |side: &Side<'_>, numbers: &[usize]| {
            let mut bits = vec![0u64; count * words];
            for (row, number) in numbers.iter().enumerate() {
                for step in 0..self.steps {
                    if side.is_present(row, step) {
                        bits[number * words + step / 64] |= 1 << (step % 64);
                    }
                }
            }
            bits
        };
        let is_set = |bits: &[u64], number: usize, step: usize| {
            bits[number * words + step / 64] & (1 << (step % 64)) != 0
        };
        let mut out = BatchBuilder::new(self.steps, left.len());
        let copy = |side: &Side<'_>, row: usize, out: &mut BatchBuilder, keep: &dyn Fn(usize) -> bool| {
            out.push_empty(side.labels(row), side.drop_name(row));
            for (step, v) in side.floats(row).iter().enumerate() {
                if !is_absent(*v) && keep(step) {
                    out.floats()[step] = *v;
                }
            }
            for (step, slot) in side.histograms(row).unwrap_or(&[]).iter().enumerate() {
                if let Some(h) = slot.as_ref().filter(|_| keep(step)) {
                    out.set_histogram(step, Arc::clone(h));
                }
            }
            if !out.last_has_values() {
                out.pop();
            }
        };
        match self.op {
            BinaryOp::And | BinaryOp::Unless => {
                let bits = presence(right, &r);
                let wanted = self.op == BinaryOp::And;
                for (row, number) in l.iter().enumerate() {
                    copy(left, row, &mut out, &|step| is_set(&bits, *number, step) == wanted);
                }
                Ok(out.finish())
            }
            _ => {
                let bits = presence(left, &l);
                for row in 0..left.len() {
                    copy(left, row, &mut out, &|_| true);
                }
                for (row, number) in r.iter().enumerate() {
                    copy(right, row, &mut out, &|step| !is_set(&bits, *number, step));
                }
                // the same labels may come from both sides, at different steps
                let batch = out.finish();
                if self.delayed_names {
                    return merge_keeping_flags(&batch, self.steps);
                }
                super::unique::merge_equal(&[batch], self.steps, true)
            }
        }
    }
}

/// Merges equal label sets; those whose flags differ stay apart.
fn merge_keeping_flags(batch: &SeriesBatch, steps: usize) -> Result<SeriesBatch, QueryError> {
    super::unique::merge_equal(std::slice::from_ref(batch), steps, true)
}

/// One series of the answer while it grows.
#[derive(Debug)]
struct OutRow {
    labels: Vec<u8>,
    floats: Vec<f64>,
    histograms: Vec<HistogramSlot>,
    drop_name: bool,
}

/// Arithmetic and comparison.
struct Join<'a> {
    node: &'a Binary,
    inputs: &'a Inputs,
    /// The "many" side, and its signatures.
    many: &'a Side<'a>,
    many_numbers: Vec<usize>,
    /// The "one" side.
    one: &'a Side<'a>,
    one_numbers: Vec<usize>,
    signatures: usize,
    /// Whether the sides were exchanged (`group_right`).
    swapped: bool,
    rows: Vec<OutRow>,
    row_numbers: HashMap<Vec<u8>, usize>,
    /// Of each step the annotation of its last pair; the others are not told.
    notes: HashMap<usize, (usize, Annotation)>,
    /// What Prometheus would meet first.
    failure: Option<(Place, QueryError)>,
}

/// When something happens: step, stage of the step, place within the stage.
type Place = (usize, Stage, usize);

/// What is done at a step, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Duplicates,
    Pairs,
    Result,
}

impl<'a> Join<'a> {
    fn new(node: &'a Binary, left: &'a Side<'a>, right: &'a Side<'a>, inputs: &'a Inputs) -> Self {
        let (l, r, signatures) = node.signatures(left, right);
        let swapped = node.matching.card == Cardinality::OneToMany;
        let (many, many_numbers, one, one_numbers) =
            if swapped { (right, r, left, l) } else { (left, l, right, r) };
        Join {
            node,
            inputs,
            many,
            many_numbers,
            one,
            one_numbers,
            signatures,
            swapped,
            rows: Vec::new(),
            row_numbers: HashMap::new(),
            notes: HashMap::new(),
            failure: None,
        }
    }

    fn fail(&mut self, place: Place, error: QueryError) {
        if self.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier) {
            self.failure = Some((place, error));
        }
    }

    fn note(&mut self, step: usize, pair: usize, note: Annotation) {
        match self.notes.get_mut(&step) {
            Some(last) if last.0 > pair => {}
            Some(last) => *last = (pair, note),
            None => {
                self.notes.insert(step, (pair, note));
            }
        }
    }

    fn is_one_to_one(&self) -> bool {
        self.node.matching.card == Cardinality::OneToOne
    }

    /// The labels of a result.
    fn result_labels(&self, many: &[u8], one: &[u8]) -> Vec<u8> {
        let matching = &self.node.matching;
        let drops = arithmetic(self.node.op, 0.0, 0.0).is_some()
            || (self.node.return_bool && !self.node.delayed_names);
        let listed = |n: &str| matching.labels.iter().any(|l| l == n);
        let mut bytes = Vec::with_capacity(many.len());
        filter_into(many, &mut bytes, |n| {
            if drops && is_metadata(n) {
                return false;
            }
            if !self.is_one_to_one() {
                return !matching.include.iter().any(|i| i == n);
            }
            if matching.on { listed(n) } else { !listed(n) }
        });
        if matching.include.is_empty() {
            return bytes;
        }
        let mut pairs: Vec<(&str, &str)> = LabelsIter::over(&bytes).collect();
        for name in &matching.include {
            let value = label_bytes::get(one, name);
            if !value.is_empty() && !pairs.iter().any(|(n, _)| n == name) {
                pairs.push((name, value));
            }
        }
        pairs.sort_unstable();
        let mut sorted = Vec::with_capacity(bytes.len());
        for (name, value) in pairs {
            label_bytes::push_pair(&mut sorted, name, value);
        }
        sorted
    }

    fn row(&mut self, labels: Vec<u8>, drop_name: bool) -> usize {
        if let Some(number) = self.row_numbers.get(&labels) {
            return *number;
        }
        let number = self.rows.len();
        self.row_numbers.insert(labels.clone(), number);
        let floats = vec![ABSENT; self.node.steps];
        self.rows.push(OutRow { labels, floats, histograms: Vec::new(), drop_name });
        number
    }

    fn run(mut self) -> Result<SeriesBatch, QueryError> {
        let fills = self.node.matching.fill;
        let has_fill = fills.lhs.is_some() || fills.rhs.is_some();
        if !has_fill && (self.many.len() == 0 || self.one.len() == 0) {
            return Ok(BatchBuilder::new(self.node.steps, 0).finish());
        }
        // series per signature
        let by_signature = |numbers: &[usize], count: usize| {
            let mut lists = vec![Vec::new(); count];
            for (row, number) in numbers.iter().enumerate() {
                lists[*number].push(row);
            }
            lists
        };
        let ones = by_signature(&self.one_numbers, self.signatures);
        let manys = by_signature(&self.many_numbers, self.signatures);
        self.check_duplicates(&ones)?;
        for number in 0..self.signatures {
            self.inputs.query.check_abandoned()?;
            self.join_group(&manys[number], &ones[number]);
        }
        if let Some((_, error)) = self.failure.take() {
            return Err(error);
        }
        for (_, note) in std::mem::take(&mut self.notes).into_values() {
            self.inputs.query.annotate(note);
        }
        let mut out = BatchBuilder::new(self.node.steps, self.rows.len());
        for row in &self.rows {
            let histograms = (!row.histograms.is_empty()).then_some(row.histograms.as_slice());
            out.push_row(&row.labels, row.drop_name, &row.floats, histograms);
            if !out.last_has_values() {
                out.pop();
            }
        }
        Ok(out.finish())
    }

    /// Two series of the "one" side with the same signature at the same step: of the first such step, the series that
    /// comes first in the side's order.
    fn check_duplicates(&mut self, ones: &[Vec<usize>]) -> Result<(), QueryError> {
        let crowded: Vec<&Vec<usize>> = ones.iter().filter(|rows| rows.len() > 1).collect();
        if crowded.is_empty() {
            return Ok(());
        }
        for step in 0..self.node.steps {
            self.inputs.query.check_abandoned()?;
            let pair = |rows: &&Vec<usize>| {
                let mut present = rows.iter().copied().filter(|row| self.one.is_present(*row, step));
                let (known, new) = (present.next()?, present.next()?);
                Some((new, known))
            };
            let Some((new, known)) = crowded.iter().filter_map(pair).min() else { continue };
            if !self.node.has_partner(self.many, step) {
                continue;
            }
            let show = |row: usize| label_bytes::show(self.one.labels(row));
            let mut pair = [show(known), show(new)];
            pair.sort();
            let [a, b] = pair;
            let mut group = Vec::new();
            self.node.match_labels(self.one.labels(new), &mut group);
            let side = if self.swapped { "left" } else { "right" };
            let error = QueryError::Execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side",
                label_bytes::show(&group)
            ));
            self.fail((step, Stage::Duplicates, 0), error);
            break;
        }
        Ok(())
    }

    /// The pairs of one match group.
    fn join_group(&mut self, manys: &[usize], ones: &[usize]) {
        let fills = self.node.matching.fill;
        // as in Prometheus, "left" is the many side here, wherever it is written
        let (many_fill, one_fill) = (fills.lhs, fills.rhs);
        let mut simple = manys.len() == 1 && ones.len() == 1 && many_fill.is_none() && one_fill.is_none();
        simple &= manys.iter().all(|m| self.many.histograms(*m).is_none());
        simple &= ones.iter().all(|o| self.one.histograms(*o).is_none());
        simple &= arithmetic(self.node.op, 0.0, 0.0).is_some() || compare(self.node.op, 0.0, 0.0).is_some();
        if simple {
            self.join_pair(manys[0], ones[0]);
            return;
        }
        let mut labels: HashMap<(usize, usize), usize> = HashMap::new();
        for step in 0..self.node.steps {
            let one = ones.iter().copied().find(|row| self.one.is_present(*row, step));
            let mut matched: HashSet<usize> = HashSet::new();
            for many in manys.iter().copied() {
                let Some(left) = self.many.element(many, step) else { continue };
                let (right, right_labels) = match (one, one_fill) {
                    (Some(one), _) => {
                        let Some(element) = self.one.element(one, step) else { continue };
                        (element, Some(one))
                    }
                    (None, Some(fill)) => (Element::Float(fill), None),
                    (None, None) => continue,
                };
                let key = (many, right_labels.unwrap_or(usize::MAX));
                let row = match labels.get(&key) {
                    Some(row) => *row,
                    None => {
                        let mut group = Vec::new();
                        self.node.match_labels(self.many.labels(many), &mut group);
                        let right = right_labels.map_or(group.as_slice(), |one| self.one.labels(one));
                        let made = self.result_labels(self.many.labels(many), right);
                        let row = self.row(made, self.node.return_bool);
                        labels.insert(key, row);
                        row
                    }
                };
                self.emit(row, (step, many), &left, &right, &mut matched);
            }
            if let (Some(fill), Some(one)) = (many_fill, one)
                && matched.is_empty()
            {
                let Some(right) = self.one.element(one, step) else { continue };
                let key = (usize::MAX, one);
                let row = match labels.get(&key) {
                    Some(row) => *row,
                    None => {
                        let mut group = Vec::new();
                        self.node.match_labels(self.one.labels(one), &mut group);
                        let made = self.result_labels(&group, self.one.labels(one));
                        let row = self.row(made, self.node.return_bool);
                        labels.insert(key, row);
                        row
                    }
                };
                // after all that have a partner
                let pair = self.many.len() + one;
                self.emit(row, (step, pair), &Element::Float(fill), &right, &mut matched);
            }
        }
    }

    /// One series on each side, floats only.
    fn join_pair(&mut self, many: usize, one: usize) {
        let labels = self.result_labels(self.many.labels(many), self.one.labels(one));
        let row = self.row(labels, self.node.return_bool);
        let (many, one) = (self.many.floats(many), self.one.floats(one));
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let op = self.node.op;
        let return_bool = self.node.return_bool;
        let mut taken = None;
        let out = &mut self.rows[row].floats;
        for (step, ((out, l), r)) in out.iter_mut().zip(left).zip(right).enumerate() {
            if is_absent(*l) || is_absent(*r) {
                continue;
            }
            let value = if let Some(v) = arithmetic(op, *l, *r) {
                v
            } else {
                match compare(op, *l, *r) {
                    Some(keep) if return_bool => f64::from(u8::from(keep)),
                    Some(true) => *l,
                    _ => continue,
                }
            };
            if !is_absent(*out) {
                taken = Some(step);
                break;
            }
            *out = value;
        }
        if let Some(step) = taken {
            self.fail((step, Stage::Result, 0), duplicate_series());
        }
    }

    fn emit(
        &mut self,
        row: usize,
        (step, pair): (usize, usize),
        many: &Element,
        one: &Element,
        matched: &mut HashSet<usize>,
    ) {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let outcome = match apply(self.node.op, left, right, self.node.pos) {
            Ok(outcome) => outcome,
            Err(note) => {
                self.note(step, pair, note);
                return;
            }
        };
        if let Some(note) = outcome.note {
            self.note(step, pair, note);
        }
        let again = if self.is_one_to_one() {
            let again = !matched.is_empty();
            matched.insert(row);
            again.then_some("many-to-one matching must be explicit (group_left/group_right)")
        } else {
            (!matched.insert(row)).then_some("grouping labels must ensure unique matches")
        };
        if let Some(why) = again {
            let error = QueryError::Execution(format!("multiple matches for labels: {why}"));
            return self.fail((step, Stage::Pairs, pair), error);
        }
        let value = if self.node.return_bool {
            Element::Float(f64::from(u8::from(outcome.keep)))
        } else if outcome.keep {
            outcome.value
        } else {
            return;
        };
        let out = &mut self.rows[row];
        let taken = !is_absent(out.floats[step]) || out.histograms.get(step).is_some_and(Option::is_some);
        if taken {
            return self.fail((step, Stage::Result, 0), duplicate_series());
        }
        match value {
            Element::Float(v) => out.floats[step] = v,
            Element::Histogram(h) => {
                out.histograms.resize(self.node.steps, None);
                out.histograms[step] = Some(h);
            }
        }
    }
}

impl Binary {
    /// The labels of a match group, as Prometheus shows them.
    fn match_labels(&self, labels: &[u8], out: &mut Vec<u8>) {
        let listed = |n: &str| self.matching.labels.iter().any(|l| l == n);
        if self.matching.on {
            filter_into(labels, out, listed);
        } else {
            filter_into(labels, out, |n| n != METRIC_NAME && !listed(n));
        }
    }

    /// Whether the other side has anything at the step: otherwise nothing is checked.
    fn has_partner(&self, other: &Side<'_>, step: usize) -> bool {
        let fill = self.matching.fill;
        fill.lhs.is_some() || fill.rhs.is_some() || (0..other.len()).any(|row| other.is_present(row, step))
    }
}
