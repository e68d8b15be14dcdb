//! Queries over series in memory.

use std::sync::Arc;
use std::time::Duration;

use model::{ErrorKind, Labels, TenantId};
use promql::{
    Answer, Engine, EngineOptions, Features, MatrixSeries, MemoryLimits, MemorySource, QueryError,
    QueryRequest, SampleValue, StepSamples, Value,
};
use runtime::Runtime;

const MINUTE: i64 = 60_000;

/// 600 counters in 30 pods, a sample every 15 s for an hour, some with resets and gaps.
fn counters() -> Arc<MemorySource> {
    let source = MemorySource::new();
    for i in 0..600i64 {
        let labels = Labels::new([
            ("__name__", "x_total"),
            ("pod", format!("pod-{}", i % 30).as_str()),
            ("instance", format!("i{i}").as_str()),
        ])
        .expect("labels");
        let mut value = (i * 7) as f64;
        let mut samples = Vec::new();
        for step in 0..240i64 {
            value = if (step + i) % 97 == 0 { 0.0 } else { value + ((step * i) % 13) as f64 * 0.37 };
            if (step * 31 + i) % 41 != 0 {
                samples.push((step * 15_000, value, 0));
            }
        }
        source.add_floats(&labels, &samples);
    }
    Arc::new(source)
}

fn engine(runtime: &Runtime, partitions: usize) -> Engine {
    Engine::new(
        runtime.clone(),
        EngineOptions { partitions, features: Features::all(), ..EngineOptions::default() },
    )
}

fn request(expr: &str) -> QueryRequest {
    QueryRequest::new(TenantId::anonymous(), expr)
}

fn matrix(answer: Answer) -> Vec<MatrixSeries> {
    let Value::Matrix(series) = answer.value else { unreachable!("not a matrix: {:?}", answer.value) };
    series
}

fn assert_close(a: &[MatrixSeries], b: &[MatrixSeries], expr: &str) {
    assert_eq!(a.len(), b.len(), "{expr}");
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.labels, b.labels, "{expr}");
        assert_eq!(a.floats.len(), b.floats.len(), "{expr}");
        for ((t, x), (u, y)) in a.floats.iter().zip(&b.floats) {
            assert_eq!(t, u, "{expr}");
            assert!(
                x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-12 * x.abs().max(1e-9),
                "{expr}: {x} {y}"
            );
        }
    }
}

#[test]
fn the_number_of_partitions_does_not_matter() {
    let runtime = Runtime::real();
    let source = counters();
    for expr in [
        "x_total",
        "sum by (pod) (rate(x_total[5m]))",
        "avg without (instance) (increase(x_total[2m]))",
        "count(x_total) - max(x_total) + min(x_total)",
        "stddev by (pod) (x_total)",
        "topk(3, rate(x_total[5m]))",
        "quantile(0.9, x_total)",
        "rate(x_total[5m]) / on(instance, pod) delta(x_total[5m])",
        "max_over_time(sum by (pod) (rate(x_total[1m]))[10m:1m])",
        "absent(x_total{pod=\"none\"})",
        "count_values by (pod) (\"v\", floor(x_total / 100))",
    ] {
        let run = |partitions: usize| {
            let engine = engine(&runtime, partitions);
            let answer = engine.range(source.clone(), request(expr), 0, 60 * MINUTE, MINUTE);
            matrix(runtime.block_on(answer).unwrap())
        };
        let one = run(1);
        assert!(!one.is_empty(), "{expr}");
        for partitions in [2, 3, 8] {
            assert_close(&one, &run(partitions), expr);
        }
    }
}

#[test]
fn a_projection_gives_what_all_labels_give() {
    let runtime = Runtime::real();
    let source = counters();
    let engine = engine(&runtime, 2);
    let run = |expr: &str| {
        matrix(runtime.block_on(engine.range(source.clone(), request(expr), 0, 60 * MINUTE, MINUTE)).unwrap())
    };
    // the label_replace in the way makes the selector ask for all labels
    let all = run("sum by (pod) (label_replace(rate(x_total[5m]), \"a\", \"b\", \"none\", \"c\"))");
    assert_close(&all, &run("sum by (pod) (rate(x_total[5m]))"), "sum by");
    let all = run("sum without (instance) (label_replace(abs(x_total), \"a\", \"b\", \"none\", \"c\"))");
    assert_close(&all, &run("sum without (instance) (abs(x_total))"), "sum without");
}

#[test]
fn scalars_strings_and_windows_are_answered() {
    let runtime = Runtime::real();
    let source = counters();
    let engine = engine(&runtime, 1);
    let at = |expr: &str| {
        runtime.block_on(engine.instant(source.clone(), request(expr), 10 * MINUTE)).unwrap().value
    };
    assert_eq!(at("1 + 2 * time()"), Value::Scalar { t: 10 * MINUTE, v: 1201.0 });
    assert_eq!(at("\"a\""), Value::String { t: 10 * MINUTE, s: "a".into() });
    let Value::Matrix(series) = at("x_total{instance=\"i1\"}[1m]") else { panic!("not a matrix") };
    assert!(matches!(series[0].floats.len(), 3 | 4));
    let Value::Vector(samples) = at("count(x_total)") else { panic!("not a vector") };
    assert_eq!(samples[0].value, SampleValue::Float(600.0));
    assert_eq!(samples[0].t, 10 * MINUTE);
}

fn error(options: EngineOptions, expr: &str, range: bool) -> QueryError {
    let runtime = Runtime::real();
    let engine = Engine::new(runtime.clone(), options);
    let source = counters();
    runtime
        .block_on(async {
            if range {
                engine.range(source, request(expr), 0, 60 * MINUTE, MINUTE).await
            } else {
                engine.instant(source, request(expr), 10 * MINUTE).await
            }
        })
        .expect_err("refused")
}

#[test]
fn limits_and_faults_have_the_words_of_prometheus() {
    let few = EngineOptions { max_samples: 1000, ..EngineOptions::default() };
    assert_eq!(
        error(few, "x_total", true).to_string(),
        "query processing would load too many samples into memory in query execution: the limit is 1000 \
         (`query.max_samples`)"
    );
    let hurried = EngineOptions { timeout: Duration::ZERO, ..EngineOptions::default() };
    let late = error(hurried, "sum(rate(x_total[5m]))", true);
    assert_eq!(late.to_string(), "query timed out in expression evaluation");
    assert_eq!(late.kind(), ErrorKind::Deadline);
    let parse = error(EngineOptions::default(), "sum(", false);
    assert_eq!(parse.kind(), ErrorKind::Invalid);
    assert!(parse.to_string().starts_with("1:5: parse error: "), "{parse}");
    assert_eq!(
        error(EngineOptions::default(), "x_total[5m]", true).to_string(),
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"
    );
}

#[test]
fn a_simulated_runtime_runs_queries_too() {
    let source = counters();
    let expr = "sum by (pod) (rate(x_total[5m]))";
    let real = Runtime::real();
    let expected = real
        .block_on(engine(&real, 4).range(source.clone(), request(expr), 0, 60 * MINUTE, MINUTE))
        .map(matrix)
        .unwrap();
    let simulated = Runtime::simulated(1);
    let got = simulated
        .block_on(engine(&simulated, 4).range(source, request(expr), 0, 60 * MINUTE, MINUTE))
        .map(matrix)
        .unwrap();
    assert_eq!(expected, got);
}

#[test]
fn memory_is_bounded_and_says_so() {
    let tight = |query_bytes_max| EngineOptions {
        memory: MemoryLimits { query_bytes_max, ..MemoryLimits::default() },
        features: Features::all(),
        ..EngineOptions::default()
    };
    let runtime = Runtime::simulated(1);
    let source = counters();
    for expr in [
        "x_total",
        "x_total[30m]",
        "x_total + on(instance, pod) x_total",
        "sum by (pod) (rate(x_total[5m]))",
        "sort(topk(3, x_total))",
        "quantile_over_time(0.5, x_total[10m:1m])",
    ] {
        let mut refused = 0;
        let mut bytes = 1 << 10;
        let (peak, held) = loop {
            let engine = Engine::new(runtime.clone(), tight(bytes));
            let answer = if expr.ends_with(']') {
                runtime.block_on(engine.instant(source.clone(), request(expr), 50 * MINUTE))
            } else {
                runtime.block_on(engine.range(source.clone(), request(expr), 0, 60 * MINUTE, MINUTE))
            };
            assert!(engine.memory().peak <= bytes as u64, "{expr}: {:?} of {bytes}", engine.memory());
            match answer {
                Ok(answer) => {
                    let held = engine.memory().held;
                    assert_eq!(answer.stats.memory_peak, engine.memory().peak, "{expr}");
                    drop(answer);
                    assert_eq!(engine.memory().held, 0, "{expr}");
                    break (engine.memory().peak, held);
                }
                Err(error) => {
                    // virtual time passes when nothing is left to do: tasks have ended then
                    runtime.block_on(async { runtime.sleep(Duration::from_millis(1)).await });
                    let text = format!(
                        "query processing would hold more than {bytes} bytes in memory, the limit of a query \
                         (`query.max_memory_bytes`)"
                    );
                    assert_eq!((error.to_string(), error.kind()), (text, ErrorKind::Invalid), "{expr}");
                    assert_eq!(
                        (engine.memory().held, engine.memory().refused_query > 0),
                        (0, true),
                        "{expr}"
                    );
                    refused += 1;
                }
            }
            bytes *= 2;
        };
        assert!(refused > 0 && held > 0 && peak > held, "{expr}: {refused} {peak} {held}");
    }
}

#[test]
fn a_subquery_of_too_many_points_is_refused_before_it_runs() {
    let refused = error(EngineOptions::default(), "max_over_time(x_total[10y:1ms])", false);
    assert_eq!(
        refused.to_string(),
        "query processing would load too many samples into memory in query execution: the limit is 50000000 \
         (`query.max_samples`)"
    );
}

#[test]
fn a_plan_can_be_shown_and_measured() {
    let runtime = Runtime::real();
    let engine = engine(&runtime, 2);
    let expr = "sum by (pod) (rate(x_total[5m])) > 1";
    let show = |analyze| {
        let shown = engine.explain(counters(), request(expr), 0, 60 * MINUTE, MINUTE, analyze);
        runtime.block_on(shown).unwrap().to_string()
    };
    let plan = show(false);
    let lines: Vec<&str> =
        plan.lines().map(|line| line.trim().split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["Map", "AggregateFinal", "AggregatePartial", "RangeSelect"]);
    let run = show(true);
    assert!(run.starts_with("Map: vector > scalar [30 rows, ") && !run.contains(" 0 B"), "{run}");
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let runtime = Runtime::real();
    let source = Arc::new(MemorySource::new());
    let labels = Labels::new([("__name__", "m")]).unwrap();
    let samples: Vec<(i64, f64, i64)> = (0..=60).map(|i| (i * MINUTE, i as f64, 0)).collect();
    source.add_floats(&labels, &samples);
    let engine = engine(&runtime, 1);
    let total = |expr: &str| {
        let answer = engine.range(source.clone(), request(expr), 10 * MINUTE, 19 * MINUTE, MINUTE);
        runtime.block_on(answer).unwrap().stats.samples_total
    };
    assert_eq!(total("m"), 10);
    assert_eq!(total("rate(m[5m])"), 50);
    assert_eq!(total("sum_over_time(m[5m:1m])"), 50);
    assert_eq!(total("m @ 600"), 10);
    assert_eq!(total("m + m"), 20);
    let per_step = |expr: &str| {
        let request = QueryRequest { per_step_stats: true, ..request(expr) };
        let answer = engine.range(source.clone(), request, 10 * MINUTE, 12 * MINUTE, MINUTE);
        runtime.block_on(answer).unwrap().stats.samples_per_step.unwrap()
    };
    let at = |samples: [u64; 3], read: [u64; 3]| {
        let step = |i: usize| StepSamples {
            t: (10 + i as i64) * MINUTE,
            samples: samples[i],
            samples_read: read[i],
        };
        (0..3).map(step).collect::<Vec<_>>()
    };
    assert_eq!(per_step("m"), at([1, 1, 1], [1, 1, 1]));
    // windows share all but one sample; a pinned one is read for the first step
    assert_eq!(per_step("rate(m[5m]) + m @ 600"), at([6, 6, 6], [6, 1, 1]));
    assert_eq!(per_step("deriv(m[5m])"), at([5, 5, 5], [5, 1, 1]));
    assert_eq!(per_step("max_over_time(m[5m:1m])"), at([5, 5, 5], [5, 1, 1]));
    // three windows of five samples, then one more sample a step; what the outer window holds is not read again
    assert_eq!(per_step("max_over_time(rate(m[5m])[3m:1m])"), at([3, 3, 3], [7, 1, 1]));
}
