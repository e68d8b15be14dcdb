//! Durations in a query: literals, and expressions over them that need the query's step and range.

use super::PosRange;

/// A range, step or offset as written: a literal, or an expression evaluated when the query runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DurationArg {
    /// Milliseconds of a literal; 0 when there is an expression.
    pub ms: i64,
    /// Set when the duration has to be computed.
    pub expr: Option<Box<DurationExpr>>,
}

impl DurationArg {
    /// A literal of so many milliseconds.
    pub fn literal(ms: i64) -> Self {
        DurationArg { ms, expr: None }
    }

    /// Neither a literal other than 0 nor an expression.
    pub fn is_unset(&self) -> bool {
        self.ms == 0 && self.expr.is_none()
    }
}

/// A part of a duration expression.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Whether it stood in parentheses.
    pub wrapped: bool,
    /// Where it stands; parentheses are not included.
    pub pos: PosRange,
}

/// The forms of a duration expression.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// A literal, in seconds.
    Literal {
        /// Seconds.
        seconds: f64,
        /// Written as a duration (`5m`), not as a number (`300`).
        as_duration: bool,
    },
    /// `step()`: the query's step; 0 in an instant query.
    Step,
    /// `range()`: the query's end minus its start; 0 in an instant query.
    Range,
    /// `-expr`.
    Negate(Box<DurationExpr>),
    /// `+(literal)`, kept so that the parentheses survive printing.
    Positive(Box<DurationExpr>),
    /// Two operands; `min_of` and `max_of` included.
    Binary {
        /// The operator.
        op: DurationOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
    },
}

/// Operators between durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

impl DurationOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::MinOf => "min_of",
            DurationOp::MaxOf => "max_of",
        }
    }
}
