//! Checking the tree: types of operands and arguments, matching that makes no sense, selectors of everything.

use model::METRIC_NAME;

use crate::ast::{
    AggregateOp, Arity, Binary, Call, Cardinality, Expr, FillValues, PosRange, ValueType, VectorSelector,
    go_quote,
};

use super::parser::Parser;

impl Parser<'_> {
    /// Checks `expr` and all below, settles what the grammar leaves open (set operators match many to many, scalars
    /// match nothing), and answers its type.
    pub(super) fn check(&mut self, expr: &mut Expr) -> ValueType {
        let value_type = expr.value_type();
        let pos = expr.pos();
        match expr {
            Expr::Number(_) | Expr::String(_) | Expr::Duration(_) => {}
            Expr::VectorSelector(v) => self.check_selector(v),
            Expr::MatrixSelector(m) => self.check_selector(&m.selector),
            Expr::Subquery(s) => {
                let inner = self.check(&mut s.expr);
                if inner != ValueType::Vector {
                    self.error(
                        pos,
                        format!("subquery is only allowed on instant vector, got {} instead", inner.as_str()),
                    );
                }
            }
            Expr::Unary(u) => {
                let inner = self.check(&mut u.expr);
                if !matches!(inner, ValueType::Scalar | ValueType::Vector) {
                    self.error(
                        pos,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            go_quote(inner.documented())
                        ),
                    );
                }
            }
            Expr::Binary(b) => self.check_binary(b),
            Expr::Aggregate(a) => {
                self.expect_type(&mut a.expr, ValueType::Vector, "aggregation expression");
                if let Some(param) = &mut a.param {
                    let wanted =
                        if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                    self.expect_type(param, wanted, "aggregation parameter");
                }
            }
            Expr::Call(c) => self.check_call(c),
            Expr::Paren(p) => {
                self.check(&mut p.expr);
            }
            Expr::StepInvariant(e) => {
                self.check(e);
            }
        }
        value_type
    }

    fn expect_type(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.check(expr);
        if found != wanted {
            self.error(
                expr.pos(),
                format!("expected type {} in {context}, got {}", wanted.documented(), found.documented()),
            );
        }
    }

    fn check_selector(&mut self, selector: &VectorSelector) {
        if !selector.name.is_empty() {
            // The last matcher is the name before the braces.
            let others = selector.matchers.split_last().map_or(&[][..], |(_, others)| others);
            for m in others.iter().filter(|m| m.name() == METRIC_NAME) {
                self.error(
                    selector.pos,
                    format!(
                        "metric name must not be set twice: {} or {}",
                        go_quote(&selector.name),
                        go_quote(m.value())
                    ),
                );
            }
            return;
        }
        let selective = selector.matchers.iter().any(|m| !m.matches_empty());
        if !selective && !selector.bypass_empty_matcher_check {
            self.error(selector.pos, "vector selector must contain at least one non-empty matcher");
        }
    }

    fn check_binary(&mut self, b: &mut Binary) {
        let lhs = self.check(&mut b.lhs);
        let rhs = self.check(&mut b.rhs);
        let (pos, op_pos) = (b.pos(), self.operator_pos(b));
        let op = go_quote(b.op.as_str());
        if b.return_bool && !b.op.is_comparison() {
            self.error(op_pos, "bool modifier can only be used on comparison operators");
        }
        if b.op.is_comparison() && !b.return_bool && lhs == ValueType::Scalar && rhs == ValueType::Scalar {
            self.error(op_pos, "comparisons between scalars must use BOOL modifier");
        }
        let mut matching = b.matching.take().unwrap_or_default();
        if b.op.is_set() && matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        if matching.on {
            for label in &matching.labels {
                for _ in matching.include.iter().filter(|l| *l == label) {
                    self.error(
                        op_pos,
                        format!("label {} must not occur in ON and GROUP clause at once", go_quote(label)),
                    );
                }
            }
        }
        for (side, operand) in [(lhs, &b.lhs), (rhs, &b.rhs)] {
            if !matches!(side, ValueType::Scalar | ValueType::Vector) {
                self.error(
                    operand.pos(),
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let fills = matching.fill != FillValues::default();
        if lhs != ValueType::Vector || rhs != ValueType::Vector {
            if !matching.labels.is_empty() {
                self.error(pos, "vector matching only allowed between instant vectors");
            }
            if fills {
                self.error(pos, "filling in missing series only allowed between instant vectors");
            }
        } else {
            if b.op.is_set() {
                if matching.card != Cardinality::ManyToMany {
                    self.error(pos, format!("no grouping allowed for {op} operation"));
                    self.error(pos, "set operations must always be many-to-many");
                }
                if fills {
                    self.error(pos, "filling in missing series not allowed for set operators");
                }
            }
            b.matching = Some(matching);
        }
        if b.op.is_set() && (lhs == ValueType::Scalar || rhs == ValueType::Scalar) {
            self.error(pos, format!("set operator {op} not allowed in binary scalar expression"));
        }
    }

    /// From behind the left operand to before the right one, without the space around.
    fn operator_pos(&self, b: &Binary) -> PosRange {
        let (from, to) = (b.lhs.pos().end, b.rhs.pos().start);
        let bytes = self.input.as_bytes();
        let is_space = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r'));
        let mut start = from;
        while is_space(start) {
            start += 1;
        }
        let mut end = to.saturating_sub(1);
        while end > start && is_space(end) {
            end -= 1;
        }
        PosRange::new(start, end)
    }

    fn check_call(&mut self, call: &mut Call) {
        let (function, pos) = (call.function, call.pos);
        let (name, given, types) = (go_quote(function.name), call.args.len(), function.arg_types);
        let least = if function.arity == Arity::Exact { types.len() } else { types.len().saturating_sub(1) };
        match function.arity {
            Arity::Exact if given != least => {
                self.error(pos, format!("expected {least} argument(s) in call to {name}, got {given}"));
            }
            Arity::UpTo(_) | Arity::Any if given < least => {
                self.error(
                    pos,
                    format!("expected at least {least} argument(s) in call to {name}, got {given}"),
                );
            }
            Arity::UpTo(more) if given > least + more => {
                let most = least + more;
                self.error(
                    pos,
                    format!("expected at most {most} argument(s) in call to {name}, got {given}"),
                );
            }
            _ => {}
        }
        if function.name == "info" {
            self.check_info(call);
        }
        for (i, arg) in call.args.iter_mut().enumerate() {
            let wanted = match (types.get(i), types.last()) {
                (Some(wanted), _) => *wanted,
                (None, Some(last)) if function.arity != Arity::Exact => *last,
                _ => break,
            };
            let found = self.check(arg);
            if found != wanted {
                self.error(
                    arg.pos(),
                    format!(
                        "expected type {} in call to function {name}, got {}",
                        wanted.documented(),
                        found.documented()
                    ),
                );
            }
        }
    }

    /// The second argument of `info()` is a set of matchers written as a selector.
    fn check_info(&mut self, call: &mut Call) {
        let pos = call.pos;
        let Some(arg) = call.args.get_mut(1) else { return };
        let (found, arg_pos) = (arg.value_type(), arg.pos());
        if found != ValueType::Vector {
            self.error(
                pos,
                format!(
                    "expected type instant vector in call to function \"info\", got {}",
                    found.documented()
                ),
            );
        }
        match arg {
            Expr::VectorSelector(v) if v.name.is_empty() => v.bypass_empty_matcher_check = true,
            Expr::VectorSelector(_) => {
                self.error(arg_pos, "expected label selectors only, got vector selector instead");
            }
            _ => self.error(arg_pos, "expected label selectors only"),
        }
    }
}
