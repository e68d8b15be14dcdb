//! A question asked of values that are a little off, and of series in another order.
//!
//! Two servers may add in another order, or round the last digit otherwise. What compares, counts or rounds such values
//! makes much of it: `changes(avg_over_time(…))`, `% deriv(…)`, `topk` of equals. How much, the peer itself says: each
//! part of the query that rounds is multiplied by something so near to 1 that only last digits change, another in
//! each variant, step and part (but equal parts alike); each part whose order of series matters gets some of its series first.

use std::collections::HashMap;

use promql::ast::{Aggregate, AggregateOp, Expr, ValueType};
use promql::parse::{ParseOptions, parse};

use super::random::Random;

/// Of a single operation, or of a time: up to the last digit.
const DIGIT: f64 = 3e-16;
/// Of sums of up to some hundred values.
const SUM: f64 = 2e-15;
/// Of what is a difference of sums.
const DIFFERENCE: f64 = 1e-12;
/// What is left of sums that cancel out.
const LEFTOVER: f64 = 1e-15;
/// Longer variants are not made longer.
const LONGEST: usize = 20_000;

/// A variant of the query; `None` when it does not parse, or has nothing to disturb. With `reorder`, series are
/// put into another order too.
pub(super) fn disturbed(query: &str, reorder: bool, random: &mut Random) -> Option<String> {
    let mut expr = parse(query, &ParseOptions::all()).ok()?;
    let before = expr.to_string();
    let mut variant = Variant { random, reorder, waves: HashMap::new() };
    variant.visit(&mut expr);
    Some(expr.to_string()).filter(|after| *after != before)
}

/// Whether two sides of an operation are the same text: each chooses by itself where the peer chooses by chance.
pub(super) fn has_equal_sides(query: &str) -> bool {
    fn within(expr: &Expr) -> bool {
        match expr {
            Expr::Subquery(subquery) => within(&subquery.expr),
            Expr::Unary(unary) => within(&unary.expr),
            Expr::Paren(paren) => within(&paren.expr),
            Expr::Call(call) => call.args.iter().any(within),
            Expr::Aggregate(aggregate) => {
                within(&aggregate.expr) || aggregate.param.as_ref().is_some_and(within)
            }
            Expr::Binary(binary) => {
                within(&binary.lhs)
                    || within(&binary.rhs)
                    || binary.lhs.unparen().to_string() == binary.rhs.unparen().to_string()
            }
            _ => false,
        }
    }
    parse(query, &ParseOptions::all()).is_ok_and(|expr| within(&expr))
}

struct Variant<'a> {
    random: &'a mut Random,
    reorder: bool,
    /// Speed and phase by what was disturbed: equal parts stay equal.
    waves: HashMap<String, [f64; 4]>,
}

impl Variant<'_> {
    /// Inner parts first.
    fn visit(&mut self, expr: &mut Expr) {
        let written = expr.to_string();
        match expr {
            Expr::Subquery(subquery) => self.visit(&mut subquery.expr),
            Expr::Unary(unary) => self.visit(&mut unary.expr),
            Expr::Paren(paren) => self.visit(&mut paren.expr),
            Expr::Binary(binary) => {
                for side in [&mut binary.lhs, &mut binary.rhs] {
                    self.visit(side);
                    self.shuffle(side);
                }
            }
            Expr::Aggregate(aggregate) => {
                self.visit(&mut aggregate.expr);
                if let Some(param) = &mut aggregate.param {
                    self.visit(param);
                }
                self.inputs(aggregate);
            }
            Expr::Call(call) => call.args.iter_mut().for_each(|arg| self.visit(arg)),
            _ => {}
        }
        let trend = trend(expr);
        if let Some((factor, summand)) = rounding(expr) {
            self.scale(expr, &written, factor, summand);
        }
        if let Some((samples, factor)) = trend {
            let (speed, phase) = (self.random.unit() * 7.0 + 0.1, self.random.unit() * 7.0);
            let size = format!("(abs(max_over_time({samples})) + abs(min_over_time({samples})))");
            replace(expr, &format!("({expr} + {size} * {})", wave(factor, speed, phase)));
        }
    }

    /// What an aggregation is given.
    fn inputs(&mut self, aggregate: &mut Aggregate) {
        let is_variance = matches!(aggregate.op, AggregateOp::Stddev | AggregateOp::Stdvar);
        if is_variance && matches!(aggregate.expr.unparen(), Expr::VectorSelector(_)) {
            let written = aggregate.expr.to_string();
            self.scale(&mut aggregate.expr, &written, DIGIT, 0.0);
        }
        self.shuffle(&mut aggregate.expr);
    }

    /// `expr * (1 ± factor) ± summand`, both changing with time.
    fn scale(&mut self, expr: &mut Expr, written: &str, factor: f64, summand: f64) {
        let random = &mut *self.random;
        let waves = self.waves.entry(written.to_owned());
        let waves = *waves.or_insert_with(|| std::array::from_fn(|_| random.unit() * 7.0 + 0.1));
        let mut text = format!("(({expr}) * (1 + {})", wave(factor, waves[0], waves[1]));
        if summand > 0.0 {
            text += &format!(" + {}", wave(summand, waves[2], waves[3]));
        }
        text.push(')');
        replace(expr, &text);
    }

    /// Some of its series first.
    fn shuffle(&mut self, expr: &mut Expr) {
        // every name that a series of the data, or of an answer, may have
        const NAMES: &str = "__name__, job, instance, code, le, kind, zone, version, pod, note, q, v, x";
        if !self.reorder || expr.value_type() != ValueType::Vector || self.random.chance(0.4) {
            return;
        }
        let share = self.random.unit() * 1.8 - 0.9;
        replace(expr, &format!("(limit_ratio({share}, {expr}) or on ({NAMES}, \"city.name\") ({expr}))"));
    }
}

/// Between `-size` and `size`, changing with time.
fn wave(size: f64, speed: f64, phase: f64) -> String {
    format!("{size:e} * scalar(sin(vector((time() % 86400) * {speed} + {phase})))")
}

/// The samples of a trend, and how far off it may be relative to their size: a line is led far beyond its samples.
fn trend(expr: &Expr) -> Option<(String, f64)> {
    let Expr::Call(call) = expr else { return None };
    let factor = match call.function.name {
        "deriv" => 1e-15,
        "predict_linear" => 1e-11,
        _ => return None,
    };
    call.args.first().map(|samples| (samples.to_string(), factor))
}

fn replace(expr: &mut Expr, text: &str) {
    if text.len() < LONGEST
        && let Ok(new) = parse(text, &ParseOptions::all())
    {
        *expr = new;
    }
}

/// How far off the values of a part may be: relative, absolute.
fn rounding(expr: &Expr) -> Option<(f64, f64)> {
    match expr {
        Expr::Binary(binary) => {
            let is_exact = binary.op.is_comparison() || binary.op.is_set();
            (!is_exact).then_some((DIGIT, 0.0))
        }
        Expr::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Sum | AggregateOp::Avg => Some((SUM, 0.0)),
            AggregateOp::Stddev | AggregateOp::Stdvar => Some((DIFFERENCE, LEFTOVER)),
            AggregateOp::Quantile => Some((DIGIT, 0.0)),
            _ => None,
        },
        Expr::Call(call) => match call.function.name {
            "deriv"
            | "predict_linear"
            | "stddev_over_time"
            | "stdvar_over_time"
            | "double_exponential_smoothing" => Some((DIFFERENCE, LEFTOVER)),
            "sum_over_time" | "avg_over_time" | "rate" | "increase" | "delta" => Some((SUM, 0.0)),
            "exp" | "ln" | "log2" | "log10" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "sinh"
            | "cosh" | "tanh" | "asinh" | "acosh" | "atanh" => Some((SUM, 0.0)),
            "time"
            | "timestamp"
            | "ts_of_min_over_time"
            | "ts_of_max_over_time"
            | "ts_of_first_over_time"
            | "ts_of_last_over_time" => Some((DIGIT, 0.0)),
            name if name.starts_with("histogram_") => Some((SUM, 0.0)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(query: &str, reorder: bool) -> Option<String> {
        disturbed(query, reorder, &mut Random::new(1, 1))
    }

    #[test]
    fn what_rounds_is_disturbed() {
        let text = variant("changes(avg_over_time(x[5m])[1h:])", false).expect("has a part that rounds");
        assert!(text.starts_with("changes(((avg_over_time(x[5m])) * (1 + 0.0000"), "{text}");
        assert!(text.ends_with("[1h:])"), "{text}");
        parse(&text, &ParseOptions::all()).expect("is a query");
        assert_eq!(variant("max(x) by (job)", false), None);
        assert_eq!(variant("rate(", false), None);
    }

    #[test]
    fn equal_parts_stay_equal() {
        let text = variant("sum(x) == sum(x)", false).expect("has parts that round");
        let (left, right) = text.split_once(" == ").expect("two sides");
        assert_eq!(left, right);
        assert!(has_equal_sides("sum(x) + abs(sum(x) == (sum (x)))") && !has_equal_sides("x == (x > 1)"));
    }

    #[test]
    fn series_get_another_order() {
        let mut random = Random::new(1, 2);
        let texts: Vec<_> = (0..20).filter_map(|_| disturbed("topk(1, x == 1)", true, &mut random)).collect();
        assert!(texts.len() > 5 && texts.iter().all(|text| text.contains("limit_ratio(")), "{texts:?}");
    }
}
