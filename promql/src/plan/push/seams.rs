//! Which place answers which steps.
//!
//! A step is asked of the first place that holds all samples of all its windows. Steps of which none does, because a
//! window straddles a seam, are computed from the merged samples of all places.

use std::ops::Range;

use model::TimeRange;

/// What a selector reads at the first and at the last of some steps; between them it moves evenly, or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub first: TimeRange,
    pub last: TimeRange,
}

impl Reach {
    /// What it reads at step `i` of `steps`, `step` milliseconds apart.
    fn at(&self, i: usize, step: i64) -> TimeRange {
        let moved = |first: i64, last: i64| if first == last { first } else { first + step * i as i64 };
        TimeRange {
            start: moved(self.first.start, self.last.start),
            end: moved(self.first.end, self.last.end),
        }
    }
}

/// Steps, and the place that answers them; `None`: all places merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub steps: Range<usize>,
    pub span: Option<usize>,
}

/// Assigns every step. `may_split`: otherwise all steps go the same way.
pub(crate) fn parts_of(
    reaches: &[Reach],
    steps: usize,
    step: i64,
    spans: &[TimeRange],
    may_split: bool,
) -> Vec<Part> {
    let holds = |span: &TimeRange, range: TimeRange| span.start <= range.start && range.end <= span.end;
    if !may_split {
        let all = |span: &&TimeRange| reaches.iter().all(|r| holds(span, r.first) && holds(span, r.last));
        return vec![Part { steps: 0..steps, span: spans.iter().position(|span| all(&span)) }];
    }
    let mut parts: Vec<Part> = Vec::new();
    for i in 0..steps {
        let span = spans.iter().position(|span| reaches.iter().all(|r| holds(span, r.at(i, step))));
        match parts.last_mut() {
            Some(last) if last.span == span => last.steps.end = i + 1,
            _ => parts.push(Part { steps: i..i + 1, span }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(from: i64, to: i64, moves: i64) -> Reach {
        Reach { first: TimeRange::new(from, to), last: TimeRange::new(from + moves, to + moves) }
    }

    #[test]
    fn windows_that_straddle_a_seam_are_merged() {
        // heads hold from 100 on, blocks up to 120; windows of 30 at 100, 110, …, 190
        let spans = [TimeRange::new(100, i64::MAX), TimeRange::new(i64::MIN, 120)];
        let parts = parts_of(&[reach(71, 101, 90)], 10, 10, &spans, true);
        let expected = [
            Part { steps: 0..2, span: Some(1) },
            Part { steps: 2..3, span: None },
            Part { steps: 3..10, span: Some(0) },
        ];
        assert_eq!(parts, expected);
        let unsplit = parts_of(&[reach(71, 101, 90)], 10, 10, &spans, false);
        assert_eq!(unsplit, [Part { steps: 0..10, span: None }]);
    }

    #[test]
    fn a_pinned_window_does_not_move() {
        let spans = [TimeRange::new(100, i64::MAX), TimeRange::new(i64::MIN, 120)];
        let parts = parts_of(&[reach(10, 40, 0), reach(71, 101, 90)], 10, 10, &spans, true);
        assert_eq!(parts[0], Part { steps: 0..2, span: Some(1) });
        assert_eq!(parts[1], Part { steps: 2..10, span: None });
        assert_eq!(parts.len(), 2);
    }
}
