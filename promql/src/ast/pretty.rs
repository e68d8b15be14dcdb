//! Laying a tree out over several lines, as Prometheus's `format_query` does.
//!
//! A node is broken when its one-line form is longer than 100 bytes; what stands in a broken node is indented by two
//! spaces a level.

use super::Expr;

const MAX_LINE: usize = 100;

impl Expr {
    /// The query laid out for reading.
    pub fn prettify(&self) -> String {
        self.prettify_within(MAX_LINE)
    }

    /// As `prettify`, with another limit.
    pub(crate) fn prettify_within(&self, max_line: usize) -> String {
        Layout { max_line }.node(self, 0)
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

struct Layout {
    max_line: usize,
}

impl Layout {
    fn node(&self, expr: &Expr, level: usize) -> String {
        let margin = indent(level);
        let line = expr.to_string();
        let split = line.len() > self.max_line;
        match expr {
            Expr::Unary(u) => format!("{margin}{}{}", u.op.as_str(), self.node(&u.expr, level).trim()),
            Expr::StepInvariant(e) => self.node(e, level),
            Expr::Subquery(s) if split => format!("{}{}", self.node(&s.expr, level), s.suffix()),
            // A subquery that fits its line is not indented: Prometheus does not either.
            Expr::Subquery(_) => line,
            Expr::Aggregate(a) if split => {
                let mut text = format!("{margin}{}(\n", a.short());
                if let Some(param) = &a.param {
                    text.push_str(&self.node(param, level + 1));
                    text.push_str(",\n");
                }
                text.push_str(&self.node(&a.expr, level + 1));
                format!("{text}\n{margin})")
            }
            Expr::Binary(b) if split => {
                let (lhs, rhs) = (self.node(&b.lhs, level + 1), self.node(&b.rhs, level + 1));
                format!("{lhs}\n{margin}{}\n{rhs}", b.short())
            }
            Expr::Call(c) if split => {
                let args: Vec<String> = c.args.iter().map(|arg| self.node(arg, level + 1)).collect();
                format!("{margin}{}(\n{}\n{margin})", c.function.name, args.join(",\n"))
            }
            Expr::Paren(p) if split => format!("{margin}(\n{}\n{margin})", self.node(&p.expr, level + 1)),
            _ => format!("{margin}{line}"),
        }
    }
}
