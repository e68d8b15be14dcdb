//! The functions of templates: those of the language, and those that look at samples and at the alert.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::exec::Context;
use super::format::printf;
use super::scalar_functions;
use super::value::{Sample, Value};

/// Why a call gives nothing.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The function failed.
    Call(String),
    /// Argument with this number cannot be given.
    Argument(usize, String),
    /// A query has no answer yet.
    Needs(String),
}

type Called = Result<Value, Failure>;

const KNOWN: [&str; 48] = [
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "index",
    "slice",
    "len",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "call",
    "query",
    "first",
    "value",
    "label",
    "strvalue",
    "args",
    "reReplaceAll",
    "safeHtml",
    "match",
    "title",
    "toUpper",
    "toLower",
    "graphLink",
    "tableLink",
    "sortByLabel",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "pathPrefix",
    "externalURL",
    "parseDuration",
    "urlQueryEscape",
];

/// Whether templates may name it.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

fn failed<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Call(why.into()))
}

/// Checks how many arguments there are.
fn count(name: &str, args: &[Value], wanted: usize) -> Result<(), Failure> {
    if args.len() == wanted {
        return Ok(());
    }
    let why = format!("wrong number of args for {name}: want {wanted} got {}", args.len());
    Err(Failure::Argument(usize::MAX, why))
}

pub(super) fn text(args: &[Value], at: usize) -> Result<&str, Failure> {
    match args.get(at) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(wrong_type(at, "string", other)),
    }
}

fn wrong_type(at: usize, wanted: &str, found: Option<&Value>) -> Failure {
    let why = match found {
        Some(Value::Nil) | None => format!("invalid value; expected {wanted}"),
        Some(Value::Int(_) | Value::Float(_) | Value::Bool(_)) if wanted == "string" => {
            let found = found.map_or("", Value::type_name);
            format!("wrong type for value; expected {wanted}; got {found}")
        }
        Some(found) => format!("wrong type for value; expected {wanted}; got {}", found.type_name()),
    };
    Failure::Argument(at, why)
}

fn vector(args: &[Value], at: usize) -> Result<&[Arc<Sample>], Failure> {
    match args.get(at) {
        Some(Value::Vector(samples)) => Ok(samples),
        other => Err(wrong_type(at, "template.queryResult", other)),
    }
}

fn sample(args: &[Value], at: usize) -> Result<&Sample, Failure> {
    match args.get(at) {
        Some(Value::Sample(sample)) => Ok(sample),
        other => Err(wrong_type(at, "*template.sample", other)),
    }
}

/// Calls a function.
pub(super) fn call(name: &str, args: &[Value], context: &Context<'_>) -> Called {
    let wanted = match name {
        "not" | "len" | "query" | "first" | "value" | "strvalue" | "safeHtml" | "title" | "toUpper"
        | "toLower" | "graphLink" | "tableLink" | "stripPort" | "stripDomain" | "humanize"
        | "humanize1024" | "humanizeDuration" | "humanizePercentage" | "humanizeTimestamp" | "toTime"
        | "toDuration" | "parseDuration" | "urlQueryEscape" => Some(1),
        "label" | "match" | "sortByLabel" | "ne" | "lt" | "le" | "gt" | "ge" => Some(2),
        "reReplaceAll" => Some(3),
        "now" | "pathPrefix" | "externalURL" => Some(0),
        _ => None,
    };
    if let Some(wanted) = wanted {
        count(name, args, wanted)?;
    }
    match name {
        "and" | "or" => match args.last() {
            Some(last) => Ok(last.clone()),
            None => {
                Err(Failure::Argument(0, format!("wrong number of args for {name}: want at least 1 got 0")))
            }
        },
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "eq" => equal_to_any(args),
        "ne" => equal(&args[0], &args[1]).map(|same| Value::Bool(!same)),
        "lt" => Ok(Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Less))),
        "le" => Ok(Value::Bool(order(&args[0], &args[1])?.is_some_and(Ordering::is_le))),
        "gt" => Ok(Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Greater))),
        "ge" => Ok(Value::Bool(order(&args[0], &args[1])?.is_some_and(Ordering::is_ge))),
        "index" => index(args),
        "slice" => slice(args),
        "len" => length(&args[0]),
        "print" => Ok(Value::Text(print(args))),
        "println" => {
            let all: Vec<String> = args.iter().map(shown).collect();
            Ok(Value::Text(all.join(" ") + "\n"))
        }
        "printf" => Ok(Value::Text(printf(text(args, 0)?, &args[1..]))),
        "call" => failed("call of non-function"),
        "query" => {
            let query = text(args, 0)?;
            match context.answers.get(query) {
                None => Err(Failure::Needs(query.to_owned())),
                Some(Ok(samples)) => Ok(Value::Vector(samples.clone())),
                Some(Err(why)) => failed(why),
            }
        }
        "first" => match vector(args, 0)?.first() {
            Some(first) => Ok(Value::Sample(Arc::clone(first))),
            None => failed("first() called on vector with no elements"),
        },
        "value" => Ok(sample(args, 0)?.value.clone()),
        "label" => {
            let name = text(args, 0)?;
            Ok(Value::Text(sample(args, 1)?.labels.get(name).cloned().unwrap_or_default()))
        }
        "strvalue" => Ok(Value::Text(sample(args, 0)?.labels.get("__value__").cloned().unwrap_or_default())),
        "sortByLabel" => {
            let name = text(args, 0)?;
            let mut samples = vector(args, 1)?.to_vec();
            samples.sort_by(|a, b| a.labels.get(name).cmp(&b.labels.get(name)));
            Ok(Value::Vector(samples))
        }
        "args" => {
            let named = args.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone()));
            Ok(Value::Args(Arc::new(named.collect::<BTreeMap<String, Value>>())))
        }
        "now" => Ok(Value::Float(context.data.now as f64 / 1000.0)),
        "externalURL" => Ok(Value::Text(context.data.external_url.clone())),
        "pathPrefix" => Ok(Value::Text(path_of(&context.data.external_url))),
        _ => scalar_functions::call(name, args),
    }
}

/// The path of an address.
fn path_of(url: &str) -> String {
    let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind.find('/').map_or("", |at| &behind[at..]);
    path[..path.find(['?', '#']).unwrap_or(path.len())].to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => value.show(),
    }
}

/// Blanks stand between what is no text.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in args.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if i > 0 && !is_text(value) && !is_text(&args[i - 1]) {
            out.push(' ');
        }
        out.push_str(&shown(value));
    }
    out
}

fn kind(value: &Value) -> Option<u8> {
    match value {
        Value::Bool(_) => Some(0),
        Value::Int(_) | Value::Duration(_) => Some(1),
        Value::Float(_) => Some(2),
        Value::Text(_) => Some(3),
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, Failure> {
    match (kind(a), kind(b)) {
        (Some(x), Some(y)) if x == y => Ok(a == b),
        (Some(_), Some(_)) => {
            let (a, b) = (a.type_name(), b.type_name());
            failed(format!("incompatible types for comparison: {a} and {b}"))
        }
        _ if matches!(a, Value::Nil) || matches!(b, Value::Nil) => Ok(a == b),
        _ => failed(format!("non-comparable type {}: {}", a.show(), a.type_name())),
    }
}

fn equal_to_any(args: &[Value]) -> Called {
    let Some((first, rest)) = args.split_first() else {
        return Err(Failure::Argument(0, "wrong number of args for eq: want at least 1 got 0".to_owned()));
    };
    if rest.is_empty() {
        return failed("missing argument for comparison");
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, Failure> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        _ if kind(a).is_none() || kind(b).is_none() || matches!(a, Value::Bool(_)) => {
            failed("invalid type for comparison")
        }
        _ => failed("incompatible types for comparison"),
    }
}

fn length(value: &Value) -> Called {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Args(args) => args.len(),
        Value::Vector(samples) => samples.len(),
        Value::Nil => return failed("len of nil pointer"),
        other => return failed(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Called {
    let Some((value, keys)) = args.split_first() else {
        return Err(Failure::Argument(0, "wrong number of args for index: want at least 1 got 0".to_owned()));
    };
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Labels(labels), Value::Text(name)) => {
                Value::Text(labels.get(name).cloned().unwrap_or_default())
            }
            (Value::Args(args), Value::Text(name)) => args.get(name).cloned().unwrap_or(Value::Nil),
            (Value::Vector(samples), Value::Int(i)) => {
                match usize::try_from(*i).ok().and_then(|i| samples.get(i)) {
                    Some(sample) => Value::Sample(Arc::clone(sample)),
                    None => return failed(format!("index out of range: {i}")),
                }
            }
            (Value::Text(text), Value::Int(i)) => {
                match usize::try_from(*i).ok().and_then(|i| text.as_bytes().get(i)) {
                    Some(byte) => Value::Int(i64::from(*byte)),
                    None => return failed(format!("index out of range: {i}")),
                }
            }
            (Value::Nil, _) => return failed("index of untyped nil"),
            (Value::Labels(_) | Value::Args(_), key) => {
                return failed(format!("value has type {}; should be string", key.type_name()));
            }
            (Value::Vector(_) | Value::Text(_), key) => {
                return failed(format!("cannot index slice/array with type {}", key.type_name()));
            }
            (other, _) => return failed(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(args: &[Value]) -> Called {
    let Some((value, bounds)) = args.split_first() else {
        return Err(Failure::Argument(0, "wrong number of args for slice: want at least 1 got 0".to_owned()));
    };
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Vector(samples) => samples.len(),
        other => return failed(format!("can't slice item of type {}", other.type_name())),
    };
    let mut ends = [0, length];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        *end = match bound {
            Value::Int(i) => match usize::try_from(*i).ok().filter(|i| *i <= length) {
                Some(i) => i,
                None => return failed(format!("index out of range: {i}")),
            },
            other => return failed(format!("cannot index slice/array with type {}", other.type_name())),
        };
    }
    let [from, to] = ends;
    if from > to {
        return failed(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        Value::Text(text) => {
            Ok(Value::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()))
        }
        Value::Vector(samples) => Ok(Value::Vector(samples[from..to].to_vec())),
        _ => Ok(Value::Nil),
    }
}
