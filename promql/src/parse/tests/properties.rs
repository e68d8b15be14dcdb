//! Mangled input: never a panic; what parses prints to something that parses to the same print.

use proptest::prelude::*;

use super::accepted::ACCEPTED;
use super::printed::PRINTED;
use super::*;

fn seeds() -> Vec<&'static str> {
    ACCEPTED.iter().copied().chain(PRINTED.iter().map(|(q, _)| *q)).collect()
}

fn mangled() -> impl Strategy<Value = String> {
    let at = any::<prop::sample::Index>;
    let piece = prop::sample::select(vec![
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "=",
        "=~",
        "!=",
        "\"",
        "'",
        "`",
        "\\",
        "@",
        "offset ",
        "5m",
        "1e",
        "0x",
        "_",
        "-",
        "+",
        "^",
        "</",
        " by ",
        " on ",
        "(a)",
        "bool ",
        "step()",
        "min_of(",
        " group_left ",
        "#",
        "\n",
        "é",
        "\u{fffd}",
        "inf",
        "start()",
        "fill(",
        " anchored",
        ".",
        "sum",
        "rate",
    ]);
    (prop::sample::select(seeds()), prop::collection::vec((at(), at(), piece, 0..3u8), 1..6)).prop_map(
        |(seed, edits)| {
            let mut chars: Vec<char> = seed.chars().collect();
            for (a, b, piece, how) in edits {
                let (i, j) = (a.index(chars.len() + 1), b.index(chars.len() + 1));
                let (from, to) = (i.min(j), i.max(j).min(i.min(j) + 6));
                match how {
                    0 => drop(chars.drain(from..to)),
                    1 => drop(chars.splice(from..from, piece.chars())),
                    _ => drop(chars.splice(from..to, piece.chars())),
                }
            }
            chars.into_iter().collect()
        },
    )
}

fn check(query: &str) -> Result<(), TestCaseError> {
    for options in [ParseOptions::all(), ParseOptions::default()] {
        match parse(query, &options) {
            // What an experiment is printed as may need it to be read: all are on then.
            Ok(expr) => fixed_point(&expr, &ParseOptions::all())?,
            Err(e) => {
                prop_assert!(!e.errors().is_empty());
                prop_assert!(e.to_string().contains(": parse error: "));
            }
        }
    }
    Ok(())
}

fn fixed_point(expr: &Expr, options: &ParseOptions) -> Result<(), TestCaseError> {
    let shown = expr.to_string();
    let again = parse(&shown, options);
    prop_assert!(again.is_ok(), "{shown}: {}", again.unwrap_err());
    prop_assert_eq!(again.unwrap().to_string(), shown);
    Ok(())
}

#[test]
fn printing_reads_back() {
    let options = ParseOptions::all();
    for seed in seeds() {
        fixed_point(&all(seed), &options).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let laid_out = all(seed).prettify_within(10);
        assert_eq!(all(&laid_out).to_string(), all(seed).to_string(), "{seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mangled_queries_never_panic(query in mangled()) {
        check(&query)?;
        fuzz_parse(query.as_bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        fuzz_parse(&bytes);
    }

    #[test]
    fn random_text_never_panics(text in "[a-z0-9(){}\\[\\]=~!\"'`@:,._+*/%^<>x \n\\\\#-]{0,60}") {
        check(&text)?;
    }
}
