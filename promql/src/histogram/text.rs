//! A histogram as `count_values` shows it.

use std::fmt::Write;

use model::FloatHistogram;

use super::buckets::{Bounded, negative, positive};
use super::is_custom;
use crate::go_format::format_g;

fn bucket(out: &mut String, b: &Bounded, lower_inclusive: bool, upper_inclusive: bool) {
    let open = if lower_inclusive { '[' } else { '(' };
    let close = if upper_inclusive { ']' } else { ')' };
    // writing to a string does not fail
    let _infallible =
        write!(out, ", {open}{},{}{close}:{}", format_g(b.lower), format_g(b.upper), format_g(b.count));
}

/// `{count:…, sum:…, (lower,upper]:count, …}`, empty buckets left out.
pub fn to_text(h: &FloatHistogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_g(h.count), format_g(h.sum));
    for b in negative(h).iter().rev().filter(|b| b.count != 0.0) {
        bucket(&mut out, b, true, false);
    }
    if h.zero_count != 0.0 {
        let zero = Bounded { lower: -h.zero_threshold, upper: h.zero_threshold, count: h.zero_count };
        bucket(&mut out, &zero, true, true);
    }
    for b in positive(h).iter().filter(|b| b.count != 0.0) {
        let first_custom = is_custom(h) && b.lower == f64::NEG_INFINITY;
        bucket(&mut out, b, first_custom, true);
    }
    out.push('}');
    out
}
