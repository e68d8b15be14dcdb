//! Whether two servers gave the same answer.
//!
//! The same means: same type, same series, same timestamps, values equal to 1e-9 relative or 1e-15 absolute (sums of floats
//! depend on the order of the series, which nobody promises). Order counts only where it is promised.

use std::collections::BTreeMap;

use serde_json::Value;

/// Largest absolute difference of two values that count as equal: what is left of sums that cancel out.
const LEFTOVER: f64 = 1e-15;
/// Largest relative difference of two values that count as equal.
const TOLERANCE: f64 = 1e-9;

/// `None` when `ours` says what `theirs` says; otherwise the first difference.
pub(crate) fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    if ours["status"] != theirs["status"] {
        return Some(format!("status {} against {} ({})", ours["status"], theirs["status"], ours["error"]));
    }
    if theirs["status"] == "error" {
        let same = ours["errorType"] == theirs["errorType"] && ours["error"] == theirs["error"];
        return (!same).then(|| format!("error {} against {}", ours["error"], theirs["error"]));
    }
    let (a, b) = (&ours["data"], &theirs["data"]);
    if b["resultType"].is_null() {
        return plain(a, b);
    }
    if a["resultType"] != b["resultType"] {
        return Some(format!("type {} against {}", a["resultType"], b["resultType"]));
    }
    match b["resultType"].as_str() {
        Some("vector" | "matrix") => series(&a["result"], &b["result"]),
        _ => points("scalar", &a["result"], &b["result"]),
    }
}

/// Lists of labels or of label sets: equal as sets.
fn plain(a: &Value, b: &Value) -> Option<String> {
    let set = |v: &Value| {
        let mut items: Vec<String> = v.as_array().into_iter().flatten().map(Value::to_string).collect();
        items.sort();
        items
    };
    if !b.is_array() {
        return (a != b).then(|| format!("{a} against {b}"));
    }
    let (a, b) = (set(a), set(b));
    let missing = b.iter().find(|x| !a.contains(x));
    let extra = a.iter().find(|x| !b.contains(x));
    match (missing, extra) {
        (Some(x), _) => Some(format!("misses {x}")),
        (None, Some(x)) => Some(format!("has {x} too many")),
        (None, None) => (a.len() != b.len()).then(|| format!("{} entries against {}", a.len(), b.len())),
    }
}

fn series(a: &Value, b: &Value) -> Option<String> {
    let by_labels = |v: &Value| -> BTreeMap<String, Value> {
        v.as_array().into_iter().flatten().map(|s| (s["metric"].to_string(), s.clone())).collect()
    };
    let (a, b) = (by_labels(a), by_labels(b));
    if let Some(key) = b.keys().find(|k| !a.contains_key(*k)) {
        return Some(format!("misses series {key} ({} against {})", a.len(), b.len()));
    }
    if let Some(key) = a.keys().find(|k| !b.contains_key(*k)) {
        return Some(format!("has series {key} too many ({} against {})", a.len(), b.len()));
    }
    a.iter().find_map(|(key, ours)| {
        let theirs = &b[key];
        ["value", "values", "histogram", "histograms"]
            .iter()
            .find_map(|field| points(key, &ours[*field], &theirs[*field]))
    })
}

/// Compares two JSON trees, numbers (and strings that are numbers) by value.
fn points(key: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Array(x), Value::Array(y)) => {
            if x.len() != y.len() {
                return Some(format!("{key}: {} points against {}", x.len(), y.len()));
            }
            x.iter().zip(y).find_map(|(p, q)| points(key, p, q))
        }
        (Value::Object(x), Value::Object(y)) => {
            if x.len() != y.len() {
                return Some(format!("{key}: {a} against {b}"));
            }
            x.iter().find_map(|(name, p)| points(key, p, y.get(name).unwrap_or(&Value::Null)))
        }
        _ => {
            let same = match (number(a), number(b)) {
                (Some(x), Some(y)) => same_number(x, y),
                _ => a == b,
            };
            (!same).then(|| format!("{key}: {a} against {b}"))
        }
    }
}

/// Equal, or nearly so.
pub(crate) fn same_number(x: f64, y: f64) -> bool {
    x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= (TOLERANCE * x.abs().max(y.abs())).max(LEFTOVER)
}

/// A number, or a text that Prometheus writes one as.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => match s.as_str() {
            "+Inf" => Some(f64::INFINITY),
            "-Inf" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_rounding_do_not_count_but_values_do() {
        let vector = |v: Value| json!({"status": "success", "data": {"resultType": "vector", "result": v}});
        let a = vector(json!([
            {"metric": {"a": "1"}, "value": [1.0, "0.30000000000000004"]},
            {"metric": {"a": "2"}, "value": [1, "NaN"]}
        ]));
        let b = vector(json!([
            {"metric": {"a": "2"}, "value": [1, "NaN"]},
            {"metric": {"a": "1"}, "value": [1, "0.3"]}
        ]));
        assert_eq!(difference(&a, &b), None);
        let c = vector(
            json!([{"metric": {"a": "1"}, "value": [1, "0.31"]}, {"metric": {"a": "2"}, "value": [1, "NaN"]}]),
        );
        assert!(difference(&a, &c).is_some());
        let d = vector(json!([{"metric": {"a": "1"}, "value": [1, "0.3"]}]));
        assert!(difference(&a, &d).unwrap().contains("too many"));
        assert!(difference(&d, &a).unwrap().contains("misses"));
    }
}
