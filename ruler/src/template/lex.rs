//! Template text as tokens. A fault is a token too: it only counts when the parser comes to it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text between actions.
    Plain,
    /// `{{`
    Open,
    /// `}}`
    Close,
    Space,
    Identifier,
    /// `if`, `end`, …
    Keyword,
    Dot,
    Nil,
    Bool,
    /// `.name`
    Field,
    /// `$name`
    Variable,
    /// In double quotes.
    Quoted,
    /// In back quotes.
    Raw,
    /// `'a'`
    Char,
    Number,
    /// `1+2i`
    Complex,
    Bar,
    Assign,
    Declare,
    OpenParen,
    CloseParen,
    /// Another sign.
    Sign,
    /// What is wrong.
    Fault,
    End,
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// As it is written; of faults, what is wrong.
    pub(super) text: String,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    /// The line it begins in.
    pub(super) line: usize,
}

impl Token {
    /// As messages show it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Fault => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let cut: String = self.text.chars().take(10).collect();
                format!("{}...", model::go_quote(&cut))
            }
            _ => model::go_quote(&self.text),
        }
    }
}

const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits a template; blanks next to `{{-` and `-}}` are gone, comments too. The last token is a fault or the end.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, start: 0, at: 0, start_line: 1, counted: 0, out: Vec::new() };
    if let Err(why) = lexer.run() {
        lexer.out.push(Token { kind: Kind::Fault, text: why, at: lexer.start, line: lexer.start_line });
    }
    lexer.out
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn sign_shown(c: char) -> String {
    let code = u32::from(c);
    if c.is_control() { format!("U+{code:04X}") } else { format!("U+{code:04X} '{c}'") }
}

struct Lexer<'a> {
    text: &'a str,
    /// Where the token under way begins.
    start: usize,
    at: usize,
    start_line: usize,
    /// Up to where lines are counted in `start_line`.
    counted: usize,
    out: Vec<Token>,
}

type Lexed = Result<(), String>;

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        let length = self.rest().find(|c| !keep(c)).unwrap_or(self.rest().len());
        self.at += length;
    }

    /// The next token begins here.
    fn begin(&mut self) {
        self.start_line += self.text[self.counted..self.at].matches('\n').count();
        (self.start, self.counted) = (self.at, self.at);
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.at].to_owned();
        self.out.push(Token { kind, text, at: self.start, line: self.start_line });
        self.begin();
    }

    fn run(&mut self) -> Lexed {
        loop {
            let rest = self.rest();
            let Some(length) = rest.find("{{") else {
                self.at = self.text.len();
                if self.at > self.start {
                    self.emit(Kind::Plain);
                }
                self.emit(Kind::End);
                return Ok(());
            };
            let trims = is_left_trim(&rest[length + 2..]);
            let mut plain = &rest[..length];
            if trims {
                plain = plain.trim_end_matches(BLANKS);
            }
            let end = self.at + length;
            self.at += plain.len();
            if self.at > self.start {
                self.emit(Kind::Plain);
            }
            self.at = end;
            self.begin();
            self.at += 2;
            let marker = usize::from(trims);
            // behind the marker stands a blank, so a comment follows `{{` or `{{- `
            let inside = if trims { self.at + 2 } else { self.at };
            if self.text[inside..].starts_with("/*") {
                self.at = inside;
                self.comment()?;
                continue;
            }
            self.emit(Kind::Open);
            self.at += marker * 2;
            self.begin();
            self.action()?;
        }
    }

    /// `}}` here, or ` -}}`: whether, and whether it trims.
    fn closing(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(BLANKS) && rest[1..].starts_with("-}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn comment(&mut self) -> Lexed {
        self.begin();
        let Some(length) = self.rest()[2..].find("*/") else { return Err("unclosed comment".to_owned()) };
        self.at += length + 4;
        let Some(trims) = self.closing() else {
            return Err("comment ends before closing delimiter".to_owned());
        };
        self.at += if trims { 4 } else { 2 };
        if trims {
            self.take_while(|c| BLANKS.contains(&c));
        }
        self.begin();
        Ok(())
    }

    fn action(&mut self) -> Lexed {
        let mut depth = 0usize;
        loop {
            if let Some(trims) = self.closing() {
                if depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                if trims {
                    self.at += 2;
                    self.begin();
                }
                self.at += 2;
                self.emit(Kind::Close);
                if trims {
                    self.take_while(|c| BLANKS.contains(&c));
                    self.begin();
                }
                return Ok(());
            }
            let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
            match c {
                c if BLANKS.contains(&c) => {
                    while self.closing().is_none() && self.peek().is_some_and(|c| BLANKS.contains(&c)) {
                        self.at += 1;
                    }
                    self.emit(Kind::Space);
                }
                '=' => self.emit(Kind::Assign),
                ':' if self.next() == Some('=') => self.emit(Kind::Declare),
                ':' => return Err("expected :=".to_owned()),
                '|' => self.emit(Kind::Bar),
                '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
                '`' => {
                    let Some(length) = self.rest().find('`') else {
                        return Err("unterminated raw quoted string".to_owned());
                    };
                    self.at += length + 1;
                    self.emit(Kind::Raw);
                }
                '$' => self.name(Kind::Variable, Kind::Variable)?,
                '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                    self.name(Kind::Field, Kind::Dot)?;
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = self.start;
                    self.number()?;
                }
                c if is_word(c) => {
                    self.take_while(is_word);
                    self.check_end_of_word()?;
                    let kind = match &self.text[self.start..self.at] {
                        "nil" => Kind::Nil,
                        "true" | "false" => Kind::Bool,
                        word if KEYWORDS.contains(&word) => Kind::Keyword,
                        _ => Kind::Identifier,
                    };
                    self.emit(kind);
                }
                '(' => {
                    depth += 1;
                    self.emit(Kind::OpenParen);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or_else(|| "unexpected right paren".to_owned())?;
                    self.emit(Kind::CloseParen);
                }
                c if (' '..='~').contains(&c) => self.emit(Kind::Sign),
                c => return Err(format!("unrecognized character in action: {}", sign_shown(c))),
            }
        }
    }

    fn name(&mut self, named: Kind, bare: Kind) -> Lexed {
        if self.ends_word() {
            self.emit(bare);
            return Ok(());
        }
        self.take_while(is_word);
        self.check_end_of_word()?;
        self.emit(named);
        Ok(())
    }

    /// Whether what stands here may follow a word.
    fn ends_word(&self) -> bool {
        let ends = |c| BLANKS.contains(&c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(');
        self.peek().is_none_or(ends) || self.rest().starts_with("}}")
    }

    fn check_end_of_word(&self) -> Lexed {
        match self.peek() {
            Some(c) if !self.ends_word() => Err(format!("bad character {}", sign_shown(c))),
            _ => Ok(()),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Lexed {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|c| c != '\n') => {}
                Some('\\' | '\n') | None => return Err(unterminated.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Lexed {
        let bad = |lexer: &Self| {
            format!("bad number syntax: {}", model::go_quote(&lexer.text[lexer.start..lexer.at]))
        };
        if !self.scan_number() {
            return Err(bad(self));
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            self.emit(Kind::Number);
            return Ok(());
        }
        if !self.scan_number() || !self.text[..self.at].ends_with('i') {
            return Err(bad(self));
        }
        self.emit(Kind::Complex);
        Ok(())
    }

    fn accept(&mut self, any: &str) -> bool {
        let found = self.peek().is_some_and(|c| any.contains(c));
        self.at += usize::from(found);
        found
    }

    /// Goes over a number; `false`: a letter or digit follows, and is gone over too.
    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut radix = 10;
        if self.accept("0") {
            let radixes = [("xX", 16), ("oO", 8), ("bB", 2)];
            for (letters, of) in radixes {
                if radix == 10 && self.accept(letters) {
                    radix = of;
                }
            }
        }
        let figure = |c: char| c == '_' || c.is_digit(radix);
        self.take_while(figure);
        if self.accept(".") {
            self.take_while(figure);
        }
        if (radix == 10 && self.accept("eE")) || (radix == 16 && self.accept("pP")) {
            self.accept("+-");
            self.take_while(|c| c == '_' || c.is_ascii_digit());
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

fn is_left_trim(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(BLANKS)
}
