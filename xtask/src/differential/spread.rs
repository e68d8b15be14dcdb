//! What a Prometheus leaves open: its answers to one question, asked again and again.
//!
//! Over a range it takes the series of an inner result out of a hash map, in another order each time. So sums differ
//! in their last digits (and what compares or rounds them may differ in more), of equal values any are chosen, and of
//! several errors any is the first. Ours is as good as theirs where it is one of theirs, or lies between them in
//! every point.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::judge::{Reply, judge};
use super::peers::Client;
use super::question::Question;

/// Asked so often until the peer contradicts itself.
const FIRST: usize = 12;
/// Asked so often once it does.
const MOST: usize = 60;

/// Whether the peer's own answers leave ours open. `first` is the one that ours differs from.
pub(super) fn leaves_open(
    question: &Question,
    ours: &Reply,
    first: &Reply,
    peer: &Client,
    annotations: bool,
) -> bool {
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
    between(ours, &all)
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

/// Whether ours lies between theirs: an error where one of theirs is of its kind; or every point there where one of
/// theirs has it, and between their values, none missing that all of theirs have.
fn between(ours: &Reply, theirs: &[&Reply]) -> bool {
    if ours.body["status"] == "error" {
        return error_between(ours, theirs);
    }
    let Some(ours_points) = points(ours) else { return false };
    // where some fail and some do not, those that do not count
    let fine: Vec<&Reply> = theirs.iter().copied().filter(|r| r.body["status"] == "success").collect();
    let their_points: Vec<Points> = fine.iter().filter_map(|reply| points(reply)).collect();
    !their_points.is_empty()
        && points_between(&ours_points, &their_points)
        && ["warnings", "infos"].iter().all(|field| texts_between(ours, &fine, field))
}

/// How Prometheus begins to say that a match group holds several series.
const DUPLICATES: &str = "found duplicate series for the match group ";

/// Of more than two series of one match group, and of several such groups, any may be named.
fn error_between(ours: &Reply, theirs: &[&Reply]) -> bool {
    let Some(mine) = Duplicates::read(ours) else { return false };
    let of_side: Vec<Duplicates> =
        theirs.iter().filter_map(|reply| Duplicates::read(reply)).filter(|d| d.side == mine.side).collect();
    // each series is known to be among those of the group, or the group itself varies
    let groups: BTreeSet<&str> = of_side.iter().map(|d| d.group.as_str()).collect();
    let known: BTreeSet<&str> = of_side
        .iter()
        .filter(|d| d.group == mine.group)
        .flat_map(|d| d.pair.iter().map(String::as_str))
        .collect();
    mine.pair[0] != mine.pair[1]
        && if groups.contains(mine.group.as_str()) {
            mine.pair.iter().all(|series| known.contains(series.as_str()))
        } else {
            groups.len() > 1
        }
}

/// The parts of such an error.
struct Duplicates {
    group: String,
    side: String,
    pair: [String; 2],
}

impl Duplicates {
    fn read(reply: &Reply) -> Option<Self> {
        let rest = reply.body["error"].as_str()?.strip_prefix(DUPLICATES)?;
        let (group, rest) = rest.split_once(" on the ")?;
        let (side, rest) = rest.split_once(" hand-side of the operation: [")?;
        let (a, b) = rest.split_once("];many-to-many")?.0.split_once("}, {")?;
        let pair = [format!("{a}}}"), format!("{{{b}")];
        Some(Duplicates { group: group.to_owned(), side: side.to_owned(), pair })
    }
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

fn points_between(ours: &Points, theirs: &[Points]) -> bool {
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
        (least..=most).contains(&count(ours, time))
    });
    counts_fit
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
        assert!(between(&one(json!([[1, "1.05"], [2, "5"]])), &both));
        assert!(!between(&one(json!([[1, "1.05"], [2, "6"]])), &both), "there the peer does not vary");
        assert!(!between(&one(json!([[1, "2"], [2, "5"]])), &both), "far from both");
        assert!(!between(&one(json!([[1, "1.05"]])), &both), "a point that all have");
        assert!(!between(&one(json!([[1, "1.05"], [2, "5"], [3, "1"]])), &both), "a point that none has");
        assert!(!between(&one(json!([[1, "NaN"], [2, "5"]])), &both));
    }

    #[test]
    fn of_equals_as_many_are_chosen() {
        let of = |names: &[&str]| {
            let series = names.iter().map(|name| json!({"metric": {"a": name}, "values": [[1, "1"]]}));
            matrix(Value::Array(series.collect()))
        };
        let (x, y) = (of(&["1", "2"]), of(&["2", "3"]));
        let both = [&x, &y];
        assert!(between(&of(&["2", "1"]), &both));
        assert!(!between(&of(&["1", "2", "3"]), &both));
        assert!(!between(&of(&["2"]), &both));
        assert!(!between(&of(&["2", "4"]), &both));
    }

    #[test]
    fn duplicates_are_of_one_side_and_known() {
        let fault = |group: &str, side: &str, pair: &str| {
            let error = format!(
                "{DUPLICATES}{group} on the {side} hand-side of the operation: [{pair}];many-to-many matching not allowed"
            );
            Reply { status: 422, body: json!({"status": "error", "errorType": "execution", "error": error}) }
        };
        let ab = fault("{}", "left", "{a=\"1\"}, {a=\"2\"}");
        let bc = fault("{}", "left", "{a=\"3\"}, {a=\"2\"}");
        assert!(between(&fault("{}", "left", "{a=\"1\"}, {a=\"3\"}"), &[&ab, &bc]));
        assert!(!between(&fault("{}", "left", "{a=\"1\"}, {a=\"4\"}"), &[&ab, &bc]));
        assert!(!between(&fault("{}", "right", "{a=\"1\"}, {a=\"3\"}"), &[&ab, &bc]));
        assert!(!between(&fault("{a=\"1\"}", "left", "{a=\"1\"}, {a=\"3\"}"), &[&ab, &bc]));
    }
}
