//! Scalars: one number per step, from constants, the time, and vectors of one element.

use super::batch::is_absent;
use super::grid::Grid;
use super::operator::Inputs;
use crate::ast::BinaryOp;
use crate::engine::QueryError;
use crate::functions::{arithmetic, compare, go_max, go_min};

/// A scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarExpr {
    /// The same at every step.
    Constant(f64),
    /// The step's time in seconds.
    Time,
    /// `-a`
    Negate(Box<ScalarExpr>),
    /// `a op b`; comparisons give 0 or 1.
    Binary(BinaryOp, Box<ScalarExpr>, Box<ScalarExpr>),
    /// `min_of(a, b)`
    MinOf(Box<ScalarExpr>, Box<ScalarExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<ScalarExpr>, Box<ScalarExpr>),
    /// `scalar(v)`: the only float of a vector, from that child of the operator (counted from the first scalar child).
    OfVector(usize),
    /// The first step's value at every step.
    First(Box<ScalarExpr>),
}

impl ScalarExpr {
    /// Whether it needs no vector.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            ScalarExpr::Constant(_) | ScalarExpr::Time => true,
            ScalarExpr::Negate(a) | ScalarExpr::First(a) => a.is_plain(),
            ScalarExpr::Binary(_, a, b) | ScalarExpr::MinOf(a, b) | ScalarExpr::MaxOf(a, b) => {
                a.is_plain() && b.is_plain()
            }
            ScalarExpr::OfVector(_) => false,
        }
    }

    /// Its values, given those of the vectors it needs.
    pub(crate) fn evaluate(&self, grid: Grid, vectors: &[Vec<f64>]) -> Vec<f64> {
        let pairs = |a: &ScalarExpr, b: &ScalarExpr, f: &dyn Fn(f64, f64) -> f64| {
            let mut left = a.evaluate(grid, vectors);
            for (l, r) in left.iter_mut().zip(b.evaluate(grid, vectors)) {
                *l = f(*l, r);
            }
            left
        };
        match self {
            ScalarExpr::Constant(v) => vec![*v; grid.steps],
            ScalarExpr::Time => (0..grid.steps).map(|i| grid.at(i) as f64 / 1000.0).collect(),
            ScalarExpr::Negate(a) => a.evaluate(grid, vectors).into_iter().map(|v| -v).collect(),
            ScalarExpr::Binary(op, a, b) => pairs(a, b, &|l, r| match arithmetic(*op, l, r) {
                Some(v) => v,
                None => f64::from(u8::from(compare(*op, l, r).unwrap_or(false))),
            }),
            ScalarExpr::MinOf(a, b) => pairs(a, b, &go_min),
            ScalarExpr::MaxOf(a, b) => pairs(a, b, &go_max),
            ScalarExpr::OfVector(child) => {
                vectors.get(*child).cloned().unwrap_or_else(|| vec![f64::NAN; grid.steps])
            }
            ScalarExpr::First(a) => {
                let first = a.evaluate(grid.first(), vectors).first().copied().unwrap_or(f64::NAN);
                vec![first; grid.steps]
            }
        }
    }
}

/// `scalar(v)` of an operator's child: the one float per step, else NaN.
pub(crate) async fn scalar_of_child(
    inputs: &Inputs,
    child: usize,
    steps: usize,
) -> Result<Vec<f64>, QueryError> {
    let mut values = vec![f64::NAN; steps];
    let mut counts = vec![0u32; steps];
    for batch in inputs.collect(child).await?.iter() {
        for row in 0..batch.rows() {
            for (step, v) in batch.row(row).iter().enumerate() {
                if !is_absent(*v) {
                    values[step] = *v;
                    counts[step] += 1;
                }
            }
        }
    }
    for (value, count) in values.iter_mut().zip(counts) {
        if count != 1 {
            *value = f64::NAN;
        }
    }
    Ok(values)
}

/// The values of an operator's scalar arguments, whose vectors are children from `first_child` on.
pub(crate) async fn evaluate_all(
    exprs: &[ScalarExpr],
    grid: Grid,
    inputs: &Inputs,
    first_child: usize,
) -> Result<Vec<Vec<f64>>, QueryError> {
    let mut vectors = Vec::new();
    if exprs.iter().any(|e| !e.is_plain()) {
        for child in first_child..inputs.child_count() {
            vectors.push(scalar_of_child(inputs, child, grid.steps).await?);
        }
    }
    Ok(exprs.iter().map(|e| e.evaluate(grid, &vectors)).collect())
}
