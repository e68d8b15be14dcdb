//! The tree of a template.

use std::collections::BTreeMap;
use std::fmt;

/// A template and those it defines.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) name: String,
    /// All of the text, for positions in errors.
    pub(super) text: String,
    pub(super) root: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If { pipe: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
    With { pipe: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
    Range { pipe: Pipe, each: Vec<Node>, otherwise: Vec<Node> },
    Template(Call),
    Break,
    Continue,
}

impl Node {
    /// Whether it is text of blanks alone.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self, Node::Text(text) if text.trim().is_empty())
    }
}

/// `{{template "name" pipe}}`
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) pipe: Option<Pipe>,
    /// Where in the text.
    pub(super) at: usize,
}

/// `$x := a b | c`
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    /// Where in the text.
    pub(super) at: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) args: Vec<Operand>,
    /// Where in the text.
    pub(super) at: usize,
}

/// An argument and where it stands: of a chain of fields, where its second name does.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) arg: Arg,
    pub(super) at: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Arg {
    Dot,
    Nil,
    Bool(bool),
    /// With its text.
    Int(i64, String),
    /// Larger than integers are; its text.
    Unsigned(String),
    /// With its text.
    Float(f64, String),
    /// With its quoted text.
    Text(String, String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    /// `(…).a.b`, `f.a`
    Chain(Box<Operand>, Vec<String>),
}

fn fields(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.arg {
            Arg::Dot => f.write_str("."),
            Arg::Nil => f.write_str("nil"),
            Arg::Bool(value) => write!(f, "{value}"),
            Arg::Int(_, text) | Arg::Float(_, text) | Arg::Text(_, text) | Arg::Unsigned(text) => {
                f.write_str(text)
            }
            Arg::Field(names) => fields(f, names),
            Arg::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            Arg::Function(name) => f.write_str(name),
            Arg::Pipe(pipe) => write!(f, "{pipe}"),
            Arg::Chain(of, names) => {
                match &of.arg {
                    Arg::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{of}")?,
                }
                fields(f, names)
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.args.iter().enumerate() {
            let blank = if i == 0 { "" } else { " " };
            match &operand.arg {
                Arg::Pipe(pipe) => write!(f, "{blank}({pipe})")?,
                _ => write!(f, "{blank}{operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            let bar = if i == 0 { "" } else { " | " };
            write!(f, "{bar}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", model::go_quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
