//! A scalar as a vector of one series without labels.

use std::sync::Arc;

use super::batch::BatchBuilder;
use super::grid::Grid;
use super::operator::{BatchStream, Inputs, Operator, once};
use super::scalar::{ScalarExpr, evaluate_all};
use crate::functions::SampleFunction;

/// The operator; its children are what the scalar needs.
#[derive(Debug, Clone)]
pub(crate) struct FromScalar {
    pub scalar: ScalarExpr,
    pub grid: Grid,
    /// Applied to each value: the date functions without an argument.
    pub function: Option<SampleFunction>,
}

impl Operator for FromScalar {
    fn name(&self) -> &'static str {
        "FromScalar"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let exprs = std::slice::from_ref(&self.scalar);
            let mut values = evaluate_all(exprs, self.grid, &inputs, 0).await?.swap_remove(0);
            if let Some(function) = self.function {
                for v in &mut values {
                    *v = function.apply(*v);
                }
            }
            let mut out = BatchBuilder::new(self.grid.steps, 1);
            out.push_row(&[], false, &values, None);
            inputs.encode(out.finish())
        })
    }
}
