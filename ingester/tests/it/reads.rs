//! Selections, projections, names and values.

use ingester::IngesterConfig;
use model::{Labels, MatchOp, Matcher, TimeRange};
use proto::{LabelsWanted, MetadataRequest, SelectRequest, Source, SourceError};

use crate::node::{HOUR, Node, batch, labels, simulated, tenant};

fn request(matchers: Vec<Matcher>, labels: LabelsWanted) -> SelectRequest {
    SelectRequest { tenant: tenant(), matchers, range: TimeRange::all(), labels, series_max: 0 }
}

#[test]
fn selections_match_project_and_share_timestamps() {
    let (runtime, _disk) = simulated(5);
    runtime.block_on(async {
        let node = Node::open(&runtime, IngesterConfig::default()).await;
        let now = node.runtime.now_ms();
        for tick in 0..100 {
            let samples: Vec<_> = (0..40).map(|i| (i, now + tick * 1000, tick as f64)).collect();
            node.write(&samples).await;
        }
        let source = node.ingester.source();
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let cases = [
            (vec![Matcher::equal("__name__", "even_total")], 20),
            (vec![matcher(MatchOp::NotEqual, "__name__", "even_total")], 20),
            (vec![matcher(MatchOp::Regex, "pod", "pod-[12]")], 16),
            (vec![matcher(MatchOp::NotRegex, "pod", "pod-[12]")], 24),
            (vec![matcher(MatchOp::Regex, "pod", ".+")], 40),
            (vec![matcher(MatchOp::Equal, "nothing", "")], 40),
            (vec![matcher(MatchOp::Regex, "instance", "i-(1|2|77)")], 2),
            (
                vec![
                    matcher(MatchOp::Regex, "instance", "i-1.*"),
                    matcher(MatchOp::NotEqual, "pod", "pod-1"),
                ],
                8,
            ),
            (vec![matcher(MatchOp::Equal, "pod", "none")], 0),
        ];
        for (matchers, count) in cases {
            let selection = source.select(&request(matchers.clone(), LabelsWanted::All)).await.unwrap();
            assert_eq!(selection.series().len(), count, "{matchers:?}");
            for series in selection.series() {
                assert!(Matcher::all_match(&matchers, &series.labels));
            }
        }
        let even = vec![Matcher::equal("__name__", "even_total")];
        let only = LabelsWanted::Only(vec!["pod".to_owned()]);
        let selection = source.select(&request(even.clone(), only)).await.unwrap();
        let mut projected: Vec<Labels> = selection.series().iter().map(|s| s.labels.clone()).collect();
        projected.sort();
        projected.dedup();
        assert_eq!(projected.len(), 5);
        let without = LabelsWanted::Without(vec!["instance".to_owned(), "pod".to_owned()]);
        let selection = source.select(&request(even, without)).await.unwrap();
        let name = Labels::new([("__name__", "even_total")]).unwrap();
        assert!(selection.series().iter().all(|s| s.labels == name));
        let samples = selection.read(0..selection.series().len()).await.unwrap();
        assert_eq!(samples.vectors.len(), 1, "one scrape, one vector");
        assert_eq!(samples.values.len(), 20 * 100);
        let mut some = request(vec![matcher(MatchOp::Regex, "pod", ".+")], LabelsWanted::All);
        some.range = TimeRange::new(now + 10_000, now + 75_000);
        let selection = source.select(&some).await.unwrap();
        let samples = selection.read(3..9).await.unwrap();
        assert_eq!((samples.series.len(), samples.timestamps_of(5).len()), (6, 65));
        assert_eq!(samples.values_of(2)[0], 10.0);
        some.series_max = 39;
        assert!(matches!(source.select(&some).await, Err(SourceError::Limit(_))));
        some.series_max = 0;
        some.range = TimeRange::new(now + 1_000_000, now + 2_000_000);
        assert_eq!(source.select(&some).await.unwrap().series().len(), 0, "nothing that new");
        node.close().await;
    });
}

#[test]
fn names_values_series_and_status_come_from_the_index() {
    let (runtime, _disk) = simulated(6);
    runtime.block_on(async {
        let config = IngesterConfig { groups: 3, ..IngesterConfig::default() };
        let node = Node::open(&runtime, config).await;
        let now = node.runtime.now_ms();
        use proto::AppendSamples;
        for i in 0..40 {
            let group = node.ingester.place(&tenant(), labels(i).series_id());
            let outcome = node.ingester.append(&tenant(), group, batch(&[(i, now, 1.0)])).await.unwrap();
            assert_eq!(outcome.rejections, []);
        }
        let source = node.ingester.source();
        let mut request =
            MetadataRequest { tenant: tenant(), matchers: Vec::new(), range: TimeRange::all(), limit: 0 };
        assert_eq!(source.label_names(&request).await.unwrap(), ["__name__", "instance", "pod"]);
        assert_eq!(source.label_values(&request, "__name__").await.unwrap(), ["even_total", "odd_total"]);
        assert_eq!(source.label_values(&request, "missing").await.unwrap(), [""; 0]);
        assert_eq!(source.series(&request).await.unwrap().len(), 40);
        request.matchers =
            vec![vec![Matcher::equal("instance", "i-7")], vec![Matcher::equal("instance", "i-9")]];
        assert_eq!(source.label_values(&request, "pod").await.unwrap(), ["pod-2", "pod-4"]);
        request.limit = 1;
        assert_eq!(source.series(&request).await.unwrap(), [labels(7)]);
        let other = model::TenantId::new("team-2").unwrap();
        request.tenant = other.clone();
        assert_eq!(source.series(&request).await.unwrap(), []);
        let status = node.ingester.status(&tenant(), 10);
        assert_eq!((status.series, status.label_pairs >= 47), (40, true));
        assert_eq!(status.series_by_metric, [("even_total".to_owned(), 20), ("odd_total".to_owned(), 20)]);
        assert_eq!((status.min_time, status.max_time), (Some(now), Some(now)));
        assert_eq!(node.ingester.status(&other, 10), ingester::HeadStatus::default());
        let stats = node.ingester.stats();
        assert_eq!((stats.series, stats.counters.samples, stats.tenants), (40, 40, 1));
        node.close().await;
    });
}

#[test]
fn a_dropped_head_lists_only_series_that_it_still_has_samples_of() {
    let (runtime, _disk) = simulated(10);
    runtime.block_on(async {
        let node = Node::open(&runtime, IngesterConfig::default()).await;
        let now = node.runtime.now_ms();
        let at =
            |t: i64, series: std::ops::Range<usize>| series.map(move |i| (i, t, 1.0)).collect::<Vec<_>>();
        node.write(&at(now - 1000, 0..10)).await;
        let range = TimeRange::new(now - HOUR, now + HOUR);
        let request = MetadataRequest { tenant: tenant(), matchers: Vec::new(), range, limit: 0 };
        let source = node.ingester.source();
        assert_eq!(source.series(&request).await.unwrap().len(), 10);
        node.ingester.flush(true).await.unwrap();
        assert_eq!(source.series(&request).await.unwrap(), []);
        node.write(&at(now, 4..6)).await;
        assert_eq!(source.series(&request).await.unwrap(), [labels(4), labels(5)]);
        assert_eq!(source.label_values(&request, "instance").await.unwrap(), ["i-4", "i-5"]);
        node.close().await;
    });
}

#[test]
fn a_tenant_with_nothing_but_metadata_is_flushed_and_read() {
    use model::{Metadata, MetricType};
    use proto::{AppendBatch, MetadataAppend};
    let (runtime, _disk) = simulated(9);
    runtime.block_on(async {
        let node = Node::open(&runtime, IngesterConfig::default()).await;
        let metadata = Metadata { metric_type: MetricType::Gauge, help: "free".into(), unit: String::new() };
        let append = MetadataAppend { metric: "x".to_owned(), metadata: metadata.clone() };
        node.append(AppendBatch { metadata: vec![append], ..AppendBatch::default() }).await.unwrap();
        node.ingester.cut_due().await;
        assert_eq!(node.ingester.flush(true).await.unwrap().blocks, 0);
        let found = node.ingester.source().metadata(&tenant(), None).await.unwrap();
        assert_eq!(found, [("x".to_owned(), metadata)]);
        let mut crooked = batch(&[(1, 5, 1.0)]);
        crooked.floats.values.clear();
        assert!(node.append(crooked).await.is_err());
        node.close().await;
    });
}
