//! States of float aggregations: groups × steps, merged value by value.

use crate::ast::AggregateOp;
use crate::exec::batch::{ABSENT, is_absent};
use crate::kahan;

/// The states of all groups. Three columns suffice for every aggregation:
///
/// | aggregation | a | b | c |
/// |---|---|---|---|
/// | sum | sum | compensation | – |
/// | avg | sum (mean, once the sum would overflow) | compensation | count, negative for a mean |
/// | count | count | – | – |
/// | min, max | extreme | – | – |
/// | group | 1 | – | – |
/// | stddev, stdvar | mean | sum of squared distances | count |
///
/// `a` is absent where a group has no float.
#[derive(Debug, Clone)]
pub(crate) struct FloatStates {
    op: AggregateOp,
    steps: usize,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub c: Vec<f64>,
}

impl FloatStates {
    /// No groups yet.
    pub(crate) fn new(op: AggregateOp, steps: usize) -> Self {
        FloatStates { op, steps, a: Vec::new(), b: Vec::new(), c: Vec::new() }
    }

    fn uses_b(&self) -> bool {
        matches!(self.op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar)
    }

    fn uses_c(&self) -> bool {
        matches!(self.op, AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        (self.a.capacity() + self.b.capacity() + self.c.capacity()) * 8
    }

    /// Bytes that `groups` more take.
    pub(crate) fn bytes_of(&self, groups: usize) -> usize {
        let columns = 1 + usize::from(self.uses_b()) + usize::from(self.uses_c());
        groups * self.steps * columns * 8
    }

    /// Whether the group has a float at the step.
    pub(crate) fn has(&self, group: usize, step: usize) -> bool {
        !is_absent(self.a[group * self.steps + step])
    }

    /// Adds a group.
    pub(crate) fn grow(&mut self) {
        self.a.resize(self.a.len() + self.steps, ABSENT);
        if self.uses_b() {
            self.b.resize(self.a.len(), 0.0);
        }
        if self.uses_c() {
            self.c.resize(self.a.len(), 0.0);
        }
    }

    /// Folds a series in, whose values begin at step `from`.
    pub(crate) fn add(&mut self, group: usize, from: usize, row: &[f64]) {
        let start = group * self.steps + from;
        let range = start..start + row.len();
        match self.op {
            AggregateOp::Sum => {
                let (sums, compensations) = (&mut self.a[range.clone()], &mut self.b[range]);
                kahan::add_all(row, sums, compensations, ABSENT.to_bits());
            }
            AggregateOp::Count => {
                for (count, v) in self.a[range].iter_mut().zip(row) {
                    if !is_absent(*v) {
                        *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
                    }
                }
            }
            AggregateOp::Group => {
                for (one, v) in self.a[range].iter_mut().zip(row) {
                    if !is_absent(*v) {
                        *one = 1.0;
                    }
                }
            }
            AggregateOp::Min => {
                for (best, v) in self.a[range].iter_mut().zip(row) {
                    if !is_absent(*v) && (best.is_nan() || *best > *v) {
                        // an absent value is a NaN too
                        *best = *v;
                    }
                }
            }
            AggregateOp::Max => {
                for (best, v) in self.a[range].iter_mut().zip(row) {
                    if !is_absent(*v) && (best.is_nan() || *best < *v) {
                        *best = *v;
                    }
                }
            }
            _ => {
                for (i, v) in range.zip(row) {
                    if !is_absent(*v) {
                        self.add_one(i, *v);
                    }
                }
            }
        }
    }

    /// One value of `avg`, `stddev`, `stdvar`.
    fn add_one(&mut self, i: usize, v: f64) {
        let (a, b, c) = (&mut self.a[i], &mut self.b[i], &mut self.c[i]);
        if is_absent(*a) {
            *a = v;
            *c = 1.0;
            let is_variance = self.op != AggregateOp::Avg;
            *b = if is_variance && !v.is_finite() { f64::NAN } else { 0.0 };
            return;
        }
        if self.op != AggregateOp::Avg {
            *c += 1.0;
            let delta = v - *a;
            *a += delta / *c;
            *b += delta * (v - *a);
            return;
        }
        if *c > 0.0 {
            let (mut sum, mut compensation) = (*a, *b);
            kahan::add(v, &mut sum, &mut compensation);
            if !sum.is_infinite() {
                (*a, *b) = (sum, compensation);
                *c += 1.0;
                return;
            }
            *a /= *c;
            *b /= *c;
            *c = -*c;
        }
        *c -= 1.0;
        let count = -*c;
        let q = (count - 1.0) / count;
        *a *= q;
        *b *= q;
        kahan::add(v / count, a, b);
    }

    /// Folds the states of another part in.
    pub(crate) fn merge(&mut self, group: usize, a: &[f64], b: &[f64], c: &[f64]) {
        let from = group * self.steps;
        for step in 0..self.steps {
            let i = from + step;
            let other = a[step];
            if is_absent(other) {
                continue;
            }
            let mine = self.a[i];
            if is_absent(mine) {
                self.a[i] = other;
                if self.uses_b() {
                    self.b[i] = b[step];
                }
                if self.uses_c() {
                    self.c[i] = c[step];
                }
                continue;
            }
            match self.op {
                AggregateOp::Sum => {
                    kahan::add(other, &mut self.a[i], &mut self.b[i]);
                    if !self.a[i].is_infinite() {
                        self.b[i] += b[step];
                    }
                }
                AggregateOp::Count => self.a[i] = mine + other,
                AggregateOp::Group => {}
                AggregateOp::Min => {
                    if mine.is_nan() || mine > other {
                        self.a[i] = other;
                    }
                }
                AggregateOp::Max => {
                    if mine.is_nan() || mine < other {
                        self.a[i] = other;
                    }
                }
                AggregateOp::Avg => self.merge_avg(i, other, b[step], c[step]),
                _ => {
                    let (n, m) = (self.c[i], c[step]);
                    let delta = other - mine;
                    let total = n + m;
                    self.a[i] = mine + delta * m / total;
                    self.b[i] += b[step] + delta * delta * n * m / total;
                    self.c[i] = total;
                }
            }
        }
    }

    fn merge_avg(&mut self, i: usize, a: f64, b: f64, c: f64) {
        let (mine, count) = (self.a[i], self.c[i]);
        if count > 0.0 && c > 0.0 {
            let (mut sum, mut compensation) = (mine, self.b[i]);
            kahan::add(a, &mut sum, &mut compensation);
            if !sum.is_infinite() {
                self.a[i] = sum;
                self.b[i] = compensation + b;
                self.c[i] = count + c;
                return;
            }
        }
        let mean = |a: f64, b: f64, c: f64| if c > 0.0 { a / c + b / c } else { a + b };
        let (left, right) = (mean(mine, self.b[i], count), mean(a, b, c));
        let (n, m) = (count.abs(), c.abs());
        self.a[i] = left * (n / (n + m)) + right * (m / (n + m));
        self.b[i] = 0.0;
        self.c[i] = -(n + m);
    }

    /// The values of a group.
    pub(crate) fn finish(&self, group: usize, out: &mut [f64]) {
        let from = group * self.steps;
        for (step, out) in out.iter_mut().enumerate() {
            let i = from + step;
            let a = self.a[i];
            *out = if is_absent(a) {
                ABSENT
            } else {
                match self.op {
                    AggregateOp::Sum => a + self.b[i],
                    AggregateOp::Avg if self.c[i] < 0.0 => a + self.b[i],
                    AggregateOp::Avg => a / self.c[i] + self.b[i] / self.c[i],
                    AggregateOp::Stdvar => self.b[i] / self.c[i],
                    AggregateOp::Stddev => (self.b[i] / self.c[i]).sqrt(),
                    _ => a,
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPS: [AggregateOp; 8] = [
        AggregateOp::Sum,
        AggregateOp::Avg,
        AggregateOp::Count,
        AggregateOp::Min,
        AggregateOp::Max,
        AggregateOp::Group,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
    ];

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![4 => -1e6..1e6f64, 1 => Just(ABSENT), 1 => Just(0.0), 1 => Just(f64::NAN)]
    }

    fn fold(op: AggregateOp, values: &[f64]) -> FloatStates {
        let mut states = FloatStates::new(op, 1);
        states.grow();
        for v in values {
            states.add(0, 0, &[*v]);
        }
        states
    }

    proptest! {
        #[test]
        fn parts_merge_to_the_whole(
            values in proptest::collection::vec(value(), 0..40),
            cut in 0usize..40,
            which in 0usize..8,
        ) {
            let op = OPS[which];
            let cut = cut.min(values.len());
            let mut left = fold(op, &values[..cut]);
            let right = fold(op, &values[cut..]);
            left.merge(0, &right.a, &right.b, &right.c);
            let (mut merged, mut whole) = ([0.0], [0.0]);
            left.finish(0, &mut merged);
            fold(op, &values).finish(0, &mut whole);
            let (m, w) = (merged[0], whole[0]);
            prop_assert_eq!(is_absent(m), is_absent(w));
            prop_assert!(m == w || (m.is_nan() && w.is_nan()) || (m - w).abs() <= 1e-9 * w.abs().max(1e-3), "{} {}", m, w);
        }
    }

    #[test]
    fn an_average_that_would_overflow_does_not() {
        let mut out = [0.0];
        fold(AggregateOp::Avg, &[f64::MAX, f64::MAX, f64::MAX]).finish(0, &mut out);
        assert!((out[0] / f64::MAX - 1.0).abs() < 1e-12);
    }
}
