//! Replacement by a regular expression with capture groups, as Go's `Expand` has it.

use regex::{Captures, Regex};

use crate::go_regex;

/// An expression anchored at both ends, and templates (`$1`, `${name}`, `$$`) filled from what it captures.
#[derive(Debug, Clone)]
pub struct Replacer(Regex);

impl Replacer {
    /// Reads an expression in Go's syntax.
    ///
    /// # Errors
    /// Go's text when it is none.
    pub fn new(pattern: &str) -> Result<Self, String> {
        go_regex::compile_with_captures(pattern).map(Replacer)
    }

    /// The filled template, when `text` matches as a whole.
    pub fn replace(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.0.captures(text)?;
        Some(expand(&captures, template))
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

fn expand(captures: &Captures<'_>, template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = reference(after) {
            let found = match name.parse::<usize>() {
                Ok(number) if name.bytes().all(|b| b.is_ascii_digit()) => captures.get(number),
                _ => captures.name(name),
            };
            out.push_str(found.map_or("", |m| m.as_str()));
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
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
        assert!(Replacer::new("(.*").is_err());
    }
}
