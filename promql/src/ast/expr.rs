//! Expressions.

use super::{
    AggregateOp, AtModifier, BinaryOp, DurationArg, DurationExpr, Function, MatrixSelector, PosRange,
    UnaryOp, ValueType, VectorSelector,
};

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, `0x1F`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(StringLiteral),
    /// `name{…}`
    VectorSelector(Box<VectorSelector>),
    /// `name{…}[5m]`
    MatrixSelector(Box<MatrixSelector>),
    /// `expr[1h:5m]`
    Subquery(Box<Subquery>),
    /// `-expr`
    Unary(Unary),
    /// `a + b`
    Binary(Box<Binary>),
    /// `sum by (x) (expr)`
    Aggregate(Box<Aggregate>),
    /// `rate(x[5m])`
    Call(Call),
    /// `(expr)`
    Paren(Paren),
    /// A part that gives the same at every step. The parser never makes it; rewrites of the plan may.
    StepInvariant(Box<Expr>),
    /// A duration expression where a scalar is wanted. The parser makes it only within a range, a step or an offset;
    /// here for error recovery and tools.
    Duration(Box<DurationExpr>),
}

/// A number; durations stand for seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// The value.
    pub value: f64,
    /// Written as a duration, and printed as one.
    pub as_duration: bool,
    /// Where it stands, sign included.
    pub pos: PosRange,
}

/// A string, unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text without quotes and escapes; bytes that are no UTF-8 replaced by U+FFFD.
    pub value: String,
    /// The bytes, when escapes such as `\xff` made some that are no UTF-8. Such a string is no valid label name.
    pub raw: Option<Vec<u8>>,
    /// Where it stands, quotes included.
    pub pos: PosRange,
}

impl StringLiteral {
    /// In double quotes with Go's escapes, as error messages show it.
    pub fn quoted(&self) -> String {
        model::go_quote_bytes(self.raw.as_deref().unwrap_or(self.value.as_bytes()))
    }
}

/// `expr[range:step] offset … @ …`
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each inner step.
    pub expr: Expr,
    /// The window's length.
    pub range: DurationArg,
    /// The inner step; unset means the engine's default interval.
    pub step: DurationArg,
    /// `offset`, as written.
    pub offset: DurationArg,
    /// `@`
    pub at: Option<AtModifier>,
    /// Where it stands, modifiers included.
    pub pos: PosRange,
}

/// A sign before an expression (literals take it in).
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// The sign.
    pub op: UnaryOp,
    /// What it applies to.
    pub expr: Box<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

/// Two operands and an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// `bool`: a comparison answers 0 or 1 and does not filter.
    pub return_bool: bool,
    /// How series find each other; `Some` exactly when both sides are instant vectors.
    pub matching: Option<VectorMatching>,
}

impl Binary {
    /// Where it stands.
    pub fn pos(&self) -> PosRange {
        self.lhs.pos().to(self.rhs.pos())
    }
}

/// How many series of each side a match group may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// The default of arithmetic and comparison.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// As error messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// How many to how many.
    pub card: Cardinality,
    /// Labels of `on(…)` or `ignoring(…)`.
    pub labels: Vec<String>,
    /// `on`: only `labels` count; otherwise all but them.
    pub on: bool,
    /// Labels of `group_left(…)` / `group_right(…)`, copied from the "one" side.
    pub include: Vec<String>,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill: FillValues,
}

/// What stands in for a series that has no partner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FillValues {
    /// For a missing series of the left side.
    pub lhs: Option<f64>,
    /// For a missing series of the right side.
    pub rhs: Option<f64>,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// Over what.
    pub expr: Expr,
    /// `k` of `topk`, the label of `count_values`, φ of `quantile`, …
    pub param: Option<Expr>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// `without`: drop `grouping`; otherwise keep only it.
    pub without: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

/// An expression in parentheses.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Box<Expr>,
    /// Where it stands, parentheses included.
    pub pos: PosRange,
}

impl Expr {
    /// Where the node stands in the query.
    pub fn pos(&self) -> PosRange {
        match self {
            Expr::Number(n) => n.pos,
            Expr::String(s) => s.pos,
            Expr::VectorSelector(v) => v.pos,
            Expr::MatrixSelector(m) => m.pos,
            Expr::Subquery(s) => s.pos,
            Expr::Unary(u) => u.pos,
            Expr::Binary(b) => b.pos(),
            Expr::Aggregate(a) => a.pos,
            Expr::Call(c) => c.pos,
            Expr::Paren(p) => p.pos,
            Expr::StepInvariant(e) => e.pos(),
            Expr::Duration(d) => d.pos,
        }
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) | Expr::Duration(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::VectorSelector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::MatrixSelector(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Unary(u) => u.expr.value_type(),
            Expr::Binary(b) => {
                if b.lhs.value_type() == ValueType::Scalar && b.rhs.value_type() == ValueType::Scalar {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Expr::Call(c) => c.function.return_type,
            Expr::Paren(p) => p.expr.value_type(),
            Expr::StepInvariant(e) => e.value_type(),
        }
    }

    /// The expression without the parentheses around it.
    pub fn unparen(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(p) = expr {
            expr = &p.expr;
        }
        expr
    }
}
