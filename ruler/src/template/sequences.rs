//! `index`, `slice` and `len`.

use std::sync::Arc;

use super::exec::Got;
use super::functions::{Called, Failure, failed};
use super::value::Value;

/// A number that may stand between 0 and `most`.
fn position(index: &Value, most: usize) -> Result<usize, Failure> {
    match index {
        Value::Int(number) => match usize::try_from(*number).ok().filter(|at| *at <= most) {
            Some(at) => Ok(at),
            None => failed(format!("index out of range: {number}")),
        },
        Value::Nil => failed("cannot index slice/array with nil"),
        other => failed(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

pub(super) fn index(args: &[Got]) -> Result<Got, Failure> {
    let Some((first, keys)) = args.split_first() else { return failed("index of untyped nil") };
    if first.value == Value::Nil {
        return failed("index of untyped nil");
    }
    let mut item = first.clone();
    for key in keys {
        let key = &key.value;
        let name = |key: &Value| match key {
            Value::Text(name) => Ok(name.clone()),
            Value::Nil => failed("value is nil; should be of type string"),
            other => failed(format!("value has type {}; should be string", other.type_name())),
        };
        item = match &item.value {
            Value::Labels(labels) => {
                Got::plain(Value::Text(labels.get(&name(key)?).cloned().unwrap_or_default()))
            }
            Value::Args(args) => Got::boxed(args.get(&name(key)?).cloned().unwrap_or(Value::Nil)),
            Value::Vector(samples) => match samples.get(position(key, samples.len())?) {
                Some(sample) => Got::plain(Value::Sample(Arc::clone(sample))),
                None => return failed("reflect: slice index out of range"),
            },
            Value::Text(text) | Value::Html(text) => match text.as_bytes().get(position(key, text.len())?) {
                Some(byte) => Got::plain(Value::Int(i64::from(*byte))),
                None => return failed("reflect: string index out of range"),
            },
            Value::Nil => return failed("index of nil pointer"),
            other => return failed(format!("can't index item of type {}", pointed(other))),
        };
    }
    Ok(item)
}

/// The type of what a pointer points to.
fn pointed(value: &Value) -> &'static str {
    let name = value.type_name();
    name.strip_prefix('*').unwrap_or(name)
}

pub(super) fn slice(args: &[Value]) -> Called {
    let Some((value, bounds)) = args.split_first() else { return failed("slice of untyped nil") };
    if *value == Value::Nil {
        return failed("slice of untyped nil");
    }
    if bounds.len() > 3 {
        return failed(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match value {
        Value::Text(_) | Value::Html(_) if bounds.len() == 3 => {
            return failed("cannot 3-index slice a string");
        }
        Value::Text(text) | Value::Html(text) => text.len(),
        Value::Vector(samples) => samples.len(),
        other => return failed(format!("can't slice item of type {}", pointed(other))),
    };
    let mut ends = [0, length, length];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        *end = position(bound, length)?;
    }
    let [from, to, most] = ends;
    for (low, high) in [(from, to), (to, most)] {
        if low > high {
            return failed(format!("invalid slice index: {low} > {high}"));
        }
    }
    Ok(match value {
        Value::Vector(samples) => Value::Vector(samples[from..to].to_vec()),
        Value::Html(text) => Value::Html(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        Value::Text(text) => Value::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        _ => Value::Nil,
    })
}

pub(super) fn length(value: &Value) -> Called {
    let length = match value {
        Value::Text(text) | Value::Html(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Args(args) => args.len(),
        Value::Vector(samples) => samples.len(),
        Value::Nil => return failed("reflect: call of reflect.Value.Type on zero Value"),
        other => return failed(format!("len of type {}", pointed(other))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}
