//! Going over a tree.

use model::Matcher;

use super::Expr;

impl Expr {
    /// The nodes directly below: an aggregation's expression comes before its parameter;
    /// a matrix selector has none (its selector is part of it).
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_)
            | Expr::String(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Duration(_) => Vec::new(),
            Expr::Subquery(s) => vec![&s.expr],
            Expr::Unary(u) => vec![&u.expr],
            Expr::Binary(b) => vec![&b.lhs, &b.rhs],
            Expr::Aggregate(a) => std::iter::once(&a.expr).chain(a.param.as_ref()).collect(),
            Expr::Call(c) => c.args.iter().collect(),
            Expr::Paren(p) => vec![&p.expr],
            Expr::StepInvariant(e) => vec![e],
        }
    }

    /// The nodes directly below, to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Number(_)
            | Expr::String(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Duration(_) => Vec::new(),
            Expr::Subquery(s) => vec![&mut s.expr],
            Expr::Unary(u) => vec![&mut u.expr],
            Expr::Binary(b) => {
                let b = &mut **b;
                vec![&mut b.lhs, &mut b.rhs]
            }
            Expr::Aggregate(a) => {
                let a = &mut **a;
                std::iter::once(&mut a.expr).chain(a.param.as_mut()).collect()
            }
            Expr::Call(c) => c.args.iter_mut().collect(),
            Expr::Paren(p) => vec![&mut p.expr],
            Expr::StepInvariant(e) => vec![e],
        }
    }

    /// Calls `visit` for this node and all below, parents first, with the path of nodes above.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
        fn go<'a>(expr: &'a Expr, path: &mut Vec<&'a Expr>, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
            visit(expr, path);
            path.push(expr);
            for child in expr.children() {
                go(child, path, visit);
            }
            path.pop();
        }
        go(self, &mut Vec::new(), visit);
    }

    /// The matchers of every selector in the expression, in order.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.walk(&mut |expr, _| match expr {
            Expr::VectorSelector(v) => found.push(v.matchers.as_slice()),
            Expr::MatrixSelector(m) => found.push(m.selector.matchers.as_slice()),
            _ => {}
        });
        found
    }
}
