//! Chunks of native histograms: the buckets once, then each histogram as what changed.

use model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, IntHistogram, Span, TimestampMs};

use super::bits::Bits;
use super::varbit::{put_int, put_uint};
use super::xor::Xor;

/// Bounds of custom buckets up to here are told in thousandths.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

/// Whether `h` can stand in one chunk behind `before`.
pub(super) fn goes_on(before: &FloatHistogram, h: &FloatHistogram) -> bool {
    let hint = |h: &FloatHistogram| h.counter_reset_hint;
    // the chunk tells of its first histogram alone whether there was a reset
    let gauge = hint(before) == CounterResetHint::Gauge;
    let continues = match hint(h) {
        CounterResetHint::Gauge => gauge,
        CounterResetHint::NotReset => !gauge,
        CounterResetHint::Unknown | CounterResetHint::Reset => false,
    };
    // a staleness marker has no buckets
    continues
        && !h.is_stale()
        && !before.is_stale()
        && h.schema == before.schema
        && h.zero_threshold.to_bits() == before.zero_threshold.to_bits()
        && h.positive_spans == before.positive_spans
        && h.negative_spans == before.negative_spans
        && h.custom_values == before.custom_values
}

/// Writes one chunk.
pub(super) struct Writer<S> {
    out: Bits,
    count: u16,
    t: TimestampMs,
    delta: i64,
    state: Option<S>,
}

/// The numbers of one kind of histogram.
pub(super) trait Encode {
    /// What is kept of the histogram before.
    type State;
    /// Writes the first histogram of a chunk. Of a staleness marker the sum alone.
    fn first(&self, stale: bool, out: &mut Bits) -> Self::State;
    /// Writes the next, which has the same buckets.
    fn next(&self, state: &mut Self::State, out: &mut Bits);
}

impl<S> Writer<S> {
    /// Begins a chunk whose first histogram has this hint.
    pub(super) fn new(hint: CounterResetHint) -> Self {
        let flags = match hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::NotReset => 0b0100_0000,
            CounterResetHint::Reset => 0b1000_0000,
            CounterResetHint::Gauge => 0b1100_0000,
        };
        Writer { out: Bits::after(vec![0, 0, flags]), count: 0, t: 0, delta: 0, state: None }
    }

    /// Adds a histogram: `layout` has its buckets, `value` its numbers.
    pub(super) fn push(&mut self, t: TimestampMs, layout: &FloatHistogram, value: &impl Encode<State = S>) {
        self.count += 1;
        match &mut self.state {
            None => {
                put_layout(&mut self.out, layout);
                put_int(&mut self.out, t);
                self.state = Some(value.first(layout.is_stale(), &mut self.out));
            }
            Some(state) => {
                let delta = t.wrapping_sub(self.t);
                put_int(&mut self.out, delta.wrapping_sub(self.delta));
                self.delta = delta;
                value.next(state, &mut self.out);
            }
        }
        self.t = t;
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = self.out.into_bytes();
        bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }
}

fn put_layout(out: &mut Bits, h: &FloatHistogram) {
    if h.is_stale() {
        // zero threshold, schema, no spans
        out.bits(0, 8);
        return out.bits(0, 3);
    }
    put_zero_threshold(out, h.zero_threshold);
    put_int(out, i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        put_spans(out, spans);
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_uint(out, h.custom_values.len() as u64);
        h.custom_values.iter().for_each(|bound| put_bound(out, *bound));
    }
}

fn put_spans(out: &mut Bits, spans: &[Span]) {
    put_uint(out, spans.len() as u64);
    for span in spans {
        put_uint(out, u64::from(span.length));
        put_int(out, i64::from(span.offset));
    }
}

/// One byte for zero and for powers of two from 2^-243 to 2^10, else nine.
fn put_zero_threshold(out: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        return out.bits(0, 8);
    }
    let bits = threshold.to_bits();
    // sign and exponent of a power of two: nothing else is set
    let exponent = (bits >> 52) as i64 - 1023;
    if bits << 12 == 0 && (-243..=10).contains(&exponent) {
        return out.bits((exponent + 244) as u64, 8);
    }
    out.bits(255, 8);
    out.double(threshold);
}

fn put_bound(out: &mut Bits, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    // not for minus zero either
    let fits = bound.is_sign_positive() && bound * 1000.0 <= THOUSANDTHS_MAX;
    if fits && (thousandths / 1000.0).to_bits() == bound.to_bits() {
        return put_uint(out, thousandths as u64 + 1);
    }
    out.bit(false);
    out.double(bound);
}

/// A whole number, its change, written as the change of its change.
#[derive(Debug, Clone, Copy)]
struct Change {
    value: i64,
    delta: i64,
}

impl Change {
    fn new(value: i64) -> Self {
        Change { value, delta: 0 }
    }

    fn put(&mut self, out: &mut Bits, value: i64) {
        let delta = value.wrapping_sub(self.value);
        put_int(out, delta.wrapping_sub(self.delta));
        *self = Change { value, delta };
    }
}

/// What is kept of whole numbers.
pub(super) struct IntState {
    count: Change,
    zero_count: Change,
    sum: Xor,
    buckets: Vec<Change>,
}

impl Encode for IntHistogram {
    type State = IntState;

    fn first(&self, stale: bool, out: &mut Bits) -> IntState {
        let (count, zero_count) = if stale { (0, 0) } else { (self.count, self.zero_count) };
        put_uint(out, count);
        put_uint(out, zero_count);
        out.double(self.sum);
        let buckets = self.positive_deltas.iter().chain(&self.negative_deltas);
        let buckets: Vec<Change> = buckets.filter(|_| !stale).map(|b| Change::new(*b)).collect();
        buckets.iter().for_each(|b| put_int(out, b.value));
        IntState {
            count: Change::new(count as i64),
            zero_count: Change::new(zero_count as i64),
            sum: Xor::new(self.sum),
            buckets,
        }
    }

    fn next(&self, state: &mut IntState, out: &mut Bits) {
        state.count.put(out, self.count as i64);
        state.zero_count.put(out, self.zero_count as i64);
        state.sum.put(out, self.sum);
        let buckets = self.positive_deltas.iter().chain(&self.negative_deltas);
        state.buckets.iter_mut().zip(buckets).for_each(|(state, b)| state.put(out, *b));
    }
}

/// What is kept of floats.
pub(super) struct FloatState {
    count: Xor,
    zero_count: Xor,
    sum: Xor,
    buckets: Vec<Xor>,
}

impl Encode for &FloatHistogram {
    type State = FloatState;

    fn first(&self, stale: bool, out: &mut Bits) -> FloatState {
        let (count, zero_count) = if stale { (0.0, 0.0) } else { (self.count, self.zero_count) };
        [count, zero_count, self.sum].iter().for_each(|v| out.double(*v));
        let buckets = self.positive_buckets.iter().chain(&self.negative_buckets);
        let buckets: Vec<f64> = buckets.filter(|_| !stale).copied().collect();
        buckets.iter().for_each(|b| out.double(*b));
        FloatState {
            count: Xor::new(count),
            zero_count: Xor::new(zero_count),
            sum: Xor::new(self.sum),
            buckets: buckets.into_iter().map(Xor::new).collect(),
        }
    }

    fn next(&self, state: &mut FloatState, out: &mut Bits) {
        state.count.put(out, self.count);
        state.zero_count.put(out, self.zero_count);
        state.sum.put(out, self.sum);
        let buckets = self.positive_buckets.iter().chain(&self.negative_buckets);
        state.buckets.iter_mut().zip(buckets).for_each(|(state, b)| state.put(out, *b));
    }
}
