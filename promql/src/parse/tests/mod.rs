//! Tests of the parser: tables of queries with what becomes of them, and properties over mangled ones.

mod accepted;
mod laid_out;
mod mangled;
mod printed;
mod properties;
mod refused;
mod series;

use super::*;
use crate::ast::{AtModifier, DurationArg, DurationKind};

/// What the tables of refused and accepted queries were made for: fills are off.
fn table_options() -> ParseOptions {
    ParseOptions { binop_fill_modifiers: false, ..ParseOptions::all() }
}

fn all(query: &str) -> Expr {
    parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}: {e}"))
}

fn refusal(query: &str, options: &ParseOptions) -> String {
    parse(query, options).expect_err(query).to_string()
}

#[test]
fn faults_have_prometheus_places_and_words() {
    let mut wrong = Vec::new();
    for (query, faults) in refused::REFUSED {
        let wanted: Vec<_> = faults.iter().map(|(s, e, m)| (*s, *e, (*m).to_owned())).collect();
        let found: Vec<_> = match parse(query, &table_options()) {
            Ok(expr) => vec![(0, 0, format!("accepted as {expr}"))],
            Err(e) => e.errors().iter().map(|e| (e.pos.start, e.pos.end, e.message.clone())).collect(),
        };
        if found != wanted {
            wrong.push(format!("{query}\n  wanted {wanted:?}\n  found  {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), refused::REFUSED.len(), wrong.join("\n"));
}

#[test]
fn mangled_queries_have_prometheus_first_fault() {
    let wrong: Vec<String> = mangled::MANGLED
        .iter()
        .map(|(query, message)| (query, *message, refusal(query, &ParseOptions::all())))
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(query, wanted, found)| format!("{query}\n  wanted {wanted}\n  found  {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_queries_are_accepted() {
    let wrong: Vec<String> = accepted::ACCEPTED
        .iter()
        .filter_map(|q| parse(q, &table_options()).err().map(|e| format!("{q}: {e}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn printing_is_prometheus_printing() {
    let options = ParseOptions { experimental_functions: false, ..ParseOptions::all() };
    for (query, shown) in printed::PRINTED {
        let expr = parse(query, &options).unwrap_or_else(|e| panic!("{query}: {e}"));
        assert_eq!(expr.to_string(), *shown, "{query}");
    }
}

#[test]
fn layout_is_prometheus_layout() {
    for (query, shown) in laid_out::LAID_OUT {
        assert_eq!(all(query).prettify_within(10), *shown, "{query}");
    }
}

#[test]
fn messages_name_line_and_column() {
    let options = ParseOptions::default();
    assert_eq!(
        refusal("sum(\n  rate(x[5m]) !)", &options),
        "2:15: parse error: unexpected character after '!': ')'"
    );
    assert_eq!(refusal("", &options), "unknown position: parse error: no expression found in input");
    assert_eq!(refusal("# only words", &options), "1:1: parse error: no expression found in input");
    assert_eq!(
        refusal("foo @ 9223372036854775808", &options),
        "1:1: parse error: timestamp out of bounds for @ modifier: 9223372036854775808.000000"
    );
}

#[test]
fn experiments_are_gated() {
    let options = ParseOptions::default();
    for (query, message) in [
        (
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("mad_over_time(x[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        ("x anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("x[5m] smoothed", "1:1: parse error: smoothed modifier is experimental and not enabled"),
        ("x + fill(0) y", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(refusal(query, &options), message, "{query}");
        all(query);
    }
    // Words of experiments stay names.
    for query in [
        "anchored",
        "smoothed{a=\"b\"}",
        "fill + fill_left",
        "step",
        "range{}",
        "min_of",
        "sum by (fill) (x)",
    ] {
        parse(query, &options).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
}

#[test]
fn positions_and_parts_are_right() {
    let Expr::Call(call) = all("rate(x{a=\"b\"}[5m] offset 1h @ end())") else { panic!() };
    assert_eq!(call.pos, PosRange::new(0, 36));
    let [Expr::MatrixSelector(m)] = &call.args[..] else { panic!() };
    assert_eq!(m.pos, PosRange::new(5, 35));
    assert_eq!(m.range, DurationArg::literal(300_000));
    assert_eq!(m.selector.pos, PosRange::new(5, 13));
    assert_eq!(m.selector.offset, DurationArg::literal(3_600_000));
    assert_eq!(m.selector.at, Some(AtModifier::End));
    assert_eq!(m.selector.matchers.len(), 2);

    let Expr::Aggregate(a) = all("sum by (a, \"b c\") (x)") else { panic!() };
    assert_eq!(a.grouping, ["a", "b c"]);
    let Expr::Binary(b) = all("x and y") else { panic!() };
    assert_eq!(b.matching.map(|m| m.card), Some(crate::ast::Cardinality::ManyToMany));
    let Expr::Binary(b) = all("x * 2") else { panic!() };
    assert_eq!(b.matching, None);
    let Expr::Number(n) = all("-1h30m") else { panic!() };
    assert_eq!((n.value, n.as_duration, n.pos), (-5400.0, true, PosRange::new(0, 6)));
}

#[test]
fn precedence_is_prometheus_precedence() {
    for (query, shape) in [
        ("-a ^ 2", "-(a ^ 2)"),
        ("-a * b", "(-a) * b"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a - b - c", "(a - b) - c"),
        ("a or b and c unless d", "a or ((b and c) unless d)"),
        ("a + b > c * d atan2 e", "(a + b) > ((c * d) atan2 e)"),
        ("2 ^ -3 * 4", "(2 ^ -3) * 4"),
        ("a offset 5m + 3", "(a offset 5m) + 3"),
        ("a offset -2 ^ 2", "(a offset -2) ^ 2"),
        ("a offset -(2) ^ 2", "(a offset -(2)) ^ 2"),
        ("a offset (2) ^ 2", "a offset ((2) ^ 2)"),
        ("a </ b + c", "a </ (b + c)"),
    ] {
        let plain = all(query);
        let explicit = all(shape);
        assert_eq!(outline(&plain), outline(&explicit), "{query}");
    }
}

/// The tree without positions and parentheses.
fn outline(expr: &Expr) -> String {
    match expr {
        Expr::Paren(p) => outline(&p.expr),
        Expr::Binary(b) => format!("[{} {} {}]", outline(&b.lhs), b.op.as_str(), outline(&b.rhs)),
        Expr::Unary(u) => format!("[{}{}]", u.op.as_str(), outline(&u.expr)),
        Expr::VectorSelector(v) => match v.offset.expr.as_deref().map(|e| &e.kind) {
            Some(DurationKind::Binary { op, .. }) => format!("{}@{}", v.name, op.as_str()),
            _ => v.to_string(),
        },
        other => other.to_string(),
    }
}

#[test]
fn metrics_and_selectors_parse_alone() {
    let options = ParseOptions::default();
    assert_eq!(parse_metric("x{b=\"1\",a='2'}", &options).unwrap().to_string(), "x{a=\"2\", b=\"1\"}");
    assert_eq!(parse_metric("{\"a.b\", c=\"d\"}", &options).unwrap().get("__name__"), Some("a.b"));
    assert_eq!(parse_metric("x", &options).unwrap().len(), 1);
    assert_eq!(
        parse_metric("x{a}", &options).unwrap_err().to_string(),
        "1:4: parse error: unexpected \"}\" in label set, expected \"=\""
    );
    assert_eq!(parse_metric_selector("up{job=~\"a|b\"}", &options).unwrap().len(), 2);
    assert_eq!(parse_metric_selector("{}", &options).unwrap().len(), 0);
    assert_eq!(
        parse_metric_selector("up offset 5m", &options).unwrap_err().to_string(),
        "1:4: parse error: unexpected <offset>"
    );
}

#[test]
fn depth_and_size_are_bounded() {
    let options = ParseOptions::all();
    let deep = |n: usize| format!("{}x{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(300), &options).is_ok());
    for bomb in [
        deep(100_000),
        "-".repeat(100_000) + "x",
        "sum(".repeat(50_000),
        vec!["a"; 50_000].join("+"),
        vec!["a"; 50_000].join("^"),
        format!("x{}", "[5m:1m]".repeat(50_000)),
        format!("x[{}1{}]", "(".repeat(50_000), ")".repeat(50_000)),
        format!("x[{}]", vec!["1"; 50_000].join("+")),
        format!("x offset {}1", "-".repeat(50_000)),
    ] {
        let message = refusal(&bomb, &options);
        assert!(message.contains("nested more than 400 levels"), "{message}");
    }
    let long = ParseOptions { max_bytes: 10, ..options };
    assert_eq!(
        refusal("sum(rate(x[5m]))", &long),
        "1:1: parse error: input is 16 bytes long, more than the 10 allowed"
    );
}

/// Every `eval` of Prometheus's own scripts parses, those that are expected to fail when run included.
#[test]
fn every_query_of_the_scripts_parses() {
    let Some(dir) = std::env::var_os("PROMQLTEST_DIR") else {
        println!("PROMQLTEST_DIR is not set: skipped");
        return;
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&dir).expect("PROMQLTEST_DIR is a folder") {
        let path = entry.expect("readable folder").path();
        if path.extension().is_none_or(|e| e != "test") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable script");
        for (number, line) in text.lines().enumerate() {
            let Some(query) = eval_query(line.trim()) else { continue };
            seen += 1;
            if let Err(e) = parse(query, &ParseOptions::all()) {
                wrong.push(format!("{}:{}: {query}: {e}", path.display(), number + 1));
            }
        }
    }
    println!("{} of {seen} queries parse", seen - wrong.len());
    assert!(seen > 2_000 && wrong.is_empty(), "{} of {seen} refused:\n{}", wrong.len(), wrong.join("\n"));
}

/// The query of an `eval` line.
fn eval_query(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("eval")?;
    let (_, rest) = rest.split_once(char::is_whitespace)?;
    let mut words = 0;
    let skip = match rest.split_whitespace().next()? {
        "instant" => 3,
        "range" => 7,
        _ => return None,
    };
    let mut at = rest.trim_start();
    while words < skip {
        at = at.split_once(char::is_whitespace)?.1.trim_start();
        words += 1;
    }
    Some(at)
}
