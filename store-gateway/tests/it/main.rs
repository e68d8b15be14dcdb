//! Blocks of several windows and generations read as one.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{
    BlockMeta, BlockSeries, BlockSpec, BlockWriter, Bucket, BucketOptions, Catalogs, series_order, upload,
};
use model::{
    BlockId, Exemplar, Labels, LogPosition, MatchOp, Matcher, Metadata, MetricType, SlotRange, TenantId,
    TimeRange,
};
use proptest::prelude::*;
use proto::{LabelsWanted, MetadataRequest, SelectRequest, Source, SourceError};
use runtime::Runtime;
use store_gateway::{BlockSource, BlockSourceOptions};

const START: i64 = 1_700_006_400_000;
const WINDOW: i64 = 7_200_000;

/// Samples of one block: series number, then time.
type Content = BTreeMap<(u8, i64), f64>;

fn labels(series: u8) -> Labels {
    let (name, pod) = (format!("m{}", series % 3), format!("p{series}"));
    Labels::new([("__name__", name.as_str()), ("pod", pod.as_str())]).unwrap()
}

async fn publish(
    catalogs: &Catalogs,
    tenant: &TenantId,
    number: u128,
    window: i64,
    generation: u32,
    content: &Content,
) -> Arc<BlockMeta> {
    let start = START + window * WINDOW;
    let spec = BlockSpec {
        tenant: tenant.clone(),
        block: BlockId::new(1, number),
        slots: SlotRange::ALL,
        start,
        end: start + WINDOW,
        generation,
        level: 0,
        log_first: LogPosition::default(),
        log_last: LogPosition::default(),
        sources: Vec::new(),
    };
    let mut series: BTreeMap<u8, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for ((id, t), v) in content {
        let (times, values) = series.entry(*id).or_default();
        times.push(*t);
        values.push(*v);
    }
    let mut all: Vec<_> = series.into_iter().map(|(id, (t, v))| (labels(id), t, v)).collect();
    all.sort_by(|a, b| series_order(&a.0, &b.0));
    let mut writer = BlockWriter::new(spec).unwrap();
    let metadata =
        Metadata { metric_type: MetricType::Gauge, help: format!("g{generation}"), unit: "u".into() };
    for (labels, times, values) in &all {
        let exemplar = Exemplar { labels: Labels::empty(), value: 1.0, t: times[0] };
        let mut one = BlockSeries::floats(labels, times, values);
        one.metadata = Some(&metadata);
        one.exemplars = std::slice::from_ref(&exemplar);
        writer.push(&one).unwrap();
    }
    let (meta, files) = writer.finish().unwrap();
    upload(catalogs.bucket(), &meta.folder(), files).await.unwrap();
    let meta = Arc::new(meta);
    catalogs.get(tenant).await.unwrap().publish_block(Arc::clone(&meta)).await.unwrap();
    meta
}

fn source(runtime: &Runtime) -> (Arc<Catalogs>, BlockSource) {
    let bucket = Bucket::open(runtime, "/bucket", &BucketOptions::default()).unwrap();
    let catalogs = Arc::new(Catalogs::new(bucket));
    let source = BlockSource::new(runtime.clone(), Arc::clone(&catalogs), &BlockSourceOptions::default());
    (catalogs, source)
}

fn all_series() -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()]
}

fn request(range: TimeRange) -> SelectRequest {
    SelectRequest {
        tenant: TenantId::anonymous(),
        matchers: all_series(),
        range,
        labels: LabelsWanted::All,
        series_max: 0,
    }
}

fn metadata_request(matchers: Vec<Vec<Matcher>>) -> MetadataRequest {
    MetadataRequest { tenant: TenantId::anonymous(), matchers, range: TimeRange::all(), limit: 0 }
}

/// (window, generation) to content.
fn contents() -> impl Strategy<Value = BTreeMap<(i64, u32), Content>> {
    let sample = (0u8..5, prop_oneof![(0i64..20).prop_map(|i| i * 15_000), 0..WINDOW], -100i32..100);
    let content = proptest::collection::vec(sample, 1..60);
    proptest::collection::btree_map((0i64..3, 0u32..3), content, 1..6).prop_map(|blocks| {
        let at = |window: i64, content: Vec<(u8, i64, i32)>| {
            content.into_iter().map(|(s, t, v)| ((s, START + window * WINDOW + t), f64::from(v))).collect()
        };
        blocks.into_iter().map(|((window, g), content)| ((window, g), at(window, content))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn blocks_read_as_one(blocks in contents(), from in 0..3 * WINDOW, length in 0..3 * WINDOW) {
        let runtime = Runtime::simulated(1);
        runtime.block_on(async {
            let (catalogs, source) = source(&runtime);
            let mut model: Content = BTreeMap::new();
            for (i, ((window, generation), content)) in blocks.iter().enumerate() {
                publish(&catalogs, &TenantId::anonymous(), i as u128 + 1, *window, *generation, content).await;
                for (key, value) in content {
                    model.entry(*key).or_insert(*value);
                }
            }
            for range in [TimeRange::all(), TimeRange::new(START + from, START + from + length)] {
                let selection = source.select(&request(range)).await.unwrap();
                let n = selection.series().len();
                let mut got: Content = BTreeMap::new();
                for piece in [0..n / 2, n / 2..n] {
                    let batch = selection.read(piece.clone()).await.unwrap();
                    assert_eq!(batch.series.len(), piece.len());
                    for (i, s) in piece.enumerate() {
                        let labels = &selection.series()[s].labels;
                        let id: u8 = labels.get("pod").unwrap()[1..].parse().unwrap();
                        let times = batch.timestamps_of(i);
                        assert!(times.windows(2).all(|w| w[0] < w[1]));
                        for (t, v) in times.iter().zip(batch.values_of(i)) {
                            assert!(got.insert((id, *t), *v).is_none(), "a series twice");
                        }
                    }
                }
                let expected: Content =
                    model.iter().filter(|((_, t), _)| range.contains(*t)).map(|(k, v)| (*k, *v)).collect();
                assert_eq!(got, expected);
            }
        });
    }
}

fn simple(window: i64, series: &[u8]) -> Content {
    series.iter().map(|s| ((*s, START + window * WINDOW + 5), f64::from(*s))).collect()
}

#[test]
fn metadata_is_answered_from_all_blocks() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let (catalogs, source) = source(&runtime);
        let tenant = TenantId::anonymous();
        publish(&catalogs, &tenant, 1, 0, 0, &simple(0, &[0, 1])).await;
        publish(&catalogs, &tenant, 2, 1, 0, &simple(1, &[1, 2, 4])).await;
        let everything = metadata_request(Vec::new());
        assert_eq!(source.label_names(&everything).await.unwrap(), ["__name__", "pod"]);
        assert_eq!(source.label_values(&everything, "pod").await.unwrap(), ["p0", "p1", "p2", "p4"]);
        assert_eq!(source.label_values(&everything, "nope").await.unwrap(), Vec::<String>::new());
        let two =
            metadata_request(vec![vec![Matcher::equal("pod", "p0")], vec![Matcher::equal("__name__", "m1")]]);
        let series = source.series(&two).await.unwrap();
        assert_eq!(series, [labels(0), labels(1), labels(4)]);
        let late =
            MetadataRequest { range: TimeRange::new(START + WINDOW, i64::MAX), limit: 1, ..everything };
        assert_eq!(source.label_values(&late, "pod").await.unwrap(), ["p1"]);
        let metadata = source.metadata(&tenant, Some("m1")).await.unwrap();
        assert_eq!(metadata.len(), 1);
        assert_eq!(source.metadata(&tenant, None).await.unwrap().len(), 3);
        let exemplars = source.exemplars(&two).await.unwrap();
        assert_eq!(exemplars.iter().map(|e| e.exemplars.len()).collect::<Vec<_>>(), [1, 2, 1]);
        let other =
            MetadataRequest { tenant: TenantId::new("other").unwrap(), ..metadata_request(Vec::new()) };
        assert!(source.label_names(&other).await.unwrap().is_empty());
    });
}

#[test]
fn projections_and_limits_hold() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let (catalogs, source) = source(&runtime);
        publish(&catalogs, &TenantId::anonymous(), 1, 0, 0, &simple(0, &[0, 1, 3])).await;
        let mut wanted = request(TimeRange::all());
        wanted.labels = LabelsWanted::Only(vec!["__name__".into()]);
        let selection = source.select(&wanted).await.unwrap();
        let names: Vec<String> = selection.series().iter().map(|s| s.labels.to_string()).collect();
        assert_eq!(names, ["m0", "m0", "m1"]);
        assert_eq!(selection.series()[0].id, labels(0).series_id());
        wanted.series_max = 2;
        assert!(matches!(source.select(&wanted).await, Err(SourceError::Limit(_))));
    });
}

#[test]
fn a_damaged_block_is_left_out_with_a_warning_and_set_aside() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let (catalogs, source) = source(&runtime);
        let tenant = TenantId::anonymous();
        let bad = publish(&catalogs, &tenant, 1, 0, 0, &simple(0, &[0, 1])).await;
        publish(&catalogs, &tenant, 2, 1, 0, &simple(1, &[1])).await;
        let path = bad.path("piece=000/series.parquet");
        let mut bytes = catalogs.bucket().get(&path).await.unwrap().to_vec();
        bytes[100] ^= 1;
        catalogs.bucket().delete(&path).await.unwrap();
        catalogs.bucket().put_if_absent(&path, bytes::Bytes::from(bytes)).await.unwrap();
        for _ in 0..2 {
            let selection = source.select(&request(TimeRange::all())).await.unwrap();
            assert_eq!(selection.series().len(), 1);
            let warnings = selection.warnings();
            assert_eq!(warnings.len(), 1);
            assert!(warnings[0].contains("piece=000/series.parquet"), "{warnings:?}");
        }
        assert_eq!(source.damaged_blocks().len(), 1);
        assert_eq!(source.set_aside_damaged().await, Ok(1));
        assert_eq!(catalogs.get(&tenant).await.unwrap().live().len(), 1);
        let selection = source.select(&request(TimeRange::all())).await.unwrap();
        assert_eq!((selection.series().len(), selection.warnings().len()), (1, 1));
    });
}
