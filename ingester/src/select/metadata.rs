//! Names, values, series and exemplars of one head.

use std::collections::BTreeMap;

use model::{Exemplar, Labels, TimestampMs};
use proto::{MetadataRequest, SeriesExemplars};
use roaring::RoaringBitmap;

use crate::head::{HAS_HISTOGRAMS, HAS_LATE, TenantHead};

/// Rows that match any of the sets.
fn matching(head: &TenantHead, request: &MetadataRequest) -> RoaringBitmap {
    if request.matchers.is_empty() {
        return head.series.rows.clone();
    }
    let mut rows = RoaringBitmap::new();
    for set in &request.matchers {
        rows |= head.index.find(set, &head.series.rows);
    }
    rows
}

/// Rows that match any of the sets and may have samples in range.
fn rows(head: &TenantHead, request: &MetadataRequest) -> RoaringBitmap {
    let mut rows = matching(head, request);
    // what lies before the floor is dropped: blocks answer for it
    let start = request.range.start.max(head.floor);
    if start > TimestampMs::MIN {
        let is_idle = |row: &u32| {
            let at = *row as usize;
            head.series.last_t[at] < start && head.series.flags[at] & (HAS_LATE | HAS_HISTOGRAMS) == 0
        };
        let idle: RoaringBitmap = rows.iter().filter(is_idle).collect();
        rows -= idle;
    }
    rows
}

pub(super) fn label_names(head: &TenantHead, request: &MetadataRequest) -> Vec<String> {
    let rows = rows(head, request);
    let names = head.index.names.iter().filter(|name| !name.rows.is_disjoint(&rows));
    names.map(|name| name.text.to_string()).collect()
}

pub(super) fn label_values(head: &TenantHead, request: &MetadataRequest, name: &str) -> Vec<String> {
    let Some(name) = head.index.name_id(name) else { return Vec::new() };
    let rows = rows(head, request);
    let pairs = head.index.names[name as usize].pairs.iter().map(|id| &head.index.pairs[*id as usize]);
    pairs.filter(|pair| !pair.rows.is_disjoint(&rows)).map(|pair| pair.value.to_string()).collect()
}

pub(super) fn series(head: &TenantHead, request: &MetadataRequest) -> Vec<Labels> {
    let mut buffer = Vec::new();
    rows(head, request).iter().map(|row| head.labels_in(row, &mut buffer)).collect()
}

pub(super) fn exemplars(head: &TenantHead, request: &MetadataRequest) -> Vec<SeriesExemplars> {
    let rows = matching(head, request);
    let mut found: BTreeMap<u32, Vec<Exemplar>> = BTreeMap::new();
    for stored in &head.exemplars.ring {
        if !request.range.contains(stored.exemplar.t) {
            continue;
        }
        if let Some(row) = head.series.row_of(stored.reference)
            && rows.contains(row)
        {
            found.entry(row).or_default().push(stored.exemplar.clone());
        }
    }
    found
        .into_iter()
        .map(|(row, mut exemplars)| {
            exemplars.sort_by_key(|exemplar| exemplar.t);
            SeriesExemplars { labels: head.labels(row), exemplars }
        })
        .collect()
}
