//! What is written comes back, every bit.

use block::{BlockHistogram, BlockSeries, BlockWriter};
use model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, IntHistogram, Labels, MatchOp, Matcher, Metadata,
    MetricType, Span, TimeRange, stale_nan,
};
use proptest::prelude::*;
use runtime::Runtime;

use crate::common::{END, START, Series, check, everything, put, reader, simulated_bucket, spec};

pub(crate) fn int_histogram(i: i64, buckets: usize) -> Histogram {
    Histogram::Int(Box::new(IntHistogram {
        counter_reset_hint: CounterResetHint::from_wire(i.cast_unsigned() % 4),
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: i.cast_unsigned(),
        count: u64::MAX - i.cast_unsigned(),
        sum: i as f64 * 0.1,
        positive_spans: vec![Span { offset: -3, length: buckets as u32 }],
        negative_spans: vec![Span { offset: 1, length: 1 }, Span { offset: 2, length: 1 }],
        positive_deltas: (0..buckets as i64).map(|b| b * i - 7).collect(),
        negative_deltas: vec![i, -i],
        custom_values: [].into(),
    }))
}

fn float_histogram(i: i64, custom: bool) -> Histogram {
    Histogram::Float(Box::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: if custom { model::CUSTOM_BUCKETS_SCHEMA } else { 0 },
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: i as f64 + 0.5,
        sum: if i == 3 { stale_nan() } else { -0.0 },
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        positive_buckets: vec![i as f64, f64::from_bits(0x7ff8_0000_0000_0123)],
        negative_buckets: Vec::new(),
        custom_values: if custom { [0.5, 1.0, 2.5].into() } else { [].into() },
    }))
}

/// A block with one of everything.
pub(crate) fn mixed() -> Vec<Series> {
    let grid: Vec<i64> = (0..480).map(|i| START + i * 15_000).collect();
    let gaps: Vec<i64> = grid.iter().copied().filter(|t| t % 7 != 0).collect();
    let name = |metric: &'static str, pod: &'static str| [("__name__", metric), ("pod", pod), ("job", "j")];
    let mut counter =
        Series::new(&name("requests_total", "a"), grid.clone(), (0..480).map(|i| f64::from(i * i)).collect());
    counter.start_ts = Some((0..480).map(|i| if i % 3 == 0 { 0 } else { START - 1000 }).collect());
    counter.metadata =
        Some(Metadata { metric_type: MetricType::Counter, help: "Requests.".into(), unit: String::new() });
    counter.exemplars = (0..3)
        .map(|i| Exemplar {
            labels: Labels::new([("trace_id", format!("t{i}").as_str())]).unwrap(),
            value: f64::from(i) / 3.0,
            t: START + i64::from(i),
        })
        .collect();
    let decimals = Series::new(
        &name("seconds", "a"),
        grid.clone(),
        (0..480).map(|i| f64::from(i) / 100.0 + 0.3).collect(),
    );
    let mut stale = Series::new(
        &name("memory_bytes", "b"),
        gaps.clone(),
        (0..gaps.len()).map(|i| i as f64 * 4096.0).collect(),
    );
    *stale.values.last_mut().unwrap() = stale_nan();
    stale.values[3] = f64::NEG_INFINITY;
    stale.values[4] = -0.0;
    let real = Series::new(
        &name("ratio", "c"),
        grid.iter().map(|t| t + 3).collect(),
        (0..480).map(|i| (f64::from(i)).sin()).collect(),
    );
    let constant = Series::new(&name("up", "c"), grid[100..200].to_vec(), vec![1.0; 100]);
    let one = Series::new(&name("up", "d"), vec![END - 1], vec![f64::from_bits(1)]);
    let mut native = Series::new(&name("latency", "a"), Vec::new(), Vec::new());
    native.histograms = (0..1500)
        .map(|i| BlockHistogram {
            t: START + i * 1000,
            start_t: if i % 5 == 0 { START } else { 0 },
            histogram: int_histogram(i, if i < 1200 { 5 } else { 6 }),
        })
        .collect();
    let mut both = Series::new(&name("latency", "b"), vec![START], vec![7.5]);
    both.histograms = (1..6)
        .map(|i| BlockHistogram { t: START + i, start_t: 0, histogram: float_histogram(i, i > 2) })
        .collect();
    let only_exemplar = Series {
        exemplars: vec![Exemplar { labels: Labels::empty(), value: 1.0, t: START + 5 }],
        ..Series::new(&name("latency", "z"), Vec::new(), Vec::new())
    };
    vec![counter, decimals, stale, real, constant, one, native, both, only_exemplar]
}

#[test]
fn a_block_with_one_of_everything_reads_back() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let series = mixed();
        let meta = put(&bucket, spec(1), series.clone()).await;
        assert_eq!(meta.counts.series, 9);
        assert_eq!(meta.counts.histograms, 1505);
        let reader = reader(&runtime, &bucket, &meta);
        check(&reader, &series, TimeRange::all()).await;
        check(&reader, &series, TimeRange::new(START + 1_600_000, START + 3_000_000)).await;
        check(&reader, &series, TimeRange::new(START + 1, START + 2)).await;
        let metadata = reader.metadata().await.unwrap();
        assert_eq!(metadata.len(), 1);
        assert_eq!((metadata[0].0.as_str(), metadata[0].1.help.as_str()), ("requests_total", "Requests."));
    });
}

#[test]
fn the_writer_refuses_what_would_not_be_a_block() {
    let labels = Labels::new([("__name__", "up")]).unwrap();
    let mut writer = BlockWriter::new(spec(1)).unwrap();
    assert!(writer.is_empty());
    for (times, values) in
        [(&[START, START][..], &[1.0, 1.0][..]), (&[END], &[1.0]), (&[START - 1], &[1.0]), (&[START], &[])]
    {
        assert!(writer.push(&BlockSeries::floats(&labels, times, values)).is_err());
    }
    writer.push(&BlockSeries::floats(&labels, &[START], &[1.0])).unwrap();
    assert!(!writer.is_empty());
    assert!(writer.push(&BlockSeries::floats(&labels, &[START], &[1.0])).is_err());
    let earlier = Labels::new([("__name__", "down")]).unwrap();
    assert!(writer.push(&BlockSeries::floats(&earlier, &[START], &[1.0])).is_err());
    assert_eq!(writer.finish().unwrap().0.counts.samples, 1);
}

#[test]
fn matchers_select_names_values_and_absence() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let meta = put(&bucket, spec(1), mixed()).await;
        let reader = reader(&runtime, &bucket, &meta);
        let m = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let cases = [
            (vec![m(MatchOp::Equal, "__name__", "up")], 2),
            (vec![m(MatchOp::Equal, "__name__", "up"), m(MatchOp::Equal, "pod", "d")], 1),
            (vec![m(MatchOp::Equal, "__name__", "nope")], 0),
            (vec![m(MatchOp::Equal, "__name__", "zzz")], 0),
            (vec![m(MatchOp::Regex, "__name__", "up|ratio")], 3),
            (vec![m(MatchOp::Regex, "pod", "a|b")], 5),
            (vec![m(MatchOp::NotRegex, "pod", "a|b")], 4),
            (vec![m(MatchOp::Equal, "absent", ""), m(MatchOp::Equal, "job", "j")], 9),
            (vec![m(MatchOp::NotEqual, "absent", "")], 0),
            (vec![m(MatchOp::Regex, "job", ".*")], 9),
        ];
        for (matchers, expected) in cases {
            let found = reader.select(&matchers, TimeRange::all()).await.unwrap();
            assert_eq!(found.rows().len(), expected, "{matchers:?}");
        }
        let values = reader.label_values("pod", &everything(), TimeRange::all()).await.unwrap();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "z"]);
        let names = reader.label_names(&everything(), TimeRange::all()).await.unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["__name__", "job", "pod"]);
        let late = TimeRange::new(END - 10, END);
        assert_eq!(reader.select(&everything(), late).await.unwrap().rows().len(), 1);
        let found = reader.select(&[m(MatchOp::Equal, "__name__", "up")], TimeRange::all()).await.unwrap();
        let only = |name: &str| name == "pod";
        let labels = found.labels(&[0, 1], Some(&only)).unwrap();
        assert_eq!(labels[1], Labels::new([("pod", "d")]).unwrap());
    });
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-100_000i64..100_000).prop_map(|i| i as f64),
        2 => (-100_000i64..100_000).prop_map(|i| i as f64 / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => Just(f64::from_bits(0x7ff8_0000_0000_0001)),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MIN_POSITIVE / 4.0),
        1 => ((1i64 << 53) - 2..(1i64 << 53) + 2).prop_map(|i| i as f64),
        1 => Just(0.1 + 0.2),
    ]
}

fn values(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        proptest::collection::vec(value(), n),
        value().prop_map(move |v| vec![v; n]),
        proptest::collection::vec((-1000i64..1000).prop_map(|i| i as f64 * 4096.0), n),
        proptest::collection::vec((0i64..1000).prop_map(|i| i as f64 / 1000.0), n),
        (proptest::collection::vec(0i64..50, n), any::<prop::sample::Index>()).prop_map(|(steps, nan)| {
            let mut sum = 0;
            let mut out: Vec<f64> = steps
                .iter()
                .map(|s| {
                    sum += s;
                    sum as f64
                })
                .collect();
            if !out.is_empty() {
                let at = nan.index(out.len());
                out[at] = stale_nan();
            }
            out
        }),
    ]
}

fn series() -> impl Strategy<Value = Series> {
    let times = prop_oneof![
        3 => (0usize..50).prop_map(|n| (0..n as i64).map(|i| START + i * 15_000).collect::<Vec<i64>>()),
        1 => (0usize..400).prop_map(|n| (0..n as i64).map(|i| START + i * 10_000).collect()),
        1 => proptest::collection::btree_set(START..END, 0..60).prop_map(|s| s.into_iter().collect()),
        1 => (5usize..20, 0usize..20).prop_map(|(from, n)| {
            (from as i64..(from + n) as i64).map(|i| START + i * 15_000).collect()
        }),
    ];
    times.prop_flat_map(|timestamps: Vec<i64>| {
        let starts = proptest::option::of(proptest::collection::vec(
            prop_oneof![Just(0), Just(START - 7), any::<i32>().prop_map(i64::from)],
            timestamps.len(),
        ));
        (values(timestamps.len()), starts).prop_map(move |(values, start_ts)| Series {
            timestamps: timestamps.clone(),
            values,
            start_ts,
            ..Default::default()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_series_read_back(
        mut all in proptest::collection::vec(series(), 1..12),
        from in START..END,
        length in 0i64..7_200_000,
    ) {
        all.retain(|s| !s.timestamps.is_empty());
        for (i, one) in all.iter_mut().enumerate() {
            one.pairs = vec![
                ("__name__".into(), format!("m{}", i % 3)),
                ("i".into(), i.to_string()),
            ];
        }
        if all.is_empty() {
            return Ok(());
        }
        let runtime = Runtime::simulated(3);
        runtime.block_on(async {
            let bucket = simulated_bucket(&runtime);
            let meta = put(&bucket, spec(1), all.clone()).await;
            let reader = reader(&runtime, &bucket, &meta);
            check(&reader, &all, TimeRange::all()).await;
            check(&reader, &all, TimeRange::new(from, from + length)).await;
            // our kernels and Arrow's reader: the same rows, the same bits
            let problems = block::verify_block(&runtime, &bucket, &meta).await.unwrap();
            assert!(problems.is_empty(), "{problems:?}");
        });
    }

    #[test]
    fn parsers_of_outside_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        block::fuzz_pages(&bytes);
        block::fuzz_meta(&bytes);
        block::fuzz_catalog(&bytes);
    }

    #[test]
    fn descriptions_with_changes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (meta, _) = crate::common::encode(spec(1), Vec::new());
        let mut bytes = meta.to_json();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        block::fuzz_meta(&bytes);
        block::fuzz_catalog(&bytes);
    }
}

/// Values that cross pages of 32,768 rows, and both kinds of pages at once.
#[test]
fn series_cross_pages() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let times: Vec<i64> = (0..50_000).map(|i| START + i).collect();
        let mut all = Vec::new();
        for (i, kind) in ["integer", "real", "mixed", "decimal"].into_iter().enumerate() {
            let values = (0..50_000).map(|j| match kind {
                "integer" => f64::from(j),
                "real" => f64::from(j).sqrt(),
                "mixed" if j % 9 == 0 => f64::NAN,
                "mixed" => f64::from(j) * 8.0,
                _ => f64::from(j) / 1000.0,
            });
            all.push(Series::new(
                &[("__name__", kind), ("i", &i.to_string())],
                times.clone(),
                values.collect(),
            ));
        }
        let meta = put(&bucket, spec(1), all.clone()).await;
        let reader = reader(&runtime, &bucket, &meta);
        check(&reader, &all, TimeRange::all()).await;
        check(&reader, &all, TimeRange::new(START + 32_760, START + 32_780)).await;
    });
}
