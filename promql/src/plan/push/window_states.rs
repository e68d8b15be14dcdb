//! `rate(x[6h])` over a seam: each place tells the states of its part of the windows instead of its samples.
//!
//! Always: the parts are disjoint, together they are all that is read, and each lies in what its place holds wholly.

use model::TimeRange;
use proto::{Place, Shard};

use super::{FragmentSpec, PushDown, Rewrite};
use crate::engine::QueryError;
use crate::exec::Grid;
use crate::functions::{Algebra, Family};
use crate::plan::{Planner, SelectorSpec};

/// How far apart samples are thought to be, in milliseconds.
const INTERVAL_MS: i64 = 15_000;
/// From how many samples a step on states are less work than samples that are merged here first.
const HERE_MIN: i64 = 64;

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
    let is_here = |side: &Side| matches!(shard.spans[side.span].place, Place::Here(_));
    let pays = push.states_from.map_or_else(
        || pays(selector.range, window.steps),
        |samples| samples_per_step(selector.range, window.steps) >= samples,
    );
    (sides.len() > 1 && sides.iter().all(is_here) && pays).then_some((family, sides))
}

impl Planner<'_> {
    /// Whether anything in a fragment that no place holds by itself is computed from states.
    pub(super) fn has_seam_states(
        &self,
        push: &PushDown<'_>,
        spec: &FragmentSpec,
    ) -> Result<bool, QueryError> {
        for (shard, parts) in push.layout.shards.iter().zip(&spec.shards) {
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
}

/// How many samples of a series there are for every step.
fn samples_per_step(range: TimeRange, steps: usize) -> i64 {
    let length = range.end.saturating_sub(range.start).max(0);
    length / INTERVAL_MS / i64::try_from(steps.max(1)).unwrap_or(i64::MAX)
}

/// Whether states are less work than samples.
fn pays(range: TimeRange, steps: usize) -> bool {
    samples_per_step(range, steps) >= HERE_MIN
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
    fn states_pay_where_many_samples_make_one() {
        let hours = |hours: i64| TimeRange::new(0, hours * 3_600_000);
        assert!(pays(hours(24), 1));
        assert!(pays(hours(7 * 24), 500));
        assert!(!pays(hours(12), 360));
        assert!(!pays(TimeRange::new(0, 300_000), 1));
    }
}
