//! Whether two answers are the same: status, error, type, series, values, order where it is promised, annotations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::question::{Question, When};
use crate::compare;

/// An answer of a server.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The body; a string when it is not JSON.
    pub(super) body: Value,
}

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One failed, the other did not; or with different codes.
    Status,
    /// Both failed, with other words.
    Error,
    /// Other type, series or values.
    Data,
    /// The order of series, where it is promised.
    Order,
    /// Warnings or infos.
    Annotations,
}

/// A difference: its kind, what we say, what they say.
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) text: String,
}

fn difference(kind: Kind, text: impl Into<String>) -> Option<Difference> {
    Some(Difference { kind, text: text.into() })
}

/// The first difference. Annotations count when the peer has them.
pub(super) fn judge(
    question: &Question,
    ours: &Reply,
    theirs: &Reply,
    annotations: bool,
) -> Option<Difference> {
    let (a, b) = (&ours.body, &theirs.body);
    if ours.status != theirs.status || a["status"] != b["status"] {
        let short = |reply: &Reply| {
            let error = match &reply.body {
                Value::String(text) => text.clone(),
                body => format!("{} {}", body["errorType"], body["error"]),
            };
            format!("{} {error}", reply.status)
        };
        return difference(Kind::Status, format!("{} against {}", short(ours), short(theirs)));
    }
    if b["status"] == "error" {
        if a["errorType"] != b["errorType"] || error_text(a) != error_text(b) {
            let error = |v: &Value| format!("{} {}", v["errorType"], v["error"]);
            return difference(Kind::Error, format!("{}\n    against {}", error(a), error(b)));
        }
        return None;
    }
    let count = |v: &Value| v["data"]["result"].as_array().map(Vec::len);
    if count(a) != count(b) {
        let first = compare::difference(a, b).unwrap_or_default();
        return difference(Kind::Data, format!("{:?} series against {:?}: {first}", count(a), count(b)));
    }
    if let Some(text) = compare::difference(a, b) {
        return difference(Kind::Data, text);
    }
    if let Some(text) = order(question, a, b) {
        return difference(Kind::Order, text);
    }
    if annotations {
        for field in ["warnings", "infos"] {
            if let Some(text) = texts(&counted(question, &a[field]), &counted(question, &b[field])) {
                return difference(Kind::Annotations, format!("{field}: {text}"));
            }
        }
    }
    None
}

/// The text of an error. Which of two duplicate series is named first is by chance in 3.14; later versions sort them.
fn error_text(body: &Value) -> String {
    let text = body["error"].as_str().unwrap_or("");
    let pair = || {
        let rest = text.strip_prefix("found duplicate series for the match group ")?;
        let (before, rest) = rest.split_once(" hand-side of the operation: [")?;
        let (pair, after) = rest.split_once("];many-to-many")?;
        let (a, b) = pair.split_once("}, {")?;
        let (a, b) = (format!("{a}}}"), format!("{{{b}"));
        Some(format!("{before} {} {} {after}", a.clone().min(b.clone()), a.max(b)))
    };
    pair().unwrap_or_else(|| text.to_owned())
}

/// A matrix is sorted by labels; `sort` and its kin promise the order of values, or of labels.
fn order(question: &Question, a: &Value, b: &Value) -> Option<String> {
    let of = |v: &Value, field: &str| -> Vec<Value> {
        v["data"]["result"].as_array().into_iter().flatten().map(|s| s[field].clone()).collect()
    };
    let same_labels = || {
        let (x, y) = (of(a, "metric"), of(b, "metric"));
        let at = x.iter().zip(&y).position(|(x, y)| x != y)?;
        Some(format!("{} against {} in place {at}", x[at], y[at]))
    };
    match question.when {
        When::Range { .. } => same_labels(),
        When::Instant(_) if question.query.starts_with("sort_by_label") => same_labels(),
        When::Instant(_) if question.query.starts_with("sort") => {
            let (x, y) = (of(a, "value"), of(b, "value"));
            let value = |v: &Value| serde_json::json!({"status": "success", "data": {"resultType": "scalar", "result": v}});
            x.iter().zip(&y).find_map(|(x, y)| compare::difference(&value(x), &value(y)))
        }
        When::Instant(_) => None,
    }
}

/// How many samples needed monotonicity 3.14 counts anew at every step, so that it doubles: compared at one time only.
fn counted(question: &Question, texts: &Value) -> Value {
    if matches!(question.when, When::Instant(_)) && !question.query.contains(':') {
        return texts.clone();
    }
    let without = |text: &str| {
        let (before, rest) = text.split_once(", over ")?;
        let (_, after) = rest.split_once(" samples from ")?;
        Some(format!("{before}, over samples from {after}"))
    };
    let texts = texts.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().and_then(without).map_or_else(|| text.clone(), Value::from)).collect()
}

/// Equal as sets. Beyond ten Prometheus shows any ten and counts the others.
fn texts(a: &Value, b: &Value) -> Option<String> {
    let set = |v: &Value| -> BTreeSet<String> {
        v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    let (a, b) = (set(a), set(b));
    let omitted = |s: &BTreeSet<String>| s.iter().find(|t| t.ends_with("annotations omitted")).cloned();
    if let (Some(x), Some(y)) = (omitted(&a), omitted(&b)) {
        return (x != y).then(|| format!("{x} against {y}"));
    }
    if a == b {
        return None;
    }
    let (extra, missing): (Vec<_>, Vec<_>) = (a.difference(&b).collect(), b.difference(&a).collect());
    Some(format!("ours alone {extra:?}\n    theirs alone {missing:?}"))
}
