use std::collections::BTreeMap;

use std::ops::Range;

use model::{
    CounterResetHint, Exemplar, FloatHistogram, HistogramPoint, Labels, Matcher, MetricType, SampleBatch,
    SeriesSamples, TimeRange,
};
use proptest::prelude::*;
use proto::{LabelsWanted, SelectedSeries};

use super::*;

/// Samples of a series: time → (value or histogram count, start timestamp).
type Samples = BTreeMap<i64, (f64, i64)>;

/// A source of a few series, with vectors shared by series of equal times.
#[derive(Default, Clone)]
struct Fixed {
    floats: Vec<(Labels, Samples)>,
    histograms: BTreeMap<Labels, Samples>,
    names: Vec<String>,
    metadata: Vec<(String, Metadata)>,
    exemplars: Vec<SeriesExemplars>,
    warnings: Vec<String>,
}

struct FixedSelection {
    source: Fixed,
    series: Vec<SelectedSeries>,
}

#[async_trait]
impl Selection for FixedSelection {
    fn series(&self) -> &[SelectedSeries] {
        &self.series
    }

    async fn read(&self, range: Range<usize>) -> Result<SampleBatch, SourceError> {
        let mut batch = SampleBatch::default();
        for (labels, samples) in &self.source.floats[range] {
            let times: Vec<i64> = samples.keys().copied().collect();
            let vector = batch.vectors.iter().position(|v| **v == times[..]).unwrap_or_else(|| {
                batch.vectors.push(Arc::from(times));
                batch.vectors.len() - 1
            });
            let start = batch.values.len();
            batch.values.extend(samples.values().map(|s| s.0));
            let starts: Vec<i64> = samples.values().map(|s| s.1).collect();
            let first_histogram = batch.histograms.len();
            for (t, (count, _)) in self.source.histograms.get(labels).into_iter().flatten() {
                let h = Arc::new(histogram(*count));
                batch.histograms.push(HistogramPoint { t: *t, h, start_t: 0 });
            }
            batch.series.push(SeriesSamples {
                values: start..batch.values.len(),
                vector,
                vector_offset: 0,
                histograms: first_histogram..batch.histograms.len(),
                start_ts: starts.iter().any(|s| *s != 0).then(|| Arc::from(starts)),
            });
        }
        Ok(batch)
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings.clone()
    }
}

#[async_trait]
impl Source for Fixed {
    async fn select(&self, _: &SelectRequest) -> Result<Arc<dyn Selection>, SourceError> {
        let series = self
            .floats
            .iter()
            .map(|(labels, _)| SelectedSeries { id: labels.series_id(), labels: labels.clone() })
            .collect();
        Ok(Arc::new(FixedSelection { source: self.clone(), series }))
    }

    async fn label_names(&self, request: &MetadataRequest) -> Result<Vec<String>, SourceError> {
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        Ok(self.names.iter().take(limit).cloned().collect())
    }

    async fn label_values(&self, request: &MetadataRequest, _: &str) -> Result<Vec<String>, SourceError> {
        self.label_names(request).await
    }

    async fn series(&self, _: &MetadataRequest) -> Result<Vec<Labels>, SourceError> {
        let mut out: Vec<Labels> = self.floats.iter().map(|(l, _)| l.clone()).collect();
        out.sort();
        Ok(out)
    }

    async fn metadata(&self, _: &TenantId, _: Option<&str>) -> Result<Vec<(String, Metadata)>, SourceError> {
        Ok(self.metadata.clone())
    }

    async fn exemplars(&self, _: &MetadataRequest) -> Result<Vec<SeriesExemplars>, SourceError> {
        Ok(self.exemplars.clone())
    }
}

fn histogram(count: f64) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: count,
        count,
        sum: 0.0,
        positive_spans: vec![],
        negative_spans: vec![],
        positive_buckets: vec![],
        negative_buckets: vec![],
        custom_values: Arc::from([]),
    }
}

fn labels(i: usize) -> Labels {
    Labels::new([("__name__", "m"), ("i", &*format!("{i:03}"))]).unwrap()
}

fn request() -> SelectRequest {
    SelectRequest {
        tenant: TenantId::anonymous(),
        matchers: vec![Matcher::equal("__name__", "m")],
        range: TimeRange::all(),
        labels: LabelsWanted::All,
        series_max: 0,
    }
}

fn list(limit: usize) -> MetadataRequest {
    MetadataRequest { tenant: TenantId::anonymous(), matchers: vec![], range: TimeRange::all(), limit }
}

fn merged(sources: Vec<Fixed>) -> MergedSource {
    MergedSource::new(sources.into_iter().map(|s| Arc::new(s) as Arc<dyn Source>).collect())
}

fn run<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

/// All samples of all series: (time, value, start) and (time, histogram count).
type All = BTreeMap<Labels, (Vec<(i64, f64, i64)>, Vec<(i64, f64)>)>;

/// Reads `source` in ranges of `step` series.
fn read_all(source: &dyn Source, step: usize) -> All {
    let selection = run(source.select(&request())).unwrap();
    let mut out = BTreeMap::new();
    let mut at = 0;
    while at < selection.series().len() {
        let end = (at + step).min(selection.series().len());
        let batch = run(selection.read(at..end)).unwrap();
        assert_eq!(batch.series.len(), end - at);
        for i in 0..end - at {
            let starts = batch.series[i].start_ts.clone();
            let floats = batch.timestamps_of(i).iter().zip(batch.values_of(i)).enumerate();
            let floats = floats.map(|(n, (t, v))| (*t, *v, starts.as_ref().map_or(0, |s| s[n]))).collect();
            let histograms = batch.histograms_of(i).iter().map(|p| (p.t, p.h.count)).collect();
            let before = out.insert(selection.series()[at + i].labels.clone(), (floats, histograms));
            assert!(before.is_none(), "a series appears twice");
        }
        at = end;
    }
    out
}

/// Samples of one series, each with the sources that hold it.
fn scattered(sources: usize) -> impl Strategy<Value = Vec<(i64, f64, i64, Vec<bool>)>> {
    let sample = (0i64..40, 0u8..4, 0i64..2, prop::collection::vec(any::<bool>(), sources));
    prop::collection::vec(sample, 0..25).prop_map(|samples| {
        samples.into_iter().map(|(t, v, start, holders)| (t * 1000, f64::from(v), start, holders)).collect()
    })
}

proptest! {
    #[test]
    fn any_split_over_sources_reads_as_the_whole(
        series in prop::collection::vec((scattered(3), scattered(3), any::<bool>()), 0..12),
        order in any::<u64>(),
        step in 1usize..8,
    ) {
        let mut sources = vec![Fixed::default(); 3];
        let mut whole: All = BTreeMap::new();
        for (i, (floats, histograms, common)) in series.iter().enumerate() {
            let mut held: Vec<(Samples, Samples)> = vec![Default::default(); 3];
            if *common {
                // a row that many series share, half in one source and half in another
                for t in 0..10 {
                    held[usize::from(t >= 5)].0.insert(t * 500, (t as f64, 0));
                }
            }
            for (t, v, start, holders) in floats {
                for (s, _) in holders.iter().enumerate().filter(|(_, holds)| **holds) {
                    held[s].0.insert(*t, (*v + s as f64 * 10.0, *start));
                }
            }
            for (t, v, start, holders) in histograms {
                for (s, _) in holders.iter().enumerate().filter(|(_, holds)| **holds) {
                    held[s].1.insert(*t, (*v + s as f64 * 10.0, *start));
                }
            }
            let (mut all_floats, mut all_histograms) = (Samples::new(), Samples::new());
            let mut known = false;
            for (s, (floats, histograms)) in held.into_iter().enumerate() {
                for (t, sample) in &floats {
                    all_floats.entry(*t).or_insert(*sample);
                }
                for (t, sample) in &histograms {
                    all_histograms.entry(*t).or_insert(*sample);
                }
                // a source may know a series without a sample in range
                if !floats.is_empty() || !histograms.is_empty() || (order >> (i + s)) & 1 == 1 {
                    known = true;
                    sources[s].histograms.insert(labels(i), histograms);
                    sources[s].floats.push((labels(i), floats));
                }
            }
            if known {
                let floats = all_floats.iter().map(|(t, (v, start))| (*t, *v, *start)).collect();
                let histograms = all_histograms.iter().map(|(t, (v, _))| (*t, *v)).collect();
                whole.insert(labels(i), (floats, histograms));
            }
        }
        for (s, source) in sources.iter_mut().enumerate() {
            let by = (order >> (s * 8)) as usize % source.floats.len().max(1);
            source.floats.rotate_left(by);
            if order >> (32 + s) & 1 == 1 {
                source.floats.reverse();
            }
        }
        prop_assert_eq!(read_all(&merged(sources), step), whole);
    }
}

fn steps(range: Range<i64>, value: f64) -> Samples {
    range.map(|t| (t * 15_000, (value, 0))).collect()
}

#[test]
fn a_part_read_alone_is_passed_through_untouched() {
    let blocks =
        Fixed { floats: (0..4).map(|i| (labels(i), steps(0..10, 1.0))).collect(), ..Fixed::default() };
    let head =
        Fixed { floats: (2..6).map(|i| (labels(i), steps(10..20, 2.0))).collect(), ..Fixed::default() };
    let source = merged(vec![head, blocks]);
    let selection = run(source.select(&request())).unwrap();
    // the last source's order, then what others add
    let order: Vec<&str> = selection.series().iter().map(|s| s.labels.get_or_empty("i")).collect();
    assert_eq!(order, ["000", "001", "002", "003", "004", "005"]);
    let alone = run(selection.read(0..2)).unwrap();
    assert_eq!((alone.values.len(), alone.vectors.len()), (20, 1));
    let mixed = run(selection.read(0..6)).unwrap();
    // one vector of the blocks', one of the head's, and one that both halves share
    assert_eq!(mixed.vectors.len(), 3);
    assert_eq!(mixed.series[2].vector, mixed.series[3].vector);
    assert_eq!(mixed.values_of(2), [[1.0; 10], [2.0; 10]].concat());
    assert_eq!(mixed.timestamps_of(2).len(), 20);
    assert!(run(selection.read(3..3)).unwrap().series.is_empty());
    assert!(run(selection.read(3..7)).is_err());
}

#[test]
fn the_first_source_wins_where_two_have_a_value() {
    let of = |value| Fixed { floats: vec![(labels(0), steps(0..3, value))], ..Fixed::default() };
    let all = read_all(&merged(vec![of(1.0), of(2.0)]), 1);
    assert_eq!(all[&labels(0)].0.iter().map(|s| s.1).collect::<Vec<_>>(), [1.0; 3]);
}

#[test]
fn too_many_series_are_refused_and_warnings_united() {
    let of = |i| Fixed {
        floats: vec![(labels(i), steps(0..1, 1.0))],
        warnings: vec!["stale read".into(), format!("source {i}")],
        ..Fixed::default()
    };
    let source = merged(vec![of(0), of(1)]);
    let selection = run(source.select(&request())).unwrap();
    assert_eq!(selection.warnings(), ["stale read", "source 0", "source 1"]);
    let refused = run(source.select(&SelectRequest { series_max: 1, ..request() })).err().unwrap();
    assert_eq!(
        refused,
        SourceError::Limit(
            "the query selects more than 1 series in one selector, the limit of a query (`query.max_series`)"
                .into()
        )
    );
    assert!(run(source.select(&SelectRequest { series_max: 2, ..request() })).is_ok());
}

#[test]
fn lists_are_united_sorted_and_cut() {
    let of = |names: &[&str], i: usize| Fixed {
        names: names.iter().map(|n| n.to_string()).collect(),
        floats: vec![(labels(i), steps(0..1, 1.0)), (labels(7), steps(0..1, 1.0))],
        ..Fixed::default()
    };
    let source = merged(vec![of(&["a", "c", "d"], 3), of(&["b", "c"], 1)]);
    assert_eq!(run(source.label_names(&list(0))).unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(run(source.label_values(&list(3), "x")).unwrap(), ["a", "b", "c"]);
    assert_eq!(run(source.series(&list(0))).unwrap(), [labels(1), labels(3), labels(7)]);
    assert_eq!(run(source.series(&list(1))).unwrap(), [labels(1)]);
    let none = merged(vec![]);
    assert!(run(none.label_names(&list(0))).unwrap().is_empty());
    assert!(run(none.select(&request())).unwrap().series().is_empty());
}

#[test]
fn metadata_and_exemplars_are_each_told_once() {
    let about =
        |help: &str| Metadata { metric_type: MetricType::Gauge, help: help.into(), unit: String::new() };
    let exemplar = |t, v: &str| Exemplar { labels: Labels::new([("id", v)]).unwrap(), value: 1.0, t };
    let of = |metadata: Vec<(&str, &str)>, exemplars: Vec<Exemplar>| Fixed {
        metadata: metadata.into_iter().map(|(n, h)| (n.to_string(), about(h))).collect(),
        exemplars: vec![SeriesExemplars { labels: labels(0), exemplars }],
        ..Fixed::default()
    };
    let source = merged(vec![
        of(vec![("b", "new"), ("c", "x")], vec![exemplar(2, "b")]),
        of(vec![("a", "x"), ("b", "old"), ("b", "new")], vec![exemplar(1, "a"), exemplar(2, "b")]),
    ]);
    let metadata = run(source.metadata(&TenantId::anonymous(), None)).unwrap();
    let told: Vec<(&str, &str)> = metadata.iter().map(|(n, m)| (n.as_str(), m.help.as_str())).collect();
    assert_eq!(told, [("a", "x"), ("b", "new"), ("b", "old"), ("c", "x")]);
    let exemplars = run(source.exemplars(&list(0))).unwrap();
    assert_eq!(exemplars.len(), 1);
    assert_eq!(exemplars[0].exemplars, [exemplar(1, "a"), exemplar(2, "b")]);
}
