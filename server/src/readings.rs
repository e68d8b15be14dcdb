//! What the roles count, turned into metrics and status answers.

use std::sync::Arc;

use block::Catalogs;
use cluster::Cluster;
use distributor::Distributor;
use flight::{NodeServer, Traffic, TrafficReading};
use ingester::{HeadStatus, Ingester, LimitsOf};
use querier::{Api, NameCount, TsdbStatus};
use runtime::Runtime;

use crate::config::Config;
use crate::metrics::Reading;

/// The limits that go into log entries.
pub(crate) fn limits_of(config: &Config) -> LimitsOf {
    let limits = ingester::Limits {
        series_max: config.limits.series_per_tenant_max,
        out_of_order_ms: i64::try_from(config.limits.out_of_order_time_window.as_millis())
            .unwrap_or(i64::MAX),
    };
    Arc::new(move |_tenant| limits)
}

/// A tenant's heads as the status page shows them.
pub(crate) fn tsdb_status(head: HeadStatus) -> TsdbStatus {
    let named = |list: Vec<(String, u64)>| {
        list.into_iter().map(|(name, value)| NameCount { name, value }).collect::<Vec<_>>()
    };
    TsdbStatus {
        series: head.series,
        label_pairs: head.label_pairs,
        chunks: head.chunks,
        min_time: head.min_time.unwrap_or(i64::MAX),
        max_time: head.max_time.unwrap_or(i64::MIN),
        series_by_metric: named(head.series_by_metric),
        values_by_label: named(head.values_by_label),
        bytes_by_label: named(head.bytes_by_label),
        series_by_pair: named(head.series_by_pair),
    }
}

pub(crate) type Reader = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

/// What is read at a scrape of any process.
pub(crate) fn of_every_node(
    runtime: &Runtime,
    api: &Arc<Api>,
    traffic: &Arc<Traffic>,
    start_ms: i64,
) -> Vec<Reader> {
    let (runtime, api, traffic) = (runtime.clone(), Arc::clone(api), Arc::clone(traffic));
    vec![
        Box::new(move || process(&runtime, start_ms)),
        Box::new(move || {
            let mut readings = of_querier(&api);
            readings.extend(of_result_cache(&api));
            readings
        }),
        Box::new(move || of_traffic(&traffic)),
    ]
}

/// What is read at a scrape of a process that holds series.
pub(crate) fn of_data(
    cluster: &Cluster,
    ingester: &Ingester,
    distributor: &Distributor,
    catalogs: &Arc<Catalogs>,
    server: &NodeServer,
) -> Vec<Reader> {
    let (cluster, ingester, server) = (cluster.clone(), ingester.clone(), server.clone());
    let (distributor, catalogs) = (distributor.clone(), Arc::clone(catalogs));
    vec![
        Box::new(move || of_distributor(&distributor)),
        Box::new(move || of_cluster(&cluster)),
        Box::new(move || of_ingester(&ingester)),
        Box::new(move || of_bucket(&catalogs)),
        Box::new(move || {
            let streams = server.streams() as u64;
            vec![Reading::gauge("flight_streams", "Answers to other nodes that are under way.", streams)]
        }),
    ]
}

fn of_traffic(traffic: &Traffic) -> Vec<Reading> {
    let read = traffic.read();
    let by = |number: fn(&TrafficReading) -> u64| {
        read.iter()
            .map(|one| {
                let labels =
                    vec![("direction", one.direction.as_str().to_owned()), ("ticket", one.ticket.to_owned())];
                (labels, number(one))
            })
            .collect::<Vec<_>>()
    };
    vec![
        Reading::counters_by("flight_bytes", "Bytes between nodes, by what was asked.", by(|one| one.bytes)),
        Reading::counters_by(
            "flight_messages",
            "Messages between nodes, by what was asked.",
            by(|one| one.messages),
        ),
    ]
}

fn process(runtime: &Runtime, start_ms: i64) -> Vec<Reading> {
    let cpu = runtime.cpu_stats();
    let mut readings = vec![
        Reading::gauges(
            "build_info",
            "The version in use.",
            "version",
            [(env!("CARGO_PKG_VERSION").to_owned(), 1)],
        ),
        Reading::gauge("start_time_seconds", "When the process started.", start_ms.unsigned_abs() / 1000),
        Reading::gauge("cpu_pool_running", "Jobs the CPU pool works on.", cpu.running as u64),
        Reading::gauge("cpu_pool_pending", "Jobs that wait for the CPU pool.", cpu.pending as u64),
    ];
    // The allocator's numbers are as of the last epoch; reading them is all that can fail.
    if tikv_jemalloc_ctl::epoch::advance().is_ok()
        && let (Ok(allocated), Ok(resident)) =
            (tikv_jemalloc_ctl::stats::allocated::read(), tikv_jemalloc_ctl::stats::resident::read())
    {
        readings.push(Reading::gauge(
            "memory_allocated_bytes",
            "Bytes in use by the program.",
            allocated as u64,
        ));
        readings.push(Reading::gauge(
            "memory_resident_bytes",
            "Bytes held from the system.",
            resident as u64,
        ));
    }
    readings
}

fn of_distributor(distributor: &Distributor) -> Vec<Reading> {
    let m = distributor.metrics();
    vec![
        Reading::counters(
            "distributor_requests",
            "Remote write requests by status.",
            "code",
            sum_by(m.requests.iter().map(|r| (r.status.to_string(), r.count))),
        ),
        Reading::counters(
            "distributor_requests_by_version",
            "Remote write requests by version of the protocol.",
            "version",
            sum_by(m.requests.iter().map(|r| (r.version.to_owned(), r.count))),
        ),
        Reading::counter("distributor_samples_received", "Float samples written.", m.samples),
        Reading::counter("distributor_histograms_received", "Native histograms written.", m.histograms),
        Reading::counter("distributor_exemplars_received", "Exemplars written.", m.exemplars),
        Reading::counters(
            "distributor_rejected",
            "Items refused, by reason.",
            "reason",
            m.rejections.iter().map(|(reason, count)| ((*reason).to_owned(), *count)),
        ),
        Reading::counter("distributor_received_bytes", "Bytes of request bodies as sent.", m.received_bytes),
        Reading::counter(
            "distributor_decoded_bytes",
            "Bytes of request bodies decompressed.",
            m.decoded_bytes,
        ),
        Reading::counter(
            "distributor_lane_guesses",
            "Series recognised by their place in the request.",
            m.lane_guesses,
        ),
        Reading::counter("distributor_lane_hits", "Series recognised by look-up.", m.lane_hits),
        Reading::counter("distributor_lane_misses", "Series whose labels had to be read.", m.lane_misses),
        Reading::counter(
            "distributor_stale_references",
            "Series sent again with labels.",
            m.stale_references,
        ),
        Reading::gauge("distributor_lane_series", "Series remembered.", m.lane_series as u64),
        Reading::gauge("distributor_lane_bytes", "Bytes that remembering takes.", m.lane_bytes as u64),
        Reading::gauge("distributor_inflight_requests", "Requests in work.", m.inflight_requests as u64),
        Reading::gauge("distributor_inflight_bytes", "Bytes of requests in work.", m.inflight_bytes as u64),
    ]
}

/// Sums values of equal names; metrics must not have a label set twice.
fn sum_by(values: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut sums = std::collections::BTreeMap::new();
    for (name, value) in values {
        *sums.entry(name).or_insert(0) += value;
    }
    sums.into_iter().collect()
}

fn of_cluster(cluster: &Cluster) -> Vec<Reading> {
    let stats = cluster.stats();
    let by_group = |f: fn(&cluster::GroupStats) -> u64| {
        stats.groups.iter().map(|g| (g.group.to_string(), f(g))).collect::<Vec<_>>()
    };
    vec![
        Reading::counter("cluster_wal_written_bytes", "Bytes written to the log.", stats.wal.written_bytes),
        Reading::counter("cluster_wal_entries", "Entries written to the log.", stats.wal.entries),
        Reading::counter("cluster_wal_fsyncs", "Times the log was made durable.", stats.wal.fsyncs),
        Reading::seconds("cluster_wal_fsync_seconds", "Time that took.", stats.wal.fsync_seconds),
        Reading::gauge("cluster_wal_segments", "Files of the log.", stats.wal.segments),
        Reading::gauge("cluster_wal_bytes", "Bytes of those files.", stats.wal.segment_bytes),
        Reading::gauge(
            "cluster_wal_in_trouble",
            "1 while the log cannot be written.",
            u64::from(stats.trouble.is_some()),
        ),
        Reading::gauges(
            "cluster_group_applied_index",
            "Last entry applied.",
            "group",
            by_group(|g| g.applied_index),
        ),
        Reading::gauges(
            "cluster_group_flushed_index",
            "Last entry durable.",
            "group",
            by_group(|g| g.flushed_index),
        ),
        Reading::gauges(
            "cluster_group_snapshot_index",
            "Last entry in the snapshot.",
            "group",
            by_group(|g| g.snapshot_index),
        ),
        Reading::gauges(
            "cluster_group_log_bytes",
            "Bytes of entries in the log.",
            "group",
            by_group(|g| g.log_bytes),
        ),
        Reading::gauges(
            "cluster_group_leader",
            "1 where this node leads.",
            "group",
            by_group(|g| u64::from(g.is_leader)),
        ),
    ]
}

fn of_ingester(ingester: &Ingester) -> Vec<Reading> {
    let stats = ingester.stats();
    let c = stats.counters;
    vec![
        Reading::gauge("ingester_tenants", "Tenants with a head.", stats.tenants),
        Reading::gauges("ingester_series", "Series in memory.", "tenant", ingester.series_by_tenant()),
        Reading::gauge("ingester_chunks", "Sealed chunks in memory.", stats.chunks),
        Reading::gauge("ingester_chunk_bytes", "Bytes of sealed chunks.", stats.chunk_bytes),
        Reading::gauge(
            "ingester_open_bytes",
            "Bytes of indexes, open rows and late heads.",
            stats.open_bytes,
        ),
        Reading::gauge("ingester_cuts_pending", "Cuts whose block is not published yet.", stats.cuts_pending),
        Reading::counter("ingester_samples", "Float samples applied.", c.samples),
        Reading::counter("ingester_histograms", "Native histograms applied.", c.histograms),
        Reading::counter("ingester_exemplars", "Exemplars applied.", c.exemplars),
        Reading::counter("ingester_late_samples", "Samples applied out of order.", c.late_samples),
        Reading::counter("ingester_duplicates", "Samples that were there already.", c.duplicates),
        Reading::counter("ingester_series_created", "Series created.", c.series_created),
        Reading::counter("ingester_series_removed", "Series removed.", c.series_removed),
        Reading::counter("ingester_cuts", "Windows cut.", c.cuts),
    ]
}

fn of_querier(api: &Api) -> Vec<Reading> {
    let m = api.metrics();
    vec![
        Reading::counters(
            "querier_requests",
            "API requests by endpoint.",
            "endpoint",
            sum_by(m.requests.iter().map(|((endpoint, _), e)| ((*endpoint).to_owned(), e.count))),
        ),
        Reading::counters(
            "querier_responses",
            "API requests by status.",
            "code",
            sum_by(m.requests.iter().map(|((_, code), e)| (code.to_string(), e.count))),
        ),
        Reading::seconds(
            "querier_request_seconds",
            "Time spent on API requests.",
            m.requests.values().map(|e| e.seconds).sum(),
        ),
        Reading::counter("querier_samples", "Samples that queries looked at.", m.samples),
        Reading::counter("querier_series", "Series that queries read.", m.series),
        Reading::counter("querier_answer_bytes", "Bytes of answers.", m.answer_bytes),
        Reading::gauge(
            "querier_memory_bytes",
            "Bytes that queries hold, as budgets count them.",
            m.memory.held,
        ),
        Reading::gauge("querier_memory_peak_bytes", "Most bytes that queries held at a time.", m.memory.peak),
        Reading::counters(
            "querier_memory_refused",
            "Queries ended because they would have held more memory than one query, its tenant's or all may.",
            "limit",
            [
                ("query", m.memory.refused_query),
                ("tenant", m.memory.refused_tenant),
                ("total", m.memory.refused_total),
            ]
            .map(|(limit, count)| (limit.to_owned(), count)),
        ),
        Reading::counters(
            "querier_limited",
            "Queries that a limit ended.",
            "limit",
            m.limited.iter().map(|(limit, count)| (limit.name().to_owned(), *count)),
        ),
        Reading::counter("querier_killed", "Queries ended through the API.", m.killed),
        Reading::counter("querier_logged", "Lines of the query log written.", m.logged),
        Reading::counter("querier_log_lost", "Lines of the query log lost.", m.log_lost),
        Reading::gauge("querier_active_queries", "Queries under way.", m.active as u64),
        Reading::gauge("querier_waiting_queries", "Queries that wait.", m.waiting as u64),
        Reading::counter(
            "querier_queued",
            "Queries that were let in, at once or after a wait.",
            m.waited.count,
        ),
        Reading::seconds("querier_queue_seconds", "Time they waited.", m.waited.seconds),
        Reading::counters(
            "querier_refused",
            "Queries refused because too many waited, in all or of their tenant.",
            "limit",
            m.refused.iter().map(|(limit, count)| ((*limit).to_owned(), *count)),
        ),
    ]
}

fn of_result_cache(api: &Api) -> Vec<Reading> {
    let m = api.result_cache_metrics();
    let named = |pairs: &[(&str, u64)]| {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
    };
    vec![
        Reading::counters(
            "result_cache_queries",
            "Range queries by what was kept of them.",
            "kept",
            named(&[("all", m.hits), ("some", m.partial), ("none", m.misses), ("bypassed", m.bypassed)]),
        ),
        Reading::counter("result_cache_steps", "Steps that did not have to be evaluated.", m.steps_kept),
        Reading::counter("result_cache_evictions", "Answers pushed out by others.", m.evictions),
        Reading::gauge("result_cache_entries", "Answers kept.", m.entries),
        Reading::gauge("result_cache_bytes", "Bytes they take.", m.bytes),
        Reading::gauge("result_cache_bytes_max", "Bytes they may take.", m.bytes_max),
        Reading::counter(
            "querier_shared_queries",
            "Queries answered by the evaluation of an equal one under way.",
            m.shared,
        ),
    ]
}

fn of_bucket(catalogs: &Catalogs) -> Vec<Reading> {
    let stats = catalogs.bucket().stats();
    vec![
        Reading::counter("bucket_gets", "Reads from the bucket.", stats.gets),
        Reading::counter("bucket_get_bytes", "Bytes read from the bucket.", stats.get_bytes),
        Reading::counter("bucket_puts", "Objects created in the bucket.", stats.puts),
        Reading::counter("bucket_put_bytes", "Bytes written to the bucket.", stats.put_bytes),
        Reading::counter("bucket_lists", "Listings of the bucket.", stats.lists),
        Reading::counter("bucket_deletes", "Objects deleted from the bucket.", stats.deletes),
        Reading::counter("bucket_errors", "Requests to the bucket that failed.", stats.errors),
    ]
}
