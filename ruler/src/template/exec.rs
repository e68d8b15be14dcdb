//! Expanding a tree.

use std::fmt;
use std::sync::Arc;

use super::fields::{Field, field};
use super::functions::{self, Failure, Type};
use super::node::{Arg, Call, Command, Node, Operand, Pipe, Tree};
use super::value::Value;
use super::{AlertData, Answers, Expansion, TemplateError};

/// Largest output in bytes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Nodes that one expansion goes through.
const STEPS_MAX: usize = 1_000_000;
/// Templates that call each other.
const CALLS_MAX: usize = 100;

/// Why an expansion stops.
pub(super) enum Stop {
    /// An action failed.
    Failed(TemplateError),
    /// A query has no answer yet.
    Needs(String),
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// What functions look at.
pub(super) struct Context<'a> {
    pub(super) data: &'a AlertData,
    pub(super) answers: &'a Answers,
}

/// A value, and whether its place holds values of any type: messages name the type of the place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Got {
    pub(super) value: Value,
    pub(super) boxed: bool,
}

impl Got {
    pub(super) fn plain(value: Value) -> Self {
        Got { value, boxed: false }
    }

    pub(super) fn boxed(value: Value) -> Self {
        Got { value, boxed: true }
    }

    /// Nothing at all, not even a place that holds nothing.
    fn is_nothing(&self) -> bool {
        self.value == Value::Nil && !self.boxed
    }

    fn type_name(&self) -> &'static str {
        if self.boxed { "interface {}" } else { self.value.type_name() }
    }
}

/// What is under way, as messages say it.
#[derive(Clone, Copy)]
enum Place<'a> {
    Pipe(&'a Pipe),
    Command(&'a Command),
    Operand(&'a Operand),
    Call(&'a Call),
}

impl Place<'_> {
    fn at(self) -> usize {
        match self {
            Place::Pipe(pipe) => pipe.at,
            Place::Command(command) => command.at,
            Place::Operand(operand) => operand.at,
            Place::Call(call) => call.at,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Pipe(pipe) => write!(f, "{pipe}"),
            Place::Command(command) => write!(f, "{command}"),
            Place::Operand(operand) => write!(f, "{operand}"),
            Place::Call(call) => write!(f, "{call}"),
        }
    }
}

struct Exec<'a> {
    tree: &'a Tree,
    context: Context<'a>,
    out: String,
    variables: Vec<(&'a str, Got)>,
    steps: usize,
    calls: usize,
    /// The template under way.
    name: &'a str,
    place: Option<Place<'a>>,
}

type Ran<T> = Result<T, Stop>;

pub(super) fn execute(tree: &Tree, data: &AlertData, answers: &Answers) -> Result<Expansion, TemplateError> {
    let root = Got::plain(Value::Root(Arc::new(data.clone())));
    let mut exec = Exec {
        tree,
        context: Context { data, answers },
        out: String::new(),
        variables: vec![("$", root.clone())],
        steps: 0,
        calls: 0,
        name: &tree.name,
        place: None,
    };
    match exec.list(&tree.root, &root) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(Expansion::Done(exec.out)),
        Err(Stop::Needs(query)) => Ok(Expansion::Needs(query)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

impl<'a> Exec<'a> {
    fn fail<T>(&self, why: &str) -> Ran<T> {
        let Some(place) = self.place else {
            return Err(Stop::Failed(TemplateError(format!("template: {}: {why}", self.name))));
        };
        let text = &self.tree.text[..place.at().min(self.tree.text.len())];
        let line = 1 + text.matches('\n').count();
        let column = text.rfind('\n').map_or(text.len(), |i| text.len() - i - 1);
        Err(Stop::Failed(TemplateError(format!(
            "template: {}:{line}:{column}: executing {} at <{place}>: {why}",
            self.tree.name,
            model::go_quote(self.name)
        ))))
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Got) -> Ran<()> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn write(&mut self, text: &str) -> Ran<()> {
        if self.out.len() + text.len() > OUTPUT_BYTES_MAX {
            return self.fail(&format!("the text is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn step(&mut self) -> Ran<()> {
        if self.steps >= STEPS_MAX {
            return self.fail(&format!("the template takes more than {STEPS_MAX} steps"));
        }
        self.steps += 1;
        Ok(())
    }

    fn node(&mut self, node: &'a Node, dot: &Got) -> Ran<()> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Action(pipe) => {
                let got = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.write(&got.value.show())?;
                }
                Ok(())
            }
            Node::If { pipe, then, otherwise } | Node::With { pipe, then, otherwise } => {
                let known = self.variables.len();
                let got = self.pipe(pipe, dot)?;
                let is_with = matches!(node, Node::With { .. });
                let ran = match got.value.is_true() {
                    true if is_with => self.list(then, &got),
                    true => self.list(then, dot),
                    false => self.list(otherwise, dot),
                };
                self.variables.truncate(known);
                ran
            }
            Node::Range { pipe, each, otherwise } => {
                let known = self.variables.len();
                let ran = self.range(pipe, each, otherwise, dot);
                self.variables.truncate(known);
                ran
            }
            Node::Template(call) => self.call(call, dot),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
        }
    }

    fn call(&mut self, call: &'a Call, dot: &Got) -> Ran<()> {
        self.place = Some(Place::Call(call));
        let tree = self.tree;
        let (name, nodes) = match tree.defined.get_key_value(&call.name) {
            Some((name, nodes)) => (name, nodes),
            None if call.name == tree.name => (&tree.name, &tree.root),
            None => return self.fail(&format!("template {} not defined", model::go_quote(&call.name))),
        };
        if self.calls == CALLS_MAX {
            return self.fail(&format!("exceeded maximum template depth ({CALLS_MAX})"));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Got::plain(Value::Nil),
        };
        self.calls += 1;
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        let ran = self.list(nodes, &dot);
        (self.variables, self.name) = (variables, outer);
        self.calls -= 1;
        ran
    }

    fn range(&mut self, pipe: &'a Pipe, each: &'a [Node], otherwise: &'a [Node], dot: &Got) -> Ran<()> {
        let over = self.pipe(pipe, dot)?.value;
        let text = |text: &String| Got::plain(Value::Text(text.clone()));
        let items: Vec<(Got, Got)> = match &over {
            Value::Vector(samples) => (0..)
                .zip(samples)
                .map(|(i, s)| (Got::plain(Value::Int(i)), Got::plain(Value::Sample(Arc::clone(s)))))
                .collect(),
            Value::Labels(labels) => labels.iter().map(|(n, v)| (text(n), text(v))).collect(),
            Value::Args(args) => args.iter().map(|(n, v)| (text(n), Got::boxed(v.clone()))).collect(),
            Value::Int(count) if pipe.variables.len() > 1 => {
                return self.fail(&format!("can't use {count} to iterate over more than one variable"));
            }
            Value::Int(count) => {
                // one more than there are steps left is never reached
                let most = (STEPS_MAX - self.steps) as i64 + 1;
                let number = |i| Got::plain(Value::Int(i));
                (0..(*count).min(most)).map(|i| (number(i), number(i))).collect()
            }
            Value::Nil => Vec::new(),
            other => return self.fail(&format!("range can't iterate over {}", other.show())),
        };
        if items.is_empty() {
            return self.list(otherwise, dot);
        }
        let known = self.variables.len();
        for (key, item) in items {
            self.step()?;
            let values = match pipe.variables.len() {
                0 => vec![],
                1 => vec![item.clone()],
                _ => vec![key, item.clone()],
            };
            for (i, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
                match pipe.assigns {
                    true => self.assign(name, value)?,
                    // the pipeline declared them
                    false => self.variables[known - pipe.variables.len() + i].1 = value,
                }
            }
            let ran = self.list(each, &item);
            self.variables.truncate(known);
            match ran {
                Err(Stop::Break) => return Ok(()),
                Ok(()) | Err(Stop::Continue) => {}
                stop => return stop,
            }
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Got) -> Ran<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(slot) => {
                slot.1 = value;
                Ok(())
            }
            None => self.fail(&format!("undefined variable: {name}")),
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Got) -> Ran<Got> {
        self.place = Some(Place::Pipe(pipe));
        let mut last: Option<Got> = None;
        for command in &pipe.commands {
            let got = self.command(command, dot, last)?;
            last = Some(Got::plain(got.value));
        }
        let got = last.unwrap_or(Got::plain(Value::Nil));
        for name in &pipe.variables {
            match pipe.assigns {
                true => self.assign(name, got.clone())?,
                false => self.variables.push((name, got.clone())),
            }
        }
        Ok(got)
    }

    fn command(&mut self, command: &'a Command, dot: &Got, last: Option<Got>) -> Ran<Got> {
        self.step()?;
        let Some((first, rest)) = command.args.split_first() else { return Ok(Got::plain(Value::Nil)) };
        let has_args = !rest.is_empty() || last.is_some();
        match &first.arg {
            Arg::Function(name) => {
                self.place = Some(Place::Operand(first));
                self.function(name, Place::Command(command), rest, dot, last)
            }
            Arg::Field(_) | Arg::Chain(..) => self.fields(first, rest, last, dot),
            Arg::Variable(_, names) if !names.is_empty() => self.fields(first, rest, last, dot),
            Arg::Pipe(pipe) => {
                self.no_args(first, has_args)?;
                self.pipe(pipe, dot)
            }
            Arg::Nil => {
                self.place = Some(Place::Operand(first));
                self.no_args(first, has_args)?;
                self.fail("nil is not a command")
            }
            _ => {
                self.place = Some(Place::Operand(first));
                let got = self.simple(first, dot);
                self.no_args(first, has_args)?;
                got
            }
        }
    }

    fn no_args(&self, first: &Operand, has_args: bool) -> Ran<()> {
        if has_args { self.fail(&format!("can't give argument to non-function {first}")) } else { Ok(()) }
    }

    /// A literal, the dot or a variable.
    fn simple(&mut self, operand: &'a Operand, dot: &Got) -> Ran<Got> {
        self.place = Some(Place::Operand(operand));
        Ok(match &operand.arg {
            Arg::Dot => dot.clone(),
            Arg::Bool(value) => Got::plain(Value::Bool(*value)),
            Arg::Int(value, _) => Got::plain(Value::Int(*value)),
            Arg::Unsigned(text) => return self.fail(&format!("{text} overflows int")),
            Arg::Float(value, _) => Got::plain(Value::Float(*value)),
            Arg::Text(value, _) => Got::plain(Value::Text(value.clone())),
            Arg::Variable(name, _) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone(),
                None => return self.fail(&format!("undefined variable: {name}")),
            },
            _ => Got::plain(Value::Nil),
        })
    }

    /// `.a.b`, `$x.a.b` or `(…).a.b`; only a last name that is a method takes arguments.
    fn fields(
        &mut self,
        operand: &'a Operand,
        args: &'a [Operand],
        last: Option<Got>,
        dot: &Got,
    ) -> Ran<Got> {
        let count = args.len() + usize::from(last.is_some());
        self.place = Some(Place::Operand(operand));
        let (mut got, names) = match &operand.arg {
            Arg::Field(names) => (dot.clone(), names),
            Arg::Variable(_, names) => (self.simple(operand, dot)?, names),
            Arg::Chain(of, names) => (self.arg(of, Type::Any, dot)?, names),
            _ => return Ok(Got::plain(Value::Nil)),
        };
        for (i, name) in names.iter().enumerate() {
            let count = if i + 1 == names.len() { count } else { 0 };
            let has_args = count > 0;
            let type_name = got.type_name();
            if got.is_nothing() {
                continue;
            }
            if got.value == Value::Nil {
                return self.fail(&format!("nil pointer evaluating {type_name}.{name}"));
            }
            got = match field(&got.value, name) {
                Field::Of(got) if has_args => {
                    drop(got);
                    return self.fail(&format!("{name} has arguments but cannot be invoked as function"));
                }
                Field::In(got) if has_args => {
                    drop(got);
                    return self.fail(&format!("{name} is not a method but has arguments"));
                }
                Field::Of(got) | Field::In(got) => got,
                Field::Method(got) if has_args => {
                    drop(got);
                    return self.fail(&format!("wrong number of args for {name}: want 0 got {count}"));
                }
                Field::Method(got) => got,
                Field::Format(_) if count != 1 => {
                    return self.fail(&format!("wrong number of args for {name}: want 1 got {count}"));
                }
                Field::Format(time) => {
                    let layout = match (args.first(), &last) {
                        (Some(arg), _) => self.arg(arg, Type::Text, dot)?,
                        (None, Some(last)) => self.fit(last.clone(), Type::Text)?,
                        (None, None) => Got::plain(Value::Nil),
                    };
                    Got::plain(Value::Text(super::go_time::format(time, &layout.value.show())))
                }
                Field::None => {
                    return self.fail(&format!("can't evaluate field {name} in type {type_name}"));
                }
            };
        }
        Ok(got)
    }

    fn function(
        &mut self,
        name: &str,
        whole: Place<'a>,
        args: &'a [Operand],
        dot: &Got,
        last: Option<Got>,
    ) -> Ran<Got> {
        let signature = functions::signature(name);
        let count = args.len() + usize::from(last.is_some());
        let fixed = signature.fixed.len();
        if signature.rest.is_none() && count != fixed {
            return self.fail(&format!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        if count < fixed {
            return self
                .fail(&format!("wrong number of args for {name}: want at least {fixed} got {}", args.len()));
        }
        let type_of = |i: usize| signature.fixed.get(i).copied().or(signature.rest).unwrap_or(Type::Any);
        let mut values = Vec::with_capacity(count);
        for (i, arg) in args.iter().enumerate() {
            let got = self.arg(arg, type_of(i), dot)?;
            // what decides already ends `and` and `or`
            if matches!((name, got.value.is_true()), ("and", false) | ("or", true)) {
                return Ok(got);
            }
            values.push(got);
        }
        if let Some(last) = last {
            let last = self.fit(last, type_of(args.len()))?;
            values.push(last);
        }
        if matches!(name, "and" | "or") {
            return Ok(values.pop().unwrap_or(Got::plain(Value::Nil)));
        }
        let callee = args.first().map_or_else(String::new, ToString::to_string);
        match functions::call(name, &values, &self.context, &callee) {
            Ok(got) => Ok(got),
            Err(Failure::Needs(query)) => Err(Stop::Needs(query)),
            Err(Failure::Call(why)) => {
                self.place = Some(whole);
                self.fail(&format!("error calling {name}: {why}"))
            }
        }
    }

    /// The value of an argument that must have a type.
    fn arg(&mut self, operand: &'a Operand, wanted: Type, dot: &Got) -> Ran<Got> {
        self.place = Some(Place::Operand(operand));
        let got = match &operand.arg {
            Arg::Nil if wanted == Type::Text => return self.fail("cannot assign nil to string"),
            Arg::Nil => return Ok(Got::boxed(Value::Nil)),
            Arg::Field(_) | Arg::Chain(..) => self.fields(operand, &[], None, dot)?,
            Arg::Variable(_, names) if !names.is_empty() => self.fields(operand, &[], None, dot)?,
            Arg::Dot | Arg::Variable(..) => self.simple(operand, dot)?,
            Arg::Pipe(pipe) => self.pipe(pipe, dot)?,
            Arg::Function(name) => self.function(name, Place::Operand(operand), &[], dot, None)?,
            Arg::Text(..) if wanted == Type::Text => return self.simple(operand, dot),
            _ if wanted == Type::Text => return self.fail(&format!("expected string; found {operand}")),
            _ if matches!(wanted, Type::Any | Type::Value) => return self.simple(operand, dot),
            _ => {
                let wanted = wanted.name();
                return self.fail(&format!("can't handle {operand} for arg of type {wanted}"));
            }
        };
        self.fit(got, wanted)
    }

    /// A value where one of a type is wanted.
    fn fit(&self, got: Got, wanted: Type) -> Ran<Got> {
        if got.is_nothing() {
            return match wanted {
                Type::Text => self.fail("invalid value; expected string"),
                _ => Ok(Got::boxed(Value::Nil)),
            };
        }
        let fits = match wanted {
            Type::Any | Type::Value => true,
            Type::Text => matches!(got.value, Value::Text(_)),
            Type::Vector => matches!(got.value, Value::Vector(_)),
            Type::Sample => matches!(got.value, Value::Sample(_)),
        };
        if fits {
            return Ok(got);
        }
        let found = if got.value == Value::Nil { got.type_name() } else { got.value.type_name() };
        self.fail(&format!("wrong type for value; expected {}; got {found}", wanted.name()))
    }
}
