//! An instant query pinned with `@`: its value must not depend on when it is evaluated.

use crate::ast::{AtModifier, Expr};
use crate::parse::{ParseOptions, parse};

/// Functions whose value depends on the evaluation's time even when their arguments do not.
const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// The query with every selector pinned to `time`, and other times to evaluate it at. Empty when the query may depend
/// on the evaluation's time, or does not parse.
pub(super) fn at_variants(query: &str, time: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query, &ParseOptions::all()) else { return Vec::new() };
    if pin(&mut expr, time) {
        return Vec::new();
    }
    let pinned = expr.to_string();
    let times = if time == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![time.saturating_mul(-10), 0, time / 5, time, time.saturating_mul(10)]
    };
    times.into_iter().map(|at| (pinned.clone(), at)).collect()
}

/// Pins what is not pinned; nothing below a pinned subquery. Answers whether something depends on time.
fn pin(expr: &mut Expr, time: i64) -> bool {
    let set = |at: &mut Option<AtModifier>| {
        if !matches!(at, Some(AtModifier::Timestamp(_))) {
            *at = Some(AtModifier::Timestamp(time));
        }
    };
    match expr {
        Expr::VectorSelector(v) => set(&mut v.at),
        Expr::MatrixSelector(m) => set(&mut m.selector.at),
        Expr::Subquery(s) => {
            set(&mut s.at);
            return false;
        }
        Expr::Call(c) if TIME_DEPENDENT.contains(&c.function.name) => return true,
        _ => {}
    }
    expr.children_mut().into_iter().any(|child| pin(child, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_pinned_unless_time_matters() {
        let variants = at_variants("rate(x[1m]) + y @ 5 + z @ end()", 50_000);
        assert_eq!(variants[0].0, "rate(x[1m] @ 50.000) + y @ 5.000 + z @ 50.000");
        assert_eq!(variants.iter().map(|v| v.1).collect::<Vec<_>>(), [-500_000, 0, 10_000, 50_000, 500_000]);
        assert!(at_variants("x + time()", 1000).is_empty());
        assert_eq!(
            at_variants("sum_over_time((x + time())[5m:1m])", 0)[0].0,
            "sum_over_time((x + time())[5m:1m] @ 0.000)"
        );
    }
}
