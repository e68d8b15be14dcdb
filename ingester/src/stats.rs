//! What the heads count: for our own metrics, and for the status page of a tenant.

use model::{METRIC_NAME, TenantId, TimestampMs};

use crate::head::HeadCounters;
use crate::machine::Heads;

/// Counts over all heads of this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngesterStats {
    /// Tenants with a head.
    pub tenants: u64,
    /// Series in memory.
    pub series: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Sealed chunks.
    pub chunks: u64,
    /// Bytes of sealed chunks.
    pub chunk_bytes: u64,
    /// Bytes of indexes, open rows and late heads.
    pub open_bytes: u64,
    /// Cuts whose block is not published yet.
    pub cuts_pending: u64,
    /// Since the start of the process.
    pub counters: HeadCounters,
}

/// The status of one tenant's heads, as Prometheus's TSDB status has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadStatus {
    /// Series.
    pub series: u64,
    /// Distinct pairs of name and value.
    pub label_pairs: u64,
    /// Sealed chunks.
    pub chunks: u64,
    /// Oldest sample that may still be in the head; `None` without samples.
    pub min_time: Option<TimestampMs>,
    /// Newest sample; `None` without samples.
    pub max_time: Option<TimestampMs>,
    /// Series by metric name, most first.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values by label name, most first.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of values by label name, most first.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series by pair (`name=value`), most first.
    pub series_by_pair: Vec<(String, u64)>,
}

pub(crate) fn stats<'a>(groups: impl Iterator<Item = &'a Heads>) -> IngesterStats {
    let mut stats = IngesterStats::default();
    let mut tenants = std::collections::BTreeSet::new();
    for (tenant, head) in groups.flat_map(Heads::all) {
        tenants.insert(tenant);
        let head = head.read();
        let (segments, chunks, bytes) = head.sealed();
        stats.series += head.series.len() as u64;
        stats.segments += segments as u64;
        stats.chunks += chunks as u64;
        stats.chunk_bytes += bytes as u64;
        stats.open_bytes += head.open_bytes() as u64;
        stats.cuts_pending += head.pending_cuts().count() as u64;
        add(&mut stats.counters, &head.counters);
    }
    stats.tenants = tenants.len() as u64;
    stats
}

fn add(sum: &mut HeadCounters, more: &HeadCounters) {
    sum.samples += more.samples;
    sum.histograms += more.histograms;
    sum.exemplars += more.exemplars;
    sum.late_samples += more.late_samples;
    sum.duplicates += more.duplicates;
    sum.series_created += more.series_created;
    sum.series_removed += more.series_removed;
    sum.cuts += more.cuts;
    for (a, b) in sum.rejected.iter_mut().zip(more.rejected) {
        *a += b;
    }
}

pub(crate) fn status<'a>(
    groups: impl Iterator<Item = &'a Heads>,
    tenant: &TenantId,
    limit: usize,
) -> HeadStatus {
    let mut status = HeadStatus::default();
    for head in groups.filter_map(|heads| heads.get(tenant)) {
        let head = head.read();
        status.series += head.series.len() as u64;
        status.chunks += head.sealed().1 as u64;
        if head.max_t > TimestampMs::MIN {
            status.max_time = status.max_time.max(Some(head.max_t));
        }
        let oldest = head.oldest();
        if oldest.is_some() {
            status.min_time = status.min_time.map_or(oldest, |t| oldest.map(|o| o.min(t)));
        }
        for name in &head.index.names {
            if name.rows.is_empty() {
                continue;
            }
            let pairs = || name.pairs.iter().map(|id| &head.index.pairs[*id as usize]);
            status.label_pairs += name.pairs.len() as u64;
            status.values_by_label.push((name.text.to_string(), name.pairs.len() as u64));
            let bytes = pairs().map(|pair| (pair.value.len() as u64) * pair.rows.len()).sum();
            status.bytes_by_label.push((name.text.to_string(), bytes));
            for pair in pairs() {
                if &*name.text == METRIC_NAME {
                    status.series_by_metric.push((pair.value.to_string(), pair.rows.len()));
                }
                status.series_by_pair.push((format!("{}={}", name.text, pair.value), pair.rows.len()));
            }
        }
    }
    for list in [
        &mut status.series_by_metric,
        &mut status.values_by_label,
        &mut status.bytes_by_label,
        &mut status.series_by_pair,
    ] {
        *list = top(std::mem::take(list), limit);
    }
    status
}

/// Sums entries of one name (several groups have the same) and keeps the largest.
fn top(mut list: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    list.sort_unstable();
    list.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
    list
}
