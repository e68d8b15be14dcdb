//! `rate(x[6h])` over a seam: each place tells the states of its part of the windows instead of its samples.
//!
//! Always: the parts are disjoint, together they are all that is read, and each lies in what its place holds wholly.

use model::TimeRange;
use proto::{Place, Shard};

use super::{FragmentSpec, PushDown, Rewrite};
use crate::engine::QueryError;
use crate::exec::Grid;
use crate::functions::{Algebra, Family};
use crate::plan::{Node, Planner, SelectorSpec};

/// How far apart samples are thought to be, in milliseconds.
const INTERVAL_MS: i64 = 15_000;
/// From how many samples a step on states are less work than samples that are merged here first.
const HERE_MIN: i64 = 256;
/// From how many samples a step on states are fewer bytes than samples.
const ELSEWHERE_MIN: i64 = 8;

/// A place, and the part of the time it tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    /// Which of the shard's spans.
    pub span: usize,
    pub part: TimeRange,
}

/// Who tells which part of a selector's windows, in order of time, and states of which kind. `None`: its samples are
/// merged.
pub(crate) fn sides(
    push: &PushDown<'_>,
    selector: &SelectorSpec,
    shard: &Shard,
) -> Option<(Family, Vec<Side>)> {
    let window = selector.window.as_ref()?;
    let Algebra::Mergeable(family) = window.function.algebra(window.extended) else { return None };
    // histograms without buckets do not tell resets where the one before is elsewhere
    if !push.has(Rewrite::WindowStates) || selector.stats_only {
        return None;
    }
    let spans: Vec<TimeRange> = shard.spans.iter().map(|span| span.holds).collect();
    let sides = cover(selector.range, &spans)?;
    let are_here = sides.iter().all(|side| matches!(shard.spans[side.span].place, Place::Here(_)));
    let can_tell = are_here || window.is_plain;
    let samples_min = push.states_from.unwrap_or(if are_here { HERE_MIN } else { ELSEWHERE_MIN });
    let pays = samples_per_step(selector.range, window.grid.steps) >= samples_min;
    (sides.len() > 1 && can_tell && pays).then_some((family, sides))
}

impl Planner<'_> {
    /// Whether anything in a fragment that no place holds by itself is computed from states.
    pub(super) fn has_seam_states(
        &self,
        push: &PushDown<'_>,
        spec: &FragmentSpec,
    ) -> Result<bool, QueryError> {
        for (shard, parts) in push.layout.shards.iter().zip(&spec.shards) {
            // what some steps read of a place here the others would read again
            let is_split = parts.len() > 1 && push.states_from.is_none();
            let is_here = shard.spans.iter().all(|span| matches!(span.place, Place::Here(_)));
            if is_split && is_here {
                continue;
            }
            for part in parts.iter().filter(|part| part.span.is_none()) {
                let grid =
                    Grid { start: spec.grid.at(part.steps.start), steps: part.steps.len(), ..spec.grid };
                let (_, selectors) = self.part(spec, grid)?;
                if selectors.iter().any(|selector| sides(push, selector, shard).is_some()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What another process is told of a call's windows.
    pub(super) fn window_states(&mut self, node: Node, part: TimeRange) -> Result<Node, QueryError> {
        let none = || QueryError::BadData("states are wanted of what is no function of windows".to_owned());
        match node {
            // both are about all of the series, which whoever asked knows
            Node::Unique { input, .. } | Node::Absent { input, .. } => self.window_states(*input, part),
            Node::Range { selector, spec, params } if params.vectors.is_empty() => {
                let Algebra::Mergeable(family) = spec.function.algebra(spec.extended) else {
                    return Err(none());
                };
                let read = self.selectors.get_mut(selector).ok_or_else(none)?;
                read.range = read.range.intersect(&part);
                Ok(Node::WindowStates { selector, spec, family, part })
            }
            _ => Err(none()),
        }
    }
}

/// How many samples of a series there are for every step.
fn samples_per_step(range: TimeRange, steps: usize) -> i64 {
    let length = range.end.saturating_sub(range.start).max(0);
    length / INTERVAL_MS / i64::try_from(steps.max(1)).unwrap_or(i64::MAX)
}

/// The fewest of `spans` that hold all of `range`, with what each is asked for, in order of time. Where several hold
/// something, the one that reaches back farthest tells it; of equals the first.
fn cover(range: TimeRange, spans: &[TimeRange]) -> Option<Vec<Side>> {
    let mut sides = Vec::new();
    let mut end = range.end;
    while end > range.start {
        let reaches = |span: &(usize, &TimeRange)| span.1.start < end && span.1.end >= end;
        let (span, holds) = spans.iter().enumerate().filter(reaches).min_by_key(|(i, s)| (s.start, *i))?;
        let start = holds.start.max(range.start);
        sides.push(Side { span, part: TimeRange { start, end } });
        end = start;
    }
    sides.reverse();
    Some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(range: (i64, i64), spans: &[(i64, i64)]) -> Option<Vec<(usize, i64, i64)>> {
        let spans: Vec<TimeRange> = spans.iter().map(|(start, end)| TimeRange::new(*start, *end)).collect();
        let sides = cover(TimeRange::new(range.0, range.1), &spans)?;
        Some(sides.iter().map(|side| (side.span, side.part.start, side.part.end)).collect())
    }

    #[test]
    fn parts_are_disjoint_and_whole() {
        let heads_and_blocks = [(100, i64::MAX), (i64::MIN, 120)];
        assert_eq!(parts((50, 150), &heads_and_blocks), Some(vec![(1, 50, 100), (0, 100, 150)]));
        // one of them has it all
        assert_eq!(parts((100, 150), &heads_and_blocks), Some(vec![(0, 100, 150)]));
        assert_eq!(parts((50, 120), &heads_and_blocks), Some(vec![(1, 50, 120)]));
        // between them is a gap
        assert_eq!(parts((50, 150), &[(100, i64::MAX), (i64::MIN, 99)]), None);
        assert_eq!(parts((50, 150), &[(100, 140), (i64::MIN, 100)]), None);
        // three
        let three = [(100, 200), (0, 60), (40, 110), (55, 105)];
        assert_eq!(parts((10, 150), &three), Some(vec![(1, 10, 40), (2, 40, 100), (0, 100, 150)]));
        assert_eq!(parts((10, 10), &three), Some(Vec::new()));
    }

    #[test]
    fn samples_are_counted_for_every_step() {
        let hours = |hours: i64| TimeRange::new(0, hours * 3_600_000);
        assert_eq!(samples_per_step(hours(24), 1), 5_760);
        assert_eq!(samples_per_step(hours(7 * 24), 500), 80);
        assert_eq!(samples_per_step(hours(12), 360), 8);
        assert_eq!(samples_per_step(TimeRange::new(10, 0), 0), 0);
    }
}
