//! The syntax tree of the query language: what `parse` makes and the planner reads.
//!
//! Every node knows its place in the query (`PosRange`). Nodes are plain data: public fields, no behaviour beyond
//! looking at them, printing them (`Display` is the form Prometheus prints, and parses back to an equal tree)
//! and laying them out over several lines (`prettify`).

mod display;
mod duration;
mod expr;
mod function;
mod function_table;
mod number_format;
mod ops;
mod pos;
mod pretty;
mod selector;
mod value_type;
mod walk;

pub use duration::{DurationArg, DurationExpr, DurationKind, DurationOp};
pub use expr::{
    Aggregate, Binary, Call, Cardinality, Expr, FillValues, NumberLiteral, Paren, StringLiteral, Subquery,
    Unary, VectorMatching,
};
pub use function::{Arity, Function};
pub use function_table::{FUNCTIONS, find_function};
pub(crate) use model::go_quote;
pub use number_format::format_float;
pub use ops::{AggregateOp, BinaryOp, UnaryOp};
pub use pos::PosRange;
pub use selector::{AtModifier, MatrixSelector, VectorSelector};
pub use value_type::ValueType;

pub(crate) use number_format::is_legacy_label_name;
