//! What may follow an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use crate::ast::{
    AtModifier, DurationArg, DurationExpr, DurationKind, Expr, MatrixSelector, PosRange, Subquery, UnaryOp,
    VectorSelector,
};

use super::duration::{UNARY_OPERAND, as_argument, wrapped};
use super::expr::sign;
use super::parser::{Node, Parsed, Parser, Stop};
use super::token::{Keyword, Tok, Token};

const OFFSET_TARGET: &str =
    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
const AT_TARGET: &str =
    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
const RANGE_TARGET: &str = "ranges only allowed for vector selectors";

/// The parts of a selector or subquery that modifiers set.
struct Target<'a> {
    offset: &'a mut DurationArg,
    at: &'a mut Option<AtModifier>,
    end: &'a mut usize,
}

fn target(expr: &mut Expr) -> Option<Target<'_>> {
    match expr {
        Expr::VectorSelector(v) => {
            let v = &mut **v;
            Some(Target { offset: &mut v.offset, at: &mut v.at, end: &mut v.pos.end })
        }
        Expr::MatrixSelector(m) => {
            let m = &mut **m;
            Some(Target { offset: &mut m.selector.offset, at: &mut m.selector.at, end: &mut m.pos.end })
        }
        Expr::Subquery(s) => {
            let s = &mut **s;
            Some(Target { offset: &mut s.offset, at: &mut s.at, end: &mut s.pos.end })
        }
        _ => None,
    }
}

/// What 64 bits cannot hold becomes the least of them, as in Go.
fn milliseconds(seconds: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let ms = (seconds * 1000.0).round();
    if ms < BOUND { ms as i64 } else { i64::MIN }
}

impl Parser<'_> {
    /// All modifiers after `node`.
    pub(super) fn postfix(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            match self.peek() {
                Tok::LeftBracket => node = self.range(node)?,
                Tok::Keyword(Keyword::Offset) => {
                    self.take();
                    self.within("offset", "number, duration, step(), or range()", |p| {
                        let offset = p.offset_duration()?;
                        p.set_offset(&mut node, offset);
                        Ok(())
                    })?;
                }
                Tok::At => {
                    self.take();
                    self.within("@", "timestamp", |p| p.at(&mut node))?;
                }
                Tok::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.take();
                    self.set_extended(&mut node, word == Keyword::Anchored);
                }
                _ => return Ok(node),
            }
        }
    }

    /// `[5m]`, `[1h:]` or `[1h:5m]`
    fn range(&mut self, node: Node) -> Parsed<Node> {
        let open = self.take();
        let range =
            self.within("subquery or range selector", "number, duration, step(), or range()", |p| {
                p.positive_duration()
            })?;
        let is_subquery = self.within("subquery or range", "\":\" or \"]\"", |p| match p.peek() {
            Tok::Colon => Ok(true),
            Tok::RightBracket => Ok(false),
            _ => Err(Stop::Unexpected),
        })?;
        let separator = self.take();
        if !is_subquery {
            return Ok(self.matrix(node, range, open, separator));
        }
        let mut step = DurationArg::default();
        let mut close = self.take_if(Tok::RightBracket);
        if close.is_none() {
            step = self.within("subquery selector", "number, duration, step(), range(), or \"]\"", |p| {
                p.positive_duration()
            })?;
            close = Some(self.within("subquery selector", "\"]\"", |p| p.expect(Tok::RightBracket))?);
        }
        let depth = node.depth + 1;
        self.check_depth(depth)?;
        let pos = PosRange::new(node.expr.pos().start, close.map_or(self.last_closing, |c| c.start + 1));
        let subquery =
            Subquery { expr: node.expr, range, step, offset: DurationArg::default(), at: None, pos };
        Ok(Node { expr: Expr::Subquery(Box::new(subquery)), depth, broken_range: false })
    }

    fn matrix(&mut self, node: Node, range: DurationArg, open: Token, close: Token) -> Node {
        let pos = PosRange::new(node.expr.pos().start, self.last_closing);
        let (selector, fault) = match node.expr {
            Expr::VectorSelector(v) => {
                // 3.14 sees only what is known at once: no computed offset, no start() and end()
                let fault = if v.offset.ms != 0 {
                    Some("no offset modifiers allowed before range")
                } else if matches!(v.at, Some(AtModifier::Timestamp(_))) {
                    Some("no @ modifiers allowed before range")
                } else {
                    None
                };
                (*v, fault)
            }
            _ => (VectorSelector::empty(pos), Some(RANGE_TARGET)),
        };
        if let Some(fault) = fault {
            self.error(open.pos().to(close.pos()), fault);
        }
        let broken_range = fault == Some(RANGE_TARGET);
        let expr = Expr::MatrixSelector(Box::new(MatrixSelector { selector, range, pos }));
        Node { expr, depth: node.depth.max(1), broken_range }
    }

    fn set_offset(&mut self, node: &mut Node, offset: DurationArg) {
        let pos = node.expr.pos();
        if node.broken_range {
            return self.error(pos, RANGE_TARGET);
        }
        let end = self.last_closing;
        let Some(target) = target(&mut node.expr) else { return self.error(pos, OFFSET_TARGET) };
        let twice = !target.offset.is_unset();
        if !twice {
            *target.offset = offset;
        }
        *target.end = end;
        if twice {
            self.error(pos, "offset may not be set multiple times");
        }
    }

    fn set_extended(&mut self, node: &mut Node, anchored: bool) {
        let pos = node.expr.pos();
        let word = if anchored { "anchored" } else { "smoothed" };
        if !self.options.extended_range_selectors {
            return self.error(pos, format!("{word} modifier is experimental and not enabled"));
        }
        let selector = match &mut node.expr {
            Expr::VectorSelector(v) => v,
            Expr::MatrixSelector(_) if node.broken_range => return,
            Expr::MatrixSelector(m) => &mut m.selector,
            Expr::Subquery(_) => {
                return self.error(pos, format!("{word} modifier is not supported for subqueries"));
            }
            _ => return self.error(pos, format!("{word} modifier not implemented")),
        };
        let other = if anchored {
            selector.anchored = true;
            selector.smoothed
        } else {
            selector.smoothed = true;
            selector.anchored
        };
        if other {
            self.error(pos, "anchored and smoothed modifiers cannot be used together");
        }
    }

    /// `@` has been taken.
    fn at(&mut self, node: &mut Node) -> Parsed<()> {
        let pos = node.expr.pos();
        let token = self.peek_token();
        let at = match token.kind {
            Tok::Start | Tok::End => {
                self.take();
                self.expect(Tok::LeftParen)?;
                self.expect(Tok::RightParen)?;
                if token.kind == Tok::Start { AtModifier::Start } else { AtModifier::End }
            }
            _ => {
                let seconds = self.signed_number()?;
                if !seconds.is_finite() || seconds >= i64::MAX as f64 || seconds <= i64::MIN as f64 {
                    let shown = if seconds.is_finite() {
                        format!("{seconds:.6}")
                    } else {
                        crate::ast::format_float(seconds)
                    };
                    self.error(pos, format!("timestamp out of bounds for @ modifier: {shown}"));
                }
                AtModifier::Timestamp(milliseconds(seconds))
            }
        };
        if node.broken_range {
            self.error(pos, RANGE_TARGET);
            return Ok(());
        }
        let end = self.last_closing;
        match target(&mut node.expr) {
            None => self.error(pos, AT_TARGET),
            Some(Target { at: Some(_), .. }) => {
                self.error(pos, "@ <timestamp> may not be set multiple times")
            }
            Some(target) => {
                *target.at = Some(at);
                *target.end = end;
            }
        }
        Ok(())
    }

    /// A number or duration, with or without a sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let op = sign(self.peek());
        if op.is_some() {
            self.take();
        }
        let token = self.peek_token();
        if !matches!(token.kind, Tok::Number | Tok::Duration) {
            return Err(Stop::Unexpected);
        }
        self.take();
        let value = self.number_value(token);
        Ok(if op == Some(UnaryOp::Minus) { -value } else { value })
    }

    /// An offset. Without parentheses it ends after one literal or call: `x offset -2 ^ 2` is `(x offset -2) ^ 2`.
    fn offset_duration(&mut self) -> Parsed<DurationArg> {
        let first = self.peek_token();
        let op = sign(first.kind);
        let expr = if op.is_some() {
            self.take();
            self.signed_offset(first)?
        } else if first.kind == Tok::LeftParen {
            self.duration(0)?
        } else {
            self.duration_primary()?
        };
        Ok(as_argument(expr))
    }

    fn signed_offset(&mut self, op: Token) -> Parsed<DurationExpr> {
        let minus = sign(op.kind) == Some(UnaryOp::Minus);
        match self.peek() {
            Tok::Number | Tok::Duration => {
                let token = self.take();
                let literal = self.number_literal(token);
                let value = if minus { -literal.value } else { literal.value };
                Ok(self.duration_literal(value, literal.as_duration, literal.pos, Some(op)))
            }
            Tok::LeftParen => {
                self.take();
                let inner = self.duration(0)?;
                self.expect(Tok::RightParen)?;
                Ok(self.signed_duration(op, wrapped(inner)))
            }
            Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf => {
                let inner = Box::new(self.duration_call()?);
                let pos = PosRange::new(op.start, inner.pos.end);
                let kind = if minus { DurationKind::Negate(inner) } else { DurationKind::Positive(inner) };
                Ok(DurationExpr { kind, wrapped: false, pos })
            }
            // `offset --5`: from here on it is a duration expression like any other.
            _ => {
                let operand = self.duration(UNARY_OPERAND)?;
                let first = self.signed_duration(op, operand);
                self.duration_from(first, 0)
            }
        }
    }
}
