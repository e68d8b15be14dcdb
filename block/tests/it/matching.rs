//! Selection by matchers finds what testing every series would.

use model::{Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use runtime::Runtime;

use crate::common::{START, Series, everything, put, reader, simulated_bucket, spec};

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "ab", "abc", "abd", "b", "ba", "c", "ä"])
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let literal = (any::<bool>(), text())
        .prop_map(|(is_equal, value)| (if is_equal { MatchOp::Equal } else { MatchOp::NotEqual }, value));
    let patterns = vec![
        "",
        ".*",
        ".+",
        "a",
        "a|b",
        "|a",
        "a|abc|nope",
        "a.*",
        "ab.*",
        ".*b",
        "a.+",
        "ab[cd]",
        "(a|b).*",
        "ä.*",
        "[bc]",
        "a?",
        "(?i)AB",
        "z.*",
    ];
    let pattern = (any::<bool>(), prop::sample::select(patterns))
        .prop_map(|(is_equal, value)| (if is_equal { MatchOp::Regex } else { MatchOp::NotRegex }, value));
    let name = prop::sample::select(vec!["__name__", "x", "y", "absent"]);
    (name, prop_oneof![literal, pattern])
        .prop_map(|(name, (op, value))| Matcher::new(op, name, value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_selected_is_what_passes(
        mut series in proptest::collection::vec((text(), text(), text()), 1..20),
        sets in proptest::collection::vec(proptest::collection::vec(matcher(), 1..4), 1..12),
    ) {
        series.sort_unstable();
        series.dedup();
        let written: Vec<Series> = series
            .iter()
            .filter(|(name, x, y)| !(name.is_empty() && x.is_empty() && y.is_empty()))
            .map(|(name, x, y)| {
                let pairs = [("__name__", *name), ("x", *x), ("y", *y)];
                let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
                Series::new(&pairs, vec![START], vec![1.0])
            })
            .collect();
        prop_assume!(!written.is_empty());
        let runtime = Runtime::simulated(1);
        runtime.block_on(async {
            let bucket = simulated_bucket(&runtime);
            let meta = put(&bucket, spec(1), written).await;
            let reader = reader(&runtime, &bucket, &meta);
            let labels_of = async |matchers: &[Matcher]| -> Vec<Labels> {
                let found = reader.select(matchers, TimeRange::all()).await.unwrap();
                let which: Vec<usize> = (0..found.rows().len()).collect();
                found.labels(&which, None).unwrap()
            };
            let all = labels_of(&everything()).await;
            // again and again: columns that are asked for often are looked up in another way
            for _ in 0..3 {
                for matchers in &sets {
                    let passing: Vec<Labels> =
                        all.iter().filter(|labels| Matcher::all_match(matchers, labels)).cloned().collect();
                    assert_eq!(labels_of(matchers).await, passing, "{matchers:?}");
                }
            }
        });
    }
}
