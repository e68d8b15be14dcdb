//! What is kept of one query: runs of steps that were evaluated, and which of them are still right.
//!
//! All of an entry was right at its version. Later it is used only after taking out the steps that look at times
//! which have changed since.

use std::sync::Arc;

use model::{TimeRange, TimestampMs};
use promql::{Annotations, Reach, Value};
use proto::DataVersion;

use super::Times;

/// Runs kept of one query.
const PIECES_MAX: usize = 8;

/// What one evaluation gave.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// First and last step.
    first: TimestampMs,
    last: TimestampMs,
    /// The end that was asked for, less than a step after the last.
    end: TimestampMs,
    pub(super) value: Arc<Value>,
    pub(super) annotations: Annotations,
    reach: Reach,
    /// Whether some of its steps may be used without the others.
    is_separable: bool,
    bytes: usize,
}

/// Steps of an evaluation that are still right.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) first: TimestampMs,
    pub(super) last: TimestampMs,
    pub(super) data: Arc<Evaluated>,
}

/// What is kept of one query.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: DataVersion,
    /// In order of their first step.
    pub(super) pieces: Vec<Piece>,
    /// Nothing can be kept of this query, so there is no need to find that out again.
    pub(super) is_never_kept: bool,
}

/// A part of an answer.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// It is known.
    Kept(Piece),
    /// First and last step to evaluate.
    Gap(TimestampMs, TimestampMs),
}

/// Whether steps from `first` to `last` look at any of these times.
pub(super) fn looks_at_any(
    reach: &Reach,
    first: TimestampMs,
    last: TimestampMs,
    changed: &[TimeRange],
) -> bool {
    let of_steps = reach
        .relative
        .map(|(from, to)| TimeRange::inclusive(first.saturating_add(from), last.saturating_add(to)));
    changed.iter().any(|c| {
        of_steps.is_some_and(|looks| looks.overlaps(c)) || reach.pinned.iter().any(|looks| looks.overlaps(c))
    })
}

impl Evaluated {
    pub(super) fn new(times: Times, value: Arc<Value>, annotations: Annotations, reach: Reach) -> Self {
        let ((first, last), end) = (times.ends(), times.end());
        // what sums up over all steps cannot be told for some of them
        let is_separable = reach.is_separable && annotations.are_plain();
        let bytes = size_of::<Evaluated>() + annotations.bytes() + bytes_of(&value);
        Evaluated { first, last, end, value, annotations, reach, is_separable, bytes }
    }
}

fn bytes_of(value: &Value) -> usize {
    let Value::Matrix(series) = value else { return 0 };
    let one = |s: &promql::MatrixSeries| {
        let buckets =
            |h: &model::FloatHistogram| (h.positive_buckets.len() + h.negative_buckets.len()) * 8 + 256;
        // labels lie behind a counter, lists have room to spare
        size_of::<promql::MatrixSeries>()
            + s.labels.as_bytes().len()
            + 32
            + s.floats.capacity() * 16
            + s.histograms.iter().map(|(_, h)| buckets(h)).sum::<usize>()
    };
    series.iter().map(one).sum()
}

impl Piece {
    pub(super) fn whole(data: Arc<Evaluated>) -> Self {
        Piece { first: data.first, last: data.last, data }
    }

    /// Whether it is all that was evaluated.
    pub(super) fn is_whole(&self) -> bool {
        (self.first, self.last) == (self.data.first, self.data.last)
    }

    /// What its query hangs on, where that is the same for any steps.
    pub(super) fn reach_of_any_steps(&self) -> Option<&Reach> {
        Some(&self.data.reach).filter(|reach| reach.is_separable)
    }

    fn clipped(&self, first: TimestampMs, last: TimestampMs) -> Self {
        Piece { first: self.first.max(first), last: self.last.min(last), data: Arc::clone(&self.data) }
    }

    /// Adds what is left of it when `changed` is taken out.
    fn still_right(&self, changed: &[TimeRange], step: i64, out: &mut Vec<Piece>) {
        let reach = &self.data.reach;
        if !looks_at_any(reach, self.first, self.last, changed) {
            out.push(self.clone());
            return;
        }
        let looks_pinned = reach.pinned.iter().any(|looks| changed.iter().any(|c| c.overlaps(looks)));
        let Some((from, to)) = reach.relative.filter(|_| self.data.is_separable && !looks_pinned) else {
            return;
        };
        // the steps that look at each range, as times: first and last
        let (before, after) = (self.first - 1, self.last.saturating_add(1));
        let mut wrong: Vec<(TimestampMs, TimestampMs)> = changed
            .iter()
            .filter(|c| !c.is_empty())
            .map(|c| (c.start.saturating_sub(to), c.end.saturating_sub(1).saturating_sub(from)))
            .filter(|(first, last)| *last >= self.first && *first <= self.last)
            .map(|(first, last)| (first.max(before), last.min(after)))
            .collect();
        wrong.sort_unstable();
        let mut at = self.first;
        for (first, last) in wrong {
            if first > at {
                // the last step before
                let end = self.first + (first - 1 - self.first).div_euclid(step) * step;
                out.push(self.clipped(at, end));
            }
            // the first step after
            at = at.max(self.first + (last - self.first).div_euclid(step) * step + step);
        }
        if at <= self.last {
            out.push(self.clipped(at, self.last));
        }
    }
}

impl Entry {
    /// Of a query of which nothing can be kept.
    pub(super) fn never(version: DataVersion) -> Self {
        Entry { version, pieces: Vec::new(), is_never_kept: true }
    }

    /// The runs that are right although `changed` has changed since the entry's version.
    pub(super) fn still_right(&self, changed: &[TimeRange], step: i64) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            piece.still_right(changed, step, &mut pieces);
        }
        pieces
    }

    /// An entry of what is `right` at `version`, and something new.
    pub(super) fn with(version: DataVersion, right: &[Piece], new: Arc<Evaluated>, step: i64) -> Self {
        let (first, last) = (new.first, new.last);
        let mut pieces = Vec::with_capacity(right.len() + 1);
        for piece in right {
            if !new.is_separable || !piece.data.is_separable {
                if (piece.first, piece.last) != (first, last) {
                    pieces.push(piece.clone());
                }
                continue;
            }
            // what the new one has too need not be kept; small rests do not earn what they weigh
            let earns =
                |rest: &Piece| (rest.last - rest.first) / 2 >= (piece.data.last - piece.data.first) / 4;
            let rests =
                [piece.clipped(TimestampMs::MIN, first - step), piece.clipped(last + step, TimestampMs::MAX)];
            pieces.extend(rests.into_iter().filter(|rest| rest.first <= rest.last && earns(rest)));
        }
        if pieces.len() >= PIECES_MAX {
            pieces.drain(..=pieces.len() - PIECES_MAX);
        }
        pieces.push(Piece::whole(new));
        pieces.sort_by_key(|piece| piece.first);
        Entry { version, pieces, is_never_kept: false }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let mut counted: Vec<*const Evaluated> = Vec::with_capacity(self.pieces.len());
        let mut bytes = size_of::<Entry>();
        for piece in &self.pieces {
            let data = Arc::as_ptr(&piece.data);
            if !counted.contains(&data) {
                counted.push(data);
                bytes += piece.data.bytes + size_of::<Piece>();
            }
        }
        bytes
    }
}

/// Covers the steps from `first` to `last` with what is known. Gaps that are nearer to each other than their windows
/// reach are one: evaluating both reads the same samples twice.
pub(super) fn cover(pieces: &[Piece], times: Times) -> Vec<Part> {
    let ((first, last), step) = (times.ends(), times.step());
    let exact = pieces.iter().find(|piece| {
        piece.is_whole()
            && (piece.first, piece.last) == (first, last)
            && (piece.data.is_separable || piece.data.end == times.end())
    });
    if let Some(exact) = exact {
        return vec![Part::Kept(exact.clone())];
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut at = first;
    let usable = || pieces.iter().filter(|piece| piece.data.is_separable);
    while at <= last {
        let longest = usable().filter(|p| p.first <= at && p.last >= at).max_by_key(|p| p.last);
        if let Some(piece) = longest {
            parts.push(Part::Kept(piece.clipped(at, last)));
            at = piece.last.min(last) + step;
            continue;
        }
        let next = usable().map(|p| p.first).filter(|t| *t > at).min().unwrap_or(TimestampMs::MAX);
        let end = if next > last { last } else { next - step };
        parts.push(Part::Gap(at, end));
        at = end + step;
    }
    let window =
        usable().next().and_then(|p| p.data.reach.relative).map_or(0, |(from, to)| to.saturating_sub(from));
    join_gaps(parts, window)
}

fn join_gaps(parts: Vec<Part>, window: i64) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if let Part::Gap(_, end) = part {
            // a gap before, with less than a window between
            let before = joined.iter().rposition(|p| matches!(p, Part::Gap(..)));
            if let Some(at) = before
                && let Part::Gap(start, before_end) = joined[at]
                && let Part::Gap(from, _) = part
                && from - before_end <= window
            {
                joined.truncate(at);
                joined.push(Part::Gap(start, end));
                continue;
            }
        }
        joined.push(part);
    }
    joined
}
