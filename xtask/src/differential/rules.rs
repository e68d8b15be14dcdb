//! What an older Prometheus (2.42) is known to answer differently, each with its reason.
//!
//! Today's Prometheus has no rule here: whatever differs from it is a fault of ours.
//! Two differences have no rule because questions and data keep clear of them: ranges were closed on the left before
//! 3.0 (no sample, and no point of a subquery, lies where a range begins), and what 2.42 cannot parse is not asked.

use super::judge::{Difference, Kind, Reply};
use super::question::Question;

/// A known difference.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Why the answers differ.
    pub(super) reason: &'static str,
    /// Whether it explains this one.
    pub(super) explains: fn(&Question, &Reply, &Reply, &Difference) -> bool,
}

fn error(reply: &Reply) -> &str {
    reply.body["error"].as_str().unwrap_or("")
}

/// All rules.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "parse error words",
        reason: "3.x names the parameter before a parse error and has reworded many of them",
        explains: |_, ours, theirs, difference| {
            difference.kind == Kind::Error
                && ours.body["errorType"] == "bad_data"
                && theirs.body["errorType"] == "bad_data"
                && error(ours).starts_with("invalid parameter")
        },
    },
    Rule {
        name: "newer syntax",
        reason: "a broken query may happen to be right in 3.x: durations as numbers, quoted names, newer operators",
        explains: |question, ours, theirs, difference| {
            question.broken
                && difference.kind == Kind::Status
                && ours.body["status"] == "success"
                && theirs.body["errorType"] == "bad_data"
        },
    },
];

/// The first rule that explains the difference.
pub(super) fn explanation(
    question: &Question,
    ours: &Reply,
    theirs: &Reply,
    difference: &Difference,
) -> Option<&'static Rule> {
    RULES.iter().find(|rule| (rule.explains)(question, ours, theirs, difference))
}
