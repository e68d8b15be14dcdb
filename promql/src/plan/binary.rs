//! Binary operators with a vector on at least one side.

use super::{Node, Planner};
use crate::ast::{Binary, ValueType};
use crate::engine::QueryError;
use crate::exec::{Grid, GroupKey, MapKind};
use crate::functions::arithmetic;

impl Planner<'_> {
    pub(super) fn binary(
        &mut self,
        binary: &Binary,
        grid: Grid,
        wanted: Option<GroupKey>,
        drops: bool,
    ) -> Result<Node, QueryError> {
        let (left, right) = (binary.lhs.value_type(), binary.rhs.value_type());
        let pos = binary.pos();
        if left == ValueType::Vector && right == ValueType::Vector {
            let left = Box::new(self.wrapped(&binary.lhs, grid)?);
            let right = Box::new(self.wrapped(&binary.rhs, grid)?);
            self.exact = false;
            return Ok(Node::Binary {
                left,
                right,
                op: binary.op,
                matching: binary.matching.clone().unwrap_or_default(),
                return_bool: binary.return_bool,
                steps: grid.steps,
                pos,
                delayed_names: self.features.delayed_name_removal,
            });
        }
        let swapped = left == ValueType::Scalar;
        let (vector, scalar) = if swapped { (&binary.rhs, &binary.lhs) } else { (&binary.lhs, &binary.rhs) };
        if vector.value_type() == ValueType::Scalar {
            return Err(QueryError::Internal("operator between scalars where a vector is wanted".to_owned()));
        }
        let params = self.scalars([scalar], grid)?;
        let drops_here = arithmetic(binary.op, 0.0, 0.0).is_some() || binary.return_bool;
        self.wanted = wanted;
        self.drops_names = drops || drops_here;
        let input = self.wrapped(vector, grid)?;
        let kind = MapKind::Scalar { op: binary.op, swapped, return_bool: binary.return_bool, pos };
        Ok(self.map(input, kind, grid, params, drops_here))
    }
}
