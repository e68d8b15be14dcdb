//! Classic histograms: quantiles and fractions out of cumulative buckets.

/// A bucket: upper bound, observations up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub bound: f64,
    pub count: f64,
}

/// What had to be repaired before a quantile could be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repair {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
}

/// Differences below this part of the value are rounding errors.
const TOLERANCE: f64 = 1e-12;

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Sorts by bound and merges equal bounds.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(std::cmp::Ordering::Equal));
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Makes counts ascend.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
            continue;
        }
        if count < previous {
            bucket.count = previous;
            let r = repair.get_or_insert(Repair {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            r.min_bucket = r.min_bucket.min(bucket.bound);
            r.max_bucket = r.max_bucket.max(bucket.bound);
            r.max_diff = r.max_diff.max(previous - count);
            continue;
        }
        previous = count;
    }
    repair
}

/// The φ-quantile; `buckets` is not empty and is changed.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    coalesce(buckets);
    if buckets.last().is_none_or(|b| b.bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let repair = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, repair);
    }
    let mut rank = q * observations;
    let at = (0..last).find(|i| buckets[*i].count >= rank).unwrap_or(last);
    let value = if at == last {
        buckets[last - 1].bound
    } else if at == 0 && buckets[0].bound <= 0.0 {
        buckets[0].bound
    } else {
        let end = buckets[at].bound;
        let (mut start, mut count) = (0.0, buckets[at].count);
        if at > 0 {
            start = buckets[at - 1].bound;
            count -= buckets[at - 1].count;
            rank -= buckets[at - 1].count;
        }
        start + (end - start) * (rank / count)
    };
    (value, repair)
}

/// The part of observations between two values; `buckets` is not empty and is changed.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    coalesce(buckets);
    let Some(last) = buckets.last().filter(|b| b.bound == f64::INFINITY) else { return f64::NAN };
    let count = last.count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut from = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for (i, bucket) in buckets.iter().enumerate() {
        if i > 0 {
            from = buckets[i - 1].bound;
        }
        let to = bucket.bound;
        let inside = |v: f64| {
            if from == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (v - from) / (to - from)
            }
        };
        for (value, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                if from >= value {
                    *found = Some(rank);
                } else if to > value {
                    *found = Some(inside(value));
                }
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
    }
    let limit = |found: Option<f64>| found.map_or(count, |r| if r > count { count } else { r });
    (limit(upper_rank) - limit(lower_rank)) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let of = |q| bucket_quantile(q, &mut buckets(&[(f64::INFINITY, 4.0), (1.0, 2.0), (2.0, 4.0)])).0;
        assert_eq!(of(0.25), 0.5);
        assert_eq!(of(0.75), 1.5);
        assert_eq!(of(1.0), 2.0);
        assert!(bucket_quantile(0.5, &mut buckets(&[(1.0, 2.0)])).0.is_nan());
    }

    #[test]
    fn what_falls_is_repaired_and_told() {
        let (_, repair) = bucket_quantile(0.5, &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (f64::INFINITY, 6.0)]));
        assert_eq!(repair, Some(Repair { min_bucket: 2.0, max_bucket: 2.0, max_diff: 2.0 }));
    }

    #[test]
    fn fractions_interpolate() {
        let of = |l, u| bucket_fraction(l, u, &mut buckets(&[(1.0, 2.0), (2.0, 4.0), (f64::INFINITY, 4.0)]));
        assert_eq!(of(0.0, 1.0), 0.5);
        assert_eq!(of(0.5, 1.5), 0.5);
        assert_eq!(of(2.0, 1.0), 0.0);
        assert_eq!(of(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    }
}
