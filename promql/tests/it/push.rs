//! Push-down gives what the plain plan gives: random queries over random data, laid out over random places, with
//! random rules on.

mod places;

use std::sync::Arc;

use async_trait::async_trait;
use model::{FloatHistogram, Labels, TenantId, TimeRange};
use promql::{Answer, Engine, EngineOptions, Features, QueryError, QueryRequest, Rewrite, Rewrites, Value};
use proptest::prelude::*;
use proto::{
    Fragment, FragmentError, FragmentPart, FragmentStream, Layout, Place, RunFragment, Shard, Source, Span,
};
use runtime::Runtime;

use places::{Dice, Elsewhere, Placed, SAMPLES, STEP, Side, data, memory, placed};

fn selector(dice: &mut Dice) -> String {
    let name = dice.pick(&["c_total", "g", "n", "mixed", "h_bucket", "{__name__=~\"c_total|g\"}"]);
    if name.starts_with('{') {
        return name.to_owned();
    }
    let matcher = dice.pick(&["", "", "{pod=\"p1\"}", "{pod=~\"p[0-2]\"}", "{instance!=\"i3\"}"]);
    format!("{name}{matcher}")
}

fn modifiers(dice: &mut Dice) -> String {
    dice.pick(&["", "", "", "", " offset 7m", " @ 1200", " @ end()", " offset -2m"]).to_owned()
}

/// An expression whose series are chosen by nothing but the data.
fn vector(dice: &mut Dice, depth: u32) -> String {
    let function = |dice: &mut Dice| {
        dice.pick(&[
            "rate",
            "increase",
            "delta",
            "irate",
            "changes",
            "resets",
            "avg_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "last_over_time",
            "stddev_over_time",
            "deriv",
            "present_over_time",
            "idelta",
            "first_over_time",
            "min_over_time",
            "stdvar_over_time",
            "ts_of_max_over_time",
            "ts_of_min_over_time",
            "ts_of_last_over_time",
        ])
    };
    match dice.below(if depth == 0 { 3 } else { 12 }) {
        0 => format!("{}{}", selector(dice), modifiers(dice)),
        1 => {
            let (name, window) = (function(dice), dice.pick(&["1m", "5m", "17m", "20s", "50m"]));
            format!("{name}({}[{window}]{})", selector(dice), modifiers(dice))
        }
        2 if dice.below(2) == 0 => {
            let ahead = dice.pick(&["600", "step()", "time() / 100", "scalar(g{instance=\"i1\"})"]);
            format!("predict_linear({}[9m]{}, {ahead})", selector(dice), modifiers(dice))
        }
        2 => format!("quantile_over_time(0.3, {}[6m]{})", selector(dice), modifiers(dice)),
        3 | 4 => {
            let op = dice.pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            let by = dice.pick(&["", " by (pod)", " without (instance)", " by (le)", " by (pod, instance)"]);
            format!("{op}{by} ({})", vector(dice, depth - 1))
        }
        5 => format!(
            "({}) {} {}",
            vector(dice, depth - 1),
            dice.pick(&["*", "+", "-", "/", ">", "<= bool"]),
            3
        ),
        6 => format!(
            "{}({})",
            dice.pick(&["abs", "ceil", "sqrt", "-", "histogram_count"]),
            vector(dice, depth - 1)
        ),
        7 => format!("clamp_max({}, 20)", vector(dice, depth - 1)),
        8 => {
            let by = dice.pick(&["", " by (pod)"]);
            format!("quantile{by} (0.7, {})", vector(dice, depth - 1))
        }
        9 => {
            let modifier = dice.pick(&["smoothed", "anchored"]);
            match dice.below(4) {
                0 => return format!("{} {modifier}", selector(dice)),
                1 => return format!("increase({}[5m] {modifier})", selector(dice)),
                _ => {}
            }
            let (left, right) = (vector(dice, depth - 1), vector(dice, depth - 1));
            let op = dice.pick(&["and", "or", "unless", "/ on (pod, instance)", "- ignoring (le)"]);
            format!("({left}) {op} ({right})")
        }
        10 => format!("max_over_time(({})[10m:{}])", vector(dice, depth - 1), dice.pick(&["1m", "50s"])),
        _ => {
            let inner = format!("rate({}[5m])", dice.pick(&["c_total", "h_bucket", "n"]));
            match dice.below(5) {
                0 => format!(
                    "{}{} (2, {inner})",
                    dice.pick(&["topk", "bottomk"]),
                    dice.pick(&["", " by (pod)"])
                ),
                1 => format!("count_values(\"v\", round(g{}, 50))", modifiers(dice)),
                2 => "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))".to_owned(),
                3 => format!("limit_ratio(0.5, {inner})"),
                _ => "histogram_quantile(0.5, sum by (pod) (rate(n[10m])))".to_owned(),
            }
        }
    }
}

/// A series and its points: time, float or sum, the shape of a histogram.
type Row = (Labels, Vec<(i64, Option<f64>, String)>);

/// Series and values in an order of their own, values rounded nowhere.
fn rows(answer: &Answer) -> Vec<Row> {
    let mut rows: Vec<Row> = match &answer.value {
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let floats = s.floats.iter().map(|(t, v)| (*t, Some(*v), String::new()));
                let histograms = s.histograms.iter().map(|(t, h)| (*t, Some(h.sum), shape(h)));
                (s.labels.clone(), floats.chain(histograms).collect())
            })
            .collect(),
        other => panic!("{other:?}"),
    };
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// What of a histogram does not depend on the order of additions.
fn shape(h: &FloatHistogram) -> String {
    let spans = (&h.positive_spans, &h.negative_spans, h.schema, h.counter_reset_hint);
    let buckets: Vec<String> = h.positive_buckets.iter().map(|v| format!("{v:.6}")).collect();
    format!("{spans:?} {buckets:?} {:.6}", h.count)
}

fn assert_same(expr: &str, plain: &Answer, pushed: &Answer) {
    let (a, b) = (rows(plain), rows(pushed));
    let labels = |rows: &[(Labels, Vec<_>)]| rows.iter().map(|r| r.0.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&a), labels(&b), "{expr}");
    for ((labels, x), (_, y)) in a.iter().zip(&b) {
        assert_eq!(x.len(), y.len(), "{expr} {labels:?}");
        for (p, q) in x.iter().zip(y) {
            assert_eq!((p.0, &p.2), (q.0, &q.2), "{expr} {labels:?}");
            let (v, w) = (p.1.unwrap_or_default(), q.1.unwrap_or_default());
            let close = v == w || (v.is_nan() && w.is_nan()) || (v - w).abs() <= 1e-11 * v.abs().max(1.0);
            assert!(close, "{expr} {labels:?} at {}: {v} {w}", p.0);
        }
    }
    let notes = |answer: &Answer| {
        let mut all = [answer.warnings.clone(), answer.infos.clone()].concat();
        all.sort();
        all
    };
    assert_eq!(notes(plain), notes(pushed), "{expr}");
}

fn engine(runtime: &Runtime, rewrites: Rewrites, delayed_name_removal: bool) -> Engine {
    let features = Features::of_test_scripts();
    let features = Features { delayed_name_removal, ..features };
    // states of windows even where they are more work
    let states_from = Some(0);
    Engine::new(
        runtime.clone(),
        EngineOptions { rewrites, features, states_from, ..EngineOptions::default() },
    )
}

async fn compare(seed: u64) {
    let mut dice = Dice(seed | 1);
    for _ in 0..8 {
        dice.next();
    }
    let runtime = Runtime::real();
    let series = data(&mut dice);
    let rewrites =
        Rewrite::ALL.into_iter().filter(|_| dice.below(5) > 0).fold(Rewrites::NONE, Rewrites::with);
    let delayed = dice.below(3) == 0;
    let (plain, pushing) = (engine(&runtime, Rewrites::NONE, delayed), engine(&runtime, rewrites, delayed));
    let source = Arc::new(placed(&series, &mut dice, &pushing));
    for _ in 0..12 {
        let expr = vector(&mut dice, 3);
        let start = dice.below(SAMPLES as u64 / 2) as i64 * STEP;
        let step = [15_000, 60_000, 47_000][dice.below(3) as usize];
        let end = start + step * dice.below(60) as i64;
        let request = QueryRequest::new(TenantId::anonymous(), expr.as_str());
        let a = plain.range(source.all.clone(), request.clone(), start, end, step).await;
        let b = pushing.range(source.clone(), request, start, end, step).await;
        match (a, b) {
            (Ok(a), Ok(b)) => {
                assert_same(&format!("{expr} with {rewrites:?} on {:?}", source.layout), &a, &b)
            }
            (a, b) => {
                // which of several duplicates are named, and of which group, depends on the order of the series
                let text = |e: Result<Answer, _>| {
                    let text = e.err().map(|e: QueryError| e.to_string())?;
                    Some(text.split(" for the match group ").next().unwrap_or_default().to_owned())
                };
                assert_eq!(text(a), text(b), "{expr} with {rewrites:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn pushed_and_plain_answers_are_the_same(seed in any::<u64>()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(compare(seed));
    }
}

/// Where fragments go is seen in the plan.
#[tokio::test]
async fn sums_come_as_states_from_every_place() {
    let runtime = Runtime::real();
    let mut dice = Dice(7);
    let series = data(&mut dice);
    let engine = engine(&runtime, Rewrites::default(), false);
    let whole = |number: usize| {
        memory(
            series.iter().enumerate().filter(move |(i, _)| i % 2 == number).map(|(_, s)| s),
            TimeRange::all(),
        )
    };
    let shard = |number: usize| Shard {
        spans: vec![Span {
            name: format!("node-{number}"),
            holds: TimeRange::all(),
            place: Place::There(Arc::new(Elsewhere { engine: engine.clone(), source: whole(number) })),
        }],
        whole: whole(number),
    };
    let layout = Layout { shards: vec![shard(0), shard(1)] };
    let source = Arc::new(Placed { all: memory(&series, TimeRange::all()), layout });
    let request = QueryRequest::new(TenantId::anonymous(), "sum by (pod) (rate(c_total[5m])) / 2");
    let plan = engine.explain(source, request, 0, 600_000, 60_000, false).await.unwrap().to_string();
    for part in
        ["AggregateFinal: sum", "AtPlace: node-0, states", "AtPlace: node-1, states", "Remote: sum by (pod)"]
    {
        assert!(plan.contains(part), "{part} in\n{plan}");
    }
}

/// Windows over a seam are put together from the states of both places; what has no states is merged sample by sample.
#[tokio::test]
async fn windows_over_a_seam_come_as_states_of_their_parts() {
    let runtime = Runtime::real();
    let series = data(&mut Dice(11));
    let (pushing, plain) =
        (engine(&runtime, Rewrites::default(), false), engine(&runtime, Rewrites::NONE, false));
    let whole = memory(&series, TimeRange::all());
    let layout = |are_elsewhere: [bool; 2]| {
        let span = |name: &str, holds: TimeRange, is_elsewhere: bool| {
            let side = Arc::new(Side { whole: whole.clone(), holds });
            let place = if is_elsewhere {
                Place::There(Arc::new(Elsewhere { engine: pushing.clone(), source: side }))
            } else {
                Place::Here(side)
            };
            Span { name: name.to_owned(), holds, place }
        };
        let spans = vec![
            span("heads", TimeRange::new(600_000, i64::MAX), are_elsewhere[0]),
            span("blocks", TimeRange::new(i64::MIN, 700_000), are_elsewhere[1]),
        ];
        let layout = Layout { shards: vec![Shard { spans, whole: whole.clone() }] };
        Arc::new(Placed { all: whole.clone(), layout })
    };
    let explain = async |engine: &Engine, source: Arc<dyn Source>, expr: &str| {
        let request = QueryRequest::new(TenantId::anonymous(), expr);
        engine.explain(source, request, 900_000, 900_000, 0, true).await.unwrap()
    };
    let expr = "sum by (pod) (rate(c_total[9m]))";
    let looked_at = explain(&plain, whole.clone(), expr).await.stats.unwrap().samples_total;
    for are_elsewhere in [[false, false], [false, true], [true, false], [true, true]] {
        let states = explain(&pushing, layout(are_elsewhere), expr).await;
        let count = states.stats.as_ref().unwrap().samples_total;
        assert_eq!(count, looked_at, "{are_elsewhere:?}");
        let states = states.to_string();
        let wanted = "SeamWindows: Rate over 540000 ms from states of blocks and heads";
        assert!(states.contains(wanted), "{states}");
        for (name, is_elsewhere) in ["heads", "blocks"].into_iter().zip(are_elsewhere) {
            let at = format!("AtPlace: {name}, states [5 rows");
            assert_eq!(states.contains(&at), is_elsewhere, "{states}");
        }
        let told = states.matches("WindowStates: Rate over 540000 ms, states of samples from").count();
        assert_eq!(told, are_elsewhere.into_iter().filter(|is| *is).count(), "{states}");
    }
    for expr in ["sum(quantile_over_time(0.5, c_total[9m]))", "sum(rate(c_total[9m] smoothed))"] {
        let samples = explain(&pushing, layout([false, false]), expr).await.to_string();
        assert!(samples.contains("RangeSelect") && !samples.contains("SeamWindows"), "{samples}");
    }
}

/// The same series in two batches of one answer would be one row too many.
#[tokio::test]
async fn an_answer_that_ends_early_is_no_answer() {
    struct Cut(Elsewhere);
    #[async_trait]
    impl RunFragment for Cut {
        async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError> {
            use futures::StreamExt;
            let parts = self.0.run(fragment).await?;
            Ok(parts.filter(|part| std::future::ready(!matches!(part, Ok(FragmentPart::End(_))))).boxed())
        }
    }
    let runtime = Runtime::real();
    let series = data(&mut Dice(9));
    let engine = engine(&runtime, Rewrites::default(), false);
    let all = memory(&series, TimeRange::all());
    let place = Place::There(Arc::new(Cut(Elsewhere { engine: engine.clone(), source: all.clone() })));
    let span = Span { name: "node".to_owned(), holds: TimeRange::all(), place };
    let layout = Layout { shards: vec![Shard { spans: vec![span], whole: all.clone() }] };
    let request = QueryRequest::new(TenantId::anonymous(), "sum(g)");
    let error = engine.instant(Arc::new(Placed { all, layout }), request, 600_000).await.unwrap_err();
    assert_eq!(error.to_string(), "a node ended its answer before it was complete");
}
