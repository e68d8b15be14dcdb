//! What changed in a tenant's data since some moment: how results that are kept stay right.
//!
//! A source that can tell gives a [`DataVersion`] now, and later the ranges of time in which anything a read
//! returns may have changed since. It may name too much, never too little: a change is noted before whoever
//! made it is told that it is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{TimeRange, TimestampMs};

/// Samples are noted by pieces of time of this length.
const BUCKET_MS: i64 = 10_000;
/// Pieces of time remembered one by one; beyond, older ones are put together.
const BUCKETS_MAX: usize = 1024;
/// Longer ranges remembered one by one.
const SPANS_MAX: usize = 64;

/// A moment in the history of what a source holds of a tenant. Only the source that gave it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataVersion(Arc<[u64]>);

/// What a source says about changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChanges {
    /// Now. A read that starts later sees at least what was there at this moment.
    pub now: DataVersion,
    /// Outside of these ranges every read gives what it gave at the moment asked about.
    pub changed: Vec<TimeRange>,
}

impl DataVersion {
    /// Of a source without parts.
    pub fn new(numbers: &[u64]) -> Self {
        DataVersion(Arc::from(numbers))
    }

    /// The numbers it was made of.
    pub fn numbers(&self) -> &[u64] {
        &self.0
    }

    /// Of a source made of others.
    pub fn join(parts: &[DataVersion]) -> Self {
        let mut all = Vec::with_capacity(parts.iter().map(|part| part.0.len() + 1).sum());
        for part in parts {
            all.push(part.0.len() as u64);
            all.extend_from_slice(&part.0);
        }
        DataVersion(Arc::from(all))
    }

    /// What it was joined from; `None` when that were not `count` parts.
    pub fn split(&self, count: usize) -> Option<Vec<DataVersion>> {
        let mut rest = &self.0[..];
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let (length, after) = rest.split_first()?;
            let (part, after) = after.split_at_checked(usize::try_from(*length).ok()?)?;
            parts.push(DataVersion::new(part));
            rest = after;
        }
        rest.is_empty().then_some(parts)
    }
}

impl DataChanges {
    /// When nothing is known of the moment asked about: everything may have changed.
    pub fn all(now: DataVersion) -> Self {
        DataChanges { now, changed: vec![TimeRange::all()] }
    }

    /// Of a source made of others.
    pub fn join(parts: Vec<DataChanges>) -> Self {
        let versions: Vec<DataVersion> = parts.iter().map(|part| part.now.clone()).collect();
        let changed = parts.into_iter().flat_map(|part| part.changed).collect();
        DataChanges { now: DataVersion::join(&versions), changed }
    }
}

/// Notes which times were changed when. For one writer; its size is bounded, what it says of old changes grows coarse.
#[derive(Debug)]
pub struct ChangeLog {
    /// Tells it from every other log of the process.
    identity: u64,
    version: u64,
    /// Whether anybody has seen `version`: then the next change needs a higher one.
    is_seen: bool,
    /// First millisecond → (first millisecond after, version of the last change).
    buckets: BTreeMap<TimestampMs, (TimestampMs, u64)>,
    spans: Vec<(TimeRange, u64)>,
    /// The bucket noted last.
    last: TimeRange,
}

impl Default for ChangeLog {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ChangeLog {
            identity: NEXT.fetch_add(1, Ordering::Relaxed),
            version: 1,
            is_seen: false,
            buckets: BTreeMap::new(),
            spans: Vec::new(),
            last: TimeRange::new(0, 0),
        }
    }
}

impl ChangeLog {
    /// Something at `t` changed.
    #[inline]
    pub fn note_at(&mut self, t: TimestampMs) {
        if self.is_seen || !self.last.contains(t) {
            self.note_bucket(t);
        }
    }

    /// Something in `range` changed.
    pub fn note(&mut self, range: TimeRange) {
        if range.is_empty() {
            return;
        }
        self.advance();
        let version = self.version;
        self.spans.retain(|(known, _)| known.start < range.start || known.end > range.end);
        self.spans.push((range, version));
        if self.spans.len() > SPANS_MAX {
            let (oldest, _) = self.spans.remove(0);
            if let Some((next, _)) = self.spans.first_mut() {
                *next = TimeRange::new(oldest.start.min(next.start), oldest.end.max(next.end));
            }
        }
    }

    /// What changed since `since`, and the version now.
    pub fn changes(&mut self, since: Option<&DataVersion>) -> DataChanges {
        self.is_seen = true;
        let now = DataVersion::new(&[self.identity, self.version]);
        let since = match since.map(DataVersion::numbers) {
            Some(&[identity, version]) if identity == self.identity => version,
            _ => return DataChanges::all(now),
        };
        let mut changed: Vec<TimeRange> = Vec::new();
        if since < self.version {
            for (start, (end, version)) in &self.buckets {
                if *version <= since {
                    continue;
                }
                match changed.last_mut() {
                    Some(last) if last.end == *start => last.end = *end,
                    _ => changed.push(TimeRange::new(*start, *end)),
                }
            }
            changed
                .extend(self.spans.iter().filter(|(_, version)| *version > since).map(|(range, _)| *range));
        }
        DataChanges { now, changed }
    }

    fn advance(&mut self) {
        if self.is_seen {
            self.version += 1;
            self.is_seen = false;
            self.last = TimeRange::new(0, 0);
        }
    }

    #[cold]
    fn note_bucket(&mut self, t: TimestampMs) {
        self.advance();
        let bucket = t.saturating_sub(t.rem_euclid(BUCKET_MS));
        // pieces that were put together may reach into the bucket
        let mut start = bucket;
        if let Some((known, (end, version))) = self.buckets.range_mut(..=t).next_back() {
            if t < *end {
                *version = self.version;
                self.last = TimeRange::new(*known, *end);
                return;
            }
            start = start.max(*end);
        }
        let bucket_end = bucket.saturating_add(BUCKET_MS);
        let end = self.buckets.range(t..).next().map_or(bucket_end, |(next, _)| bucket_end.min(*next));
        self.buckets.insert(start, (end, self.version));
        self.last = TimeRange::new(start, end);
        if self.buckets.len() > BUCKETS_MAX {
            self.put_together();
        }
    }

    /// Makes one piece of every two of the older ones.
    fn put_together(&mut self) {
        let kept = self.buckets.len() / 4;
        let old = self.buckets.len() - kept;
        let all: Vec<_> = std::mem::take(&mut self.buckets).into_iter().collect();
        for pair in all[..old].chunks(2) {
            let ((start, (_, first)), (_, (end, second))) = (pair[0], pair[pair.len() - 1]);
            self.buckets.insert(start, (end, first.max(second)));
        }
        self.buckets.extend(all[old..].iter().copied());
        self.last = TimeRange::new(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(changes: &DataChanges, t: TimestampMs) -> bool {
        changes.changed.iter().any(|range| range.contains(t))
    }

    #[test]
    fn only_what_came_later_has_changed() {
        let mut log = ChangeLog::default();
        log.note_at(5_000);
        let before = log.changes(None);
        assert_eq!(before.changed, [TimeRange::all()]);
        assert_eq!(log.changes(Some(&before.now)).changed, []);
        log.note_at(61_000);
        log.note_at(69_999);
        log.note_at(70_000);
        log.note(TimeRange::new(200_000, 300_000));
        let after = log.changes(Some(&before.now));
        assert_eq!(after.changed, [TimeRange::new(60_000, 80_000), TimeRange::new(200_000, 300_000)]);
        assert_eq!(log.changes(Some(&after.now)).changed, []);
        log.note_at(61_000);
        assert_eq!(log.changes(Some(&after.now)).changed, [TimeRange::new(60_000, 70_000)]);
    }

    #[test]
    fn another_log_knows_nothing_of_a_version() {
        let (mut one, mut other) = (ChangeLog::default(), ChangeLog::default());
        let version = one.changes(None).now;
        assert_eq!(other.changes(Some(&version)).changed, [TimeRange::all()]);
    }

    #[test]
    fn joined_versions_split_into_their_parts() {
        let parts = [DataVersion::new(&[1, 2]), DataVersion::new(&[]), DataVersion::new(&[7])];
        let joined = DataVersion::join(&parts);
        assert_eq!(joined.split(3).unwrap(), parts);
        assert_eq!((joined.split(2), joined.split(4)), (None, None));
        assert_eq!(DataVersion::new(&[9, 1]).split(1), None);
    }

    #[test]
    fn the_log_stays_small() {
        let mut log = ChangeLog::default();
        let version = log.changes(None).now;
        for i in 0..100_000_i64 {
            log.note_at(i * BUCKET_MS);
            log.note(TimeRange::new(i, i + 1));
        }
        assert!(log.buckets.len() <= BUCKETS_MAX && log.spans.len() <= SPANS_MAX);
        assert!(covers(&log.changes(Some(&version)), 0));
    }

    proptest! {
        /// Whatever is noted, and looked at when: a change after a version is in what changed since.
        #[test]
        fn no_change_is_lost(
            times in proptest::collection::vec((-4_000_000_i64..40_000_000, 0_u8..12), 1..3000),
        ) {
            let mut log = ChangeLog::default();
            let mut versions: Vec<(DataVersion, Vec<TimestampMs>)> = Vec::new();
            for (t, action) in times {
                match action {
                    0 => log.note(TimeRange::new(t, t + 1000)),
                    1 if versions.len() < 8 => {
                        versions.push((log.changes(None).now, Vec::new()));
                        continue;
                    }
                    _ => log.note_at(t),
                }
                versions.iter_mut().for_each(|(_, changed)| changed.push(t));
            }
            for (version, changed) in versions {
                let changes = log.changes(Some(&version));
                prop_assert!(changed.iter().all(|t| covers(&changes, *t)));
            }
        }
    }
}
