//! Differences that are known, each with its reason.
//!
//! Most are what an older Prometheus (2.42) answers differently from today's. Where today's stands beside it, that is
//! checked and the rule only names the reason; without, the words of the query have to do. Two more have no rule because questions
//! and data keep clear of them: ranges were closed on the left before 3.0 (no sample, and no point of a subquery, lies
//! where a range begins), and what 2.42 cannot parse is not asked, but for queries that are broken on purpose.

use serde_json::Value;

use super::judge::{Difference, Kind, Reply};
use super::question::Question;
use crate::compare;

/// What is compared.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The peer is of version 3 or later.
    pub(super) modern: bool,
    /// `promql-delayed-name-removal`
    pub(super) delayed_names: bool,
}

/// A known difference.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Why the answers differ.
    pub(super) reason: &'static str,
    /// Where it holds.
    holds: fn(Setting) -> bool,
    /// Whether it explains this one.
    explains: fn(&Case<'_>) -> bool,
}

/// One difference.
struct Case<'a> {
    query: &'a str,
    broken: bool,
    ours: &'a Reply,
    theirs: &'a Reply,
    kind: Kind,
}

impl Case<'_> {
    fn asks(&self, words: &[&str]) -> bool {
        words.iter().any(|word| calls(self.query, word))
    }
}

/// Whether the word is in the query, not as the end or the beginning of a longer one.
fn calls(query: &str, word: &str) -> bool {
    let query = query.to_ascii_lowercase();
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    query.match_indices(word).any(|(at, _)| {
        !part(query[..at].chars().next_back()) && !part(query[at + word.len()..].chars().next())
    })
}

fn error(reply: &Reply) -> &str {
    reply.body["error"].as_str().unwrap_or("")
}

/// How Prometheus begins to say that a match group holds several series.
const DUPLICATES: &str = "found duplicate series for the match group ";

fn older(setting: Setting) -> bool {
    !setting.modern
}

/// All rules.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "parse error words",
        reason: "3.x names the parameter before a parse error and has reworded many of them",
        holds: older,
        explains: |case| {
            case.kind == Kind::Error
                && case.ours.body["errorType"] == "bad_data"
                && case.theirs.body["errorType"] == "bad_data"
                && error(case.ours).starts_with("invalid parameter")
        },
    },
    Rule {
        name: "newer syntax",
        reason: "a broken query may happen to be right in 3.x: durations as numbers, quoted names, newer operators",
        holds: older,
        explains: |case| {
            case.broken
                && case.kind == Kind::Status
                && case.ours.body["errorType"] != "bad_data"
                && case.theirs.body["errorType"] == "bad_data"
        },
    },
    Rule {
        name: "newer names",
        reason: "since 3.0 any UTF-8 text is a label name; before, one with other characters was refused",
        holds: older,
        explains: |case| {
            error(case.theirs).starts_with("invalid ") && error(case.theirs).contains("label name")
        },
    },
    Rule {
        name: "holt_winters",
        reason: "renamed double_exponential_smoothing in 3.0",
        holds: older,
        explains: |case| case.asks(&["holt_winters"]),
    },
    Rule {
        name: "bounds of k",
        reason: "2.42 refuses NaN, -Inf and what is too large as a parameter of topk in other words or at other times",
        holds: older,
        explains: |case| case.asks(&["topk", "bottomk"]) && error(case.theirs).ends_with("overflows int64"),
    },
    Rule {
        name: "equals of topk",
        reason: "the heap of 2.42 keeps others of equal values",
        holds: older,
        explains: |case| case.asks(&["topk", "bottomk"]) && case.kind == Kind::Data,
    },
    Rule {
        name: "names after atan2",
        reason: "2.42 does not drop the metric's name there",
        holds: older,
        explains: |case| {
            case.asks(&["atan2"])
                && (case.kind == Kind::Data
                    || error(case.ours).contains("same labelset")
                    || error(case.ours).starts_with(DUPLICATES))
        },
    },
    Rule {
        name: "extrapolation to zero",
        reason: "since 2.52 rate and increase first limit how far they extrapolate, then see where a counter was zero",
        holds: older,
        explains: |case| case.asks(&["rate", "increase"]) && case.kind == Kind::Data,
    },
    Rule {
        name: "deviation of what is not finite",
        reason: "stddev and stdvar of one NaN or infinity are 0 in 2.42, those over time of an infinity NaN",
        holds: older,
        explains: |case| {
            case.asks(&["stddev", "stdvar", "stddev_over_time", "stdvar_over_time"])
                && case.kind == Kind::Data
        },
    },
    Rule {
        name: "groups of count_values",
        reason: "2.42 groups by an unsorted list of names where the new label sorts before those of `by`, and so loses some",
        holds: older,
        explains: |case| case.asks(&["count_values"]) && case.query.contains("by") && case.kind == Kind::Data,
    },
    Rule {
        name: "several matches",
        reason: "2.42 does not notice several partners where a comparison lets none of them through",
        holds: older,
        explains: |case| error(case.ours).starts_with("multiple matches for labels"),
    },
    Rule {
        name: "trend of a pinned window",
        reason: "2.42 moves the window of predict_linear with the steps even where `@` holds it",
        holds: older,
        explains: |case| {
            case.asks(&["predict_linear"]) && case.query.contains('@') && case.kind == Kind::Data
        },
    },
    Rule {
        name: "points at no time",
        reason: "2.42 evaluates what is pinned in a subquery even where the subquery has no points",
        holds: older,
        explains: |case| case.query.contains('@') && case.query.contains(':') && case.kind == Kind::Data,
    },
    Rule {
        name: "names after info",
        reason: "3.14 forgets in info that a name is to be dropped at the end; mended in later versions",
        holds: |setting| setting.modern && setting.delayed_names,
        explains: |case| {
            let theirs = unnamed(case.theirs);
            let is_same = || compare::difference(&unnamed(case.ours), &theirs).is_none();
            // without names, several of theirs may be the same
            let has_equals = || {
                let all: Vec<&Value> = theirs["data"]["result"].as_array().into_iter().flatten().collect();
                (1..all.len()).any(|i| all[..i].iter().any(|other| other["metric"] == all[i]["metric"]))
            };
            case.asks(&["info"])
                && match case.kind {
                    Kind::Data => is_same(),
                    Kind::Status => error(case.ours).contains("same labelset") && has_equals(),
                    _ => false,
                }
        },
    },
];

/// The answer without the names of metrics.
fn unnamed(reply: &Reply) -> Value {
    let mut body = reply.body.clone();
    for series in body["data"]["result"].as_array_mut().into_iter().flatten() {
        if let Some(labels) = series["metric"].as_object_mut() {
            labels.remove("__name__");
        }
    }
    body
}

/// The first rule that explains the difference.
pub(super) fn explanation(
    setting: Setting,
    question: &Question,
    (ours, theirs): (&Reply, &Reply),
    difference: &Difference,
) -> Option<&'static Rule> {
    let case = Case { query: &question.query, broken: question.broken, ours, theirs, kind: difference.kind };
    RULES.iter().find(|rule| (rule.holds)(setting) && (rule.explains)(&case))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(calls("sum(rate(x[5m]))", "rate") && calls("TopK(1, x)", "topk"));
        assert!(!calls("irate(x[5m])", "rate") && !calls("rate_x", "rate"));
    }
}
