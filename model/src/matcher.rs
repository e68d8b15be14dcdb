//! A label matcher: `name = value`, `!=`, `=~`, `!~`, with Prometheus's semantics.
//!
//! Regular expressions are anchored at both ends and read as Go reads them. An absent label matches as "".
//! Expressions that are really a set of literals, or literals with gaps between, are recognised and never run.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;

use crate::Labels;
use crate::go_regex::{self, Compiled, Folded, Wild};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Why a matcher cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// Not a regular expression; the text is Go's.
    #[error("error parsing regexp: {0}")]
    Regex(String),
}

#[derive(Debug, Clone)]
enum Test {
    Literal,
    /// Any string at all: `.*`.
    Anything,
    /// Any string but the empty one: `.+`.
    NotEmpty,
    /// One of a sorted list.
    OneOf(Arc<[String]>),
    /// A literal of any case.
    Folded(Arc<Folded>),
    /// Literals with gaps, and what all of them begin with.
    Wild(Arc<[Wild]>, Arc<str>),
    /// An automaton, and what all it matches begins with.
    Regex(Arc<meta::Regex>, Arc<str>),
}

/// One condition on one label.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    test: Test,
}

impl Matcher {
    /// Builds a matcher; fails when `value` is no regular expression and `op` needs one.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, MatcherError> {
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex => Self::regex_test(value)?,
        };
        Ok(Matcher { name: Arc::from(name), op, value: Arc::from(value), test })
    }

    /// `name = value`.
    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: Arc::from(name), op: MatchOp::Equal, value: Arc::from(value), test: Test::Literal }
    }

    fn regex_test(pattern: &str) -> Result<Test, MatcherError> {
        let compiled = go_regex::compile(pattern).map_err(MatcherError::Regex)?;
        Ok(match compiled {
            Compiled::Anything => Test::Anything,
            Compiled::NotEmpty => Test::NotEmpty,
            Compiled::OneOf(mut values) => {
                values.sort();
                values.dedup();
                Test::OneOf(Arc::from(values))
            }
            Compiled::Folded(folded) => Test::Folded(Arc::new(folded)),
            Compiled::Wild(wilds) => {
                let prefix = Arc::from(common_prefix(&wilds));
                Test::Wild(Arc::from(wilds), prefix)
            }
            Compiled::Regex(regex, prefix) => Test::Regex(Arc::new(regex), Arc::from(prefix)),
        })
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The comparison.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or expression as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value (absent: "") passes.
    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.test {
            Test::Literal => value == &*self.value,
            Test::Anything => true,
            Test::NotEmpty => !value.is_empty(),
            Test::OneOf(values) => values.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
            Test::Folded(folded) => folded.matches(value),
            Test::Wild(wilds, _) => wilds.iter().any(|wild| wild.matches(value)),
            Test::Regex(regex, prefix) => value.starts_with(&**prefix) && regex.is_match(value),
        };
        hit != matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Whether a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The values that alone can pass, when that is a short list: a look-up instead of a scan.
    /// Never `Some` for negative matchers.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match (&self.test, self.op) {
            (Test::Literal, MatchOp::Equal) => Some(vec![&self.value]),
            (Test::OneOf(values), MatchOp::Regex) => Some(values.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// The values that alone do not pass, when that is a short list. Never `Some` for positive matchers.
    pub fn excluded_values(&self) -> Option<Vec<&str>> {
        match (&self.test, self.op) {
            (Test::Literal, MatchOp::NotEqual) => Some(vec![&self.value]),
            (Test::OneOf(values), MatchOp::NotRegex) => Some(values.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// What every passing value begins with: "" when nothing is known. Always "" for negative matchers.
    pub fn literal_prefix(&self) -> &str {
        match (&self.test, self.op) {
            (Test::Literal, MatchOp::Equal) => &self.value,
            (Test::Wild(_, prefix) | Test::Regex(_, prefix), MatchOp::Regex) => prefix,
            _ => "",
        }
    }

    /// Whether exactly the series that carry the label pass.
    pub fn matches_all_but_empty(&self) -> bool {
        match (&self.test, self.op) {
            (Test::NotEmpty, MatchOp::Regex) => true,
            (_, MatchOp::NotEqual | MatchOp::NotRegex) => self.excluded_values().is_some_and(|v| v == [""]),
            _ => false,
        }
    }

    /// Whether the condition holds for everything, so that it need not be looked at.
    pub fn matches_everything(&self) -> bool {
        matches!((&self.test, self.op), (Test::Anything, MatchOp::Regex))
    }

    /// Whether `labels` pass all of `matchers`.
    pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
        matchers.iter().all(|m| m.matches(labels.get_or_empty(&m.name)))
    }
}

/// What all of them begin with.
fn common_prefix(wilds: &[Wild]) -> &str {
    let Some((first, rest)) = wilds.split_first() else { return "" };
    rest.iter().fold(first.prefix(), |common, wild| {
        let same = common.chars().zip(wild.prefix().chars()).take_while(|(a, b)| a == b);
        &common[..same.map(|(c, _)| c.len_utf8()).sum()]
    })
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), &*self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn re(pattern: &str) -> Matcher {
        Matcher::new(MatchOp::Regex, "l", pattern).unwrap()
    }

    #[test]
    fn regexes_are_anchored_and_dot_matches_newline() {
        assert!(re("a.c").matches("abc"));
        assert!(!re("a.c").matches("xabc"));
        assert!(re("a.c").matches("a\nc"));
        assert!(re("foo|bar").matches("bar"));
        assert!(!re("foo|bar").matches("foobar"));
        assert!(re("").matches_empty());
        assert!(!re(".+").matches_empty());
    }

    #[test]
    fn shapes_are_recognised() {
        assert_eq!(re("foo|bar").literal_values(), Some(vec!["bar", "foo"]));
        assert_eq!(re("(a|b)c").literal_values(), Some(vec!["ac", "bc"]));
        assert_eq!(re("foo").literal_values(), Some(vec!["foo"]));
        assert!(re(".*").matches_everything());
        for wild in ["api-.*", ".*x", ".*x.*", "a.+b", "(a|b).*", "a.*|.*b", "^a.*$"] {
            assert!(matches!(re(wild).test, Test::Wild(..)), "{wild}");
        }
        assert!(matches!(re("(?i)a-rather-long-name").test, Test::Folded(_)));
        assert!(matches!(re("[0-9]{2}").test, Test::Regex(..)));
        assert!(matches!(re(".+").test, Test::NotEmpty));
        assert!(re("api-.*").matches("api-\n") && !re("api-.*").matches("ap"));
    }

    #[test]
    fn what_values_begin_with_is_known() {
        assert_eq!(re("api-.*").literal_prefix(), "api-");
        assert_eq!(re("api-a.*|api-b.*").literal_prefix(), "api-");
        assert_eq!(re("api-[0-9]+").literal_prefix(), "api-");
        assert_eq!(re("(api-[0-9]+)?").literal_prefix(), "");
        assert_eq!(re(".*").literal_prefix(), "");
        assert_eq!(Matcher::new(MatchOp::NotRegex, "l", "api-.*").unwrap().literal_prefix(), "");
    }

    #[test]
    fn lists_of_what_fails_are_known() {
        let not = |op, value: &str| Matcher::new(op, "l", value).unwrap();
        assert_eq!(not(MatchOp::NotEqual, "a").excluded_values(), Some(vec!["a"]));
        assert_eq!(not(MatchOp::NotRegex, "a|b").excluded_values(), Some(vec!["a", "b"]));
        assert_eq!(re("a").excluded_values(), None);
        assert!(not(MatchOp::NotEqual, "").matches_all_but_empty());
        assert!(not(MatchOp::NotRegex, "").matches_all_but_empty());
        assert!(re(".+").matches_all_but_empty());
        assert!(!not(MatchOp::NotRegex, "|a").matches_all_but_empty());
    }

    #[test]
    fn go_syntax_is_read_as_go_does() {
        assert!(re(r"\Qa.b\E").matches("a.b") && !re(r"\Qa.b\E").matches("axb"));
        assert!(re("a{").matches("a{"));
        assert!(re("a{,2}").matches("a{,2}"));
        assert!(!re(r"\d").matches("٣"));
        assert!(re(r"\d").matches("3"));
        assert!(!re(r"\w").matches("é"));
        assert!(re("[[a]").matches("["));
        assert!(re("[a&&b]").matches("&"));
        assert!(re("(?i)abc").matches("ABC"));
        assert!(Matcher::new(MatchOp::Regex, "l", "a(").is_err());
        assert!(Matcher::new(MatchOp::Regex, "l", "a**").is_err());
        assert!(Matcher::new(MatchOp::Regex, "l", "x{1001}").is_err());
    }

    #[test]
    fn negation_turns_the_answer() {
        let not = Matcher::new(MatchOp::NotRegex, "l", "a|b").unwrap();
        assert!(not.matches("c") && !not.matches("a") && not.matches_empty());
        assert_eq!(not.literal_values(), None);
    }
}
