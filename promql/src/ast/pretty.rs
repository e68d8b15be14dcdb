//! Laying a tree out over several lines, as Prometheus's `format_query` does.
//!
//! A node is broken when its one-line form is longer than 100 bytes; what stands in a broken node is indented by two
//! spaces a level.

use super::{Expr, Subquery};

const MAX_LINE: usize = 100;

impl Expr {
    /// The query laid out for reading.
    pub fn prettify(&self) -> String {
        pretty(self, 0)
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn pretty(expr: &Expr, level: usize) -> String {
    let margin = indent(level);
    let line = expr.to_string();
    let split = line.len() > MAX_LINE;
    match expr {
        Expr::Unary(u) => format!("{margin}{}{}", u.op.as_str(), pretty(&u.expr, level).trim()),
        Expr::StepInvariant(e) => pretty(e, level),
        Expr::Subquery(s) => pretty_subquery(s, &line, split, level),
        Expr::Aggregate(a) if split => {
            let mut text = format!("{margin}{}(\n", a.short());
            if let Some(param) = &a.param {
                text.push_str(&pretty(param, level + 1));
                text.push_str(",\n");
            }
            text.push_str(&pretty(&a.expr, level + 1));
            format!("{text}\n{margin})")
        }
        Expr::Binary(b) if split => {
            let (lhs, rhs) = (pretty(&b.lhs, level + 1), pretty(&b.rhs, level + 1));
            format!("{lhs}\n{margin}{}\n{rhs}", b.short())
        }
        Expr::Call(c) if split => {
            let args: Vec<String> = c.args.iter().map(|arg| pretty(arg, level + 1)).collect();
            format!("{margin}{}(\n{}\n{margin})", c.function.name, args.join(",\n"))
        }
        Expr::Paren(p) if split => format!("{margin}(\n{}\n{margin})", pretty(&p.expr, level + 1)),
        _ => format!("{margin}{line}"),
    }
}

/// A subquery that fits its line is not indented: Prometheus does not either.
fn pretty_subquery(subquery: &Subquery, line: &str, split: bool, level: usize) -> String {
    if split { format!("{}{}", pretty(&subquery.expr, level), subquery.suffix()) } else { line.to_owned() }
}
