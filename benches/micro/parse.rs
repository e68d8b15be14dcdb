//! The parser over expressions as dashboards and rules hold them.

use std::hint::black_box;

use ::promql::parse::{ParseOptions, parse};
use criterion::{Criterion, Throughput};

const EXPRESSIONS: [(&str, &str); 6] = [
    ("selector", r#"up{job="kubernetes-pods"}"#),
    ("rate", r#"sum by (pod) (rate(http_requests_total{namespace="team-01",code=~"5.."}[5m]))"#),
    (
        "quantile",
        r#"histogram_quantile(0.95, sum by (le, namespace) (rate(http_request_duration_seconds_bucket{job="kubernetes-pods"}[5m])))"#,
    ),
    (
        "share of errors",
        r#"100 * sum(rate(http_requests_total{code=~"5.."}[5m])) by (namespace) / on (namespace) group_left () sum(rate(http_requests_total[5m])) by (namespace) > 0.5"#,
    ),
    (
        "memory left",
        r#"(node_memory_MemTotal_bytes{instance=~"$node:.+"} - node_memory_MemFree_bytes{instance=~"$node:.+"} - (node_memory_Cached_bytes{instance=~"$node:.+"} + node_memory_Buffers_bytes{instance=~"$node:.+"} + node_memory_SReclaimable_bytes{instance=~"$node:.+"})) / 1024 / 1024"#,
    ),
    (
        "join",
        r#"sum by (namespace, workload) (label_replace(max_over_time(kube_pod_owner{owner_kind="ReplicaSet"}[1h:1m] offset 5m), "replicaset", "$1", "owner_name", "(.*)") * on (replicaset, namespace) group_left (workload) topk by (replicaset, namespace) (1, max by (replicaset, namespace, workload) (kube_replicaset_owner{owner_kind="Deployment"}))) unless on (namespace) kube_namespace_labels{label_team!~"infra|"}"#,
    ),
];

pub(crate) fn benches(criterion: &mut Criterion) {
    let options = ParseOptions::default();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    for (name, text) in EXPRESSIONS {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(parse(black_box(text), &options)).expect("a valid expression"));
        });
    }
    group.throughput(Throughput::Elements(EXPRESSIONS.len() as u64));
    group.bench_function("all", |bencher| {
        bencher.iter(|| EXPRESSIONS.iter().filter(|(_, text)| parse(text, &options).is_ok()).count());
    });
    group.finish();
}
