//! What a function of the language looks like from outside.

use super::ValueType;

/// How many arguments a function takes, relative to the length of `Function::arg_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one argument per listed type.
    Exact,
    /// The last type is optional and may be repeated up to so many times.
    UpTo(usize),
    /// The last type is optional and may be repeated without end.
    Any,
}

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// As written.
    pub name: &'static str,
    /// Argument types; what `arity` lets repeat has the last one.
    pub arg_types: &'static [ValueType],
    /// How many arguments.
    pub arity: Arity,
    /// What it evaluates to.
    pub return_type: ValueType,
    /// Whether it needs `ParseOptions::experimental_functions`.
    pub experimental: bool,
}
