//! Replacement by a regular expression with capture groups, as Go's `Expand` has it.

use std::fmt;
use std::sync::Arc;

use regex_automata::util::captures::Captures;

use crate::go_regex::{self, WithCaptures};

/// An expression, anchored at both ends unless it is a searching one, and templates (`$1`, `${name}`, `$$`) filled from what it captures.
#[derive(Clone)]
pub struct Replacer(Arc<WithCaptures>);

impl fmt::Debug for Replacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.regex)
    }
}

impl Replacer {
    /// Reads an expression in Go's syntax.
    ///
    /// # Errors
    /// Go's text when it is none.
    pub fn new(pattern: &str) -> Result<Self, String> {
        go_regex::compile_with_captures(pattern).map(|compiled| Replacer(Arc::new(compiled)))
    }

    /// Reads an expression in Go's syntax that is looked for anywhere in a text, for `is_match` and `replace_all`.
    ///
    /// # Errors
    /// Go's text when it is none.
    pub fn searching(pattern: &str) -> Result<Self, String> {
        go_regex::compile_search(pattern).map(|compiled| Replacer(Arc::new(compiled)))
    }

    /// Whether it matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.regex.is_match(text)
    }

    /// The text with every match replaced by the filled template.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::new();
        let mut end = 0;
        for captures in self.0.regex.captures_iter(text) {
            // nothing is also found between the bytes of a character, where Go does not look
            let is_between = |at: usize| text.is_char_boundary(at);
            let Some(found) = captures.get_match().filter(|m| is_between(m.start())) else { continue };
            out.push_str(text.get(end..found.start()).unwrap_or_default());
            out.push_str(&self.expand(text, &captures, template));
            end = found.end();
        }
        out.push_str(text.get(end..).unwrap_or_default());
        out
    }

    /// The filled template, when `text` matches as a whole.
    pub fn replace(&self, text: &str, template: &str) -> Option<String> {
        let mut captures = self.0.regex.create_captures();
        self.0.regex.captures(text, &mut captures);
        captures.is_match().then(|| self.expand(text, &captures, template))
    }

    /// What a group captured, by number or name; "" when it took no part.
    fn captured<'t>(&self, text: &'t str, captures: &Captures, name: &str) -> &'t str {
        let group = |number: usize| captures.get_group(number).and_then(|span| text.get(span.range()));
        let is_number =
            name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
        let found = match name.parse::<usize>() {
            Ok(number) if is_number => group(number),
            _ => {
                self.0.names.iter().filter(|(other, _)| other == name).find_map(|(_, number)| group(*number))
            }
        };
        found.unwrap_or_default()
    }

    fn expand(&self, text: &str, captures: &Captures, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(tail) = after.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((name, tail)) = reference(after) {
                out.push_str(self.captured(text, captures, name));
                rest = tail;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }
}

/// The name at the beginning of what follows a dollar sign, and what follows it.
fn reference(rest: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(inner) = rest.strip_prefix('{') {
        let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
        let (name, tail) = inner.split_at(end);
        let tail = tail.strip_prefix('}')?;
        return if name.is_empty() { None } else { Some((name, tail)) };
    }
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    if end == 0 { None } else { Some(rest.split_at(end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_go_does() {
        let replacer = Replacer::new("source-value-(.*)").unwrap();
        let of = |template| replacer.replace("source-value-10", template);
        assert_eq!(of("destination-value-$1").as_deref(), Some("destination-value-10"));
        assert_eq!(of("${1}x$$").as_deref(), Some("10x$"));
        assert_eq!(of("$1x").as_deref(), Some(""));
        assert_eq!(of("$").as_deref(), Some("$"));
        assert_eq!(replacer.replace("other", "$1"), None);
        assert_eq!(Replacer::new("(?P<a>b)").unwrap().replace("b", "$a").as_deref(), Some("b"));
        assert_eq!(Replacer::new("(?P<1a>b)").unwrap().replace("b", "$1a.${01}.$01").as_deref(), Some("b.."));
        assert_eq!(Replacer::new("(a)|(b)").unwrap().replace("b", "<$1$2>").as_deref(), Some("<b>"));
        assert_eq!(Replacer::new("(?:(a){0})(b)").unwrap().replace("b", "<$1$2>").as_deref(), Some("<b>"));
        assert!(Replacer::new("(.*").is_err());
        let all = |pattern: &str, text: &str, template: &str| {
            Replacer::searching(pattern).unwrap().replace_all(text, template)
        };
        assert_eq!(all("(a)(b)?", "xaby", "<$2$1>"), "x<ba>y");
        assert_eq!(all("b*", "abc", "-"), "-a-c-");
        assert_eq!(all("", "aé", "-"), "-a-é-");
        assert!(!Replacer::searching("a.b").unwrap().is_match("a\nb"));
    }
}
