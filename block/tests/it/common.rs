//! What the tests share: specs, writing, reading everything back.

use std::sync::Arc;

use block::{
    BlockCache, BlockCacheOptions, BlockHistogram, BlockMeta, BlockReader, BlockSeries, BlockSpec,
    BlockWriter, Bucket, BucketOptions, EncodedFile, series_order, upload,
};
use model::{BlockId, Exemplar, Labels, LogPosition, Matcher, Metadata, SlotRange, TenantId, TimeRange};
use runtime::Runtime;

pub(crate) const START: i64 = 1_700_006_400_000;
pub(crate) const END: i64 = START + 7_200_000;

/// A series with everything it can have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) timestamps: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) start_ts: Option<Vec<i64>>,
    pub(crate) histograms: Vec<BlockHistogram>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) metadata: Option<Metadata>,
}

impl Series {
    pub(crate) fn new(pairs: &[(&str, &str)], timestamps: Vec<i64>, values: Vec<f64>) -> Self {
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Series { pairs, timestamps, values, ..Default::default() }
    }

    pub(crate) fn labels(&self) -> Labels {
        Labels::new(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
    }
}

pub(crate) fn spec(number: u128) -> BlockSpec {
    BlockSpec {
        tenant: TenantId::anonymous(),
        block: BlockId::new(1_700_000_000_000, number),
        slots: SlotRange::ALL,
        start: START,
        end: END,
        generation: 0,
        level: 0,
        log_first: LogPosition { index: 1, term: 1 },
        log_last: LogPosition { index: 99, term: 2 },
        sources: Vec::new(),
    }
}

pub(crate) fn encode(spec: BlockSpec, mut series: Vec<Series>) -> (Arc<BlockMeta>, Vec<EncodedFile>) {
    series.sort_by(|a, b| series_order(&a.labels(), &b.labels()));
    let mut writer = BlockWriter::new(spec).unwrap();
    let mut files = Vec::new();
    for one in &series {
        let labels = one.labels();
        writer
            .push(&BlockSeries {
                labels: &labels,
                id: labels.series_id(),
                metadata: one.metadata.as_ref(),
                timestamps: &one.timestamps,
                values: &one.values,
                start_ts: one.start_ts.as_deref(),
                histograms: &one.histograms,
                exemplars: &one.exemplars,
            })
            .unwrap();
        files.extend(writer.take_files());
    }
    let (meta, rest) = writer.finish().unwrap();
    files.extend(rest);
    (Arc::new(meta), files)
}

pub(crate) fn folder_bucket(runtime: &Runtime, folder: &std::path::Path) -> Bucket {
    Bucket::open(runtime, folder.to_str().unwrap(), &BucketOptions::default()).unwrap()
}

/// A bucket on the disk of a simulation.
pub(crate) fn simulated_bucket(runtime: &Runtime) -> Bucket {
    Bucket::open(runtime, "/bucket", &BucketOptions::default()).unwrap()
}

pub(crate) async fn put(bucket: &Bucket, spec: BlockSpec, series: Vec<Series>) -> Arc<BlockMeta> {
    let (meta, files) = encode(spec, series);
    upload(bucket, &meta.folder(), files).await.unwrap();
    meta
}

pub(crate) fn reader(runtime: &Runtime, bucket: &Bucket, meta: &Arc<BlockMeta>) -> BlockReader {
    let cache = BlockCache::new(&BlockCacheOptions::default());
    BlockReader::new(runtime.clone(), bucket.clone(), cache, Arc::clone(meta))
}

pub(crate) fn everything() -> Vec<Matcher> {
    vec![Matcher::new(model::MatchOp::NotEqual, "nothing", "x").unwrap()]
}

/// Reads every series in `range` and compares with what was written, bit by bit.
pub(crate) async fn check(reader: &BlockReader, series: &[Series], range: TimeRange) {
    let mut sorted: Vec<&Series> = series.iter().collect();
    sorted.sort_by(|a, b| series_order(&a.labels(), &b.labels()));
    let selection = reader.select(&everything(), TimeRange::all()).await.unwrap();
    assert_eq!(selection.rows().len(), sorted.len());
    let which: Vec<usize> = (0..sorted.len()).collect();
    let labels = selection.labels(&which, None).unwrap();
    let batch = reader.read(selection.rows(), range).await.unwrap();
    for (i, one) in sorted.iter().enumerate() {
        assert_eq!(labels[i], one.labels());
        assert_eq!(selection.id(i), one.labels().series_id());
        let inside: Vec<usize> =
            (0..one.timestamps.len()).filter(|j| range.contains(one.timestamps[*j])).collect();
        let times: Vec<i64> = inside.iter().map(|j| one.timestamps[*j]).collect();
        let bits: Vec<u64> = inside.iter().map(|j| one.values[*j].to_bits()).collect();
        assert_eq!(batch.timestamps_of(i), times, "{}", labels[i]);
        let got: Vec<u64> = batch.values_of(i).iter().map(|v| v.to_bits()).collect();
        assert_eq!(got, bits, "{}", labels[i]);
        let starts: Vec<i64> =
            one.start_ts.as_ref().map(|s| inside.iter().map(|j| s[*j]).collect()).unwrap_or_default();
        if starts.iter().any(|t| *t != 0) {
            assert_eq!(batch.series[i].start_ts.as_deref(), Some(&starts[..]));
        } else {
            assert_eq!(batch.series[i].start_ts, None);
        }
        let histograms: Vec<_> = one.histograms.iter().filter(|h| range.contains(h.t)).collect();
        let points = batch.histograms_of(i);
        assert_eq!(points.len(), histograms.len());
        for (point, written) in points.iter().zip(histograms) {
            assert_eq!((point.t, point.start_t), (written.t, written.start_t));
            assert_eq!(format!("{:?}", point.h), format!("{:?}", written.histogram.to_float()));
        }
        // as it was written: bits of NaNs too
        let exact = reader.exact_histograms(selection.rows()[i], range).await.unwrap();
        assert_eq!(exact.len(), points.len());
        for (exact, written) in exact.iter().zip(one.histograms.iter().filter(|h| range.contains(h.t))) {
            assert_eq!(histogram_bits(exact), histogram_bits(written));
        }
    }
    let exemplars = reader.exemplars(&selection, range).await.unwrap();
    let written: Vec<(usize, Exemplar)> = sorted
        .iter()
        .enumerate()
        .flat_map(|(i, s)| s.exemplars.iter().map(move |e| (i, e.clone())))
        .filter(|(_, e)| range.contains(e.t))
        .collect();
    assert_eq!(exemplars, written);
}

/// A histogram as text, its floats by their bits.
fn histogram_bits(h: &BlockHistogram) -> String {
    let hex = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let floats = match &h.histogram {
        model::Histogram::Int(h) => [hex(&[h.sum, h.zero_threshold]), hex(&h.custom_values), Vec::new()],
        model::Histogram::Float(h) => [
            hex(&[h.sum, h.zero_threshold, h.count, h.zero_count]),
            hex(&h.custom_values),
            [hex(&h.positive_buckets), hex(&h.negative_buckets)].concat(),
        ],
    };
    format!("{h:?} {floats:?}")
}
