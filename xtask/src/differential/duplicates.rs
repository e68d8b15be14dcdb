//! The error that names two of the series that share a match group.
//!
//! Of more than two any may be named, and of several such groups any: which come first is up to the order of series.
//! Ours is right where the peer too finds duplicates on that side of an operation, and both series that we name
//! are among what it has there, and belong to the group.

use std::collections::BTreeSet;

use promql::ast::Expr;
use promql::parse::{ParseOptions, parse, parse_metric};
use serde_json::Value;

use super::data::{END, START};
use super::judge::Reply;
use super::peers::Client;
use super::question::{Question, When};

/// The parts of such an error.
#[derive(Debug, PartialEq, Eq)]
struct Duplicates {
    /// Labels in braces.
    group: String,
    /// `left`, `right`
    side: String,
    pair: [String; 2],
}

impl Duplicates {
    fn read(reply: &Reply) -> Option<Self> {
        let rest =
            reply.body["error"].as_str()?.strip_prefix("found duplicate series for the match group ")?;
        let (group, rest) = rest.split_once(" on the ")?;
        let (side, rest) = rest.split_once(" hand-side of the operation: [")?;
        let (a, b) = rest.split_once("];many-to-many")?.0.split_once("}, {")?;
        let pair = [format!("{a}}}"), format!("{{{b}")];
        Some(Duplicates { group: group.to_owned(), side: side.to_owned(), pair })
    }

    /// Whether the two differ, and both have the group's labels.
    fn fit(&self) -> bool {
        let Some(group) = labels(&self.group) else { return false };
        let within = |series: &String| labels(series).is_some_and(|all| group.is_subset(&all));
        self.pair[0] != self.pair[1] && self.pair.iter().all(within)
    }
}

/// Names and values, the metric's name left out: whether it is still there differs.
fn labels(text: &str) -> Option<BTreeSet<(String, String)>> {
    let labels = parse_metric(text, &ParseOptions::all()).ok()?;
    let pairs = labels.iter().filter(|(name, _)| *name != "__name__");
    Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Whether both are such errors, and the peer has what ours names.
pub(super) fn are_alike(question: &Question, ours: &Reply, theirs: &Reply, peer: &Client) -> bool {
    let (Some(mine), Some(other)) = (Duplicates::read(ours), Duplicates::read(theirs)) else { return false };
    if mine.side != other.side || !mine.fit() || !other.fit() {
        return false;
    }
    let Ok(expr) = parse(&question.query, &ParseOptions::all()) else { return false };
    let mut operands = Vec::new();
    gather(&expr, &mine.side, &mut operands);
    let wanted: Option<Vec<_>> = mine.pair.iter().map(|series| labels(series)).collect();
    let Some(wanted) = wanted else { return false };
    operands.into_iter().any(|operand| {
        // what has duplicates only once names are dropped cannot be asked alone
        series_of(question, &operand, peer)
            .is_none_or(|there| wanted.iter().all(|series| there.contains(series)))
    })
}

/// What stands on that side of the operations between vectors.
fn gather(expr: &Expr, side: &str, operands: &mut Vec<String>) {
    let mut visit = |expr: &Expr| gather(expr, side, operands);
    match expr {
        Expr::Subquery(subquery) => visit(&subquery.expr),
        Expr::Unary(unary) => visit(&unary.expr),
        Expr::Paren(paren) => visit(&paren.expr),
        Expr::Call(call) => call.args.iter().for_each(visit),
        Expr::Aggregate(aggregate) => {
            visit(&aggregate.expr);
            aggregate.param.iter().for_each(visit);
        }
        Expr::Binary(binary) => {
            visit(&binary.lhs);
            visit(&binary.rhs);
            if binary.matching.is_some() {
                operands.push(if side == "left" { &binary.lhs } else { &binary.rhs }.to_string());
            }
        }
        _ => {}
    }
}

/// The series of an operand, at the question's times and, as it may stand in a subquery, at all others; `None` when
/// some of them differ in their names alone, which are dropped at the end.
fn series_of(
    question: &Question,
    operand: &str,
    peer: &Client,
) -> Option<BTreeSet<BTreeSet<(String, String)>>> {
    let always = When::Range { start: (START - 3600) * 1000, end: (END + 3600) * 1000, step: 15 };
    let mut all = BTreeSet::new();
    // of equals any are chosen, each time
    for when in [question.when, question.when, question.when, always, always] {
        let (path, form) = Question { query: operand.to_owned(), when, broken: false }.request();
        let reply = peer.ask(path, &form);
        if reply.body["error"].as_str().is_some_and(|error| error.ends_with("with the same labelset")) {
            return None;
        }
        for series in reply.body["data"]["result"].as_array().into_iter().flatten() {
            let pairs = series["metric"].as_object().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            all.insert(
                pairs.filter(|(name, _)| *name != "__name__").map(|(n, v)| (n.clone(), text(v))).collect(),
            );
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(group: &str, pair: &str) -> Option<Duplicates> {
        let error = format!(
            "found duplicate series for the match group {group} on the left hand-side of the operation: \
             [{pair}];many-to-many matching not allowed: matching labels must be unique on one side"
        );
        Duplicates::read(&Reply { status: 422, body: json!({"status": "error", "error": error}) })
    }

    #[test]
    fn the_pair_belongs_to_its_group() {
        let fits = |group, pair| fault(group, pair).expect("is such an error").fit();
        assert!(fits("{}", "{a=\"1\"}, {a=\"2\"}"));
        assert!(fits("{b=\"1\"}", "{__name__=\"x\", a=\"1\", b=\"1\"}, {a=\"2\", b=\"1\"}"));
        assert!(!fits("{b=\"1\"}", "{a=\"1\", b=\"1\"}, {a=\"2\", b=\"2\"}"));
        assert!(!fits("{}", "{a=\"1\"}, {a=\"1\"}"));
    }

    #[test]
    fn operands_are_those_of_the_side() {
        let expr = parse("sum(a * on (x) b) + c[5m:] - 1", &ParseOptions::all());
        assert!(expr.is_err(), "a range is no operand");
        let expr = parse("sum(a * on (x) b) + rate((c / d)[5m:])", &ParseOptions::all()).expect("a query");
        let of = |side: &str| {
            let mut operands = Vec::new();
            gather(&expr, side, &mut operands);
            operands
        };
        assert_eq!(of("left"), ["a", "c", "sum(a * on (x) b)"]);
        assert_eq!(of("right"), ["b", "d", "rate((c / d)[5m:])"]);
    }
}
