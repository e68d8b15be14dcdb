//! `parse_query`: a query's syntax tree as JSON, for user interfaces.

use model::Matcher;
use promql::ast::{
    Arity, AtModifier, Binary, Call, DurationArg, DurationExpr, DurationKind, Expr, MatrixSelector, Subquery,
    VectorSelector,
};
use serde_json::{Value, json};

use crate::json::write_float_plain;

/// The tree as JSON text. As deep as the tree, whose depth the parser bounds.
pub(super) fn tree_json(expr: &Expr) -> Vec<u8> {
    let text = tree(expr).to_string();
    // these stand inside strings only
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(number) => json!({"type": "numberLiteral", "val": plain(number.value)}),
        Expr::String(string) => json!({"type": "stringLiteral", "val": string.value}),
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": tree(&paren.expr)}),
        Expr::Unary(unary) => {
            json!({"type": "unaryExpr", "op": unary.op.as_str(), "expr": tree(&unary.expr)})
        }
        Expr::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": tree(&aggregate.expr),
            "param": aggregate.param.as_ref().map(tree),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        Expr::Binary(binary) => of_binary(binary),
        Expr::Call(call) => of_call(call),
        Expr::VectorSelector(selector) => of_vector(selector),
        Expr::MatrixSelector(selector) => of_matrix(selector),
        Expr::Subquery(subquery) => of_subquery(subquery),
        Expr::StepInvariant(inner) => tree(inner),
        Expr::Duration(duration) => of_duration(duration),
    }
}

fn of_binary(binary: &Binary) -> Value {
    let matching = binary.matching.as_ref().map(|matching| {
        json!({
            "card": matching.card.as_str(),
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": {"lhs": matching.fill.lhs, "rhs": matching.fill.rhs},
        })
    });
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": tree(&binary.lhs),
        "rhs": tree(&binary.rhs),
        "matching": matching,
        "bool": binary.return_bool,
    })
}

fn of_call(call: &Call) -> Value {
    let variadic = match call.function.arity {
        Arity::Exact => 0,
        Arity::UpTo(count) => count as i64,
        Arity::Any => -1,
    };
    json!({
        "type": "call",
        "func": {
            "name": call.function.name,
            "argTypes": call.function.arg_types.iter().map(|t| t.as_str()).collect::<Vec<_>>(),
            "variadic": variadic,
            "returnType": call.function.return_type.as_str(),
        },
        "args": call.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn of_vector(selector: &VectorSelector) -> Value {
    let (timestamp, start_or_end) = at(selector.at);
    json!({
        "type": "vectorSelector",
        "name": selector.name,
        "offset": selector.offset.ms,
        "offsetExpr": computed(&selector.offset),
        "matchers": of_matchers(&selector.matchers),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
        "anchored": selector.anchored,
        "smoothed": selector.smoothed,
    })
}

fn of_matrix(matrix: &MatrixSelector) -> Value {
    let mut out = of_vector(&matrix.selector);
    out["type"] = json!("matrixSelector");
    out["range"] = json!(matrix.range.ms);
    out["rangeExpr"] = computed(&matrix.range);
    out
}

fn of_subquery(subquery: &Subquery) -> Value {
    let (timestamp, start_or_end) = at(subquery.at);
    json!({
        "type": "subquery",
        "expr": tree(&subquery.expr),
        "range": subquery.range.ms,
        "rangeExpr": computed(&subquery.range),
        "offset": subquery.offset.ms,
        "offsetExpr": computed(&subquery.offset),
        "step": subquery.step.ms,
        "stepExpr": computed(&subquery.step),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
    })
}

fn at(modifier: Option<AtModifier>) -> (Option<i64>, Option<&'static str>) {
    match modifier {
        None => (None, None),
        Some(AtModifier::Timestamp(ms)) => (Some(ms), None),
        Some(AtModifier::Start) => (None, Some("start")),
        Some(AtModifier::End) => (None, Some("end")),
    }
}

fn of_matchers(matchers: &[Matcher]) -> Vec<Value> {
    matchers.iter().map(|m| json!({"name": m.name(), "value": m.value(), "type": m.op().as_str()})).collect()
}

fn computed(duration: &DurationArg) -> Value {
    duration.expr.as_deref().map_or(Value::Null, of_duration)
}

fn of_duration(duration: &DurationExpr) -> Value {
    let expr = |op: &str, lhs: Value, rhs: Value| json!({"type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": duration.wrapped});
    match &duration.kind {
        DurationKind::Literal { seconds, as_duration } => {
            json!({"type": "numberLiteral", "val": plain(*seconds), "duration": as_duration})
        }
        DurationKind::Step => expr("step", Value::Null, Value::Null),
        DurationKind::Range => expr("range", Value::Null, Value::Null),
        DurationKind::Negate(inner) => expr("-", Value::Null, of_duration(inner)),
        DurationKind::Positive(inner) => expr("+", Value::Null, of_duration(inner)),
        DurationKind::Binary { op, lhs, rhs } => expr(op.as_str(), of_duration(lhs), of_duration(rhs)),
    }
}

fn plain(v: f64) -> String {
    let mut out = Vec::new();
    write_float_plain(&mut out, v);
    out.into_iter().map(char::from).collect()
}
