//! Durations in brackets and after `offset`, with their arithmetic.

use crate::ast::{BinaryOp, DurationArg, DurationExpr, DurationKind, DurationOp, PosRange, UnaryOp};

use super::expr::sign;
use super::parser::{Parsed, Parser, Stop};
use super::token::{Tok, Token};

/// Seconds beyond which a duration does not fit 64 bits of nanoseconds.
const MAX_SECONDS: f64 = 9_223_372_036_854_775_808.0 / 1e9;

/// What binds within the operand of a sign: only powers.
pub(super) const UNARY_OPERAND: u8 = 3;

fn binary_op(kind: Tok) -> Option<(DurationOp, u8)> {
    let Tok::Op(op) = kind else { return None };
    Some(match op {
        BinaryOp::Add => (DurationOp::Add, 1),
        BinaryOp::Sub => (DurationOp::Sub, 1),
        BinaryOp::Mul => (DurationOp::Mul, 2),
        BinaryOp::Div => (DurationOp::Div, 2),
        BinaryOp::Mod => (DurationOp::Mod, 2),
        BinaryOp::Pow => (DurationOp::Pow, 3),
        _ => return None,
    })
}

/// What a range, step or offset holds: milliseconds for a literal, else the expression.
pub(super) fn as_argument(expr: DurationExpr) -> DurationArg {
    match expr.kind {
        // By way of whole nanoseconds, as Prometheus holds durations.
        DurationKind::Literal { seconds, .. } => {
            DurationArg::literal((seconds * 1e9).round() as i64 / 1_000_000)
        }
        _ => DurationArg { ms: 0, expr: Some(Box::new(expr)) },
    }
}

/// Puts the mark of parentheses on `expr`; a literal stays what it is.
pub(super) fn wrapped(mut expr: DurationExpr) -> DurationExpr {
    expr.wrapped = !matches!(expr.kind, DurationKind::Literal { .. });
    expr
}

fn zero() -> DurationExpr {
    let kind = DurationKind::Literal { seconds: 0.0, as_duration: false };
    DurationExpr { kind, wrapped: false, pos: PosRange::default() }
}

impl Parser<'_> {
    /// A duration that, when it is a literal, is above zero.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationArg> {
        let expr = self.duration(0)?;
        if let DurationKind::Literal { seconds, .. } = expr.kind
            && seconds <= 0.0
        {
            self.error(expr.pos, "duration must be greater than 0");
            return Ok(DurationArg::default());
        }
        Ok(as_argument(expr))
    }

    pub(super) fn duration(&mut self, min: u8) -> Parsed<DurationExpr> {
        self.nested(|p| {
            let first = p.duration_unary()?;
            p.duration_from(first, min)
        })
    }

    /// The operators after `lhs` that bind at least as tightly as `min`.
    pub(super) fn duration_from(&mut self, mut lhs: DurationExpr, min: u8) -> Parsed<DurationExpr> {
        let mut chain = 0;
        while let Some((op, binds)) = binary_op(self.peek()) {
            if binds < min {
                break;
            }
            chain += 1;
            self.check_depth(chain)?;
            let sign = self.take();
            let rhs = self.duration(if op == DurationOp::Pow { binds } else { binds + 1 })?;
            let by_zero = matches!(rhs.kind, DurationKind::Literal { seconds: 0.0, .. });
            if by_zero && matches!(op, DurationOp::Div | DurationOp::Mod) {
                let what = if op == DurationOp::Div { "division by zero" } else { "modulo by zero" };
                self.error(sign.pos(), what);
                lhs = zero();
                continue;
            }
            let pos = lhs.pos.to(rhs.pos);
            let kind = DurationKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
            lhs = DurationExpr { kind, wrapped: false, pos };
        }
        Ok(lhs)
    }

    fn duration_unary(&mut self) -> Parsed<DurationExpr> {
        if sign(self.peek()).is_some() {
            let op = self.take();
            let operand = self.duration(UNARY_OPERAND)?;
            return Ok(self.signed_duration(op, operand));
        }
        if self.peek() != Tok::LeftParen {
            return self.duration_primary();
        }
        self.take();
        let inner = self.duration(0)?;
        self.expect(Tok::RightParen)?;
        Ok(wrapped(inner))
    }

    /// Applies a sign.
    pub(super) fn signed_duration(&mut self, op: Token, operand: DurationExpr) -> DurationExpr {
        let minus = sign(op.kind) == Some(UnaryOp::Minus);
        match operand.kind {
            DurationKind::Literal { seconds, as_duration } => {
                let seconds = if minus { -seconds } else { seconds };
                self.duration_literal(seconds, as_duration, operand.pos, Some(op))
            }
            _ if minus => {
                let pos = PosRange::new(op.start, operand.pos.end);
                DurationExpr { kind: DurationKind::Negate(Box::new(operand)), wrapped: false, pos }
            }
            _ => operand,
        }
    }

    /// A literal, checked; `sign` is the token that has been applied.
    pub(super) fn duration_literal(
        &mut self,
        seconds: f64,
        as_duration: bool,
        pos: PosRange,
        sign: Option<Token>,
    ) -> DurationExpr {
        if seconds.abs() > MAX_SECONDS {
            self.error(sign.map_or(pos, Token::pos), "duration out of range");
            return zero();
        }
        let pos = PosRange::new(sign.map_or(pos.start, |s| s.start), pos.end);
        DurationExpr { kind: DurationKind::Literal { seconds, as_duration }, wrapped: false, pos }
    }

    /// A literal or a call, without sign or parentheses.
    pub(super) fn duration_primary(&mut self) -> Parsed<DurationExpr> {
        if matches!(self.peek(), Tok::Number | Tok::Duration) {
            let token = self.take();
            let literal = self.number_literal(token);
            return Ok(self.duration_literal(literal.value, literal.as_duration, literal.pos, None));
        }
        let call = self.duration_call()?;
        Ok(call)
    }

    /// `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`
    pub(super) fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let name = self.peek_token();
        let simple = match name.kind {
            Tok::Step => Some(DurationKind::Step),
            Tok::Range => Some(DurationKind::Range),
            Tok::MaxOf | Tok::MinOf => None,
            _ => return Err(Stop::Unexpected),
        };
        self.take();
        self.expect(Tok::LeftParen)?;
        let kind = match simple {
            Some(kind) => kind,
            None => {
                let lhs = Box::new(self.duration(0)?);
                self.expect(Tok::Comma)?;
                let rhs = Box::new(self.duration(0)?);
                let op = if name.kind == Tok::MaxOf { DurationOp::MaxOf } else { DurationOp::MinOf };
                DurationKind::Binary { op, lhs, rhs }
            }
        };
        let close = self.expect(Tok::RightParen)?;
        // Prometheus takes a two-operand call to reach from its first argument to its last.
        let pos = match &kind {
            DurationKind::Binary { lhs, rhs, .. } => lhs.pos.to(rhs.pos),
            _ => name.pos().to(close.pos()),
        };
        Ok(DurationExpr { kind, wrapped: false, pos })
    }
}
