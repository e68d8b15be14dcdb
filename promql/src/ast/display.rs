//! Printing a tree in one line, in the form Prometheus prints it.

use std::fmt::{self, Display as _};

use model::{METRIC_NAME, MatchOp, Matcher};

use super::number_format::format_float_short;
use super::*;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(n) => n.fmt(f),
            Expr::String(s) => f.write_str(&s.quoted()),
            Expr::VectorSelector(v) => v.fmt(f),
            Expr::MatrixSelector(m) => m.fmt(f),
            Expr::Subquery(s) => s.fmt(f),
            Expr::Unary(u) => write!(f, "{}{}", u.op.as_str(), u.expr),
            Expr::Binary(b) => match &b.lhs {
                // Before a power the sign of `+Inf` would become one of the whole; Prometheus lets it.
                Expr::Number(n) if b.op == BinaryOp::Pow && n.value == f64::INFINITY => {
                    write!(f, "Inf {} {}", b.short(), b.rhs)
                }
                lhs => write!(f, "{lhs} {} {}", b.short(), b.rhs),
            },
            Expr::Aggregate(a) => a.fmt(f),
            Expr::Call(c) => c.fmt(f),
            Expr::Paren(p) => write!(f, "({})", p.expr),
            Expr::StepInvariant(e) => e.fmt(f),
            Expr::Duration(d) => d.fmt(f),
        }
    }
}

impl fmt::Display for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_number(f, self.value, self.as_duration)
    }
}

fn write_number(f: &mut fmt::Formatter<'_>, value: f64, as_duration: bool) -> fmt::Result {
    if !as_duration {
        return f.write_str(&format_float(value));
    }
    // By way of whole nanoseconds, as Prometheus holds durations.
    let ms = ((value.abs() * 1e9) as i64) / 1_000_000;
    if value < 0.0 {
        f.write_str("-")?;
    }
    f.write_str(&model::format_duration_ms(ms))
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.short())?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Aggregate {
    /// The operator with its labels: `sum by (a, b) `.
    pub(super) fn short(&self) -> String {
        if self.without {
            format!("{} without ({}) ", self.op.as_str(), label_list(&self.grouping))
        } else if self.grouping.is_empty() {
            self.op.as_str().to_owned()
        } else {
            format!("{} by ({}) ", self.op.as_str(), label_list(&self.grouping))
        }
    }
}

fn label_list(names: &[String]) -> String {
    let quoted: Vec<String> =
        names.iter().map(|n| if is_legacy_label_name(n) { n.clone() } else { go_quote(n) }).collect();
    quoted.join(", ")
}

impl Binary {
    /// The operator with its modifiers: `== bool on (a) group_left (b)`.
    pub(super) fn short(&self) -> String {
        let mut text = self.op.as_str().to_owned();
        if self.return_bool {
            text.push_str(" bool");
        }
        let Some(m) = &self.matching else { return text };
        let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
        if !m.labels.is_empty() || m.on || grouped {
            let keyword = if m.on { "on" } else { "ignoring" };
            text.push_str(&format!(" {keyword} ({})", label_list(&m.labels)));
        }
        if grouped {
            let side = if m.card == Cardinality::ManyToOne { "left" } else { "right" };
            text.push_str(&format!(" group_{side} ({})", label_list(&m.include)));
        }
        match (m.fill.lhs, m.fill.rhs) {
            (Some(l), Some(r)) if l == r => text.push_str(&format!(" fill ({})", format_float_short(l))),
            (l, r) => {
                if let Some(l) = l {
                    text.push_str(&format!(" fill_left ({})", format_float_short(l)));
                }
                if let Some(r) = r {
                    text.push_str(&format!(" fill_right ({})", format_float_short(r)));
                }
            }
        }
        text
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            arg.fmt(f)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Literal { seconds, as_duration } => write_number(f, *seconds, *as_duration)?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::Negate(inner) => write!(f, "-{inner}")?,
            DurationKind::Positive(inner) => inner.fmt(f)?,
            DurationKind::Binary { op: op @ (DurationOp::MinOf | DurationOp::MaxOf), lhs, rhs } => {
                write!(f, "{}({lhs}, {rhs})", op.as_str())?;
            }
            DurationKind::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str())?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for DurationArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Some(expr) => expr.fmt(f),
            None => f.write_str(&model::format_duration_ms(self.ms)),
        }
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_series(f)?;
        write_at(f, self.at)?;
        self.write_extended(f)?;
        write_offset(f, &self.offset)
    }
}

impl VectorSelector {
    fn write_series(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let is_name = |m: &Matcher| {
            m.name() == METRIC_NAME
                && m.op() == MatchOp::Equal
                && m.value() == self.name
                && !m.value().is_empty()
        };
        let mut shown: Vec<String> = self.matchers.iter().filter(|m| !is_name(m)).map(show_matcher).collect();
        if shown.is_empty() {
            return Ok(());
        }
        shown.sort();
        write!(f, "{{{}}}", shown.join(","))
    }

    fn write_extended(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.anchored {
            f.write_str(" anchored")
        } else if self.smoothed {
            f.write_str(" smoothed")
        } else {
            Ok(())
        }
    }
}

fn show_matcher(m: &Matcher) -> String {
    let name = if is_legacy_label_name(m.name()) { m.name().to_owned() } else { go_quote(m.name()) };
    format!("{name}{}{}", m.op().as_str(), go_quote(m.value()))
}

fn write_at(f: &mut fmt::Formatter<'_>, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn write_offset(f: &mut fmt::Formatter<'_>, offset: &DurationArg) -> fmt::Result {
    let shown = offset.to_string();
    if offset.is_unset() {
        return Ok(());
    }
    // After `offset` an operator outside parentheses belongs to what the offset is of. Prometheus prints some
    // expressions that do not read back; they get parentheses here.
    let loose = offset.expr.as_ref().is_some_and(|e| e.is_operation())
        && !shown.starts_with('(')
        && !shown.starts_with("--");
    if loose { write!(f, " offset ({shown})") } else { write!(f, " offset {shown}") }
}

impl DurationExpr {
    /// Two operands with an operator between them, or a sign before that, without parentheses around.
    fn is_operation(&self) -> bool {
        match &self.kind {
            _ if self.wrapped => false,
            DurationKind::Binary { op, .. } => !matches!(op, DurationOp::MinOf | DurationOp::MaxOf),
            DurationKind::Negate(inner) => inner.is_operation(),
            _ => false,
        }
    }
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.selector.write_series(f)?;
        write!(f, "[{}]", self.range)?;
        self.selector.write_extended(f)?;
        write_at(f, self.selector.at)?;
        write_offset(f, &self.selector.offset)
    }
}

impl Subquery {
    /// `[range:step] @ … offset …`
    pub(super) fn suffix(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            write!(f, "[{}:", self.range)?;
            if !self.step.is_unset() {
                self.step.fmt(f)?;
            }
            f.write_str("]")?;
            write_at(f, self.at)?;
            write_offset(f, &self.offset)
        })
    }
}

impl fmt::Display for Subquery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.expr, self.suffix())
    }
}
