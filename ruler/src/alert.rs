//! An alert of a rule and the states it goes through.

use std::collections::BTreeMap;

use model::{Labels, TimestampMs};

use crate::Span;

/// How long resolved alerts are kept.
const RESOLVED_KEPT_MS: i64 = 15 * 60_000;

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// Resolved.
    Inactive,
    /// The expression holds, but not for long enough yet.
    Pending,
    /// The expression has held long enough.
    Firing,
}

impl AlertState {
    /// As the label `alertstate` says it.
    pub fn name(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// An alert. Times are those of evaluations.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// What is said about it, expanded.
    pub annotations: BTreeMap<String, String>,
    /// The state.
    pub state: AlertState,
    /// The value of the expression when it held last.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at: TimestampMs,
    /// Since when it fires.
    pub fired_at: Option<TimestampMs>,
    /// When it was resolved.
    pub resolved_at: Option<TimestampMs>,
    /// Since when it fires on although the expression holds no more.
    pub keep_firing_since: Option<TimestampMs>,
}

/// What is left of an alert after an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is pending or fires.
    Active,
    /// It is resolved, and kept for those who have not heard yet.
    Resolved,
    /// Nothing.
    Gone,
}

impl Alert {
    pub(crate) fn new(
        labels: Labels,
        annotations: BTreeMap<String, String>,
        value: f64,
        now: TimestampMs,
    ) -> Self {
        Alert {
            labels,
            annotations,
            state: AlertState::Pending,
            value,
            active_at: now,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
        }
    }

    /// Goes on: `holds` says whether the expression gave it this time.
    pub(crate) fn advance(
        &mut self,
        holds: bool,
        now: TimestampMs,
        hold: Span,
        keep_firing_for: Span,
    ) -> Outcome {
        if holds {
            self.keep_firing_since = None;
        } else {
            let mut keeps_firing = false;
            if self.state == AlertState::Firing && keep_firing_for > Span(0) {
                let since = *self.keep_firing_since.get_or_insert(now);
                keeps_firing = now - since < keep_firing_for.0;
            }
            let is_forgotten = self.resolved_at.is_some_and(|at| now - at > RESOLVED_KEPT_MS);
            if self.state == AlertState::Pending || is_forgotten {
                return Outcome::Gone;
            }
            if !keeps_firing {
                if self.state != AlertState::Inactive {
                    self.state = AlertState::Inactive;
                    self.resolved_at = Some(now);
                }
                return Outcome::Resolved;
            }
        }
        let has_held = now - self.active_at >= hold.0;
        match self.state {
            AlertState::Pending if has_held => {
                self.state = AlertState::Firing;
                self.fired_at = Some(now);
            }
            AlertState::Firing if !has_held => {
                self.state = AlertState::Pending;
                self.fired_at = None;
                self.keep_firing_since = None;
            }
            _ => {}
        }
        Outcome::Active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        Alert::new(Labels::empty(), BTreeMap::new(), 1.0, 0)
    }

    #[test]
    fn an_alert_fires_after_its_time_and_fires_on() {
        let (hold, keep) = (Span(120_000), Span(60_000));
        let mut alert = alert();
        assert_eq!(alert.advance(true, 0, hold, keep), Outcome::Active);
        assert_eq!(alert.advance(true, 60_000, hold, keep), Outcome::Active);
        assert_eq!(alert.state, AlertState::Pending);
        assert_eq!(alert.advance(true, 120_000, hold, keep), Outcome::Active);
        assert_eq!((alert.state, alert.fired_at), (AlertState::Firing, Some(120_000)));
        assert_eq!(alert.advance(false, 180_000, hold, keep), Outcome::Active);
        assert_eq!(alert.advance(true, 210_000, hold, keep), Outcome::Active);
        assert_eq!(alert.keep_firing_since, None);
        assert_eq!(alert.advance(false, 240_000, hold, keep), Outcome::Active);
        assert_eq!(alert.state, AlertState::Firing);
        assert_eq!(alert.advance(false, 300_000, hold, keep), Outcome::Resolved);
        assert_eq!((alert.state, alert.resolved_at), (AlertState::Inactive, Some(300_000)));
        assert_eq!(alert.advance(false, 1_200_000, hold, keep), Outcome::Resolved);
        assert_eq!(alert.advance(false, 1_200_001, hold, keep), Outcome::Gone);
    }

    #[test]
    fn a_pending_alert_that_does_not_hold_is_gone() {
        let mut alert = alert();
        assert_eq!(alert.advance(true, 0, Span(60_000), Span(0)), Outcome::Active);
        assert_eq!(alert.advance(false, 30_000, Span(60_000), Span(0)), Outcome::Gone);
    }
}
