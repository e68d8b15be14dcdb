//! Random queries of the language, well typed, over the series of the data.
//!
//! A rule of the grammar gives text of one type; `depth` bounds how far it nests.

use super::data::{END, START};
use super::random::Random;
use super::words::{
    ARITHMETIC, COMPARISONS, EXPERIMENTAL_RANGE_FUNCTIONS, HISTOGRAM_FUNCTIONS, LABELS, NUMBERS,
    RANGE_FUNCTIONS, SETS, VECTOR_FUNCTIONS,
};

/// What of the language the peer knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dialect {
    /// Today's Prometheus: all of 3.x that is on by default.
    pub(super) modern: bool,
    /// `promql-experimental-functions`
    pub(super) experimental: bool,
    /// Arithmetic with durations.
    pub(super) durations: bool,
    /// `promql-extended-range-selectors`
    pub(super) extended: bool,
    /// `promql-binop-fill-modifiers`
    pub(super) fill: bool,
}

/// Writes one query.
pub(super) struct Grammar<'a> {
    random: &'a mut Random,
    dialect: Dialect,
    /// Selectors without `@` and offset.
    plain: bool,
}

impl<'a> Grammar<'a> {
    /// A grammar that takes its choices from there.
    pub(super) fn new(random: &'a mut Random, dialect: Dialect) -> Self {
        Grammar { random, dialect, plain: false }
    }

    /// Its choices.
    pub(super) fn random(&mut self) -> &mut Random {
        self.random
    }

    /// A whole query of any type that a range query takes.
    pub(super) fn query(&mut self) -> String {
        let depth = self.random.below(4) + 1;
        if self.random.chance(0.03) { self.scalar(depth) } else { self.vector(depth) }
    }

    /// A query that only an instant query takes: a range vector or a string.
    pub(super) fn instant_only(&mut self) -> String {
        if self.random.chance(0.2) {
            self.random.pick(&["\"text\"", "'a\\nb'", "`raw \\n`"]).to_owned()
        } else {
            self.matrix(1)
        }
    }

    fn labels(&mut self, most: u64) -> String {
        let n = usize::try_from(self.random.below(most + 1)).unwrap_or(0);
        let mut names = self.random.some(LABELS, n);
        if self.random.chance(0.05) {
            names.push("__name__");
        }
        if self.dialect.modern && self.random.chance(0.03) {
            names.push("\"city.name\"");
        }
        names.join(self.random.pick(&[", ", ","]))
    }

    fn matchers(&mut self) -> String {
        const SOME: &[&str] = &[
            "",
            "",
            "",
            "",
            "{}",
            "{job=\"api\"}",
            "{job=~\"api|db\"}",
            "{job!=\"web\"}",
            "{instance=\"1\"}",
            "{job=\"api\",instance!=\"2\"}",
            "{job=~\"a.+\"}",
            "{job!~\"d.*\",}",
            "{nothing=\"\"}",
            "{nothing!=\"\"}",
            "{job=~\"\"}",
            "{instance=~\"[01]\"}",
            "{code=~\"4..|500\"}",
            "{job=~\".*b\"}",
            "{job=~\"(?i)API\"}",
        ];
        self.random.pick(SOME).to_owned()
    }

    fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.plain {
            return out;
        }
        if self.random.chance(0.12) {
            let offset = if self.dialect.durations && self.random.chance(0.2) {
                self.duration_expression()
            } else {
                self.random.pick(&["3m", "-2m", "1h", "37s", "5m", "-15s", "1ms", "0s", "1d"]).to_owned()
            };
            out += &format!(" offset {offset}");
        }
        if self.random.chance(0.08) {
            let fixed = START + self.random.between(0, END - START);
            let time = match self.random.below(4) {
                0 => "start()".to_owned(),
                1 => "end()".to_owned(),
                2 => format!("{fixed}.5"),
                _ => fixed.to_string(),
            };
            out = if self.random.chance(0.5) { format!(" @ {time}{out}") } else { format!("{out} @ {time}") };
        }
        out
    }

    fn duration_expression(&mut self) -> String {
        const SOME: &[&str] = &[
            "(1m + 30s)",
            "(2 * 45s)",
            "step()",
            "(step() * 2)",
            "(5m - 1m)",
            "(2m / 2)",
            "max_of(1m, step())",
            "min_of(5m, 90)",
            "(range() / 4)",
            "(-(-2m))",
            "(3m % 2m)",
            "(2 ^ 6)",
            "max_of(range(), 30s)",
        ];
        self.random.pick(SOME).to_owned()
    }

    fn metric(&mut self) -> String {
        const METRICS: &[&str] = &[
            "requests_total",
            "requests_total",
            "requests_total",
            "errors_total",
            "temperature",
            "temperature",
            "temperature",
            "queue_length",
            "queue_length",
            "up",
            "up",
            "latency_seconds_bucket",
            "latency_seconds_sum",
            "latency_seconds_count",
            "weight",
            "irregular",
            "pod_cpu",
            "target_info",
            "nothing_here",
        ];
        if self.dialect.modern && self.random.chance(0.22) {
            return "native".to_owned()
                + self.random.pick(&[
                    "",
                    "",
                    "{kind=\"exponential\"}",
                    "{kind=\"exponential\"}",
                    "{kind=\"custom\"}",
                    "{kind=\"mixed\"}",
                    "{kind=\"gauge\"}",
                    "{job=\"api\"}",
                    "{kind!=\"mixed\",instance=\"0\"}",
                    "{kind=~\"e.*\",job!=\"db\"}",
                ]);
        }
        if self.dialect.modern && self.random.chance(0.05) {
            const UTF8: &[&str] = &[
                "{\"weather.wind\"}",
                "{\"weather.wind\",\"city.name\"=~\"Z.*\"}",
                "{\"weather.wind\", \"city.name\"!=\"\"}",
                "{\"weather.wind\",note=~\"a.b\"}",
            ];
            return self.random.pick(UTF8).to_owned();
        }
        if self.random.chance(0.05) {
            const BY_NAME: &[&str] = &[
                "{__name__=~\"temperature|up\"}",
                "{__name__=~\"requests.*|weight\",job=\"api\"}",
                "{__name__=\"up\",job!=\"db\"}",
                "{__name__!=\"up\",instance=\"0\",job=\"db\",code=\"\"}",
                "{__name__=~\".*_length|errors_total\"}",
            ];
            return self.random.pick(BY_NAME).to_owned();
        }
        self.random.pick(METRICS).to_owned() + &self.matchers()
    }

    fn window(&mut self) -> String {
        if self.dialect.durations && self.random.chance(0.1) {
            return self.duration_expression();
        }
        if self.dialect.modern && self.random.chance(0.03) {
            return self.random.pick(&["120", "90.5", "0x40", "1e2"]).to_owned();
        }
        self.random
            .pick(&["1m", "2m", "5m", "15s", "90s", "10m", "1h", "30s", "1m30s", "7m", "1s", "1d"])
            .to_owned()
    }

    fn extension(&mut self, of_range: bool) -> &'static str {
        if !self.dialect.extended || !self.random.chance(if of_range { 0.12 } else { 0.04 }) {
            return "";
        }
        if of_range { self.random.pick(&[" anchored", " smoothed"]) } else { " smoothed" }
    }

    fn selector(&mut self) -> String {
        self.metric() + self.extension(false) + &self.modifiers()
    }

    fn matrix(&mut self, depth: u64) -> String {
        if depth > 0 && self.random.chance(0.2) {
            let (inner, window) = (self.vector(depth - 1), self.window());
            let step = self.random.pick(&["", "30s", "1m", "17s", "15s", "7m"]);
            // An older Prometheus counts a point at the beginning of the range in: none lies there at a quarter of a second.
            let modifiers = if self.dialect.modern { self.modifiers() } else { " offset 250ms".to_owned() };
            return format!("({inner})[{window}:{step}]{modifiers}");
        }
        let (metric, window) = (self.metric(), self.window());
        format!("{metric}[{window}]") + self.extension(true) + &self.modifiers()
    }

    /// A scalar.
    pub(super) fn scalar(&mut self, depth: u64) -> String {
        if depth > 0 && self.random.chance(0.15) {
            return match self.random.below(3) {
                0 => format!("scalar({})", self.vector(depth - 1)),
                1 => {
                    let (a, op, b) =
                        (self.scalar(depth - 1), self.random.pick(ARITHMETIC), self.scalar(depth - 1));
                    format!("({a} {op} {b})")
                }
                _ => {
                    let (a, op, b) =
                        (self.scalar(depth - 1), self.random.pick(COMPARISONS), self.scalar(depth - 1));
                    format!("({a} {op} bool {b})")
                }
            };
        }
        if self.dialect.modern && self.random.chance(0.05) {
            return self.random.pick(&["5m", "1_000", "1h30m", "2m3s"]).to_owned();
        }
        if self.dialect.experimental && self.random.chance(0.05) {
            return self
                .random
                .pick(&["start()", "end()", "step()", "range()", "max_of(1, time())", "min_of(3, 2)"])
                .to_owned();
        }
        self.random.pick(NUMBERS).to_owned()
    }

    /// An instant vector.
    pub(super) fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return self.selector();
        }
        match self.random.below(100) {
            0..8 => self.selector(),
            8..28 => self.over_range(depth),
            28..52 => self.aggregation(depth),
            52..72 => self.binary(depth),
            72..84 => {
                let histogram = self.dialect.modern && self.random.chance(0.25);
                let f = self.random.pick(if histogram { HISTOGRAM_FUNCTIONS } else { VECTOR_FUNCTIONS });
                let f =
                    if self.dialect.experimental && self.random.chance(0.02) { "start_timestamp" } else { f };
                // Of what is large and has been rounded, these show nothing but the rounding.
                let inner = match f {
                    "sin" | "cos" | "tan" => format!("clamp({}, -100, 100)", self.vector(depth - 1)),
                    "minute" | "hour" | "month" | "year" | "days_in_month" => self.selector(),
                    "round" | "ceil" | "floor" => self.exact(),
                    _ if f.starts_with("day_of") => self.selector(),
                    _ => self.vector(depth - 1),
                };
                format!("{f}({inner})")
            }
            _ => self.other(depth),
        }
    }

    fn over_range(&mut self, depth: u64) -> String {
        let range = self.matrix(depth);
        match self.random.below(100) {
            0..8 => {
                let q = self.random.pick(&["0.5", "0.9", "1.2", "-1", "NaN", "0", "1"]);
                return format!("quantile_over_time({q}, {range})");
            }
            8..14 => {
                // 3.14 loses a pinned subquery beside an argument that it evaluates at every step.
                let lost = range.starts_with('(') && range.contains(" @ ");
                let range = if lost { format!("{}[{}]", self.metric(), self.window()) } else { range };
                let ahead = self.random.pick(&["60", "600", "-30", "0"]);
                return format!("predict_linear({range}, {ahead})");
            }
            14..18 if self.dialect.experimental => {
                let (level, trend) = (self.random.pick(&["0.3", "0.9"]), self.random.pick(&["0.6", "0.1"]));
                return format!("double_exponential_smoothing({range}, {level}, {trend})");
            }
            18..21 if self.dialect.modern => return format!("first_over_time({range})"),
            _ => {}
        }
        let experimental = self.dialect.experimental && self.random.chance(0.15);
        let f = self.random.pick(if experimental { EXPERIMENTAL_RANGE_FUNCTIONS } else { RANGE_FUNCTIONS });
        format!("{f}({range})")
    }

    fn grouping(&mut self) -> String {
        if self.random.chance(0.4) {
            return String::new();
        }
        format!("{} ({})", self.random.pick(&["by", "by", "without"]), self.labels(2))
    }

    fn aggregation(&mut self, depth: u64) -> String {
        const PLAIN: &[&str] =
            &["sum", "sum", "sum", "avg", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
        const WITH: &[(&str, &[&str])] = &[
            ("topk", &["1", "2", "0", "3", "NaN", "-1", "2.7"]),
            ("bottomk", &["2", "1", "5"]),
            ("quantile", &["0.5", "0.99", "-1", "2", "NaN", "0"]),
            ("count_values", &["\"v\"", "\"job\"", "\"v\"", "\"job\"", "\"__name__\"", "\"le\""]),
        ];
        const EXPERIMENTAL: &[(&str, &[&str])] = &[
            ("limitk", &["2", "1", "0", "100"]),
            (
                "limit_ratio",
                &["0.5", "-0.3", "1.5", "0", "-2", "NaN", "1", "-1", "-0.7", "scalar(weight{job=\"api\"})"],
            ),
        ];
        let grouping = self.grouping();
        let inner = self.vector(depth - 1);
        let (op, parameter) = match self.random.below(10) {
            0..7 => (self.random.pick(PLAIN), String::new()),
            7 if self.dialect.experimental => {
                let (op, values) = self.random.pick(EXPERIMENTAL);
                (op, format!("{}, ", self.random.pick(values)))
            }
            _ => {
                let (op, values) = self.random.pick(WITH);
                let value = if op == "count_values" || self.random.chance(0.95) {
                    self.random.pick(values).to_owned()
                } else {
                    format!(
                        "scalar({})",
                        self.random.pick(&["weight{job=\"api\"}", "up{job=\"db\",instance=\"1\"}"])
                    )
                };
                (op, format!("{value}, "))
            }
        };
        // It makes labels of values, to the last digit: of such as are exact whatever the order of sums.
        let inner = if op == "count_values" { self.exact() } else { inner };
        match self.random.below(3) {
            0 => format!("{op}({parameter}{inner}) {grouping}"),
            1 => format!("{op}{}{grouping}({parameter}{inner})", if grouping.is_empty() { "" } else { " " }),
            _ => format!("{op} {grouping} ({parameter}{inner})"),
        }
    }

    /// A vector of values that no rounding has touched.
    fn exact(&mut self) -> String {
        let f = self.random.pick(&[
            "",
            "",
            "abs",
            "floor",
            "timestamp",
            "count_over_time",
            "last_over_time",
            "resets",
        ]);
        match f {
            "" => self.selector(),
            "abs" | "floor" | "timestamp" => format!("{f}({})", self.selector()),
            _ => format!("{f}({})", self.matrix(0)),
        }
    }

    fn matching(&mut self, set: bool) -> String {
        if self.random.chance(0.35) {
            return String::new();
        }
        let on = self.random.pick(&["on", "on", "ignoring"]);
        let mut out = format!("{on} ({})", self.labels(3));
        if !set && self.random.chance(0.4) {
            out += self.random.pick(&[
                " group_left",
                " group_right",
                " group_left ()",
                " group_left (zone)",
                " group_right (code)",
                " group_left (job)",
                " group_right (zone, version)",
            ]);
        }
        out
    }

    fn binary(&mut self, depth: u64) -> String {
        let kind = self.random.below(10);
        let (op, set, comparison) = match kind {
            0..5 => (self.random.pick(ARITHMETIC), false, false),
            5..8 => (self.random.pick(COMPARISONS), false, true),
            _ => (self.random.pick(SETS), true, false),
        };
        let bool = if comparison && self.random.chance(0.3) { "bool " } else { "" };
        if !set && self.random.chance(0.3) {
            // A remainder shows the rounding of what is much larger than it.
            let vector = if op == "%" { self.exact() } else { self.vector(depth - 1) };
            let scalar = self.scalar(depth - 1);
            return if self.random.chance(0.5) {
                format!("({vector} {op} {bool}{scalar})")
            } else {
                format!("({scalar} {op} {bool}{vector})")
            };
        }
        let mut matching = self.matching(set);
        if self.dialect.fill && !set && self.random.chance(0.15) {
            matching += self.random.pick(&[
                " fill (0)",
                " fill_left (1)",
                " fill_right (2)",
                " fill_left(-1) fill_right (NaN)",
                " fill_right (-0) fill_left(1e3)",
                " fill (+Inf)",
            ]);
        }
        let left = if op == "%" { self.exact() } else { self.vector(depth - 1) };
        // Equal sides, and the few series of `weight` and `target_info`, find partners more often.
        let right = match self.random.below(100) {
            0..35 => left.clone(),
            35..50 => self.random.pick(&["weight", "target_info", "weight * 2"]).to_owned(),
            _ => self.vector(depth - 1),
        };
        // Without parentheses too: precedence matters then.
        if self.random.chance(0.25) {
            format!("{left} {op} {bool}{matching} {right}")
        } else {
            format!("({left} {op} {bool}{matching} {right})")
        }
    }

    fn other(&mut self, depth: u64) -> String {
        let inner = self.vector(depth - 1);
        match self.random.below(if self.dialect.modern { 19 } else { 13 }) {
            0 => format!("clamp({inner}, {}, {})", self.scalar(depth - 1), self.scalar(depth - 1)),
            1 => format!("clamp_{}({inner}, {})", self.random.pick(&["min", "max"]), self.scalar(depth - 1)),
            2 => format!(
                "round({}, {})",
                self.exact(),
                self.random.pick(&["0.1", "5", "3", "-1", "0", "1e-9"])
            ),
            3 => {
                let (to, from) = (
                    self.random.pick(&["x", "job", "__name__"]),
                    self.random.pick(&["job", "instance", "__name__"]),
                );
                let regex = self.random.pick(&[
                    "(.*)",
                    "(a.*)",
                    "(?P<w>.).*",
                    "([a-z]+)_?.*",
                    "",
                    "(?i)API|DB",
                    "a(p)?(x)?.*",
                ]);
                let with = self.random.pick(&["$1-z", "${w}", "", "$0", "k", "$2", "${1}$1x", "日"]);
                format!("label_replace({inner}, \"{to}\", \"{with}\", \"{from}\", \"{regex}\")")
            }
            4 => {
                let to = self.random.pick(&["x", "job", "__name__", "le", "日 本"]);
                let from = self.random.pick(&[", \"job\", \"instance\"", ", \"__name__\", \"nope\"", ""]);
                format!("label_join({inner}, \"{to}\", \"-\"{from})")
            }
            5 => {
                let (q, by) = (
                    self.random.pick(&["0.5", "0.9", "2", "NaN", "0", "-1", "1"]),
                    self.random.pick(&["", "sum by (le, job) ", "sum by (le) "]),
                );
                format!("histogram_quantile({q}, {by}(rate(latency_seconds_bucket[{}])))", self.window())
            }
            6 => {
                let q = self.random.pick(&["0.5", "0.99", "0.1"]);
                // A histogram of an older Prometheus is one of classic buckets only.
                let of = if self.dialect.modern { inner } else { "latency_seconds_bucket".to_owned() };
                format!("histogram_quantile({q}, {of})")
            }
            7 => format!("-({inner})"),
            8 => format!("vector({})", self.scalar(depth - 1)),
            9 => format!("vector(scalar({inner}))"),
            10 => format!("-{inner}"),
            11 => format!("({inner})"),
            12 => self
                .random
                .pick(&[
                    "hour()",
                    "minute()",
                    "day_of_week()",
                    "vector(time())",
                    "month()",
                    "absent(nothing_here{job=\"a\",b=~\"c\"})",
                    "absent(nothing_here)",
                ])
                .to_owned(),
            13 => {
                let (low, high) =
                    (self.random.pick(&["0.2", "-Inf", "0", "NaN"]), self.random.pick(&["1", "2", "+Inf"]));
                format!("histogram_fraction({low}, {high}, {inner})")
            }
            14 => {
                let (q, kind) = (
                    self.random.pick(&["0.9", "0.5", "1"]),
                    self.random.pick(&["", "{kind=\"exponential\"}", "{kind=\"custom\"}"]),
                );
                let (grouping, window) = (self.grouping(), self.window());
                format!("histogram_quantile({q}, sum {grouping} (rate(native{kind}[{window}])))")
            }
            15 => {
                let op = self.random.pick(&["</", ">/"]);
                let (bound, depth) = (self.random.chance(0.8), depth - 1);
                let right = if bound { self.scalar(depth) } else { self.vector(depth) };
                format!("({inner} {op} {right})")
            }
            16 if self.dialect.experimental => {
                let f = self.random.pick(&["sort_by_label", "sort_by_label_desc"]);
                format!(
                    "{f}({inner}, {})",
                    self.random.pick(&["\"job\"", "\"instance\", \"job\"", "\"nope\""])
                )
            }
            17 if self.dialect.experimental => {
                let with = self.random.pick(&[
                    "",
                    "",
                    ", {zone=\"north\"}",
                    ", {version=~\".+\"}",
                    ", {__name__=\"target_info\"}",
                    ", {__name__=~\"target.*\", zone=~\".*\"}",
                ]);
                // With `@` or offset, what Prometheus finds depends on where its chunks end.
                let plain = std::mem::replace(&mut self.plain, true);
                let inner = self.vector(depth - 1);
                self.plain = plain;
                format!("info({inner}{with})")
            }
            18 if self.dialect.experimental => {
                let quantiles = self.random.pick(&["0.1, 0.9", "0.5", "0, 1, 2", "NaN, 0.5", "0.5, 0.5"]);
                format!("histogram_quantiles({inner}, \"q\", {quantiles})")
            }
            _ => format!(
                "histogram_{}(rate({}[{}]))",
                self.random.pick(&["count", "sum", "avg"]),
                if self.dialect.modern { "native" } else { "nothing_here" },
                self.window()
            ),
        }
    }
}
