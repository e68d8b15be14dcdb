//! Expanding a tree.

use std::sync::Arc;

use super::node::{Arg, Command, Node, Pipe, Tree};
use super::value::Value;
use super::{AlertData, Answers, Expansion, TemplateError, functions};

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

struct Exec<'a> {
    tree: &'a Tree,
    context: Context<'a>,
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
    calls: usize,
    /// The template under way.
    name: &'a str,
}

type Ran<T> = Result<T, Stop>;

pub(super) fn execute(tree: &Tree, data: &AlertData, answers: &Answers) -> Result<Expansion, TemplateError> {
    let mut exec = Exec {
        tree,
        context: Context { data, answers },
        out: String::new(),
        variables: vec![("$".to_owned(), Value::Root)],
        steps: 0,
        calls: 0,
        name: &tree.name,
    };
    match exec.list(&tree.root, &Value::Root) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(Expansion::Done(exec.out)),
        Err(Stop::Needs(query)) => Ok(Expansion::Needs(query)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

impl<'a> Exec<'a> {
    fn fail<T>(&self, at: usize, context: &str, why: &str) -> Ran<T> {
        let text = &self.tree.text[..at.min(self.tree.text.len())];
        let line = 1 + text.matches('\n').count();
        let column = text.rfind('\n').map_or(text.len(), |i| text.len() - i - 1);
        Err(Stop::Failed(TemplateError(format!(
            "template: {}:{line}:{column}: executing {} at <{context}>: {why}",
            self.tree.name,
            promql::go_quote(self.name)
        ))))
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value) -> Ran<()> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn write(&mut self, text: &str) -> Ran<()> {
        if self.out.len() + text.len() > OUTPUT_BYTES_MAX {
            return self.fail(0, "", &format!("the text is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn step(&mut self, at: usize) -> Ran<()> {
        if self.steps >= STEPS_MAX {
            return self.fail(at, "", &format!("the template takes more than {STEPS_MAX} steps"));
        }
        self.steps += 1;
        Ok(())
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Ran<()> {
        self.step(0)?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.write(&value.show())?;
                }
                Ok(())
            }
            Node::If { pipe, then, otherwise } | Node::With { pipe, then, otherwise } => {
                let known = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let is_with = matches!(node, Node::With { .. });
                let ran = match value.is_true() {
                    true if is_with => self.list(then, &value),
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
            Node::Template { name, pipe, at } => self.call(name, pipe.as_ref(), *at, dot),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
        }
    }

    fn call(&mut self, name: &str, pipe: Option<&'a Pipe>, at: usize, dot: &Value) -> Ran<()> {
        let tree = self.tree;
        let Some((name, nodes)) = tree.defined.get_key_value(name) else {
            let shown = promql::go_quote(name);
            return self.fail(
                at,
                &format!("{{{{template {shown}}}}}"),
                &format!("template {shown} not defined"),
            );
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return self.fail(at, name, "exceeded maximum template depth (100)");
        }
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        let ran = self.list(nodes, &dot);
        (self.variables, self.name) = (variables, outer);
        self.calls -= 1;
        ran
    }

    fn range(&mut self, pipe: &'a Pipe, each: &'a [Node], otherwise: &'a [Node], dot: &Value) -> Ran<()> {
        let over = self.commands(pipe, dot)?;
        let items: Vec<(Value, Value)> = match &over {
            Value::Vector(samples) => {
                (0..).zip(samples).map(|(i, s)| (Value::Int(i), Value::Sample(Arc::clone(s)))).collect()
            }
            Value::Labels(labels) => {
                labels.iter().map(|(n, v)| (Value::Text(n.clone()), Value::Text(v.clone()))).collect()
            }
            Value::Args(args) => args.iter().map(|(n, v)| (Value::Text(n.clone()), v.clone())).collect(),
            Value::Int(count) => {
                // one more than there are steps left is never reached
                let most = (STEPS_MAX - self.steps) as i64 + 1;
                (0..(*count).min(most)).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let at = pipe.commands.first().map_or(0, |c| c.at);
                let why = format!("range can't iterate over {}", other.show());
                return self.fail(at, &pipe.to_string(), &why);
            }
        };
        if items.is_empty() {
            return self.list(otherwise, dot);
        }
        let known = self.variables.len();
        for (key, item) in items {
            self.step(pipe.commands.first().map_or(0, |c| c.at))?;
            self.variables.truncate(known);
            match &pipe.variables[..] {
                [] => {}
                [one] => self.set(one, item.clone(), pipe.assigns),
                [index, one, ..] => {
                    self.set(index, key, pipe.assigns);
                    self.set(one, item.clone(), pipe.assigns);
                }
            }
            match self.list(each, &item) {
                Err(Stop::Break) => return Ok(()),
                Ok(()) | Err(Stop::Continue) => {}
                stop => return stop,
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, assign: bool) {
        if assign && let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Ran<Value> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &'a Pipe, dot: &Value) -> Ran<Value> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &'a Command, dot: &Value, last: Option<Value>) -> Ran<Value> {
        self.step(command.at)?;
        let Some((first, rest)) = command.args.split_first() else { return Ok(Value::Nil) };
        let Arg::Function(name) = first else {
            if !rest.is_empty() || last.is_some() {
                let why = match first {
                    Arg::Field(names) | Arg::Variable(_, names) if !names.is_empty() => {
                        let name = names.last().map_or("", String::as_str);
                        format!("{name} is not a method but has arguments")
                    }
                    _ => format!("can't give argument to non-function {first}"),
                };
                return self.fail(command.at, &first.to_string(), &why);
            }
            return self.arg(first, command, dot);
        };
        // what decides already ends `and` and `or`
        let mut args = Vec::with_capacity(rest.len() + 1);
        for arg in rest {
            let value = self.arg(arg, command, dot)?;
            let decided = matches!((name.as_str(), value.is_true()), ("and", false) | ("or", true));
            args.push(value);
            if decided {
                return Ok(args.pop().unwrap_or(Value::Nil));
            }
        }
        args.extend(last);
        match functions::call(name, &args, &self.context) {
            Ok(value) => Ok(value),
            Err(functions::Failure::Needs(query)) => Err(Stop::Needs(query)),
            Err(functions::Failure::Call(why)) => {
                self.fail(command.at, &command.to_string(), &format!("error calling {name}: {why}"))
            }
            Err(functions::Failure::Argument(at, why)) => {
                let shown = rest.get(at).map_or_else(|| command.to_string(), ToString::to_string);
                self.fail(command.at, &shown, &why)
            }
        }
    }

    fn arg(&mut self, arg: &'a Arg, command: &Command, dot: &Value) -> Ran<Value> {
        let (value, names) = match arg {
            Arg::Dot => return Ok(dot.clone()),
            Arg::Nil => return Ok(Value::Nil),
            Arg::Bool(value) => return Ok(Value::Bool(*value)),
            Arg::Int(value, _) => return Ok(Value::Int(*value)),
            Arg::Float(value, _) => return Ok(Value::Float(*value)),
            Arg::Text(value, _) => return Ok(Value::Text(value.clone())),
            Arg::Field(names) => (dot.clone(), names),
            Arg::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                (found.map_or(Value::Nil, |(_, v)| v.clone()), names)
            }
            Arg::Function(name) => {
                return match functions::call(name, &[], &self.context) {
                    Ok(value) => Ok(value),
                    Err(functions::Failure::Needs(query)) => Err(Stop::Needs(query)),
                    Err(functions::Failure::Call(why) | functions::Failure::Argument(_, why)) => {
                        self.fail(command.at, name, &why)
                    }
                };
            }
            Arg::Pipe(pipe, names) => (self.pipe(pipe, dot)?, names),
        };
        let mut value = value;
        for name in names {
            value = match self.field(&value, name) {
                Some(value) => value,
                None => {
                    let why = match &value {
                        Value::Nil => format!("nil data; no entry for key \"{name}\""),
                        other => format!("can't evaluate field {name} in type {}", other.type_name()),
                    };
                    return self.fail(command.at, &arg.to_string(), &why);
                }
            };
        }
        Ok(value)
    }

    fn field(&self, value: &Value, name: &str) -> Option<Value> {
        let data = self.context.data;
        match value {
            Value::Root => match name {
                "Labels" => Some(Value::Labels(Arc::new(data.labels.clone()))),
                "ExternalLabels" => Some(Value::Labels(Arc::new(data.external_labels.clone()))),
                "ExternalURL" => Some(Value::Text(data.external_url.clone())),
                "Value" => Some(data.value.clone()),
                _ => None,
            },
            Value::Labels(labels) => Some(Value::Text(labels.get(name).cloned().unwrap_or_default())),
            Value::Args(args) => Some(args.get(name).cloned().unwrap_or(Value::Nil)),
            Value::Sample(sample) => match name {
                "Labels" => Some(Value::Labels(Arc::new(sample.labels.clone()))),
                "Value" => Some(sample.value.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}
