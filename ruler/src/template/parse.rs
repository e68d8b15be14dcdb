//! Tokens to a tree.

use super::TemplateError;
use super::functions;
use super::lex::{Kind, Token, tokens};
use super::literal;
use super::node::{Arg, Call, Command, Node, Operand, Pipe, Tree};

/// Deepest nesting of actions and of parentheses.
const DEPTH_MAX: usize = 64;

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Else,
}

/// A node, or the end of a list.
enum Item {
    Node(Node),
    End(End),
}

struct Parser<'a> {
    name: &'a str,
    tokens: Vec<Token>,
    /// The next token.
    next: usize,
    /// The furthest token that was looked at: errors are told of its line.
    seen: usize,
    /// The line of the action under way.
    action_line: Option<usize>,
    variables: Vec<String>,
    loops: usize,
    depth: usize,
    tree: Tree,
}

type Parsed<T> = Result<T, TemplateError>;

/// Reads a template.
pub(super) fn parse(name: &str, text: &str) -> Parsed<Tree> {
    let mut parser = Parser {
        name,
        tokens: tokens(text),
        next: 0,
        seen: 0,
        action_line: None,
        variables: vec!["$".to_owned()],
        loops: 0,
        depth: 0,
        tree: Tree { name: name.to_owned(), text: text.to_owned(), ..Tree::default() },
    };
    let root = parser.root()?;
    parser.tree.root = root;
    Ok(parser.tree)
}

impl Parser<'_> {
    fn error(&self, why: &str) -> TemplateError {
        let line = self.tokens[self.seen].line;
        TemplateError(format!("template: {}:{line}: {why}", self.name))
    }

    fn unexpected(&self, token: &Token, context: &str) -> TemplateError {
        if token.kind != Kind::Fault {
            return self.error(&format!("unexpected {} in {context}", token.shown()));
        }
        let started = match self.action_line {
            Some(line) if line != token.line => {
                let of = if token.text.ends_with(" action") { "" } else { " in action" };
                format!("{of} started at {}:{line}", self.name)
            }
            _ => String::new(),
        };
        self.error(&format!("{}{started}", token.text))
    }

    fn peek(&mut self) -> &Token {
        // the last token is an end, and stays
        let at = self.next.min(self.tokens.len() - 1);
        self.seen = self.seen.max(at);
        &self.tokens[at]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len());
        token
    }

    fn skip_spaces(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_word(&mut self) -> &Token {
        self.skip_spaces();
        self.peek()
    }

    fn take_word(&mut self) -> Token {
        self.skip_spaces();
        self.take()
    }

    fn is_keyword(&mut self, word: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Keyword && token.text == word
    }

    fn expect_close(&mut self, context: &str) -> Parsed<()> {
        let token = self.take_word();
        if token.kind == Kind::Close { Ok(()) } else { Err(self.unexpected(&token, context)) }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.error("max expression depth exceeded")) } else { Ok(()) }
    }

    fn root(&mut self) -> Parsed<Vec<Node>> {
        let mut out = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::Open {
                let open = self.next;
                self.next += 1;
                self.skip_spaces();
                if self.is_keyword("define") {
                    self.next += 1;
                    self.definition()?;
                    continue;
                }
                self.next = open;
            }
            match self.item()? {
                Item::Node(node) => out.push(node),
                Item::End(End::Closed) => return Err(self.error("unexpected {{end}}")),
                Item::End(End::Else) => return Err(self.error("unexpected {{else}}")),
            }
        }
        Ok(out)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        // what it says of itself begins with itself
        let line = self.action_line.take();
        let name = self.template_name(CONTEXT)?;
        self.expect_close(CONTEXT)?;
        self.body(name, CONTEXT)?;
        self.action_line = line;
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let token = self.take_word();
        match token.kind {
            Kind::Quoted | Kind::Raw => literal::unquote(&token.text).map_err(|why| self.error(&why)),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    /// The list of a template of its own.
    fn body(&mut self, name: String, context: &str) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (list, end) = self.list()?;
        (self.variables, self.loops) = (outer, loops);
        if end == End::Else {
            return Err(self.error(&format!("unexpected {{{{else}}}} in {context}")));
        }
        // one of blanks alone does not take the place of another, which may take its
        let is_blank = |list: &[Node]| list.iter().all(Node::is_blank);
        match self.tree.defined.get(&name) {
            Some(known) if !is_blank(known) && is_blank(&list) => {}
            Some(known) if !is_blank(known) => {
                let name = model::go_quote(&name);
                return Err(self.error(&format!("template: multiple definition of template {name}")));
            }
            _ => drop(self.tree.defined.insert(name, list)),
        }
        Ok(())
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        self.deeper()?;
        let mut out = Vec::new();
        while self.peek_word().kind != Kind::End {
            match self.item()? {
                Item::Node(node) => out.push(node),
                Item::End(end) => {
                    self.depth -= 1;
                    return Ok((out, end));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn item(&mut self) -> Parsed<Item> {
        let token = self.take_word();
        match token.kind {
            Kind::Plain => Ok(Item::Node(Node::Text(token.text))),
            Kind::Open => {
                self.action_line = Some(token.line);
                let item = self.action()?;
                self.action_line = None;
                Ok(item)
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.peek_word().clone();
        let node = match (token.kind, token.text.as_str()) {
            (Kind::Keyword, word @ ("break" | "continue")) => {
                self.next += 1;
                self.expect_close(&format!("{{{{{word}}}}}"))?;
                if self.loops == 0 {
                    return Err(self.error(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                if word == "break" { Node::Break } else { Node::Continue }
            }
            (Kind::Keyword, "else") => {
                self.next += 1;
                self.skip_spaces();
                // who opened the list reads on
                if !self.is_keyword("if") && !self.is_keyword("with") {
                    self.expect_close("else")?;
                }
                return Ok(Item::End(End::Else));
            }
            (Kind::Keyword, "end") => {
                self.next += 1;
                self.expect_close("end")?;
                return Ok(Item::End(End::Closed));
            }
            (Kind::Keyword, word @ ("if" | "with" | "range")) => {
                self.next += 1;
                self.control(word)?
            }
            (Kind::Keyword, "template") => {
                self.next += 1;
                let at = self.peek_word().at;
                let name = self.template_name("template clause")?;
                let pipe = match self.peek_word().kind {
                    Kind::Close => {
                        self.next += 1;
                        None
                    }
                    _ => Some(self.pipe("template clause", Kind::Close)?),
                };
                Node::Template(Call { name, pipe, at })
            }
            (Kind::Keyword, "block") => {
                self.next += 1;
                let at = self.peek_word().at;
                let name = self.template_name("block clause")?;
                let pipe = Some(self.pipe("block clause", Kind::Close)?);
                let line = self.action_line.take();
                self.body(name.clone(), "block clause")?;
                self.action_line = line;
                Node::Template(Call { name, pipe, at })
            }
            _ => Node::Action(self.pipe("command", Kind::Close)?),
        };
        Ok(Item::Node(node))
    }

    /// `if`, `with` or `range` and its branches.
    fn control(&mut self, kind: &str) -> Parsed<Node> {
        self.deeper()?;
        let known = self.variables.len();
        let pipe = self.pipe(kind, Kind::Close)?;
        let is_loop = usize::from(kind == "range");
        self.loops += is_loop;
        let (then, end) = self.list()?;
        self.loops -= is_loop;
        let otherwise = match end {
            End::Closed => Vec::new(),
            End::Else if kind != "range" && self.is_keyword(kind) => {
                self.next += 1;
                vec![self.control(kind)?]
            }
            End::Else => {
                let (otherwise, end) = self.list()?;
                if end != End::Closed {
                    return Err(self.error("expected end; found {{else}}"));
                }
                otherwise
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(match kind {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, each: then, otherwise },
        })
    }

    /// A pipeline and the token that ends it.
    fn pipe(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        self.deeper()?;
        let at = self.peek_word().at;
        let mut pipe = Pipe { variables: Vec::new(), assigns: false, commands: Vec::new(), at };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::OpenParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(&format!("missing value for {context}")));
        }
        let is_constant = |command: &Command| {
            matches!(
                command.args.first().map(|operand| &operand.arg),
                Some(
                    Arg::Bool(_)
                        | Arg::Dot
                        | Arg::Nil
                        | Arg::Int(..)
                        | Arg::Unsigned(_)
                        | Arg::Float(..)
                        | Arg::Text(..)
                )
            )
        };
        if let Some(stage) = pipe.commands.iter().skip(1).position(is_constant) {
            return Err(self.error(&format!("non executable command in pipeline stage {}", stage + 2)));
        }
        self.depth -= 1;
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and of a range `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let token = self.peek_word().clone();
            if token.kind != Kind::Variable {
                return Ok(());
            }
            let variable = self.next;
            self.next += 1;
            let follows = self.peek_word().clone();
            match (follows.kind, follows.text.as_str()) {
                (Kind::Assign | Kind::Declare, _) => {
                    self.next += 1;
                    pipe.assigns = follows.kind == Kind::Assign;
                    pipe.variables.push(token.text.clone());
                    self.variables.push(token.text);
                    return Ok(());
                }
                (Kind::Sign, ",") => {
                    self.next += 1;
                    pipe.variables.push(token.text.clone());
                    self.variables.push(token.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return Err(self.error(&format!("too many declarations in {context}")));
                    }
                    let follows = self.peek_word().kind;
                    if !matches!(follows, Kind::Variable | Kind::Close | Kind::CloseParen) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ => {
                    self.next = variable;
                    return Ok(());
                }
            }
        }
    }

    /// Operands up to a bar, which is gone then, or to the end of the pipeline, which is not.
    fn command(&mut self) -> Parsed<Command> {
        let at = self.peek_word().at;
        let mut args = Vec::new();
        loop {
            self.skip_spaces();
            args.extend(self.operand()?);
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::Close | Kind::CloseParen => {
                    self.next -= 1;
                    break;
                }
                Kind::Bar => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { args, at })
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        if names.is_empty() {
            return Ok(Some(term));
        }
        let arg = match term.arg {
            Arg::Field(mut own) => {
                own.extend(names);
                Arg::Field(own)
            }
            Arg::Variable(name, _) => Arg::Variable(name, names),
            Arg::Function(_) | Arg::Pipe(_) | Arg::Chain(..) => Arg::Chain(Box::new(term), names),
            _ => {
                let shown = model::go_quote(&term.to_string());
                return Err(self.error(&format!("unexpected . after term {shown}")));
            }
        };
        Ok(Some(Operand { arg, at }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.take_word();
        let text = token.text;
        let arg = match token.kind {
            Kind::Identifier if functions::is_known(&text) => Arg::Function(text),
            Kind::Identifier => {
                return Err(self.error(&format!("function {} not defined", model::go_quote(&text))));
            }
            Kind::Dot => Arg::Dot,
            Kind::Nil => Arg::Nil,
            Kind::Bool => Arg::Bool(text == "true"),
            Kind::Variable if self.variables.contains(&text) => Arg::Variable(text, Vec::new()),
            Kind::Variable => {
                return Err(self.error(&format!("undefined variable {}", model::go_quote(&text))));
            }
            Kind::Field => Arg::Field(vec![text[1..].to_owned()]),
            Kind::Char => match literal::character(&text) {
                Ok(value) => Arg::Int(value, text),
                Err(why) => return Err(self.error(&why)),
            },
            Kind::Number | Kind::Complex => match literal::number(&text) {
                Ok(arg) => arg,
                Err(why) => return Err(self.error(&why)),
            },
            Kind::Quoted | Kind::Raw => match literal::unquote(&text) {
                Ok(value) => Arg::Text(value, text),
                Err(why) => return Err(self.error(&why)),
            },
            Kind::OpenParen => Arg::Pipe(Box::new(self.pipe("parenthesized pipeline", Kind::CloseParen)?)),
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { arg, at: token.at }))
    }
}
