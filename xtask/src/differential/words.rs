//! Names of the language, to choose from.

pub(super) const RANGE_FUNCTIONS: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "deriv",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
];
pub(super) const EXPERIMENTAL_RANGE_FUNCTIONS: &[&str] = &[
    "mad_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_last_over_time",
    "ts_of_first_over_time",
];
pub(super) const VECTOR_FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "timestamp",
    "sort",
    "sort_desc",
    "absent",
    "day_of_week",
    "hour",
    "minute",
    "month",
    "year",
    "days_in_month",
    "day_of_month",
    "day_of_year",
    "round",
];
pub(super) const HISTOGRAM_FUNCTIONS: &[&str] =
    &["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];
pub(super) const LABELS: &[&str] = &["job", "instance", "code", "le", "kind", "zone"];
pub(super) const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
pub(super) const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
pub(super) const SETS: &[&str] = &["and", "or", "unless"];
