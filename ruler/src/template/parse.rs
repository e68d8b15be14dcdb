//! Pieces to a tree.

use super::TemplateError;
use super::functions;
use super::lex::{Piece, Word, pieces};
use super::node::{Arg, Command, Node, Pipe, Tree};

/// Deepest nesting of actions and of parentheses.
const DEPTH_MAX: usize = 64;

/// How a list of nodes ended.
enum End {
    Eof,
    Closed,
    /// `else`, with what follows it: `if …`, `with …` or nothing.
    Else(Option<(String, Pipe)>),
}

struct Parser<'a> {
    name: &'a str,
    text: &'a str,
    pieces: std::vec::IntoIter<Piece>,
    words: std::iter::Peekable<std::vec::IntoIter<(Word, usize)>>,
    at: usize,
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
        text,
        pieces: Vec::new().into_iter(),
        words: Vec::new().into_iter().peekable(),
        at: 0,
        variables: vec!["$".to_owned()],
        loops: 0,
        depth: 0,
        tree: Tree { name: name.to_owned(), text: text.to_owned(), ..Tree::default() },
    };
    parser.pieces = pieces(text).map_err(|(why, at)| parser.error_at(at, &why))?.into_iter();
    let (root, end) = parser.list()?;
    match end {
        End::Eof => {}
        End::Closed => return Err(parser.error("unexpected {{end}}")),
        End::Else(_) => return Err(parser.error("unexpected {{else}}")),
    }
    parser.tree.root = root;
    Ok(parser.tree)
}

impl Parser<'_> {
    fn error_at(&self, at: usize, why: &str) -> TemplateError {
        let line = 1 + self.text[..at.min(self.text.len())].matches('\n').count();
        TemplateError(format!("template: {}:{line}: {why}", self.name))
    }

    fn error(&self, why: &str) -> TemplateError {
        self.error_at(self.at, why)
    }

    /// Nodes up to `end`, `else` or the end of the text.
    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("max expression depth exceeded"));
        }
        let mut out = Vec::new();
        let end = loop {
            match self.pieces.next() {
                None => break End::Eof,
                Some(Piece::Text(text)) if text.is_empty() => {}
                Some(Piece::Text(text)) => out.push(Node::Text(text)),
                Some(Piece::Action(words, at)) => {
                    self.at = at;
                    self.words = words.into_iter().peekable();
                    if let Some(end) = self.action(&mut out)? {
                        break end;
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((out, end))
    }

    fn blanks(&mut self) {
        while self.words.next_if(|(w, _)| *w == Word::Space).is_some() {}
    }

    fn next(&mut self) -> Option<Word> {
        self.words.next().map(|(word, at)| {
            self.at = at;
            word
        })
    }

    fn keyword(&mut self) -> Option<String> {
        const WORDS: [&str; 10] =
            ["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"];
        let (word, _) = self
            .words
            .next_if(|(word, _)| matches!(word, Word::Identifier(name) if WORDS.contains(&name.as_str())))?;
        match word {
            Word::Identifier(name) => Some(name),
            _ => None,
        }
    }

    fn done(&mut self, context: &str) -> Parsed<()> {
        self.blanks();
        match self.next() {
            None => Ok(()),
            Some(word) => Err(self.error(&format!("unexpected {} in {context}", shown(&word)))),
        }
    }

    fn action(&mut self, out: &mut Vec<Node>) -> Parsed<Option<End>> {
        self.blanks();
        let at = self.at;
        let Some(keyword) = self.keyword() else {
            let pipe = self.pipe("command", false)?;
            self.done("command")?;
            out.push(Node::Action(pipe));
            return Ok(None);
        };
        match keyword.as_str() {
            "end" => {
                self.done("end")?;
                return Ok(Some(End::Closed));
            }
            "else" => {
                self.blanks();
                let chained = match self.keyword() {
                    Some(word) if word == "if" || word == "with" => {
                        let pipe = self.pipe(&word, false)?;
                        Some((word, pipe))
                    }
                    Some(word) => return Err(self.error(&format!("unexpected <{word}> in else"))),
                    None => None,
                };
                self.done("else")?;
                return Ok(Some(End::Else(chained)));
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(&format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                self.done(&keyword)?;
                out.push(if keyword == "break" { Node::Break } else { Node::Continue });
            }
            "define" | "block" => {
                let name = self.template_name(&keyword)?;
                let pipe = if keyword == "block" { Some(self.pipe("block", false)?) } else { None };
                self.done(&keyword)?;
                let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
                let loops = std::mem::take(&mut self.loops);
                let (list, end) = self.list()?;
                (self.variables, self.loops) = (outer, loops);
                match end {
                    End::Closed => {}
                    End::Eof => return Err(self.error("unexpected EOF")),
                    End::Else(_) => {
                        return Err(self.error(&format!("unexpected {{{{else}}}} in {keyword} clause")));
                    }
                }
                self.tree.defined.insert(name.clone(), list);
                if pipe.is_some() {
                    out.push(Node::Template { name, pipe, at });
                }
            }
            "template" => {
                let name = self.template_name("template clause")?;
                self.blanks();
                let pipe = match self.words.peek() {
                    Some(_) => Some(self.pipe("template clause", false)?),
                    None => None,
                };
                self.done("template clause")?;
                out.push(Node::Template { name, pipe, at });
            }
            kind => {
                let known = self.variables.len();
                let pipe = self.pipe(kind, kind == "range")?;
                self.done(kind)?;
                out.push(self.control(kind, pipe)?);
                self.variables.truncate(known);
            }
        }
        Ok(None)
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        self.blanks();
        match self.next() {
            Some(Word::Text(name, _)) => Ok(name),
            Some(word) => Err(self.error(&format!("unexpected {} in {context}", shown(&word)))),
            None => Err(self.error(&format!("unexpected \"}}}}\" in {context}"))),
        }
    }

    /// The branches behind `if`, `with` or `range`.
    fn control(&mut self, kind: &str, pipe: Pipe) -> Parsed<Node> {
        let known = self.variables.len();
        self.loops += usize::from(kind == "range");
        let (then, end) = self.list()?;
        self.loops -= usize::from(kind == "range");
        let otherwise = match end {
            End::Eof => return Err(self.error("unexpected EOF")),
            End::Closed => Vec::new(),
            End::Else(Some((chained, pipe))) => {
                if chained != kind {
                    return Err(self.error(&format!("unexpected <{chained}> in else")));
                }
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(self.error("max expression depth exceeded"));
                }
                let node = self.control(&chained, pipe)?;
                self.depth -= 1;
                vec![node]
            }
            End::Else(None) => {
                self.variables.truncate(known);
                let (otherwise, end) = self.list()?;
                match end {
                    End::Closed => otherwise,
                    End::Eof => return Err(self.error("unexpected EOF")),
                    End::Else(_) => return Err(self.error("expected end; found {{else}}")),
                }
            }
        };
        self.variables.truncate(known);
        Ok(match kind {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, each: then, otherwise },
        })
    }

    fn pipe(&mut self, context: &str, range: bool) -> Parsed<Pipe> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("max expression depth exceeded"));
        }
        self.blanks();
        let (variables, assigns) = self.declaration(context, range)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if let Some(Arg::Nil) = command.args.first()
                && command.args.len() == 1
            {
                return Err(self.error("nil is not a command"));
            }
            let constant = |arg: &Arg| {
                matches!(arg, Arg::Bool(_) | Arg::Int(..) | Arg::Float(..) | Arg::Text(..) | Arg::Dot)
            };
            if !commands.is_empty()
                && command.args.first().is_some_and(|a| constant(a) || matches!(a, Arg::Nil))
            {
                let stage = commands.len() + 1;
                return Err(self.error(&format!("non executable command in pipeline stage {stage}")));
            }
            commands.push(command);
            self.blanks();
            if self.words.next_if(|(w, _)| *w == Word::Bar).is_none() {
                break;
            }
            self.blanks();
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipe { variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, and of a range `$i, $x :=`.
    fn declaration(&mut self, context: &str, range: bool) -> Parsed<(Vec<String>, bool)> {
        let mut ahead = self.words.clone();
        let mut names = Vec::new();
        loop {
            let skip = |ahead: &mut std::iter::Peekable<std::vec::IntoIter<(Word, usize)>>| {
                while ahead.next_if(|(w, _)| *w == Word::Space).is_some() {}
            };
            skip(&mut ahead);
            let Some((Word::Variable(name), _)) = ahead.next() else { return Ok((Vec::new(), false)) };
            names.push(name);
            skip(&mut ahead);
            match ahead.next() {
                Some((Word::Comma, _)) if range && names.len() == 1 => {}
                Some((Word::Comma, _)) => {
                    return Err(self.error(&format!("too many declarations in {context}")));
                }
                Some((Word::Declare, _)) => {
                    self.words = ahead;
                    return Ok((names, false));
                }
                Some((Word::Assign, _)) => {
                    self.words = ahead;
                    if let Some(unknown) = names.iter().find(|name| !self.variables.contains(name)) {
                        return Err(self.error(&format!("undefined variable \"{unknown}\"")));
                    }
                    return Ok((names, true));
                }
                _ => return Ok((Vec::new(), false)),
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut args = Vec::new();
        let at = self.words.peek().map_or(self.at, |(_, at)| *at);
        loop {
            self.blanks();
            match self.words.peek() {
                None | Some((Word::Bar | Word::Close, _)) => break,
                Some(_) => args.push(self.operand()?),
            }
            match self.words.peek() {
                None | Some((Word::Space | Word::Bar | Word::Close, _)) => {}
                Some((word, at)) => {
                    let (word, at) = (shown(word), *at);
                    return Err(self.error_at(at, &format!("unexpected {word} in operand")));
                }
            }
        }
        if args.is_empty() {
            return Err(self.error("missing value for command"));
        }
        Ok(Command { args, at })
    }

    fn fields(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Some((Word::Field(name), _)) =
            self.words.next_if(|(word, _)| matches!(word, Word::Field(_)))
        {
            out.push(name);
        }
        out
    }

    fn operand(&mut self) -> Parsed<Arg> {
        let Some(word) = self.next() else { return Err(self.error("missing value for command")) };
        let arg = match word {
            Word::Dot => Arg::Dot,
            Word::Text(value, raw) => Arg::Text(value, raw),
            Word::Char(value, raw) => Arg::Int(value, raw),
            Word::Number(text) => match number(&text) {
                Some(arg) => arg,
                None => return Err(self.error(&format!("bad number syntax: \"{text}\""))),
            },
            Word::Field(name) => {
                let mut names = vec![name];
                names.extend(self.fields());
                return Ok(Arg::Field(names));
            }
            Word::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.error(&format!("undefined variable \"{name}\"")));
                }
                return Ok(Arg::Variable(name, self.fields()));
            }
            Word::Identifier(name) => match name.as_str() {
                "true" | "false" => Arg::Bool(name == "true"),
                "nil" => Arg::Nil,
                _ if functions::is_known(&name) => Arg::Function(name),
                _ => return Err(self.error(&format!("function \"{name}\" not defined"))),
            },
            Word::Open => {
                let pipe = self.pipe("parenthesized pipeline", false)?;
                match self.next() {
                    Some(Word::Close) => {}
                    _ => return Err(self.error("unclosed left paren")),
                }
                return Ok(Arg::Pipe(Box::new(pipe), self.fields()));
            }
            other => return Err(self.error(&format!("unexpected {} in operand", shown(&other)))),
        };
        if let Some((Word::Field(name), _)) = self.words.peek()
            && !matches!(arg, Arg::Function(_) | Arg::Dot)
        {
            let name = name.clone();
            return Err(self.error(&format!("unexpected . after term \"{arg}\" (.{name})")));
        }
        Ok(arg)
    }
}

fn number(text: &str) -> Option<Arg> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let radix =
        [("0x", 16), ("0b", 2), ("0o", 8)].iter().find_map(|(p, r)| Some((lower.strip_prefix(p)?, *r)));
    let whole = match radix {
        Some((digits, radix)) => i64::from_str_radix(digits, radix).ok(),
        None => digits.parse::<i64>().ok().filter(|_| !digits.starts_with(['+', '-'])),
    };
    if let Some(whole) = whole {
        return Some(Arg::Int(if negative { -whole } else { whole }, text.to_owned()));
    }
    let valid = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value = digits.parse::<f64>().ok().filter(|_| valid)?;
    let value = if negative { -value } else { value };
    // a whole number is one however it is written
    if value.trunc() == value && value.abs() < 9.2e18 && !text.contains(['.', 'e', 'E']) {
        return Some(Arg::Int(value as i64, text.to_owned()));
    }
    Some(Arg::Float(value, text.to_owned()))
}

fn shown(word: &Word) -> String {
    let text = match word {
        Word::Identifier(name) | Word::Variable(name) | Word::Number(name) => name.clone(),
        Word::Field(name) => format!(".{name}"),
        Word::Text(_, raw) | Word::Char(_, raw) => raw.clone(),
        Word::Dot => ".".to_owned(),
        Word::Bar => "|".to_owned(),
        Word::Declare => ":=".to_owned(),
        Word::Assign => "=".to_owned(),
        Word::Open => "(".to_owned(),
        Word::Close => ")".to_owned(),
        Word::Comma => ",".to_owned(),
        Word::Space => " ".to_owned(),
    };
    format!("{text:?}")
}
