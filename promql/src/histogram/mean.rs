//! Sums and averages of many histograms, compensated, mergeable.

use std::sync::Arc;

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram};

use super::add::{Incompatible, beyond, map_custom, merge_hints, widened_zero};
use super::buckets::{Side, exponential_bound, from_side, side_of, target_index};
use super::wire::{Cursor, Malformed, get_floats, put_count, put_f64, put_floats};
use super::{same_bounds, shared_bounds};
use crate::kahan;

/// A sum and its compensation.
type Pair = (f64, f64);

/// A histogram whose every number carries a compensation.
#[derive(Debug, Clone)]
struct Compensated {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: Pair,
    count: Pair,
    sum: Pair,
    positive: Vec<(i32, Pair)>,
    negative: Vec<(i32, Pair)>,
    custom_values: Arc<[f64]>,
}

fn lift(side: Side) -> Vec<(i32, Pair)> {
    side.into_iter().map(|(i, v)| (i, (v, 0.0))).collect()
}

fn plain(side: &[(i32, Pair)]) -> Side {
    side.iter().map(|(i, (v, c))| (*i, v + c)).collect()
}

fn add_pair(into: &mut Pair, value: f64) {
    kahan::add(value, &mut into.0, &mut into.1);
}

fn reduce_pairs(side: Vec<(i32, Pair)>, from: i32, to: i32) -> Vec<(i32, Pair)> {
    let mut out: Vec<(i32, Pair)> = Vec::with_capacity(side.len());
    for (index, pair) in side {
        let target = target_index(index, from, to);
        match out.last_mut() {
            Some((last, sum)) if *last == target => {
                add_pair(sum, pair.0);
                add_pair(sum, pair.1);
            }
            _ => out.push((target, pair)),
        }
    }
    out
}

fn merge_pairs(mine: Vec<(i32, Pair)>, theirs: &[(i32, f64)]) -> Vec<(i32, Pair)> {
    let mut out = Vec::with_capacity(mine.len().max(theirs.len()));
    let mut theirs = theirs.iter().peekable();
    for (index, mut pair) in mine {
        while let Some((i, v)) = theirs.next_if(|(i, _)| *i < index) {
            out.push((*i, (*v, 0.0)));
        }
        if let Some((_, v)) = theirs.next_if(|(i, _)| *i == index) {
            add_pair(&mut pair, *v);
        }
        out.push((index, pair));
    }
    out.extend(theirs.map(|(i, v)| (*i, (*v, 0.0))));
    out
}

impl Compensated {
    fn new(h: &FloatHistogram) -> Self {
        Compensated {
            hint: h.counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero: (h.zero_count, 0.0),
            count: (h.count, 0.0),
            sum: (h.sum, 0.0),
            positive: lift(side_of(&h.positive_spans, &h.positive_buckets)),
            negative: lift(side_of(&h.negative_spans, &h.negative_buckets)),
            custom_values: Arc::clone(&h.custom_values),
        }
    }

    fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Adds; true when bounds had to be reconciled.
    fn add(&mut self, h: &FloatHistogram) -> Result<bool, Incompatible> {
        if self.is_custom() != (h.schema == CUSTOM_BUCKETS_SCHEMA) {
            return Err(Incompatible);
        }
        merge_hints(&mut self.hint, h.counter_reset_hint);
        add_pair(&mut self.count, h.count);
        add_pair(&mut self.sum, h.sum);
        let mut positive = side_of(&h.positive_spans, &h.positive_buckets);
        if self.is_custom() {
            return Ok(self.add_custom(h, &positive));
        }
        let mut negative = side_of(&h.negative_spans, &h.negative_buckets);
        let (mut zero, mut threshold) = (h.zero_count, h.zero_threshold);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (zero, threshold) = widened_zero(
                    h.zero_count,
                    h.zero_threshold,
                    h.schema,
                    [&positive, &negative],
                    self.zero_threshold,
                );
            }
            if threshold > self.zero_threshold {
                self.widen(threshold);
            }
        }
        add_pair(&mut self.zero, zero);
        let schema = self.schema.min(h.schema);
        if self.schema > schema {
            self.positive = reduce_pairs(std::mem::take(&mut self.positive), self.schema, schema);
            self.negative = reduce_pairs(std::mem::take(&mut self.negative), self.schema, schema);
            self.schema = schema;
        }
        if h.schema > schema {
            positive = super::buckets::reduce(&positive, h.schema, schema);
            negative = super::buckets::reduce(&negative, h.schema, schema);
        }
        let positive = beyond(&positive, schema, self.zero_threshold);
        self.positive = merge_pairs(std::mem::take(&mut self.positive), positive);
        let negative = beyond(&negative, schema, self.zero_threshold);
        self.negative = merge_pairs(std::mem::take(&mut self.negative), negative);
        Ok(false)
    }

    /// Adds what another has summed; true when bounds had to be reconciled.
    fn join(&mut self, other: &Compensated) -> Result<bool, Incompatible> {
        let (values, compensations) = other.split();
        let mut reconciled = self.add(&values)?;
        if let Some(compensations) = compensations {
            reconciled |= self.add(&compensations)?;
        }
        Ok(reconciled)
    }

    /// The sums and, unless all are zero, their compensations.
    fn split(&self) -> (FloatHistogram, Option<FloatHistogram>) {
        let of = |part: fn(&Pair) -> f64| {
            let side =
                |side: &[(i32, Pair)]| -> Side { side.iter().map(|(i, pair)| (*i, part(pair))).collect() };
            let (positive_spans, positive_buckets) = from_side(&side(&self.positive));
            let (negative_spans, negative_buckets) = from_side(&side(&self.negative));
            FloatHistogram {
                counter_reset_hint: self.hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: part(&self.zero),
                count: part(&self.count),
                sum: part(&self.sum),
                positive_spans,
                negative_spans,
                positive_buckets,
                negative_buckets,
                custom_values: Arc::clone(&self.custom_values),
            }
        };
        let compensated = |pair: &Pair| pair.1 != 0.0;
        let any = compensated(&self.zero)
            || compensated(&self.count)
            || compensated(&self.sum)
            || self.positive.iter().chain(&self.negative).any(|(_, pair)| compensated(pair));
        (of(|pair| pair.0), any.then(|| of(|pair| pair.1)))
    }

    /// From what `split` gave; `None` when the two do not have the same buckets.
    fn of_split(values: &FloatHistogram, compensations: Option<&FloatHistogram>) -> Option<Self> {
        let mut all = Self::new(values);
        let Some(other) = compensations else { return Some(all) };
        if other.positive_spans != values.positive_spans || other.negative_spans != values.negative_spans {
            return None;
        }
        all.zero.1 = other.zero_count;
        all.count.1 = other.count;
        all.sum.1 = other.sum;
        for ((_, pair), c) in all.positive.iter_mut().zip(&other.positive_buckets) {
            pair.1 = *c;
        }
        for ((_, pair), c) in all.negative.iter_mut().zip(&other.negative_buckets) {
            pair.1 = *c;
        }
        Some(all)
    }

    fn widen(&mut self, threshold: f64) {
        let (positive, negative) = (plain(&self.positive), plain(&self.negative));
        let zero = self.zero.0 + self.zero.1;
        let (zero, threshold) =
            widened_zero(zero, self.zero_threshold, self.schema, [&positive, &negative], threshold);
        self.zero = (zero, 0.0);
        self.zero_threshold = threshold;
        let schema = self.schema;
        let outside =
            |(index, _): &(i32, Pair)| exponential_bound(index.wrapping_sub(1), schema) >= threshold;
        self.positive.retain(outside);
        self.negative.retain(outside);
    }

    fn add_custom(&mut self, h: &FloatHistogram, side: &Side) -> bool {
        if same_bounds(&self.custom_values, &h.custom_values) {
            self.positive = merge_pairs(std::mem::take(&mut self.positive), side);
            return false;
        }
        let bounds = shared_bounds(&self.custom_values, &h.custom_values);
        let mut counts = vec![(0.0, 0.0); bounds.len() + 1];
        let values: Side = self.positive.iter().map(|(i, (v, _))| (*i, *v)).collect();
        let compensations: Side = self.positive.iter().map(|(i, (_, c))| (*i, *c)).collect();
        map_custom(&values, &self.custom_values, &bounds, 1.0, &mut counts);
        map_custom(&compensations, &self.custom_values, &bounds, 1.0, &mut counts);
        map_custom(side, &h.custom_values, &bounds, 1.0, &mut counts);
        self.positive = counts
            .into_iter()
            .enumerate()
            .filter(|(_, (v, c))| *v != 0.0 || *c != 0.0)
            .map(|(i, pair)| (i as i32, pair))
            .collect();
        self.custom_values = bounds;
        true
    }

    fn each(&mut self, f: impl Fn(&mut Pair)) {
        f(&mut self.zero);
        f(&mut self.count);
        f(&mut self.sum);
        self.positive.iter_mut().for_each(|(_, pair)| f(pair));
        self.negative.iter_mut().for_each(|(_, pair)| f(pair));
    }

    fn overflows(&self) -> bool {
        let infinite = |pair: &Pair| pair.0.is_infinite();
        infinite(&self.zero)
            || infinite(&self.count)
            || infinite(&self.sum)
            || self.positive.iter().chain(&self.negative).any(|(_, pair)| infinite(pair))
    }

    /// Whether adding could overflow soon.
    fn is_huge(&self) -> bool {
        let huge = |pair: &Pair| pair.0.abs() > 1e300;
        huge(&self.zero)
            || huge(&self.count)
            || huge(&self.sum)
            || self.positive.iter().chain(&self.negative).any(|(_, pair)| huge(pair))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.hint as u8);
        out.extend_from_slice(&self.schema.to_le_bytes());
        put_f64(self.zero_threshold, out);
        for pair in [self.zero, self.count, self.sum] {
            put_f64(pair.0, out);
            put_f64(pair.1, out);
        }
        for side in [&self.positive, &self.negative] {
            put_count(side.len(), out);
            for (index, pair) in side {
                out.extend_from_slice(&index.to_le_bytes());
                put_f64(pair.0, out);
                put_f64(pair.1, out);
            }
        }
        put_floats(&self.custom_values, out);
    }

    fn get(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let pair = |from: &mut Cursor<'_>| -> Result<Pair, Malformed> { Ok((from.f64()?, from.f64()?)) };
        let side = |from: &mut Cursor<'_>| -> Result<Vec<(i32, Pair)>, Malformed> {
            (0..from.count(20)?).map(|_| Ok((from.i32()?, pair(from)?))).collect()
        };
        Ok(Compensated {
            hint: CounterResetHint::from_wire(u64::from(from.u8()?)),
            schema: from.i32()?,
            zero_threshold: from.threshold()?,
            zero: pair(from)?,
            count: pair(from)?,
            sum: pair(from)?,
            positive: side(from)?,
            negative: side(from)?,
            custom_values: Arc::from(get_floats(from)?),
        })
    }

    fn finish(self, divide_by: f64) -> FloatHistogram {
        let value = |(v, c): Pair| {
            if divide_by == 1.0 {
                if v.is_infinite() { v } else { v + c }
            } else {
                v / divide_by + c / divide_by
            }
        };
        let side = |side: &[(i32, Pair)]| -> Side { side.iter().map(|(i, p)| (*i, value(*p))).collect() };
        let (positive_spans, positive_buckets) = from_side(&side(&self.positive));
        let (negative_spans, negative_buckets) = from_side(&side(&self.negative));
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: value(self.zero),
            count: value(self.count),
            sum: value(self.sum),
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values,
        }
    }
}

/// The sum or the mean of histograms.
#[derive(Debug, Clone)]
pub(crate) struct MeanState {
    value: Compensated,
    count: f64,
    is_mean: bool,
    /// The value is a mean already: the sum would have overflowed.
    incremental: bool,
    reset_seen: bool,
    not_reset_seen: bool,
    reconciled: bool,
}

/// A `MeanState` laid open, for the wire.
#[derive(Debug, Clone)]
pub(crate) struct MeanParts {
    pub values: FloatHistogram,
    /// Buckets as in `values`; `None` when all are zero.
    pub compensations: Option<FloatHistogram>,
    pub count: f64,
    /// Whether the values are a mean already.
    pub incremental: bool,
    pub reset_seen: bool,
    pub not_reset_seen: bool,
    pub reconciled: bool,
}

impl MeanState {
    /// Bytes held beside the state itself, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let buckets = self.value.positive.capacity() + self.value.negative.capacity();
        buckets * size_of::<(i32, Pair)>()
    }

    /// Of one histogram.
    pub(crate) fn new(h: &FloatHistogram, is_mean: bool) -> Self {
        MeanState {
            value: Compensated::new(h),
            count: 1.0,
            is_mean,
            incremental: false,
            reset_seen: h.counter_reset_hint == CounterResetHint::Reset,
            not_reset_seen: h.counter_reset_hint == CounterResetHint::NotReset,
            reconciled: false,
        }
    }

    /// Adds a histogram.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Result<(), Incompatible> {
        self.reset_seen |= h.counter_reset_hint == CounterResetHint::Reset;
        self.not_reset_seen |= h.counter_reset_hint == CounterResetHint::NotReset;
        if !self.is_mean {
            self.reconciled |= self.value.add(h)?;
            self.count += 1.0;
            return Ok(());
        }
        if !self.incremental {
            let before = (self.value.is_huge() || Compensated::new(h).is_huge()).then(|| self.value.clone());
            self.reconciled |= self.value.add(h)?;
            match before {
                Some(before) if self.value.overflows() => {
                    self.value = before;
                    self.incremental = true;
                    let count = self.count;
                    self.value.each(|pair| {
                        pair.0 /= count;
                        pair.1 /= count;
                    });
                }
                _ => {
                    self.count += 1.0;
                    return Ok(());
                }
            }
        }
        self.count += 1.0;
        let count = self.count;
        let q = (count - 1.0) / count;
        self.value.each(|pair| {
            pair.0 *= q;
            pair.1 *= q;
        });
        let mut part = h.clone();
        super::divide(&mut part, count);
        self.reconciled |= self.value.add(&part)?;
        Ok(())
    }

    /// Adds the state of another part.
    pub(crate) fn merge(&mut self, other: &MeanState) -> Result<(), Incompatible> {
        self.reset_seen |= other.reset_seen;
        self.not_reset_seen |= other.not_reset_seen;
        self.reconciled |= other.reconciled;
        if !self.incremental && !other.incremental {
            let huge = self.is_mean && (self.value.is_huge() || other.value.is_huge());
            let before = huge.then(|| self.value.clone());
            self.reconciled |= self.value.join(&other.value)?;
            match before {
                Some(before) if self.value.overflows() => self.value = before,
                _ => {
                    self.count += other.count;
                    return Ok(());
                }
            }
        }
        let total = self.count + other.count;
        // the compensations go along: they are all that is left of what cancels
        let share = |state: &MeanState| {
            let by = if state.incremental { 1.0 } else { state.count };
            let mut value = state.value.clone();
            value.each(|pair| {
                pair.0 = pair.0 / by * (state.count / total);
                pair.1 = pair.1 / by * (state.count / total);
            });
            value
        };
        let theirs = share(other);
        self.value = share(self);
        self.reconciled |= self.value.join(&theirs)?;
        self.count = total;
        self.incremental = true;
        Ok(())
    }

    /// Appends the state as bytes.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.value.put(out);
        put_f64(self.count, out);
        let flags = [self.is_mean, self.incremental, self.reset_seen, self.not_reset_seen, self.reconciled];
        out.push(flags.iter().enumerate().fold(0, |bits, (i, flag)| bits | u8::from(*flag) << i));
    }

    /// Reads a state.
    pub(crate) fn get(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let (value, count, flags) = (Compensated::get(from)?, from.f64()?, from.u8()?);
        let flag = |i: u8| flags & 1 << i != 0;
        Ok(MeanState {
            value,
            count,
            is_mean: flag(0),
            incremental: flag(1),
            reset_seen: flag(2),
            not_reset_seen: flag(3),
            reconciled: flag(4),
        })
    }

    /// What it is made of.
    pub(crate) fn parts(&self) -> MeanParts {
        let (values, compensations) = self.value.split();
        MeanParts {
            values,
            compensations,
            count: self.count,
            incremental: self.incremental,
            reset_seen: self.reset_seen,
            not_reset_seen: self.not_reset_seen,
            reconciled: self.reconciled,
        }
    }

    /// From its parts; `None` when sums and compensations do not have the same buckets.
    pub(crate) fn of_parts(parts: &MeanParts, is_mean: bool) -> Option<Self> {
        Some(MeanState {
            value: Compensated::of_split(&parts.values, parts.compensations.as_ref())?,
            count: parts.count,
            is_mean,
            incremental: parts.incremental,
            reset_seen: parts.reset_seen,
            not_reset_seen: parts.not_reset_seen,
            reconciled: parts.reconciled,
        })
    }

    /// Whether "reset" and "no reset" met.
    pub(crate) fn has_reset_collision(&self) -> bool {
        self.reset_seen && self.not_reset_seen
    }

    /// Whether custom bounds differed.
    pub(crate) fn was_reconciled(&self) -> bool {
        self.reconciled
    }

    /// The sum or mean.
    pub(crate) fn finish(self) -> Option<FloatHistogram> {
        let by = if self.is_mean && !self.incremental { self.count } else { 1.0 };
        Some(self.value.finish(by))
    }
}
