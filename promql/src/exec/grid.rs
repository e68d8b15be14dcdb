//! The points in time at which an expression is evaluated.

/// `start`, `start + step`, … : `steps` points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// First point.
    pub start: i64,
    /// Distance of two points; above 0.
    pub step: i64,
    /// Number of points, possibly 0.
    pub steps: usize,
}

impl Grid {
    /// All points from `start` to `end`.
    pub(crate) fn new(start: i64, end: i64, step: i64) -> Self {
        let step = step.max(1);
        let steps =
            if end < start { 0 } else { usize::try_from(end.saturating_sub(start) / step).unwrap_or(0) + 1 };
        Grid { start, step, steps }
    }

    /// Only the first point.
    pub(crate) fn first(self) -> Self {
        Grid { steps: self.steps.min(1), ..self }
    }

    /// Point `i`.
    #[inline]
    pub(crate) fn at(self, i: usize) -> i64 {
        self.start + self.step * i as i64
    }

    /// The last point; `start` when there is none.
    pub(crate) fn last(self) -> i64 {
        self.at(self.steps.saturating_sub(1))
    }
}
