//! Push-down gives what the plain plan gives: random queries over random data, laid out over random places, with
//! random rules on.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    CounterResetHint, FloatHistogram, Histogram, Labels, Metadata, SampleBatch, Span as Buckets, TenantId,
    TimeRange,
};
use promql::{
    Answer, Engine, EngineOptions, Features, MemorySource, QueryError, QueryRequest, Rewrite, Rewrites, Value,
};
use proptest::prelude::*;
use proto::{
    Fragment, FragmentError, FragmentPart, FragmentStream, Layout, MetadataRequest, Place, RunFragment,
    SelectRequest, SelectedSeries, Selection, SeriesExemplars, Shard, Source, SourceError, Span,
};
use runtime::Runtime;

const STEP: i64 = 15_000;
const SAMPLES: i64 = 240;
const SERIES: usize = 24;

/// One series: labels, floats, histograms.
#[derive(Debug, Clone)]
struct Series {
    labels: Labels,
    floats: Vec<(i64, f64, i64)>,
    histograms: Vec<(i64, Histogram, i64)>,
}

/// A generator of numbers that needs no crate.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

fn histogram(dice: &mut Dice, grown: u64) -> Histogram {
    let buckets: Vec<f64> = (0..4).map(|i| (grown * (i + 1) + dice.below(3)) as f64).collect();
    let count = buckets.iter().sum::<f64>() + 1.0;
    Histogram::Float(Box::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count,
        sum: count * 1.7,
        positive_spans: vec![Buckets { offset: 0, length: 4 }],
        negative_spans: Vec::new(),
        positive_buckets: buckets,
        negative_buckets: Vec::new(),
        custom_values: Arc::from([]),
    }))
}

/// Counters with resets and gaps, gauges, classic and native histograms, a metric that is both.
fn data(dice: &mut Dice) -> Vec<Series> {
    let mut all = Vec::new();
    for i in 0..SERIES {
        let name = ["c_total", "g", "h_bucket", "n", "mixed"][i % 5];
        let mut labels = vec![
            ("__name__", name.to_owned()),
            ("pod", format!("p{}", dice.below(4))),
            ("instance", format!("i{i}")),
        ];
        if name == "h_bucket" {
            labels.push(("le", ["0.1", "1", "10", "+Inf"][(i / 5) % 4].to_owned()));
        }
        let labels = Labels::new(labels.iter().map(|(n, v)| (*n, v.as_str()))).unwrap();
        let mut series = Series { labels, floats: Vec::new(), histograms: Vec::new() };
        let (mut value, mut grown) = (dice.unit() * 100.0, 1);
        for step in 0..SAMPLES {
            let t = step * STEP + (i as i64 % 3) * 1_000;
            // when counting began, told or not
            let begun = if dice.below(40) == 0 { t - 700 } else { 0 };
            let stale = f64::from_bits(model::STALE_NAN_BITS);
            if dice.below(12) == 0 {
                continue;
            }
            let is_histogram = name == "n" || (name == "mixed" && dice.below(2) == 0);
            if is_histogram {
                grown = if dice.below(60) == 0 { 1 } else { grown + dice.below(4) };
                series.histograms.push((t, histogram(dice, grown), begun));
                continue;
            }
            value = match name {
                "g" | "mixed" => dice.unit() * 200.0 - 100.0,
                _ if dice.below(50) == 0 => dice.unit(),
                _ => value + dice.unit() * 10.0,
            };
            series.floats.push((t, if dice.below(30) == 0 { stale } else { value }, begun));
        }
        all.push(series);
    }
    all
}

fn memory<'a>(series: impl IntoIterator<Item = &'a Series>, range: TimeRange) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for one in series {
        let floats: Vec<_> = one.floats.iter().copied().filter(|(t, _, _)| range.contains(*t)).collect();
        let histograms: Vec<_> =
            one.histograms.iter().filter(|(t, _, _)| range.contains(*t)).cloned().collect();
        if !floats.is_empty() {
            source.add_floats(&one.labels, &floats);
        }
        if !histograms.is_empty() {
            source.add_histograms(&one.labels, &histograms);
        }
    }
    Arc::new(source)
}

/// A place that holds some of the samples: all inside of a time, and some others. What it knows of counter resets is
/// what the whole knows, as it is where heads and blocks ask each other.
struct Side {
    whole: Arc<MemorySource>,
    holds: TimeRange,
}

impl Side {
    fn has(&self, t: i64) -> bool {
        self.holds.contains(t) || (t / STEP) % 3 == 0
    }
}

struct SideSelection {
    inner: Arc<dyn Selection>,
    side: Side,
}

#[async_trait]
impl Selection for SideSelection {
    fn series(&self) -> &[SelectedSeries] {
        self.inner.series()
    }

    async fn read(&self, range: std::ops::Range<usize>) -> Result<SampleBatch, SourceError> {
        let all = self.inner.read(range).await?;
        let mut some = SampleBatch::default();
        for i in 0..all.series.len() {
            let (ts, vs) = (all.timestamps_of(i), all.values_of(i));
            let kept: Vec<usize> = (0..ts.len()).filter(|i| self.side.has(ts[*i])).collect();
            let times: Vec<i64> = kept.iter().map(|i| ts[*i]).collect();
            let values: Vec<f64> = kept.iter().map(|i| vs[*i]).collect();
            let mut histograms = all.histograms_of(i).to_vec();
            histograms.retain(|point| self.side.has(point.t));
            some.push_series(&times, &values, &histograms);
            let starts = all.series[i].start_ts.as_ref();
            some.series[i].start_ts = starts.map(|starts| kept.iter().map(|i| starts[*i]).collect());
        }
        Ok(some)
    }
}

#[async_trait]
impl Source for Side {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let side = Side { whole: Arc::clone(&self.whole), holds: self.holds };
        Ok(Arc::new(SideSelection { inner: self.whole.select(request).await?, side }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.whole.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.whole.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.whole.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.whole.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.whole.exemplars(request).await
    }
}

/// Another process, without the sockets.
struct Elsewhere {
    engine: Engine,
    source: Arc<dyn Source>,
}

#[async_trait]
impl RunFragment for Elsewhere {
    async fn run(&self, fragment: Fragment) -> Result<FragmentStream, FragmentError> {
        self.engine.run_fragment(Arc::clone(&self.source), fragment).await
    }
}

/// All series, and where they lie.
struct Placed {
    all: Arc<MemorySource>,
    layout: Layout,
}

#[async_trait]
impl Source for Placed {
    async fn select(&self, request: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        self.all.select(request).await
    }

    async fn layout(&self, _: &TenantId, _: TimeRange) -> Result<Option<Layout>, SourceError> {
        Ok(Some(self.layout.clone()))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        self.all.label_names(request).await
    }

    async fn label_values(&self, request: &MetadataRequest, name: &str) -> Result<Vec<String>, SourceError> {
        self.all.label_values(request, name).await
    }

    async fn series(&self, request: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        self.all.series(request).await
    }

    async fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
    ) -> Result<Vec<(String, Metadata)>, SourceError> {
        self.all.metadata(tenant, metric).await
    }

    async fn exemplars(&self, request: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        self.all.exemplars(request).await
    }
}

/// Shards of series; in each either everything elsewhere, or new samples in one place and old ones in another.
fn placed(series: &[Series], dice: &mut Dice, engine: &Engine) -> Placed {
    let count = 1 + dice.below(3) as usize;
    let shards = (0..count).map(|number| {
        let mine = || series.iter().enumerate().filter(move |(i, _)| i % count == number).map(|(_, s)| s);
        let whole = memory(mine(), TimeRange::all());
        let from = (dice.below(200) as i64) * STEP;
        let until = from + (dice.below(80) as i64) * STEP;
        let (new, old) = (TimeRange::new(from, i64::MAX), TimeRange::new(i64::MIN, until));
        let side = |holds: TimeRange| Arc::new(Side { whole: whole.clone(), holds });
        let new_and_old = |place: &dyn Fn(Arc<Side>) -> Place| {
            vec![
                Span { name: "new".to_owned(), holds: new, place: place(side(new)) },
                Span { name: "old".to_owned(), holds: old, place: place(side(old)) },
            ]
        };
        let here = |source: Arc<Side>| Place::Here(source);
        let there =
            |source: Arc<dyn Source>| Place::There(Arc::new(Elsewhere { engine: engine.clone(), source }));
        let elsewhere = |place| vec![Span { name: "elsewhere".to_owned(), holds: TimeRange::all(), place }];
        let spans = match dice.below(5) {
            0 => elsewhere(there(whole.clone())),
            1 => new_and_old(&|source| there(source)),
            2 => {
                // somebody else who has places of its own
                let shard = Shard { spans: new_and_old(&here), whole: whole.clone() };
                let layout = Layout { shards: vec![shard] };
                elsewhere(there(Arc::new(Placed { all: whole.clone(), layout })))
            }
            _ => new_and_old(&here),
        };
        Shard { spans, whole }
    });
    Placed { layout: Layout { shards: shards.collect() }, all: memory(series, TimeRange::all()) }
}

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
        2 if dice.below(2) == 0 => format!("predict_linear({}[9m]{}, 600)", selector(dice), modifiers(dice)),
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
    let mut dice = Dice(11);
    let series = data(&mut dice);
    let engine = engine(&runtime, Rewrites::default(), false);
    let whole = memory(&series, TimeRange::all());
    let span = |name: &str, holds: TimeRange| {
        let place = Place::Here(Arc::new(Side { whole: whole.clone(), holds }));
        Span { name: name.to_owned(), holds, place }
    };
    let spans = vec![
        span("heads", TimeRange::new(600_000, i64::MAX)),
        span("blocks", TimeRange::new(i64::MIN, 700_000)),
    ];
    let layout = Layout { shards: vec![Shard { spans, whole: whole.clone() }] };
    let source = Arc::new(Placed { all: whole, layout });
    let plan = async |expr: &str| {
        let request = QueryRequest::new(TenantId::anonymous(), expr);
        engine.explain(source.clone(), request, 0, 3_000_000, 60_000, true).await.unwrap().to_string()
    };
    let states = plan("sum by (pod) (rate(c_total[9m]))").await;
    let wanted = "SeamWindows: Rate over 540000 ms from states of blocks and heads, 5 series [5 rows";
    assert!(states.contains(wanted), "{states}");
    for expr in ["sum(quantile_over_time(0.5, c_total[9m]))", "sum(rate(c_total[9m] smoothed))"] {
        let samples = plan(expr).await;
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
