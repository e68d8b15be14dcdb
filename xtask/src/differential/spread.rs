//! What a Prometheus leaves open: its answers to one question, asked again and again, and in other words.
//!
//! Over a range it takes the series of an inner result out of a hash map, in another order each time. So sums differ
//! in their last digits (and what compares or rounds them may differ in more), of equal values any are chosen, and of
//! several errors any is the first. Ours is as good as theirs where it is one of theirs, or lies between them in
//! every point.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::disturbed::{disturbed, has_equal_sides};
use super::duplicates;
use super::grammar::Dialect;
use super::judge::{Reply, judge};
use super::peers::Client;
use super::question::Question;
use super::random::Random;

/// Asked so often until the peer contradicts itself.
const FIRST: usize = 12;
/// Asked so often once it does.
const MOST: usize = 150;

/// Variants of a question that are asked.
const VARIANTS: usize = 40;

/// Whether what the peer says leaves ours open. `first` is the answer that ours differs from. With `reorder`, our
/// series may come in another order than the peer's.
pub(super) fn leaves_open(
    question: &Question,
    ours: &Reply,
    first: &Reply,
    peer: &Client,
    dialect: Dialect,
    reorder: bool,
) -> bool {
    again(question, ours, first, peer, dialect.modern)
        || duplicates::are_alike(question, ours, first, peer)
        || (!dialect.modern || annotations_between(ours, &[first]))
            && otherwise(question, ours, first, peer, reorder)
}

/// Ours is one of the answers to the question with last digits and orders disturbed, or lies between them.
fn otherwise(question: &Question, ours: &Reply, first: &Reply, peer: &Client, reorder: bool) -> bool {
    let mut random = Random::new(1, 0);
    let mut answers: Vec<Reply> = Vec::new();
    for asked in 1..=VARIANTS {
        // places in the text, which annotations name, are others
        let Some(query) = disturbed(&question.query, reorder && asked % 2 == 0, &mut random) else {
            continue;
        };
        let variant = Question { query, ..question.clone() };
        let (path, form) = variant.request();
        let reply = peer.ask(path, &form);
        if reply.body["status"] != "success" {
            continue;
        }
        if judge(question, ours, &reply, false).is_none() {
            return true;
        }
        answers.push(reply);
        if asked % 10 == 0 {
            let all: Vec<&Reply> = std::iter::once(first).chain(&answers).collect();
            if between(ours, &all, true) {
                return true;
            }
        }
    }
    false
}

/// Ours is one of the answers to the same question asked again, or lies between them.
fn again(question: &Question, ours: &Reply, first: &Reply, peer: &Client, annotations: bool) -> bool {
    let (path, form) = question.request();
    let mut answers: Vec<Reply> = Vec::new();
    let mut contents = BTreeSet::from([content(first)]);
    for asked in 0..MOST {
        if asked >= FIRST && contents.len() == 1 {
            return false;
        }
        let again = peer.ask(path, &form);
        if judge(question, ours, &again, annotations).is_none() {
            return true;
        }
        if contents.insert(content(&again)) {
            answers.push(again);
        }
    }
    let all: Vec<&Reply> = std::iter::once(first).chain(&answers).collect();
    // ours chooses the same on both sides
    let are_counted = !has_equal_sides(&question.query);
    between(ours, &all, are_counted) && (!annotations || annotations_between(ours, &all))
}

/// An answer as text, whatever the order of its parts.
fn content(reply: &Reply) -> String {
    let list = |v: &Value| {
        let mut texts: Vec<String> = v.as_array().into_iter().flatten().map(Value::to_string).collect();
        texts.sort();
        texts.join("\n")
    };
    let body = &reply.body;
    if body["status"] == "error" {
        return body["error"].to_string();
    }
    format!("{}\n{}\n{}", list(&body["data"]["result"]), list(&body["warnings"]), list(&body["infos"]))
}

/// Whether two answers are the same to the last digit.
pub(super) fn same_digits(a: &Reply, b: &Reply) -> bool {
    content(a) == content(b)
}

/// The first point whose digits differ.
pub(super) fn other_digits(a: &Reply, b: &Reply) -> String {
    let (Some(x), Some(y)) = (points(a), points(b)) else { return "no series".to_owned() };
    let other = x.iter().find_map(|(key, v)| y.get(key).filter(|w| *w != v).map(|w| (key, v, w)));
    other.map_or_else(
        || "in annotations or labels".to_owned(),
        |((series, t), v, w)| format!("{series} at {t}: {v} against {w}"),
    )
}

/// Whether ours lies between theirs: every point there where one of theirs has it, and between their values, none
/// missing that all of theirs have.
///
/// With `are_counted`, there are as many at each time as theirs have.
fn between(ours: &Reply, theirs: &[&Reply], are_counted: bool) -> bool {
    let Some(ours_points) = points(ours) else { return false };
    // where some fail and some do not, those that do not count
    let fine: Vec<&Reply> = theirs.iter().copied().filter(|r| r.body["status"] == "success").collect();
    let their_points: Vec<Points> = fine.iter().filter_map(|reply| points(reply)).collect();
    !their_points.is_empty() && points_between(&ours_points, &their_points, are_counted)
}

/// None that none of theirs has, none missing that all of them have.
fn annotations_between(ours: &Reply, theirs: &[&Reply]) -> bool {
    let fine: Vec<&Reply> = theirs.iter().copied().filter(|r| r.body["status"] == "success").collect();
    ["warnings", "infos"].iter().all(|field| texts_between(ours, &fine, field))
}

/// Values by series and time.
type Points = BTreeMap<(String, String), Value>;

/// `None` when it is no vector or matrix.
fn points(reply: &Reply) -> Option<Points> {
    let data = &reply.body["data"];
    if !matches!(data["resultType"].as_str(), Some("vector" | "matrix")) {
        return None;
    }
    let mut points = Points::new();
    for series in data["result"].as_array()? {
        let single = ["value", "histogram"].iter().filter_map(|field| series.get(*field));
        let many = ["values", "histograms"].iter().filter_map(|field| series[*field].as_array()).flatten();
        for point in single.chain(many) {
            points.insert((series["metric"].to_string(), point[0].to_string()), point[1].clone());
        }
    }
    Some(points)
}

fn points_between(ours: &Points, theirs: &[Points], are_counted: bool) -> bool {
    let everywhere = |key| theirs.iter().all(|points| points.contains_key(key));
    if theirs[0].keys().any(|key| everywhere(key) && !ours.contains_key(key)) {
        return false;
    }
    // as many points at each time: which of equals are chosen may vary, how many may not
    let mut times: BTreeSet<&str> = BTreeSet::new();
    times.extend(ours.keys().chain(theirs.iter().flat_map(BTreeMap::keys)).map(|(_, t)| t.as_str()));
    let count = |points: &Points, time: &str| points.keys().filter(|(_, t)| t == time).count();
    let counts_fit = times.into_iter().all(|time| {
        let all = theirs.iter().map(|points| count(points, time));
        let (least, most) = all.fold((usize::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
        // not all choices were seen
        let spread = most - least;
        (least.saturating_sub(spread)..=most + spread).contains(&count(ours, time))
    });
    (counts_fit || !are_counted)
        && ours.iter().all(|(key, value)| {
            let there: Vec<&Value> = theirs.iter().filter_map(|points| points.get(key)).collect();
            !there.is_empty() && value_between(value, &there)
        })
}

/// One of them; a float between them too, or beyond by no more than they differ, for not all orders were seen.
fn value_between(ours: &Value, theirs: &[&Value]) -> bool {
    if theirs.contains(&ours) {
        return true;
    }
    let Some(mine) = crate::compare::number(ours).filter(|v| !v.is_nan()) else { return false };
    let numbers = theirs.iter().filter_map(|v| crate::compare::number(v)).filter(|v| !v.is_nan());
    let (least, most) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let spread = most - least;
    let near = |v: f64| crate::compare::same_number(mine, v);
    (mine >= least - spread && mine <= most + spread) || near(least) || near(most)
}

/// Every text is one of theirs, and none is missing that all of theirs have.
fn texts_between(ours: &Reply, theirs: &[&Reply], field: &str) -> bool {
    let set = |reply: &Reply| -> BTreeSet<String> {
        reply.body[field].as_array().into_iter().flatten().map(Value::to_string).collect()
    };
    let mine = set(ours);
    let all: Vec<BTreeSet<String>> = theirs.iter().map(|reply| set(reply)).collect();
    mine.iter().all(|text| all.iter().any(|set| set.contains(text)))
        && all.first().is_none_or(|first| {
            first.iter().all(|text| mine.contains(text) || !all.iter().all(|set| set.contains(text)))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matrix(series: Value) -> Reply {
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": series}});
        Reply { status: 200, body }
    }

    fn one(values: Value) -> Reply {
        matrix(json!([{"metric": {"a": "1"}, "values": values}]))
    }

    #[test]
    fn a_point_lies_between_those_of_the_peer() {
        let (low, high) = (one(json!([[1, "1"], [2, "5"]])), one(json!([[1, "1.1"], [2, "5"]])));
        let both = [&low, &high];
        assert!(between(&one(json!([[1, "1.05"], [2, "5"]])), &both, true));
        assert!(!between(&one(json!([[1, "1.05"], [2, "6"]])), &both, true), "there the peer does not vary");
        assert!(!between(&one(json!([[1, "2"], [2, "5"]])), &both, true), "far from both");
        assert!(!between(&one(json!([[1, "1.05"]])), &both, true), "a point that all have");
        assert!(
            !between(&one(json!([[1, "1.05"], [2, "5"], [3, "1"]])), &both, true),
            "a point that none has"
        );
        assert!(!between(&one(json!([[1, "NaN"], [2, "5"]])), &both, true));
    }

    #[test]
    fn of_equals_as_many_are_chosen() {
        let of = |names: &[&str]| {
            let series = names.iter().map(|name| json!({"metric": {"a": name}, "values": [[1, "1"]]}));
            matrix(Value::Array(series.collect()))
        };
        let (x, y) = (of(&["1", "2"]), of(&["2", "3"]));
        let both = [&x, &y];
        assert!(between(&of(&["2", "1"]), &both, true));
        assert!(!between(&of(&["1", "2", "3"]), &both, true));
        assert!(!between(&of(&["2"]), &both, true));
        assert!(!between(&of(&["2", "4"]), &both, true));
        // where each of theirs is another, none at all is as likely
        let (x, y, z) = (of(&["1"]), of(&["2", "3"]), of(&["1", "3"]));
        assert!(between(&of(&[]), &[&x, &y, &z], true));
    }
}
