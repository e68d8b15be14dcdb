//! Expressions: operator precedence, calls, aggregations, parentheses.

use crate::ast::{
    Aggregate, AggregateOp, Arity, Binary, BinaryOp, Call, Cardinality, Expr, FillValues, Function,
    NumberLiteral, Paren, PosRange, StringLiteral, Unary, UnaryOp, ValueType, VectorMatching, find_function,
    go_quote,
};

use super::parser::{Node, Parsed, Parser, Stop};
use super::token::{Keyword, Tok, Token};

/// Stands for a function that does not exist, after that has been reported.
static UNKNOWN: Function = Function {
    name: "",
    arg_types: &[],
    arity: Arity::Any,
    return_type: ValueType::Vector,
    experimental: false,
};

/// `without`, and the labels.
type Grouping = (bool, Vec<String>);

const MULTIPLICATIVE: u8 = 5;
const POWER: u8 = 6;

fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::Less
        | BinaryOp::GreaterEqual
        | BinaryOp::LessEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => MULTIPLICATIVE,
        BinaryOp::Pow => POWER,
    }
}

pub(super) fn sign(kind: Tok) -> Option<UnaryOp> {
    match kind {
        Tok::Op(BinaryOp::Add) => Some(UnaryOp::Plus),
        Tok::Op(BinaryOp::Sub) => Some(UnaryOp::Minus),
        _ => None,
    }
}

/// Whether an expression may begin with this token.
fn starts_expr(kind: Tok) -> bool {
    matches!(
        kind,
        Tok::Number | Tok::Duration | Tok::String | Tok::LeftParen | Tok::LeftBrace | Tok::Identifier
    ) || sign(kind).is_some()
        || is_metric_name(kind)
}

/// Words that may be the name of a metric although they mean something elsewhere.
pub(super) fn is_metric_name(kind: Tok) -> bool {
    match kind {
        Tok::Identifier
        | Tok::MetricIdentifier
        | Tok::Aggregate(_)
        | Tok::Start
        | Tok::End
        | Tok::Step
        | Tok::Range
        | Tok::MaxOf
        | Tok::MinOf
        | Tok::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        Tok::Keyword(word) => !matches!(
            word,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}

impl Parser<'_> {
    /// An expression of operators that bind at least as tightly as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parsed<Node> {
        self.nested(|p| p.expr_inner(min))
    }

    fn expr_inner(&mut self, min: u8) -> Parsed<Node> {
        let mut lhs = self.unary()?;
        loop {
            let Tok::Op(op) = self.peek() else { return Ok(lhs) };
            let binds = precedence(op);
            if binds < min {
                return Ok(lhs);
            }
            self.take();
            let (return_bool, matching) = self.binary_modifiers()?;
            let rhs = self.expr(if op == BinaryOp::Pow { binds } else { binds + 1 })?;
            let depth = lhs.depth.max(rhs.depth) + 1;
            self.check_depth(depth)?;
            let fill = matching.fill;
            let binary = Binary { op, lhs: lhs.expr, rhs: rhs.expr, return_bool, matching: Some(matching) };
            if !self.options.binop_fill_modifiers && fill != FillValues::default() {
                self.error(binary.pos(), "binop fill modifiers are experimental and not enabled");
            }
            lhs = Node { expr: Expr::Binary(Box::new(binary)), depth, broken_range: false };
        }
    }

    /// A sign binds like multiplication: `-a ^ b` is `-(a ^ b)`.
    fn unary(&mut self) -> Parsed<Node> {
        let Some(op) = sign(self.peek()) else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        let start = self.take().start;
        let operand = self.expr(MULTIPLICATIVE + 1)?;
        if let Expr::Number(mut number) = operand.expr {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            number.pos.start = start;
            return Ok(Node::leaf(Expr::Number(number)));
        }
        let depth = operand.depth + 1;
        self.check_depth(depth)?;
        let pos = PosRange::new(start, operand.expr.pos().end);
        let expr = Expr::Unary(Unary { op, expr: Box::new(operand.expr), pos });
        Ok(Node { expr, depth, broken_range: false })
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.peek_token();
        match token.kind {
            Tok::Number | Tok::Duration => {
                self.take();
                Ok(Node::leaf(Expr::Number(self.number_literal(token))))
            }
            Tok::String => {
                self.take();
                Ok(Node::leaf(Expr::String(self.string_literal(token))))
            }
            Tok::LeftParen => self.paren(),
            Tok::LeftBrace => self.vector_selector(None),
            Tok::Aggregate(op) => {
                self.take();
                match self.peek() {
                    Tok::LeftParen | Tok::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregate(op, token)
                    }
                    _ => self.vector_selector(Some(token)),
                }
            }
            Tok::Identifier | Tok::Start | Tok::End | Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf => {
                self.take();
                if self.peek() == Tok::LeftParen {
                    self.call(token)
                } else {
                    self.vector_selector(Some(token))
                }
            }
            kind if is_metric_name(kind) => {
                self.take();
                self.vector_selector(Some(token))
            }
            _ => Err(Stop::Unexpected),
        }
    }

    pub(super) fn number_literal(&mut self, token: Token) -> NumberLiteral {
        let value = self.number_value(token);
        NumberLiteral { value, as_duration: token.kind == Tok::Duration, pos: token.pos() }
    }

    fn string_literal(&mut self, token: Token) -> StringLiteral {
        let (value, raw) = match String::from_utf8(self.string_bytes(token)) {
            Ok(value) => (value, None),
            Err(e) => (String::from_utf8_lossy(e.as_bytes()).into_owned(), Some(e.into_bytes())),
        };
        StringLiteral { value, raw, pos: token.pos() }
    }

    fn paren(&mut self) -> Parsed<Node> {
        let open = self.take();
        let inner = self.expr(0)?;
        let close = self.expect(Tok::RightParen)?;
        let depth = inner.depth + 1;
        self.check_depth(depth)?;
        let expr = Expr::Paren(Paren { expr: Box::new(inner.expr), pos: open.pos().to(close.pos()) });
        Ok(Node { expr, depth, broken_range: false })
    }

    /// `(a, b, c)`; the depth is that of the deepest.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, usize)> {
        self.expect(Tok::LeftParen)?;
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.take_if(Tok::RightParen).is_some() {
            return Ok((args, depth));
        }
        let first = self.expr(0)?;
        depth = depth.max(first.depth);
        args.push(first.expr);
        while let Some(comma) = self.take_if(Tok::Comma) {
            if starts_expr(self.peek()) {
                let next = self.expr(0)?;
                depth = depth.max(next.depth);
                args.push(next.expr);
            } else {
                self.error(comma.pos(), "trailing commas not allowed in function call args");
            }
        }
        self.expect(Tok::RightParen)?;
        Ok((args, depth))
    }

    fn call(&mut self, name: Token) -> Parsed<Node> {
        let (args, depth) = self.arguments()?;
        self.check_depth(depth + 1)?;
        let text = name.text(self.input);
        let found = find_function(text);
        match found {
            None => self.error(name.pos(), format!("unknown function with name {}", go_quote(text))),
            Some(f) if f.experimental && !self.options.experimental_functions => {
                self.error(name.pos(), format!("function {} is not enabled", go_quote(text)));
            }
            Some(_) => {}
        }
        let pos = PosRange::new(name.start, self.last_closing);
        let expr = Expr::Call(Call { function: found.unwrap_or(&UNKNOWN), args, pos });
        Ok(Node { expr, depth: depth + 1, broken_range: false })
    }

    /// The operator has been taken.
    fn aggregate(&mut self, op: AggregateOp, token: Token) -> Parsed<Node> {
        let (grouping, args, depth, looked_ahead) = self.aggregate_body().map_err(|stop| {
            if stop == Stop::Unexpected {
                self.unexpected("aggregation", "");
                let pos = PosRange::new(token.start, self.last_closing.max(token.start));
                self.error(pos, "no arguments for aggregate expression provided");
            }
            Stop::Reported
        })?;
        self.check_depth(depth + 1)?;
        let end = if looked_ahead { self.previous_paren() } else { self.last_closing };
        let (without, grouping) = grouping.unwrap_or_default();
        let pos = PosRange::new(token.start, end);
        let aggregate = self.check_aggregate(
            Aggregate {
                op,
                expr: Expr::Number(NumberLiteral { value: 0.0, as_duration: false, pos }),
                param: None,
                grouping,
                without,
                pos,
            },
            args,
        );
        Ok(Node { expr: Expr::Aggregate(Box::new(aggregate)), depth: depth + 1, broken_range: false })
    }

    fn aggregate_body(&mut self) -> Parsed<(Option<Grouping>, Vec<Expr>, usize, bool)> {
        let before = self.grouping()?;
        let (args, depth) = self.arguments()?;
        // Without a modifier before it, one after it is looked for.
        let after = if before.is_none() { self.grouping()? } else { None };
        let looked_ahead = before.is_none() && after.is_none();
        Ok((before.or(after), args, depth, looked_ahead))
    }

    fn check_aggregate(&mut self, mut aggregate: Aggregate, args: Vec<Expr>) -> Aggregate {
        let (op, pos) = (aggregate.op, aggregate.pos);
        if args.is_empty() {
            self.error(pos, "no arguments for aggregate expression provided");
            return aggregate;
        }
        let given = args.len();
        let wanted = if op.has_param() { 2 } else { 1 };
        if op.is_experimental() && !self.options.experimental_functions {
            self.error(
                pos,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            );
            return aggregate;
        }
        let mut args = args.into_iter();
        if op.has_param() {
            aggregate.param = args.next();
        }
        match args.next() {
            Some(expr) if given == wanted => aggregate.expr = expr,
            _ => self.error(
                pos,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {given}"
                ),
            ),
        }
        aggregate
    }

    /// The end of the aggregation when the lookahead, itself a closing parenthesis, has moved `last_closing` on.
    fn previous_paren(&self) -> usize {
        let fallback = self.last_closing;
        let bytes = self.input.as_bytes();
        if fallback == 0 || self.last.start == 0 || bytes.get(self.last.start) != Some(&b')') {
            return fallback;
        }
        let before = bytes.get(..self.last.start).unwrap_or_default();
        match before.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            Some(at) if at > 0 && before.get(at) == Some(&b')') => at + 1,
            _ => fallback,
        }
    }

    /// `by (…)` or `without (…)`, when there is one.
    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek() {
            Tok::Keyword(Keyword::By) => false,
            Tok::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some((without, self.grouping_labels()?)))
    }

    /// `(a, "b c", )`
    fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.within("grouping opts", "\"(\"", |p| p.expect(Tok::LeftParen))?;
        let mut labels = Vec::new();
        loop {
            if self.take_if(Tok::RightParen).is_some() {
                return Ok(labels);
            }
            let label = self.within("grouping opts", "label", Self::grouping_label)?;
            labels.push(label);
            self.within("grouping opts", "\",\" or \")\"", |p| match p.peek() {
                Tok::Comma => p.take_if(Tok::Comma).map(|_| ()).ok_or(Stop::Unexpected),
                Tok::RightParen => Ok(()),
                _ => Err(Stop::Unexpected),
            })?;
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek_token();
        let bare = match token.kind {
            Tok::Keyword(word) => word != Keyword::Without,
            Tok::Op(BinaryOp::Atan2) => true,
            kind => is_metric_name(kind),
        };
        if bare {
            self.take();
            return Ok(token.text(self.input).to_owned());
        }
        self.expect(Tok::String)?;
        let name = self.string_literal(token);
        if name.value.is_empty() || name.raw.is_some() {
            self.error(token.pos(), format!("invalid label name for grouping: {}", name.quoted()));
        }
        Ok(name.value)
    }

    /// `bool`, `on`/`ignoring`, `group_left`/`group_right`, `fill…` after an operator.
    fn binary_modifiers(&mut self) -> Parsed<(bool, VectorMatching)> {
        let mut matching = VectorMatching::default();
        let return_bool = self.take_if(Tok::Keyword(Keyword::Bool)).is_some();
        if let Tok::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek() {
            self.take();
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Tok::Keyword(word @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek() {
                self.take();
                matching.card =
                    if word == Keyword::GroupLeft { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                // What can follow without labels is an expression or a fill; a parenthesis begins labels.
                if !self.follows_group_modifier() {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        if self.take_if(Tok::Keyword(Keyword::Fill)).is_some() {
            let value = self.fill_value()?;
            matching.fill = FillValues { lhs: Some(value), rhs: Some(value) };
        } else if self.take_if(Tok::Keyword(Keyword::FillLeft)).is_some() {
            matching.fill.lhs = Some(self.fill_value()?);
            if self.take_if(Tok::Keyword(Keyword::FillRight)).is_some() {
                matching.fill.rhs = Some(self.fill_value()?);
            }
        } else if self.take_if(Tok::Keyword(Keyword::FillRight)).is_some() {
            matching.fill.rhs = Some(self.fill_value()?);
            if self.take_if(Tok::Keyword(Keyword::FillLeft)).is_some() {
                matching.fill.lhs = Some(self.fill_value()?);
            }
        }
        Ok((return_bool, matching))
    }

    fn follows_group_modifier(&mut self) -> bool {
        let kind = self.peek();
        kind != Tok::LeftParen && starts_expr(kind)
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(Tok::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Tok::RightParen)?;
        Ok(value)
    }
}
