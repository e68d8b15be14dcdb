//! Against what Go says: `testdata/go_regex.tsv` was written by Go's own `regexp` (see `table`).

use proptest::prelude::*;

use super::*;
use crate::matcher::{MatchOp, Matcher, MatcherError};

/// A pattern, texts, and what Go makes of them: an error, or for each text whether it matches.
#[derive(Debug, Default)]
struct Row {
    pattern: String,
    texts: Vec<String>,
    error: Option<String>,
    matches: String,
}

/// Reads the table: lines of `error`, pattern, Go's error, or of `match`, pattern, a digit for each text, the texts;
/// tabs between. Control characters in them are written as `\u{…}`.
fn table() -> Vec<Row> {
    let path = std::env::var("GO_REGEX_TABLE")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/go_regex.tsv").to_owned());
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("# ")).map(row).collect()
}

fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u{") {
        let (code, tail) = after.split_once('}').unwrap();
        out.push_str(before);
        out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        rest = tail;
    }
    out + rest
}

fn row(line: &str) -> Row {
    let mut cells = line.split('\t').map(plain);
    let kind = cells.next().unwrap();
    let pattern = cells.next().unwrap();
    match kind.as_str() {
        "error" => Row { pattern, error: Some(cells.next().unwrap()), ..Row::default() },
        "match" => Row { pattern, matches: cells.next().unwrap(), texts: cells.collect(), ..Row::default() },
        other => panic!("{other}"),
    }
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    let mut wrong = Vec::new();
    let rows = table();
    assert!(rows.len() > 1000);
    for row in &rows {
        let ours = match Matcher::new(MatchOp::Regex, "l", &row.pattern) {
            Err(MatcherError::Regex(text)) => Err(text),
            Ok(matcher) => Ok(row
                .texts
                .iter()
                .map(|text| if matcher.matches(text) { '1' } else { '0' })
                .collect::<String>()),
        };
        let wanted = match &row.error {
            Some(error) => Err(error.clone()),
            None => Ok(row.matches.clone()),
        };
        if ours != wanted {
            wrong.push(format!("{:?} over {:?}: {ours:?}, Go: {wanted:?}", row.pattern, row.texts));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn sizes_and_depths_are_bounded() {
    let error = |pattern: &str| compile(pattern).err().unwrap_or_default();
    let deep = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    assert_eq!(error(&deep), format!("expression nests too deeply: `{deep}`"));
    let deep = format!("{}a{}", "(?:".repeat(200_000), ")".repeat(200_000));
    assert!(error(&deep).starts_with("expression nests too deeply"));
    let large = format!("({}){{1000}}", "[^a]b".repeat(200));
    assert_eq!(error(&large), format!("expression too large: `{large}`"));
    assert_eq!(error("((a{100}){100}){100}"), "invalid repeat count: `{100}`");
    assert_eq!(error("x{1001}"), "invalid repeat count: `{1001}`");
    assert!(compile(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_ok());
}

/// A pattern of literals with gaps, and the same as an automaton.
fn both(pattern: &str) -> (Matcher, meta::Regex) {
    let hir = parse::Parser::new(pattern, false).run().unwrap().hir;
    (Matcher::new(MatchOp::Regex, "l", pattern).unwrap(), build(hir, pattern).unwrap())
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(pattern in "[\\x00-\\x7fäſK]{0,24}", text in "[a-c\\n]{0,4}") {
        if let Ok(matcher) = Matcher::new(MatchOp::Regex, "l", &pattern) {
            let _ = matcher.matches(&text);
        }
        let _ = compile_with_captures(&pattern);
    }

    #[test]
    fn a_quoted_text_matches_itself_alone(text in ".{0,12}", other in ".{0,12}") {
        for pattern in [regex_syntax::escape(&text), format!("\\Q{}\\E", text.replace('\\', "/"))] {
            let matcher = Matcher::new(MatchOp::Regex, "l", &pattern).unwrap();
            let text = if pattern.starts_with("\\Q") { text.replace('\\', "/") } else { text.clone() };
            prop_assert!(matcher.matches(&text));
            prop_assert_eq!(matcher.matches(&other), other == text);
            prop_assert_eq!(matcher.literal_values(), Some(vec![text.as_str()]));
        }
    }

    #[test]
    fn shapes_match_as_their_automata_do(
        pattern in "(\\(\\?i\\))?(a|ab|ba|ä|\\.\\*|\\.\\+|\\.\\*\\?|\\(a\\|b\\)|\\(a\\.\\*\\|b\\)|b\\?|\\||\\^|\\$|\\[abc\\]){0,7}",
        texts in proptest::collection::vec("[abcABäÄ\\n]{0,8}", 8),
    ) {
        let (matcher, automaton) = both(&pattern);
        for text in &texts {
            prop_assert_eq!(matcher.matches(text), automaton.is_match(text), "{} over {:?}", &pattern, text);
            if matcher.matches(text) {
                prop_assert!(text.starts_with(matcher.literal_prefix()));
                prop_assert!(matcher.literal_values().is_none_or(|values| values.contains(&text.as_str())));
            }
        }
    }
}
