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

/// The windows of a regular series: by arithmetic, as if it had neither beginning nor end.
#[derive(Debug, Clone, Copy)]
struct Regular {
    /// First sample and end of the first window.
    lo: i64,
    hi: i64,
    /// By how many samples each lies behind the one before.
    stride: i64,
    /// Samples there are.
    n: i64,
    /// Windows.
    count: i64,
}

impl Regular {
    #[inline(always)]
    fn at(self, step: usize) -> (usize, usize) {
        let moved = self.stride * step as i64;
        let index = |at: i64| (at + moved).clamp(0, self.n) as usize;
        (index(self.lo), index(self.hi))
    }

    /// The first of the windows `at + stride * i` that is at least `least`; their number when none is.
    fn first_at_least(self, at: i64, least: i64) -> i64 {
        if at >= least {
            0
        } else if self.stride == 0 {
            self.count
        } else {
            ((least - at - 1) / self.stride + 1).min(self.count)
        }
    }

    /// Windows that begin and end inside.
    fn even(self) -> Option<Even> {
        let from = self.first_at_least(self.lo, 0);
        let to = self.first_at_least(self.hi, self.n + 1);
        (from < to).then(|| Even {
            steps: from as usize..to as usize,
            lo: (self.lo + self.stride * from) as usize,
            hi: (self.hi + self.stride * from) as usize,
            stride: self.stride as usize,
        })
    }

    /// Windows that may hold a sample.
    fn touched(self) -> Range<usize> {
        let (from, to) = (self.first_at_least(self.hi, 1), self.first_at_least(self.lo, self.n));
        from as usize..to.max(from) as usize
    }

    /// The sum of `at + stride * i`, each between 0 and the number of samples, over all windows.
    fn sum(self, at: i64) -> u64 {
        let (from, to) = (self.first_at_least(at, 0), self.first_at_least(at, self.n + 1));
        let inside = to - from;
        let (first, last) = (at + self.stride * from, at + self.stride * (to - 1));
        let sum = if inside > 0 { (first + last) * inside / 2 } else { 0 };
        (sum + (self.count - to.max(from)) * self.n).cast_unsigned()
    }
}

/// First sample and end of every window, as indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds {
    /// One by one; of a regular series only after `list`.
    pub lo: Vec<u32>,
    pub hi: Vec<u32>,
    regular: Option<Regular>,
    /// Known when the series is regular.
    pub even: Option<Even>,
    /// All others hold no sample.
    pub touched: Range<usize>,
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
    /// Windows `(end - range, end]`.
    pub(crate) fn compute(&mut self, ts: &[i64], ends: Ends, range: i64) {
        self.lo.clear();
        self.hi.clear();
        self.regular = None;
        self.even = None;
        self.touched = 0..ends.count;
        if let Some(interval) = interval(ts)
            && ends.distance % interval == 0
            && ends.count > 0
        {
            // how many samples there were until then
            let until = |t: i64| (t - ts[0]).div_euclid(interval) + 1;
            let regular = Regular {
                lo: until(ends.first - range),
                hi: until(ends.first),
                stride: ends.distance / interval,
                n: ts.len() as i64,
                count: ends.count as i64,
            };
            self.regular = Some(regular);
            self.even = regular.even();
            self.touched = regular.touched();
            return;
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
    }

    /// Makes `lo` and `hi`, for who looks at most windows.
    pub(crate) fn list(&mut self) {
        if let Some(regular) = self.regular.take() {
            let all = (0..regular.count as usize).map(|step| regular.at(step));
            (self.lo, self.hi) = all.map(|(lo, hi)| (lo as u32, hi as u32)).unzip();
        }
    }

    /// First sample and end of a window.
    #[inline(always)]
    pub(crate) fn at(&self, step: usize) -> (usize, usize) {
        match self.regular {
            Some(regular) => regular.at(step),
            None => (self.lo[step] as usize, self.hi[step] as usize),
        }
    }

    /// Samples in a window.
    pub(crate) fn count_at(&self, step: usize) -> u64 {
        let (lo, hi) = self.at(step);
        (hi - lo) as u64
    }

    /// Samples of a step's window that the window before does not hold.
    pub(crate) fn new_at(&self, step: usize) -> u64 {
        let before = step.checked_sub(1).map_or(0, |before| self.at(before).1);
        let (lo, hi) = self.at(step);
        (hi - before.clamp(lo, hi)) as u64
    }

    /// Samples in any window.
    pub(crate) fn read(&self) -> u64 {
        if let Some(regular) = self.regular {
            if regular.hi < regular.lo + regular.stride {
                return self.work();
            }
            let last = regular.count.max(1) as usize - 1;
            return (regular.at(last).1 - regular.at(0).0) as u64;
        }
        let Some((first, last)) = self.lo.first().zip(self.hi.last()) else { return 0 };
        let next = self.hi.iter().zip(&self.lo[1..]);
        if next.fold(false, |any, (hi, lo)| any | (lo > hi)) {
            return (0..self.lo.len()).map(|step| self.new_at(step)).sum();
        }
        u64::from(last - first)
    }

    /// Samples in all windows together.
    pub(crate) fn work(&self) -> u64 {
        if let Some(regular) = self.regular {
            return regular.sum(regular.hi) - regular.sum(regular.lo);
        }
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
            let (work, read, touched) = (bounds.work(), bounds.read(), bounds.touched.clone());
            let at: Vec<_> = (0..count).map(|step| bounds.at(step)).collect();
            let counts: Vec<u64> = (0..count).map(|step| bounds.count_at(step)).collect();
            let new: u64 = (0..count).map(|step| bounds.new_at(step)).sum();
            bounds.list();
            let of = |t: i64| ts.partition_point(|other| *other <= t) as u32;
            prop_assert_eq!(&bounds.lo, &ends.iter().map(|end| of(end - range)).collect::<Vec<_>>());
            prop_assert_eq!(&bounds.hi, &ends.iter().map(of).collect::<Vec<_>>());
            let listed = || bounds.lo.iter().zip(&bounds.hi).map(|(a, b)| (*a as usize, *b as usize));
            prop_assert_eq!(at, listed().collect::<Vec<_>>());
            prop_assert_eq!(&counts, &listed().map(|(a, b)| (b - a) as u64).collect::<Vec<_>>());
            prop_assert_eq!(work, counts.iter().sum::<u64>());
            prop_assert_eq!((bounds.work(), bounds.read()), (work, read));
            prop_assert_eq!(read, new);
            prop_assert!((0..count).all(|step| touched.contains(&step) || counts[step] == 0));
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
