//! The engine over series in memory: the queries of dashboards, samples per second. Reading a source in memory is
//! a copy of its samples; nothing is decoded.

use std::cell::LazyCell;
use std::sync::Arc;

use ::promql::{Engine, EngineOptions, MemorySource, QueryRequest, Value};
use benches::{Kind, kind, labels, time, value};
use criterion::{Criterion, Throughput};
use model::TenantId;
use proto::Source;
use runtime::Runtime;

/// An hour and the five minutes before.
const SCRAPES: usize = 260;
const STEP_MS: i64 = 60_000;

/// The first `count` series of the fleet that are wanted.
fn source(count: usize, wanted: impl Fn(Kind) -> bool) -> Arc<dyn Source> {
    let source = MemorySource::new();
    for index in (0..).filter(|index| wanted(kind(*index))).take(count) {
        let samples: Vec<_> = (0..SCRAPES).map(|scrape| (time(scrape), value(index, scrape), 0)).collect();
        source.add_floats(&labels(index), &samples);
    }
    Arc::new(source)
}

struct Query {
    name: &'static str,
    text: &'static str,
    series: usize,
    wanted: fn(Kind) -> bool,
    is_range: bool,
}

const QUERIES: [Query; 4] = [
    Query {
        name: "sum by (rate)",
        text: "sum by (pod) (rate(http_requests_total[5m]))",
        series: 6_000,
        wanted: |kind| matches!(kind, Kind::Requests(_)),
        is_range: true,
    },
    Query {
        name: "histogram_quantile",
        text: "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
        series: 6_000,
        wanted: |kind| matches!(kind, Kind::Bucket(_)),
        is_range: true,
    },
    Query {
        name: "max by (avg_over_time)",
        text: "max by (namespace) (avg_over_time(memory_working_set_bytes[5m]))",
        series: 6_000,
        wanted: |kind| kind == Kind::Memory,
        is_range: true,
    },
    Query { name: "count", text: r#"count({job=~".+"})"#, series: 20_000, wanted: |_| true, is_range: false },
];

fn rows(value: &Value) -> usize {
    match value {
        Value::Vector(rows) => rows.len(),
        Value::Matrix(rows) => rows.len(),
        Value::Scalar { .. } | Value::String { .. } => 1,
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::real();
    let engine = Engine::new(runtime.clone(), EngineOptions::default());
    let mut group = criterion.benchmark_group("promql");
    group.sample_size(10);
    for query in QUERIES {
        let source = LazyCell::new(|| source(query.series, query.wanted));
        // an instant query looks at the last sample of a series
        let samples = if query.is_range { query.series * SCRAPES } else { query.series };
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function(query.name, |bencher| {
            bencher.iter(|| {
                let request = QueryRequest::new(TenantId::anonymous(), query.text);
                let source = Arc::clone(&source);
                let (start, end) = (time(20), time(SCRAPES - 1));
                let answer = if query.is_range {
                    runtime.block_on(Box::pin(engine.range(source, request, start, end, STEP_MS)))
                } else {
                    runtime.block_on(Box::pin(engine.instant(source, request, end)))
                };
                let answer = answer.expect("the query has an answer");
                assert!(rows(&answer.value) > 0, "{} gives nothing", query.text);
                answer
            });
        });
    }
    group.finish();
}
