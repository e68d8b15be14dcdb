//! Template text as pieces: text between actions, and the words of actions.

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Identifier(String),
    /// `.name`
    Field(String),
    /// `$name`
    Variable(String),
    Dot,
    /// Its value, and as it is written.
    Text(String, String),
    /// As it is written.
    Number(String),
    /// Its number, and as it is written.
    Char(i64, String),
    Bar,
    Declare,
    Assign,
    Open,
    Close,
    Comma,
    Space,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// Words, each with its place in the text.
    Action(Vec<(Word, usize)>, usize),
}

/// Why the text is no template, and where.
pub(super) type LexError = (String, usize);

/// Splits a template; blanks next to `{{-` and `-}}` are gone, comments too.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, LexError> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut trim = false;
    loop {
        let rest = &text[at..];
        let start = rest.find("{{");
        let mut plain = &rest[..start.unwrap_or(rest.len())];
        let is_blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        if trim {
            plain = plain.trim_start_matches(is_blank);
        }
        let Some(start) = start else {
            out.push(Piece::Text(plain.to_owned()));
            return Ok(out);
        };
        let mut inside = at + start + 2;
        if text[inside..].starts_with('-') && text[inside + 1..].starts_with(is_blank) {
            plain = plain.trim_end_matches(is_blank);
            inside += 1;
        }
        out.push(Piece::Text(plain.to_owned()));
        let end = match comment(text, inside)? {
            Some(end) => end,
            None => {
                let mut lexer = Lexer { text, at: inside, words: Vec::new(), depth: 0 };
                let end = lexer.action()?;
                out.push(Piece::Action(lexer.words, at + start));
                end
            }
        };
        (at, trim) = end;
    }
}

/// The end of a comment: behind it, and whether it trims.
fn comment(text: &str, inside: usize) -> Result<Option<(usize, bool)>, LexError> {
    let body = text[inside..].trim_start_matches([' ', '\t', '\r', '\n']);
    if !body.starts_with("/*") {
        return Ok(None);
    }
    let begin = text.len() - body.len();
    let Some(close) = text[begin..].find("*/") else { return Err(("unclosed comment".to_owned(), begin)) };
    let after = begin + close + 2;
    closing(text, after).map(Some).ok_or_else(|| ("comment ends before closing delimiter".to_owned(), after))
}

/// What follows `}}` or ` -}}` at `at`.
fn closing(text: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &text[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let mut chars = rest.chars();
    let blank = chars.next().is_some_and(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    (blank && chars.as_str().starts_with("-}}")).then(|| (at + 4, true))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    words: Vec<(Word, usize)>,
    depth: usize,
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn action(&mut self) -> Result<(usize, bool), LexError> {
        loop {
            if let Some(end) = closing(self.text, self.at) {
                if self.depth > 0 {
                    return Err(("unclosed left paren".to_owned(), self.at));
                }
                return Ok(end);
            }
            let at = self.at;
            let Some(c) = self.text[at..].chars().next() else {
                return Err(("unclosed action".to_owned(), at));
            };
            let word = self.word(c)?;
            self.words.push((word, at));
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !keep(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken.to_owned()
    }

    fn word(&mut self, c: char) -> Result<Word, LexError> {
        let at = self.at;
        let rest = &self.text[at..];
        let single = |word| Ok((word, c.len_utf8()));
        let (word, length) = match c {
            ' ' | '\t' | '\r' | '\n' => {
                while !self.text[self.at..].is_empty()
                    && closing(self.text, self.at).is_none()
                    && self.text[self.at..].starts_with([' ', '\t', '\r', '\n'])
                {
                    self.at += 1;
                }
                return Ok(Word::Space);
            }
            '|' => single(Word::Bar),
            ',' => single(Word::Comma),
            '=' => single(Word::Assign),
            '(' => {
                self.depth += 1;
                single(Word::Open)
            }
            ')' => {
                self.depth =
                    self.depth.checked_sub(1).ok_or_else(|| ("unexpected right paren".to_owned(), at))?;
                single(Word::Close)
            }
            ':' if rest.starts_with(":=") => Ok((Word::Declare, 2)),
            '"' => return self.quoted(),
            '`' => return self.raw(),
            '\'' => return self.character(),
            '$' => {
                self.at += 1;
                let name = self.take_while(is_word);
                return Ok(Word::Variable(format!("${name}")));
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.take_while(is_word);
                return Ok(if name.is_empty() { Word::Dot } else { Word::Field(name) });
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at += 1;
                let more =
                    self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-'));
                return Ok(Word::Number(format!("{c}{more}")));
            }
            c if is_word(c) => return Ok(Word::Identifier(self.take_while(is_word))),
            c => Err((format!("unrecognized character in action: {}", shown(c)), at)),
        }?;
        self.at += length;
        Ok(word)
    }

    fn quoted(&mut self) -> Result<Word, LexError> {
        let at = self.at;
        let mut escaped = false;
        for (i, c) in self.text[at + 1..].char_indices() {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    self.at = at + 1 + i + 1;
                    let raw = &self.text[at..self.at];
                    let value =
                        unquote(&raw[1..raw.len() - 1]).ok_or_else(|| ("invalid syntax".to_owned(), at))?;
                    return Ok(Word::Text(value, raw.to_owned()));
                }
                _ => {}
            }
        }
        Err(("unterminated quoted string".to_owned(), at))
    }

    fn raw(&mut self) -> Result<Word, LexError> {
        let at = self.at;
        let end = self.text[at + 1..].find('`');
        let end = end.ok_or_else(|| ("unterminated raw quoted string".to_owned(), at))?;
        self.at = at + end + 2;
        let raw = &self.text[at..self.at];
        Ok(Word::Text(raw[1..raw.len() - 1].replace('\r', ""), raw.to_owned()))
    }

    fn character(&mut self) -> Result<Word, LexError> {
        let at = self.at;
        let bad = || ("unterminated character constant".to_owned(), at);
        let body = &self.text[at + 1..];
        let from = if body.starts_with('\\') { 2 } else { 1 };
        let end = body.char_indices().skip(from).find(|(_, c)| *c == '\'').map(|(i, _)| i).ok_or_else(bad)?;
        self.at = at + 1 + end + 1;
        let value = unquote(&body[..end].replace("\\'", "'")).ok_or_else(bad)?;
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Word::Char(i64::from(u32::from(c)), self.text[at..self.at].to_owned())),
            _ => Err((format!("malformed character constant: {}", &self.text[at..self.at]), at)),
        }
    }
}

fn shown(c: char) -> String {
    if (' '..='~').contains(&c) {
        return format!("U+{:04X} '{c}'", u32::from(c));
    }
    format!("U+{:04X}", u32::from(c))
}

/// Resolves Go's escapes.
fn unquote(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let digits = |chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32| {
        (0..count)
            .try_fold(first, |value, _| Some(value.checked_mul(radix)? + chars.next()?.to_digit(radix)?))
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let c = match chars.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            c @ ('\\' | '\'' | '"') => c,
            'x' => {
                out.push(u8::try_from(digits(&mut chars, 2, 16, 0)?).ok()?);
                continue;
            }
            'u' => char::from_u32(digits(&mut chars, 4, 16, 0)?)?,
            'U' => char::from_u32(digits(&mut chars, 8, 16, 0)?)?,
            c => {
                out.push(u8::try_from(digits(&mut chars, 2, 8, c.to_digit(8)?)?).ok()?);
                continue;
            }
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
