//! The states of all windows of a series, each sample looked at once.
//!
//! The edges of the windows cut the samples into pieces; a queue of two stacks merges the pieces of each window at
//! an amortised cost of three merges a piece, whatever range and step.

use super::{Family, Run, WindowState};

/// Calls `each` with every window's number and state, in order.
pub(crate) fn each_state(
    family: Family,
    samples: &Run<'_>,
    ends: impl Iterator<Item = i64> + Clone,
    range: i64,
    mut each: impl FnMut(usize, Option<&WindowState>),
) {
    let cuts = cuts(samples, ends.clone(), range);
    let mut cursor = Cursor::default();
    let mut queue = Queue::default();
    // pieces `from..to` lie in the queue; piece i reaches from cut i to cut i + 1
    let (mut from, mut to) = (0usize, 0usize);
    for (step, end) in ends.enumerate() {
        let low = cursor.low.reach(samples, end.saturating_sub(range));
        let high = cursor.high.reach(samples, end);
        let wanted = |cut: &Cut| cut.rank() < low.rank();
        while cuts.get(from).is_some_and(wanted) {
            if from < to {
                queue.pop();
            }
            from += 1;
        }
        to = to.max(from);
        while let (Some(a), Some(b)) = (cuts.get(to), cuts.get(to + 1)) {
            if b.rank() > high.rank() {
                break;
            }
            let piece = samples.part(a.floats..b.floats, a.histograms..b.histograms);
            if let Some(state) = WindowState::of(family, &piece) {
                queue.push(state);
            }
            to += 1;
        }
        queue.with_all(|state| each(step, state));
    }
}

/// A place between samples: how many floats and histograms lie before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cut {
    floats: usize,
    histograms: usize,
}

impl Cut {
    /// Samples before it. Cuts of one series with one rank are the same.
    fn rank(&self) -> usize {
        self.floats + self.histograms
    }

    /// Moves on behind all samples up to `t`.
    fn reach(&mut self, samples: &Run<'_>, t: i64) -> Cut {
        while samples.ts.get(self.floats).is_some_and(|at| *at <= t) {
            self.floats += 1;
        }
        while samples.histograms.get(self.histograms).is_some_and(|p| p.t <= t) {
            self.histograms += 1;
        }
        *self
    }
}

/// Where the edges of windows that follow one another lie.
#[derive(Debug, Default)]
struct Cursor {
    low: Cut,
    high: Cut,
}

/// All edges of windows, ascending, each once.
fn cuts(samples: &Run<'_>, ends: impl Iterator<Item = i64> + Clone, range: i64) -> Vec<Cut> {
    let mut cursor = Cursor::default();
    let lows = ends.clone().map(|end| cursor.low.reach(samples, end.saturating_sub(range)));
    let highs = ends.map(|end| cursor.high.reach(samples, end));
    let mut lows = lows.peekable();
    let mut highs = highs.peekable();
    let mut cuts: Vec<Cut> = Vec::new();
    loop {
        let is_low = match (lows.peek(), highs.peek()) {
            (Some(low), Some(high)) => low.rank() <= high.rank(),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return cuts,
        };
        let next = if is_low { lows.next() } else { highs.next() };
        cuts.extend(next.filter(|cut| cuts.last() != Some(cut)));
    }
}

/// States first in, first out, with the state of all of them at hand.
#[derive(Debug, Default)]
struct Queue {
    /// Each with all that follow it up to the middle; the last is the oldest.
    front: Vec<WindowState>,
    /// Those after the middle, one by one, but for the last of them.
    back: Vec<WindowState>,
    /// All after the middle.
    back_all: Option<WindowState>,
}

impl Queue {
    fn push(&mut self, state: WindowState) {
        match &mut self.back_all {
            Some(all) => all.append(&state),
            None => self.back_all = Some(state.clone()),
        }
        self.back.push(state);
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            self.back_all = None;
            for state in self.back.drain(..).rev() {
                let with_next = match self.front.last() {
                    Some(next) => state.merge(next),
                    None => state,
                };
                self.front.push(with_next);
            }
        }
        self.front.pop();
    }

    fn with_all(&self, use_it: impl FnOnce(Option<&WindowState>)) {
        match (self.front.last(), &self.back_all) {
            (Some(front), Some(back)) => use_it(Some(&front.clone().merge(back))),
            (front, back) => use_it(front.or(back.as_ref())),
        }
    }
}
