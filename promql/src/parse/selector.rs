//! Selectors and label sets: what stands in braces.

use model::{LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use crate::ast::{BinaryOp, DurationArg, Expr, PosRange, VectorSelector};

use super::expr::is_metric_name;
use super::parser::{Node, Parsed, Parser, Stop};
use super::token::{Tok, Token};

const MATCHING: &str = "label matching";
const SET: &str = "label set";

impl VectorSelector {
    /// A selector of nothing yet.
    pub(super) fn empty(pos: PosRange) -> Self {
        VectorSelector {
            name: String::new(),
            matchers: Vec::new(),
            offset: DurationArg::default(),
            at: None,
            anchored: false,
            smoothed: false,
            bypass_empty_matcher_check: false,
            pos,
        }
    }
}

fn match_op(kind: Tok) -> Option<MatchOp> {
    Some(match kind {
        Tok::Equal => MatchOp::Equal,
        Tok::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
        Tok::EqualRegex => MatchOp::Regex,
        Tok::NotEqualRegex => MatchOp::NotRegex,
        _ => return None,
    })
}

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`; the name, if any, has been taken.
    pub(super) fn vector_selector(&mut self, name: Option<Token>) -> Parsed<Node> {
        let mut selector = VectorSelector::empty(name.map(Token::pos).unwrap_or_default());
        if name.is_none() || self.peek() == Tok::LeftBrace {
            let (matchers, pos) = self.label_matchers()?;
            selector.matchers = matchers;
            selector.pos = name.map_or(pos, |n| n.pos().to(pos));
        }
        if let Some(name) = name {
            name.text(self.input).clone_into(&mut selector.name);
            selector.matchers.push(Matcher::equal(METRIC_NAME, &selector.name));
        }
        Ok(Node::leaf(Expr::VectorSelector(Box::new(selector))))
    }

    /// The selector that a `match[]` parameter holds, and nothing after it.
    pub(super) fn whole_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let token = self.peek_token();
        let name = (token.kind != Tok::LeftBrace).then_some(token);
        if name.is_some() {
            if !is_metric_name(token.kind) {
                return Err(Stop::Unexpected);
            }
            self.take();
        }
        let node = self.vector_selector(name)?;
        self.expect(Tok::Eof)?;
        Ok(match node.expr {
            Expr::VectorSelector(v) => v.matchers,
            _ => Vec::new(),
        })
    }

    fn label_matchers(&mut self) -> Parsed<(Vec<Matcher>, PosRange)> {
        let open = self.expect(Tok::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.take_if(Tok::RightBrace) {
                return Ok((matchers, open.pos().to(close.pos())));
            }
            let matcher = self.within(MATCHING, "identifier or \"}\"", Self::label_matcher)?;
            matchers.extend(matcher);
            self.within(MATCHING, "\",\" or \"}\"", Self::separator)?;
        }
    }

    /// A comma, or the closing brace left where it is.
    fn separator(&mut self) -> Parsed<()> {
        match self.peek() {
            Tok::RightBrace => Ok(()),
            Tok::Comma => {
                self.take();
                Ok(())
            }
            _ => Err(Stop::Unexpected),
        }
    }

    /// `None` when the expression in it is bad, which has been noted.
    fn label_matcher(&mut self) -> Parsed<Option<Matcher>> {
        let token = self.peek_token();
        let name = match token.kind {
            Tok::Identifier => {
                self.take();
                token.text(self.input).to_owned()
            }
            Tok::String => {
                self.take();
                let name = self.string_value(token);
                if match_op(self.peek()).is_none() {
                    return Ok(Some(Matcher::equal(METRIC_NAME, &name)));
                }
                name
            }
            _ => return Err(Stop::Unexpected),
        };
        let op =
            self.within(MATCHING, "label matching operator", |p| match_op(p.peek()).ok_or(Stop::Unexpected))?;
        self.take();
        let value = self.within(MATCHING, "string", |p| p.expect(Tok::String))?;
        let text = self.string_value(value);
        match Matcher::new(op, &name, &text) {
            Ok(matcher) => Ok(Some(matcher)),
            Err(e) => {
                // A quoted name begins where its quote does, and is measured without quotes.
                self.error(PosRange::new(token.start, value.end), e.to_string());
                Ok(None)
            }
        }
    }

    /// `name{a="b"}`: the labels of one series; the braces or the name may be missing.
    pub(super) fn metric(&mut self) -> Parsed<LabelsBuilder> {
        let token = self.peek_token();
        let mut labels = LabelsBuilder::default();
        if is_metric_name(token.kind) {
            self.take();
        }
        if self.take_if(Tok::LeftBrace).is_some() {
            self.label_set(&mut labels)?;
        }
        if is_metric_name(token.kind) {
            labels.set(METRIC_NAME, token.text(self.input));
        }
        Ok(labels)
    }

    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        loop {
            if self.take_if(Tok::RightBrace).is_some() {
                return Ok(());
            }
            self.within(SET, "identifier or \"}\"", |p| p.label_set_item(labels))?;
            self.within(SET, "\",\" or \"}\"", Self::separator)?;
        }
    }

    fn label_set_item(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        let token = self.peek_token();
        let name = match token.kind {
            Tok::Identifier => {
                self.take();
                token.text(self.input).to_owned()
            }
            Tok::String => {
                self.take();
                let name = self.string_value(token);
                if self.peek() != Tok::Equal {
                    labels.set(METRIC_NAME, &name);
                    return Ok(());
                }
                name
            }
            _ => return Err(Stop::Unexpected),
        };
        self.within(SET, "\"=\"", |p| p.expect(Tok::Equal))?;
        let value = self.within(SET, "string", |p| p.expect(Tok::String))?;
        let text = self.string_value(value);
        labels.set(&name, &text);
        Ok(())
    }
}
