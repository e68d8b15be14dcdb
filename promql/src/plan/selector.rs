//! Selectors: which series, which times, which labels.
//!
//! The only place where the left-open windows of the language become the half-open ranges of storage.

use model::{METRIC_NAME, MatchOp, TimeRange};
use proto::LabelsWanted;

use super::{Node, Planner, ScalarArgs, SelectorSpec, WindowRead};
use crate::ast::{MatrixSelector, PosRange, VectorSelector};
use crate::engine::QueryError;
use crate::exec::{Grid, GroupKey, InstantMode, NameAction, WindowSpec, is_metadata};
use crate::functions::{Extended, WindowFunction};

impl Planner<'_> {
    /// The name all series of a selector have.
    pub(super) fn metric_of(selector: &VectorSelector) -> Option<String> {
        let mut names = selector.matchers.iter().filter(|m| m.name() == METRIC_NAME);
        let first = names.next()?;
        if names.next().is_some() || first.op() != MatchOp::Equal || first.value().is_empty() {
            return None;
        }
        Some(first.value().to_owned())
    }

    fn add_selector(&mut self, selector: &VectorSelector, first: i64, last: i64, may_project: bool) -> usize {
        let names_fixed = Self::metric_of(selector).is_some() && !self.features.type_and_unit_labels;
        let wanted = self.wanted.take().filter(|_| may_project && (names_fixed || !self.drops_names));
        let drops = std::mem::take(&mut self.drops_names) && !self.features.delayed_name_removal;
        let mut with_names = false;
        let labels = match wanted {
            None | Some(GroupKey::Exact) => LabelsWanted::All,
            Some(GroupKey::By(mut names)) => {
                // warnings name the metric: where the query does not, the series have to
                if !names_fixed && !names.iter().any(|n| n == METRIC_NAME) {
                    with_names = true;
                    names.push(METRIC_NAME.to_owned());
                    names.sort();
                }
                if drops {
                    names.retain(|n| !is_metadata(n));
                }
                LabelsWanted::Only(names)
            }
            Some(GroupKey::Without(mut names)) => {
                if !names_fixed {
                    with_names = true;
                    names.retain(|n| n != METRIC_NAME);
                }
                if drops {
                    names.extend([METRIC_NAME, "__type__", "__unit__"].map(str::to_owned));
                    names.sort();
                    names.dedup();
                }
                LabelsWanted::Without(names)
            }
        };
        self.exact = labels != LabelsWanted::All && !with_names;
        self.projected_metric = if self.exact && !drops { Self::metric_of(selector) } else { None };
        self.selectors.push(SelectorSpec {
            matchers: selector.matchers.clone(),
            range: TimeRange::inclusive(first, last),
            labels,
            names_fixed,
            stats_only: self.stats_only.contains(&selector.pos),
            window: None,
        });
        self.selectors.len() - 1
    }

    /// First and last time a selector is evaluated at.
    fn times(grid: Grid, pinned: Option<i64>, offset: i64) -> (i64, i64) {
        match pinned {
            Some(t) => (t - offset, t - offset),
            None => (grid.start - offset, grid.last() - offset),
        }
    }

    /// An instant selector.
    pub(super) fn instant(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Node, QueryError> {
        let mode = if selector.smoothed { InstantMode::Smoothed } else { InstantMode::Value };
        self.instant_with(selector, grid, mode, NameAction::Keep)
    }

    /// An instant selector of which something else than the value is wanted.
    pub(super) fn instant_with(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        mode: InstantMode,
        name_action: NameAction,
    ) -> Result<Node, QueryError> {
        let offset = self.duration_ms(&selector.offset, true)?;
        let pinned = self.pinned(selector.at);
        let (first, last) = Self::times(grid, pinned, offset);
        let after = if selector.smoothed { self.lookback_ms } else { 0 };
        // annotations of interpolated histograms name the metric
        let may_project = mode == InstantMode::Value;
        let selector_number =
            self.add_selector(selector, first - self.lookback_ms + 1, last + after, may_project);
        let is_time = matches!(mode, InstantMode::Timestamp | InstantMode::StartTimestamp);
        let (offset, lookback) = match pinned {
            // Prometheus forgets the offset here when it looks at samples, but not when it selects them.
            Some(at) if is_time => {
                let (selected_from, selected_to) = (at - offset - self.lookback_ms, at - offset + after);
                let last = at.min(selected_to);
                (at - last, last - selected_from.max(at - self.lookback_ms))
            }
            _ => (offset, self.lookback_ms),
        };
        Ok(Node::Instant {
            selector: selector_number,
            grid,
            offset,
            pinned,
            lookback,
            mode,
            name_action,
            pos: selector.pos,
            count_times: self.count_times,
        })
    }

    /// A function over a range selector; `pos` is that of its first argument, `call` its own.
    pub(super) fn range(
        &mut self,
        function: WindowFunction,
        matrix: &MatrixSelector,
        grid: Grid,
        params: ScalarArgs,
        pos: PosRange,
        call: PosRange,
    ) -> Result<Node, QueryError> {
        let selector = &matrix.selector;
        let offset = self.duration_ms(&selector.offset, true)?;
        let range = self.duration_ms(&matrix.range, false)?;
        let pinned = self.pinned(selector.at);
        let (first, last) = Self::times(grid, pinned, offset);
        let (extended, before, after) = if selector.anchored {
            (Extended::Anchored, self.lookback_ms, 0)
        } else if selector.smoothed {
            (Extended::Smoothed, self.lookback_ms, self.lookback_ms)
        } else {
            (Extended::No, 0, 0)
        };
        let metric = Self::metric_of(selector).filter(|_| !self.features.type_and_unit_labels);
        let name_action = if function.drops_name() { self.drop_action() } else { NameAction::Keep };
        if name_action == NameAction::Drop {
            self.drops_names = true;
        }
        let may_project = metric.is_some();
        let fixed = may_project || name_action != NameAction::Drop;
        let selector_number =
            self.add_selector(selector, first - range - before + 1, last + after, may_project);
        if let Some(added) = self.selectors.last_mut() {
            let (count_times, is_plain) = (self.count_times, params.vectors.is_empty());
            added.window = Some(WindowRead { function, extended, grid, count_times, pos: call, is_plain });
        }
        let count_times = self.count_times;
        let spec = WindowSpec {
            function,
            grid,
            range,
            offset,
            pinned,
            extended,
            name_action,
            pos,
            metric,
            count_times,
        };
        let node = Node::Range { selector: selector_number, spec, params };
        Ok(if fixed { node } else { Node::Unique { input: Box::new(node), merge: false, steps: grid.steps } })
    }

    /// A range selector that is the whole query: (exclusive start, inclusive end, edges).
    pub(crate) fn raw_selector(
        &mut self,
        matrix: &MatrixSelector,
    ) -> Result<(i64, i64, Extended), QueryError> {
        let selector = &matrix.selector;
        let offset = self.duration_ms(&selector.offset, true)?;
        let range = self.duration_ms(&matrix.range, false)?;
        let end = self.pinned(selector.at).unwrap_or(self.start) - offset;
        let (extended, before, after) = if selector.anchored {
            (Extended::Anchored, self.lookback_ms, 0)
        } else if selector.smoothed {
            (Extended::Smoothed, self.lookback_ms, self.lookback_ms)
        } else {
            (Extended::No, 0, 0)
        };
        self.add_selector(selector, end - range - before + 1, end + after, false);
        Ok((end - range, end, extended))
    }

    /// How far back instant selectors look.
    pub(crate) fn lookback_ms(&self) -> i64 {
        self.lookback_ms
    }
}
