//! Unions of what sources list: names, values, label sets, metadata, exemplars. Sorted, each once.

use model::Metadata;
use proto::SeriesExemplars;

/// The union of sorted lists, sorted; at most `limit` entries (0: all).
///
/// Sources that were cut at `limit` themselves still give the right first `limit` entries.
pub(super) fn union<T: Ord>(mut parts: Vec<Vec<T>>, limit: usize) -> Vec<T> {
    parts.retain(|part| !part.is_empty());
    let mut all = match parts.len() {
        0 => Vec::new(),
        1 => parts.swap_remove(0),
        _ => {
            let mut all: Vec<T> = parts.into_iter().flatten().collect();
            // runs that are sorted already are what this sort is good at
            all.sort();
            all.dedup();
            all
        }
    };
    if limit > 0 {
        all.truncate(limit);
    }
    all
}

/// The union by (metric, metadata), sorted by metric; of one metric the first source's entry stays first.
pub(super) fn union_metadata(parts: Vec<Vec<(String, Metadata)>>) -> Vec<(String, Metadata)> {
    let mut all: Vec<(String, Metadata)> = parts.into_iter().flatten().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out: Vec<(String, Metadata)> = Vec::with_capacity(all.len());
    for entry in all {
        let known = out.iter().rev().take_while(|(name, _)| *name == entry.0).any(|(_, m)| *m == entry.1);
        if !known {
            out.push(entry);
        }
    }
    out
}

/// The union by series, each series' exemplars in order of time, equal ones once.
pub(super) fn union_exemplars(parts: Vec<Vec<SeriesExemplars>>, limit: usize) -> Vec<SeriesExemplars> {
    let mut all: Vec<SeriesExemplars> = parts.into_iter().flatten().collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out: Vec<SeriesExemplars> = Vec::with_capacity(all.len());
    for mut series in all {
        match out.last_mut() {
            Some(last) if last.labels == series.labels => last.exemplars.append(&mut series.exemplars),
            _ => out.push(series),
        }
    }
    if limit > 0 {
        out.truncate(limit);
    }
    for series in &mut out {
        series.exemplars.sort_by(|a, b| a.t.cmp(&b.t).then_with(|| a.labels.cmp(&b.labels)));
        series.exemplars.dedup();
    }
    out
}
