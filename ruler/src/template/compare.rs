//! Comparisons of values.

use std::sync::Arc;

use super::functions::{Called, Failure, failed};
use super::value::Value;

/// What can be compared with its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::Bool(_) => Some(Kind::Bool),
        Value::Int(_) => Some(Kind::Int),
        Value::Float(_) => Some(Kind::Float),
        Value::Text(_) | Value::Html(_) => Some(Kind::Text),
        _ => None,
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) | Value::Html(text) => text,
        _ => "",
    }
}

/// Calls `eq`, `ne`, `lt`, `le`, `gt` or `ge`.
pub(super) fn call(name: &str, args: &[Value]) -> Called {
    let Some((first, rest)) = args.split_first() else { return failed("missing argument for comparison") };
    if name == "eq" {
        if rest.is_empty() {
            return failed("missing argument for comparison");
        }
        for other in rest {
            if equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    let other = rest.first().unwrap_or(&Value::Nil);
    Ok(Value::Bool(match name {
        "ne" => !equal(first, other)?,
        "lt" => less(first, other)?,
        "le" => less(first, other)? || equal(first, other)?,
        // what is no number is greater than any: it is not less and not the same
        "gt" => !(less(first, other)? || equal(first, other)?),
        _ => !less(first, other)?,
    }))
}

fn incompatible<T>(a: &Value, b: &Value) -> Result<T, Failure> {
    failed(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
}

fn equal(a: &Value, b: &Value) -> Result<bool, Failure> {
    let is_nil = |value: &Value| *value == Value::Nil;
    match (kind(a), kind(b)) {
        (None, None) => {}
        (Some(x), Some(y)) if x == y => {
            return Ok(match x {
                Kind::Text => text(a) == text(b),
                _ => a == b,
            });
        }
        _ if is_nil(a) || is_nil(b) => return Ok(false),
        _ => return incompatible(a, b),
    }
    match (a, b) {
        (Value::Nil, _) | (_, Value::Nil) => Ok(is_nil(a) && is_nil(b)),
        (Value::Sample(a), Value::Sample(b)) => Ok(Arc::ptr_eq(a, b)),
        (Value::Histogram(a), Value::Histogram(b)) => Ok(Arc::ptr_eq(a, b)),
        // pointers to what was just made are never the same
        (Value::Time(_), Value::Time(_)) | (Value::Duration(_), Value::Duration(_)) => Ok(false),
        (Value::Labels(_) | Value::Args(_), Value::Labels(_) | Value::Args(_))
        | (Value::Vector(_), Value::Vector(_))
        | (Value::Root(_), Value::Root(_)) => {
            failed(format!("non-comparable type {}: {}", b.show(), b.type_name()))
        }
        _ => failed(format!(
            "non-comparable types {}: {}, {}: {}",
            a.show(),
            a.type_name(),
            b.type_name(),
            b.show()
        )),
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, Failure> {
    const BAD: &str = "invalid type for comparison";
    let (Some(x), Some(y)) = (kind(a), kind(b)) else { return failed(BAD) };
    if x != y {
        return incompatible(a, b);
    }
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Bool(_), _) => failed(BAD),
        _ => Ok(text(a) < text(b)),
    }
}
