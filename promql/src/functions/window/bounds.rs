//! Where the windows of a series lie among its samples.
//!
//! Of a regular series most windows hold as many samples as the one before, moved on by as many: these are known
//! without a look at timestamps.

use std::ops::Range;

/// The ends of windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub first: i64,
    /// How far each lies behind the one before; 0 when all are the same.
    pub distance: i64,
    pub count: usize,
}

impl Ends {
    /// The end of one window.
    #[inline(always)]
    pub(crate) fn at(self, step: usize) -> i64 {
        self.first + self.distance * step as i64
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i64> + Clone {
        (0..self.count).map(move |step| self.at(step))
    }
}

/// Windows that are alike but for where they lie.
#[derive(Debug, Clone)]
pub(crate) struct Even {
    /// Which they are.
    pub steps: Range<usize>,
    /// The first one's samples.
    pub lo: usize,
    pub hi: usize,
    /// By how many samples each lies behind the one before.
    pub stride: usize,
}

/// First sample and end of every window, as indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds {
    pub lo: Vec<u32>,
    pub hi: Vec<u32>,
    /// Known when the series is regular.
    pub even: Option<Even>,
}

/// The distance of all neighbours, if it is the same.
fn interval(ts: &[i64]) -> Option<i64> {
    let (first, second) = (ts.first()?, ts.get(1)?);
    let interval = second.wrapping_sub(*first);
    let pairs = ts.iter().zip(&ts[1..]);
    let others = pairs.fold(0, |others, (a, b)| others | (b.wrapping_sub(*a) ^ interval));
    (others == 0 && interval > 0).then_some(interval)
}

impl Bounds {
    /// Windows `(end - range, end]`. True when that took no look at single samples, so that keeping it saves nothing.
    pub(crate) fn compute(&mut self, ts: &[i64], ends: Ends, range: i64) -> bool {
        self.lo.clear();
        self.hi.clear();
        self.even = None;
        if let Some(interval) = interval(ts)
            && ends.distance % interval == 0
        {
            self.of_regular(ts, interval, ends, range);
            return true;
        }
        let (mut lo, mut hi) = (0usize, 0usize);
        for end in ends.iter() {
            let start = end - range;
            while lo < ts.len() && ts[lo] <= start {
                lo += 1;
            }
            hi = hi.max(lo);
            while hi < ts.len() && ts[hi] <= end {
                hi += 1;
            }
            self.lo.push(lo as u32);
            self.hi.push(hi as u32);
        }
        false
    }

    fn of_regular(&mut self, ts: &[i64], interval: i64, ends: Ends, range: i64) {
        let (count, n) = (ends.count as i64, ts.len() as i64);
        let stride = ends.distance / interval;
        // how many samples there were until then, had the series neither beginning nor end
        let until = |t: i64| (t - ts[0]).div_euclid(interval) + 1;
        let (lo, hi) = (until(ends.first - range), until(ends.first));
        let (from, to) = if stride == 0 {
            (if lo < 0 { count } else { 0 }, if hi > n { 0 } else { count })
        } else {
            let from = if lo < 0 { (-lo - 1) / stride + 1 } else { 0 };
            (from, if hi > n { 0 } else { (n - hi) / stride + 1 })
        };
        let from = from.min(count);
        let to = to.clamp(from, count);
        let cut = |bounds: &mut Self, steps: Range<i64>| {
            bounds.lo.extend(steps.clone().map(|i| (lo + stride * i).clamp(0, n) as u32));
            bounds.hi.extend(steps.map(|i| (hi + stride * i).clamp(0, n) as u32));
        };
        cut(self, 0..from);
        let (first_lo, first_hi) = (lo + stride * from, hi + stride * from);
        if from < to {
            let (stride, steps) = (stride as u32, 0..(to - from) as u32);
            self.lo.extend(steps.clone().map(|i| first_lo as u32 + stride * i));
            self.hi.extend(steps.map(|i| first_hi as u32 + stride * i));
            self.even = Some(Even {
                steps: from as usize..to as usize,
                lo: first_lo as usize,
                hi: first_hi as usize,
                stride: stride as usize,
            });
        }
        cut(self, to..count);
    }

    /// Samples of a step's window that the window before does not hold.
    pub(crate) fn new_at(&self, step: usize) -> u64 {
        let before = step.checked_sub(1).map_or(0, |i| self.hi[i]);
        u64::from(self.hi[step] - before.clamp(self.lo[step], self.hi[step]))
    }

    /// Samples in any window.
    pub(crate) fn read(&self) -> u64 {
        let Some((first, last)) = self.lo.first().zip(self.hi.last()) else { return 0 };
        let next = self.hi.iter().zip(&self.lo[1..]);
        if next.fold(false, |any, (hi, lo)| any | (lo > hi)) {
            return (0..self.lo.len()).map(|step| self.new_at(step)).sum();
        }
        u64::from(last - first)
    }

    /// Samples in all windows together.
    pub(crate) fn work(&self) -> u64 {
        let sum = |all: &[u32]| all.iter().map(|at| u64::from(*at)).sum::<u64>();
        sum(&self.hi) - sum(&self.lo)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_are_those_found_one_by_one(
            start in -50i64..50,
            gaps in prop_oneof![
                (1i64..6, 0usize..60).prop_map(|(gap, n)| vec![gap; n]),
                proptest::collection::vec(1i64..6, 0..60),
            ],
            first in -80i64..200,
            distance in 0i64..13,
            count in 0usize..40,
            range in 0i64..60,
        ) {
            let mut ts = vec![start];
            for gap in gaps {
                ts.push(ts[ts.len() - 1] + gap);
            }
            let ends = Ends { first, distance, count };
            let mut bounds = Bounds::default();
            bounds.compute(&ts, ends, range);
            let of = |t: i64| ts.partition_point(|other| *other <= t) as u32;
            prop_assert_eq!(&bounds.lo, &ends.iter().map(|end| of(end - range)).collect::<Vec<_>>());
            prop_assert_eq!(&bounds.hi, &ends.iter().map(of).collect::<Vec<_>>());
            prop_assert_eq!(bounds.work(), bounds.lo.iter().zip(&bounds.hi).map(|(a, b)| u64::from(b - a)).sum::<u64>());
            let new: u64 = (0..count).map(|step| bounds.new_at(step)).sum();
            prop_assert_eq!(bounds.read(), new);
            if let Some(even) = bounds.even {
                for (i, step) in even.steps.clone().enumerate() {
                    prop_assert_eq!(bounds.lo[step] as usize, even.lo + even.stride * i);
                    prop_assert_eq!(bounds.hi[step] as usize, even.hi + even.stride * i);
                    prop_assert_eq!(
                        (even.lo < even.hi).then(|| ends.at(step) - ts[bounds.hi[step] as usize - 1]),
                        (even.lo < even.hi).then(|| ends.at(even.steps.start) - ts[even.hi - 1])
                    );
                }
            }
        }
    }
}
