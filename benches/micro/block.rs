//! Blocks: two hours of sorted series to Parquet files, and back.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;

use ::block::{
    BlockCache, BlockCacheOptions, BlockMeta, BlockReader, BlockSeries, BlockSpec, BlockWriter, Bucket,
    BucketOptions, EncodedFile, series_order, upload,
};
use benches::{START_MS, STEP_MS, labels, times, value};
use criterion::{Criterion, Throughput};
use model::{BlockId, Labels, LogPosition, MatchOp, Matcher, SlotRange, TenantId, TimeRange, TimestampMs};
use runtime::Runtime;

use crate::folder;

const SERIES: usize = 2_000;
/// Two hours.
const SCRAPES: usize = 480;
/// Series read at once.
const RUN: usize = 500;

struct Data {
    times: Vec<TimestampMs>,
    series: Vec<(Labels, Vec<f64>)>,
}

fn data() -> Data {
    let one = |index| (labels(index), (0..SCRAPES).map(|scrape| value(index, scrape)).collect());
    let mut series: Vec<(Labels, Vec<f64>)> = (0..SERIES).map(one).collect();
    series.sort_by(|a, b| series_order(&a.0, &b.0));
    Data { times: times(SCRAPES), series }
}

fn write(data: &Data) -> (BlockMeta, Vec<EncodedFile>) {
    let spec = BlockSpec {
        tenant: TenantId::anonymous(),
        block: BlockId::new(1, 1),
        slots: SlotRange::ALL,
        start: START_MS,
        end: START_MS + SCRAPES as i64 * STEP_MS,
        generation: 0,
        level: 0,
        log_first: LogPosition::default(),
        log_last: LogPosition::default(),
        sources: Vec::new(),
    };
    let mut writer = BlockWriter::new(spec).expect("the window is not empty");
    for (labels, values) in &data.series {
        writer.push(&BlockSeries::floats(labels, &data.times, values)).expect("series are sorted");
    }
    writer.finish().expect("encodes")
}

/// Selects `matchers` and reads every sample; how many.
async fn read(reader: &BlockReader, matchers: &[Matcher]) -> usize {
    let selection = reader.select(matchers, TimeRange::all()).await.expect("the block is sound");
    let mut samples = 0;
    for rows in selection.rows().chunks(RUN) {
        let batch = reader.read(rows, TimeRange::all()).await.expect("the block is sound");
        samples += batch.values.len();
        black_box(&batch);
    }
    samples
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let folder = folder();
    let data = LazyCell::new(data);
    let stored = LazyCell::new(|| {
        let address = folder.path().to_str().expect("the target directory's name is UTF-8");
        let bucket = Bucket::open(&runtime, address, &BucketOptions::default()).expect("a folder");
        let (meta, files) = write(&data);
        runtime.block_on(Box::pin(upload(&bucket, &meta.folder(), files))).expect("the disk takes it");
        (bucket, Arc::new(meta))
    });
    let reader = || {
        let cache = BlockCache::new(&BlockCacheOptions::default());
        BlockReader::new(runtime.clone(), stored.0.clone(), cache, Arc::clone(&stored.1))
    };
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").expect("a regex")];

    let mut group = criterion.benchmark_group("block");
    group.sample_size(10);
    group.throughput(Throughput::Elements((SERIES * SCRAPES) as u64));
    group.bench_function("write", |bencher| bencher.iter(|| write(&data)));
    // indexes and pages come from the bucket
    group.bench_function("read/cold", |bencher| {
        bencher.iter(|| runtime.block_on(Box::pin(read(&reader(), &all))));
    });
    group.bench_function("read/cached", |bencher| {
        let reader = reader();
        assert_eq!(runtime.block_on(Box::pin(read(&reader, &all))), SERIES * SCRAPES);
        bencher.iter(|| runtime.block_on(Box::pin(read(&reader, &all))));
    });
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("select all series", |bencher| {
        let reader = reader();
        bencher.iter(|| runtime.block_on(Box::pin(reader.select(&all, TimeRange::all()))).expect("sound"));
    });
    group.finish();
}
