//! Whatever is written and asked, in whichever order: the front answers what the engine does.

use model::{CounterResetHint, FloatHistogram, Span};
use promql::{MatrixSeries, Value};
use runtime::Random;

use super::*;

/// All kinds of expressions; those that cannot be split among them.
const QUERIES: &[&str] = &[
    "g",
    "-g",
    "g > 4",
    "g offset 3m",
    "g offset -2m",
    "g @ 3000",
    "g + g @ end()",
    "g @ start()",
    "rate(c[2m])",
    "rate(c_total[5m])",
    "increase(c_total[90s])",
    "irate(c_total[1m])",
    "resets(c_total[5m])",
    "changes(g[3m])",
    "sum(g)",
    "sum by (a) (rate(c[2m]))",
    "avg without (b) (g)",
    "quantile(0.5, g)",
    "quantile(1.5, g)",
    "quantile(scalar(max(g)) / 8, g)",
    "topk(2, g)",
    "bottomk by (a) (1, g)",
    "limitk(2, g)",
    "limit_ratio(0.5, g)",
    "count_values(\"v\", g)",
    "sort(g)",
    "sort_desc(sum by (a) (g))",
    "absent(g)",
    "absent(nothing)",
    "absent_over_time(rare[2m])",
    "count_over_time(rare[4m])",
    "last_over_time(rare[4m])",
    "rare",
    "rare or g",
    "g and rare",
    "g unless rare",
    "rare / on (a, b) g",
    "g / ignoring (b) group_left sum by (a) (g)",
    "g + on (a) g",
    "{__name__=~\"g|rare\"}",
    "rate({__name__=~\"c|c_total\"}[2m])",
    "last_over_time({__name__=~\"g|rare\"}[3m])",
    "-{__name__=~\"g|rare\"}",
    "label_replace(g, \"x\", \"$1\", \"a\", \"(.)\")",
    "label_replace({__name__=~\"g|rare\"}, \"__name__\", \"z\", \"\", \"\")",
    "rate({__name__=~\"era_.*\"}[2m])",
    "sum(increase({__name__=~\"era_.*\"}[2m]))",
    "-{__name__=~\"era_.*\"}",
    "label_join({__name__=~\"era_.*\"}, \"__name__\", \"-\", \"a\")",
    "topk(scalar(rare), g)",
    "timestamp(g)",
    "timestamp(rare + 0)",
    "time() - g",
    "minute(g)",
    "scalar(rare)",
    "vector(time())",
    "clamp_max(g, scalar(rare))",
    "predict_linear(g[5m], 60)",
    "deriv(g[5m])",
    "avg_over_time(g[3m])",
    "stddev_over_time(g[5m])",
    "quantile_over_time(0.5, g[5m])",
    "quantile_over_time(2, g[5m])",
    "double_exponential_smoothing(g[5m], 0.3, 0.3)",
    "max_over_time(sum(g)[5m:45s])",
    "rate(sum(c)[4m:])",
    "max_over_time(rate(c_total[1m])[3m:30s] offset 1m)",
    "sum_over_time(g[5m:1m] @ 3600)",
    "max_over_time(g[5m:1m] @ end())",
    "sum_over_time(g[2m + step()])",
    "sum_over_time(g[range() / 8 + 1m])",
    "g offset (step() * 2)",
    "increase(c_total[2m] anchored)",
    "rate(c_total[2m] smoothed)",
    "g smoothed",
    "histogram_quantile(0.9, rate(le_bucket[3m]))",
    "histogram_quantile(0.9, sum by (le) (rate(le_bucket[3m])))",
    "histogram_quantile(0.5, h)",
    "rate(h[3m])",
    "sum(h)",
    "sum({__name__=~\"h|g\"})",
    "avg(h) + g",
    "histogram_count(sum(rate(h[2m])))",
    "h / g",
    "info(g)",
    "sum(rate(h[2m])) + sum(rate(c[2m]))",
];

struct Explorer {
    world: World,
    random: Random,
    now: i64,
}

fn histogram(counts: [f64; 3]) -> Histogram {
    Histogram::Float(Box::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 0.0,
        count: counts.iter().sum(),
        sum: counts.iter().sum::<f64>() * 1.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        negative_spans: Vec::new(),
        positive_buckets: counts.to_vec(),
        negative_buckets: Vec::new(),
        custom_values: Arc::from([]),
    }))
}

impl Explorer {
    fn small(&mut self) -> f64 {
        self.random.below(10) as f64
    }

    fn write(&mut self, t: i64) {
        for name in ["g", "c", "c_total"] {
            for (a, b) in [("1", "1"), ("1", "2"), ("2", "1")] {
                let is_counter = name != "g";
                let value =
                    if is_counter && !self.random.one_in(9) { t as f64 / 1000.0 } else { self.small() };
                if !self.random.one_in(8) {
                    self.world.source.write(&labels(&[("__name__", name), ("a", a), ("b", b)]), t, value);
                }
            }
        }
        // one metric gets another name after a pause
        if !(1_000_000..2_400_000).contains(&t) {
            let era = if t < 2_000_000 { "era_one" } else { "era_two" };
            self.world.source.write(&labels(&[("__name__", era), ("a", "1")]), t, t as f64);
        }
        if self.random.one_in(12) {
            let value = self.small();
            self.world.source.write(&labels(&[("__name__", "rare"), ("a", "1"), ("b", "1")]), t, value);
        }
        for (i, le) in ["1", "2", "+Inf"].into_iter().enumerate() {
            let value = t as f64 / 1000.0 * (i + 1) as f64 - if self.random.one_in(6) { 90.0 } else { 0.0 };
            self.world.source.write(&labels(&[("__name__", "le_bucket"), ("le", le)]), t, value);
        }
        let at = |i: f64| (t as f64 / 1000.0 + i).floor();
        let counts = if self.random.one_in(10) { [1.0, 2.0, 1.0] } else { [at(0.0), at(5.0), at(9.0)] };
        self.world.source.write_histogram(&labels(&[("__name__", "h"), ("a", "1")]), t, histogram(counts));
    }

    async fn check(&mut self, asked: &Asked) {
        let found = self.world.ask(asked).await;
        let wanted = self.world.evaluated(asked).await;
        match (&found, &wanted) {
            (Ok(found), Ok(wanted)) => {
                assert_near(asked, &found.value, &wanted.value);
                assert_eq!(sorted(&found.warnings), sorted(&wanted.warnings), "{asked:?}");
                assert_eq!(sorted(&found.infos), sorted(&wanted.infos), "{asked:?}");
            }
            (Err(found), Err(wanted)) => assert_eq!(found, wanted, "{asked:?}"),
            _ => panic!("{asked:?}: {found:?} instead of {wanted:?}"),
        }
    }
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts
}

/// Equal but for the last digits of sums, which hang on where a window's running sum began.
fn assert_near(asked: &Asked, found: &Value, wanted: &Value) {
    let (Value::Matrix(found), Value::Matrix(wanted)) = (found, wanted) else {
        panic!("{asked:?}: no matrices");
    };
    let names = |all: &[MatrixSeries]| all.iter().map(|s| s.labels.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "{asked:?}");
    let near =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    for (one, other) in found.iter().zip(wanted) {
        let times = |s: &MatrixSeries| s.floats.iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(times(one), times(other), "{asked:?}");
        for ((t, a), (_, b)) in one.floats.iter().zip(&other.floats) {
            assert!(near(*a, *b), "{asked:?}: {:?} at {t}: {a} instead of {b}", one.labels);
        }
        assert_eq!(one.histograms, other.histograms, "{asked:?}");
    }
}

async fn explore(world: World, seed: u64) -> ResultCacheMetrics {
    let mut explorer = Explorer { world, random: Random::new(seed), now: 3_000_000 };
    for t in (0..explorer.now).step_by(15_000) {
        if !(600_000..900_000).contains(&t) {
            explorer.write(t);
        }
    }
    for _ in 0..14 {
        let query = QUERIES[explorer.random.below(QUERIES.len() as u64) as usize];
        let step = [15_000, 60_000, 37_000][explorer.random.below(3) as usize];
        let mut length = 60_000 * (5 + explorer.random.below(40) as i64);
        let mut end = explorer.now;
        for _ in 0..5 {
            match explorer.random.below(5) {
                0 => {
                    explorer.now += 15_000;
                    explorer.write(explorer.now);
                    end = explorer.now;
                }
                1 => {
                    let late = 15_000 * explorer.random.below(explorer.now as u64 / 15_000) as i64 + 7_000;
                    let value = explorer.small();
                    let who = labels(&[("__name__", "g"), ("a", "1"), ("b", "1")]);
                    explorer.world.source.write(&who, late, value);
                }
                2 => length = 60_000 * (3 + explorer.random.below(45) as i64),
                3 => end = explorer.now - 60_000 * explorer.random.below(20) as i64,
                _ => {}
            }
            // as dashboards do it: times are multiples of the step, but for an odd end
            let start = (end - length).max(0) / step * step;
            let odd = if explorer.random.one_in(4) { 4_321 } else { 0 };
            explorer.check(&range(query, start, end / step * step + odd, step)).await;
        }
    }
    explorer.world.front.metrics()
}

#[test]
fn answers_are_those_of_the_engine() {
    let mut sum = ResultCacheMetrics::default();
    for seed in 0..60 {
        let world = World::usual();
        let runtime = world.runtime.clone();
        let metrics = runtime.block_on(explore(world, seed));
        sum.hits += metrics.hits;
        sum.partial += metrics.partial;
        sum.misses += metrics.misses;
        sum.bypassed += metrics.bypassed;
    }
    let counts = [sum.hits, sum.partial, sum.misses, sum.bypassed];
    assert!(counts.iter().all(|count| *count > 50), "the test did too little: {sum:?}");
}
