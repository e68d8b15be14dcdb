//! Scalars.

use super::{Node, Planner, ScalarArgs, invariance};
use crate::ast::{BinaryOp, Expr, UnaryOp};
use crate::engine::QueryError;
use crate::exec::{Grid, ScalarExpr};
use crate::go_format::quote;

impl Planner<'_> {
    /// Scalar arguments.
    pub(super) fn scalars<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e Expr>,
        grid: Grid,
    ) -> Result<ScalarArgs, QueryError> {
        let mut args = ScalarArgs::default();
        for expr in exprs {
            let planned = self.scalar(expr, grid, &mut args.vectors)?;
            args.exprs.push(planned);
        }
        Ok(args)
    }

    /// A vector of one series from a scalar.
    pub(crate) fn vector_of_scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Node, QueryError> {
        let scalar = self.scalars([expr], grid)?;
        Ok(Node::FromScalar { scalar, grid, function: None })
    }

    fn scalar(&mut self, expr: &Expr, grid: Grid, vectors: &mut Vec<Node>) -> Result<ScalarExpr, QueryError> {
        if grid.steps > 1 && invariance::of(expr).1 {
            let outer_count = self.count_times;
            self.count_times *= grid.steps as u64;
            let once = self.scalar(expr, grid.first(), vectors)?;
            self.count_times = outer_count;
            return Ok(ScalarExpr::First(Box::new(once)));
        }
        Ok(match expr {
            Expr::Number(n) => ScalarExpr::Constant(n.value),
            Expr::Paren(p) => self.scalar(&p.expr, grid, vectors)?,
            Expr::StepInvariant(e) => self.scalar(e, grid, vectors)?,
            Expr::Unary(u) => {
                let inner = self.scalar(&u.expr, grid, vectors)?;
                if u.op == UnaryOp::Minus { ScalarExpr::Negate(Box::new(inner)) } else { inner }
            }
            Expr::Binary(b) => {
                let l = self.scalar(&b.lhs, grid, vectors)?;
                let r = self.scalar(&b.rhs, grid, vectors)?;
                if matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                    return Err(QueryError::Execution(format!(
                        "operator {} not allowed for Scalar operations",
                        quote(b.op.as_str())
                    )));
                }
                ScalarExpr::Binary(b.op, Box::new(l), Box::new(r))
            }
            Expr::Call(c) => {
                let mut two = |planner: &mut Self| -> Result<_, QueryError> {
                    let (Some(a), Some(b)) = (c.args.first(), c.args.get(1)) else {
                        return Err(QueryError::Internal("two arguments wanted".to_owned()));
                    };
                    let a = Box::new(planner.scalar(a, grid, vectors)?);
                    Ok((a, Box::new(planner.scalar(b, grid, vectors)?)))
                };
                match c.function.name {
                    "time" => ScalarExpr::Time,
                    "pi" => ScalarExpr::Constant(std::f64::consts::PI),
                    "start" => ScalarExpr::Constant(self.start as f64 / 1000.0),
                    "end" => ScalarExpr::Constant(self.end as f64 / 1000.0),
                    "range" => ScalarExpr::Constant((self.end - self.start) as f64 / 1000.0),
                    "step" if self.start == self.end => ScalarExpr::Constant(0.0),
                    "step" => ScalarExpr::Constant(self.step as f64 / 1000.0),
                    "min_of" => {
                        let (a, b) = two(self)?;
                        ScalarExpr::MinOf(a, b)
                    }
                    "max_of" => {
                        let (a, b) = two(self)?;
                        ScalarExpr::MaxOf(a, b)
                    }
                    "scalar" => {
                        let Some(arg) = c.args.first() else {
                            return Err(QueryError::Internal("an argument wanted".to_owned()));
                        };
                        let node = self.wrapped(arg.unparen(), grid)?;
                        vectors.push(node);
                        ScalarExpr::OfVector(vectors.len() - 1)
                    }
                    other => return Err(QueryError::Internal(format!("function {other} gives no scalar"))),
                }
            }
            other => {
                return Err(QueryError::Internal(format!(
                    "expression of type {} where a scalar is wanted",
                    other.value_type().as_str()
                )));
            }
        })
    }
}
