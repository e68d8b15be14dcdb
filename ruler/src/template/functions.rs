//! The functions of templates: which there are, what they take, and those that look at samples and at the alert.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare;
use super::exec::{Context, Got};
use super::printf::{plain, printf, sprint};
use super::scalar_functions;
use super::sequences;
use super::value::{Sample, Value};

/// Why a call gives nothing.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The function failed.
    Call(String),
    /// A query has no answer yet.
    Needs(String),
}

pub(super) type Called = Result<Value, Failure>;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Any value.
    Any,
    /// Any value, of functions of the language.
    Value,
    Text,
    Vector,
    Sample,
}

impl Type {
    /// As Go calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Any => "interface {}",
            Type::Value => "reflect.Value",
            Type::Text => "string",
            Type::Vector => "template.queryResult",
            Type::Sample => "*template.sample",
        }
    }
}

/// Parameters of a function.
pub(super) struct Signature {
    pub(super) fixed: &'static [Type],
    /// Of any further ones.
    pub(super) rest: Option<Type>,
}

const FUNCTIONS: [(&str, &[Type], Option<Type>); 48] = {
    use Type::{Any, Sample, Text, Value, Vector};
    [
        ("and", &[Value], Some(Value)),
        ("or", &[Value], Some(Value)),
        ("not", &[Value], None),
        ("eq", &[Value], Some(Value)),
        ("ne", &[Value, Value], None),
        ("lt", &[Value, Value], None),
        ("le", &[Value, Value], None),
        ("gt", &[Value, Value], None),
        ("ge", &[Value, Value], None),
        ("index", &[Value], Some(Value)),
        ("slice", &[Value], Some(Value)),
        ("len", &[Value], None),
        ("print", &[], Some(Any)),
        ("printf", &[Text], Some(Any)),
        ("println", &[], Some(Any)),
        ("html", &[], Some(Any)),
        ("js", &[], Some(Any)),
        ("urlquery", &[], Some(Any)),
        ("call", &[Value], Some(Value)),
        ("query", &[Text], None),
        ("first", &[Vector], None),
        ("value", &[Sample], None),
        ("label", &[Text, Sample], None),
        ("strvalue", &[Sample], None),
        ("args", &[], Some(Any)),
        ("reReplaceAll", &[Text, Text, Text], None),
        ("safeHtml", &[Text], None),
        ("match", &[Text, Text], None),
        ("title", &[Text], None),
        ("toUpper", &[Text], None),
        ("toLower", &[Text], None),
        ("graphLink", &[Text], None),
        ("tableLink", &[Text], None),
        ("sortByLabel", &[Text, Vector], None),
        ("stripPort", &[Text], None),
        ("stripDomain", &[Text], None),
        ("humanize", &[Any], None),
        ("humanize1024", &[Any], None),
        ("humanizeDuration", &[Any], None),
        ("humanizePercentage", &[Any], None),
        ("humanizeTimestamp", &[Any], None),
        ("toTime", &[Any], None),
        ("toDuration", &[Any], None),
        ("now", &[], None),
        ("pathPrefix", &[], None),
        ("externalURL", &[], None),
        ("parseDuration", &[Text], None),
        ("urlQueryEscape", &[Text], None),
    ]
};

/// Whether templates may name it.
pub(super) fn is_known(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, ..)| *known == name)
}

/// What a function takes.
pub(super) fn signature(name: &str) -> Signature {
    let found = FUNCTIONS.iter().find(|(known, ..)| *known == name);
    found.map_or(Signature { fixed: &[], rest: None }, |(_, fixed, rest)| Signature { fixed, rest: *rest })
}

pub(super) fn failed<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Call(why.into()))
}

/// An argument that is a text: the signature says so.
pub(super) fn text(args: &[Value], at: usize) -> Result<&str, Failure> {
    match args.get(at) {
        Some(Value::Text(text)) => Ok(text),
        _ => failed("runtime error: index out of range"),
    }
}

fn vector(args: &[Value], at: usize) -> Result<&[Arc<Sample>], Failure> {
    match args.get(at) {
        Some(Value::Vector(samples)) => Ok(samples),
        // a vector that is nil
        _ => Ok(&[]),
    }
}

fn sample(args: &[Value], at: usize) -> Result<&Sample, Failure> {
    match args.get(at) {
        Some(Value::Sample(sample)) => Ok(sample),
        _ => failed("runtime error: invalid memory address or nil pointer dereference"),
    }
}

/// Calls a function with arguments that fit its signature; `callee` is how the first of them is written.
pub(super) fn call(name: &str, args: &[Got], context: &Context<'_>, callee: &str) -> Result<Got, Failure> {
    if name == "index" {
        return sequences::index(args);
    }
    let args: Vec<Value> = args.iter().map(|got| got.value.clone()).collect();
    let called = called(name, &args, context, callee)?;
    Ok(if name == "value" { Got::boxed(called) } else { Got::plain(called) })
}

fn called(name: &str, args: &[Value], context: &Context<'_>, callee: &str) -> Called {
    match name {
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare::call(name, args),
        "slice" => sequences::slice(args),
        "len" => sequences::length(&args[0]),
        "print" => Ok(Value::Text(sprint(args))),
        "println" => {
            let all: Vec<String> = args.iter().map(plain).collect();
            Ok(Value::Text(all.join(" ") + "\n"))
        }
        "printf" => Ok(Value::Text(printf(text(args, 0)?, &args[1..]))),
        "call" => match &args[0] {
            Value::Nil => failed("call of nil"),
            other => failed(format!("non-function {callee} of type {}", other.type_name())),
        },
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
