//! No two series with equal labels, where an operation may have made some.

use std::sync::Arc;

use hashbrown::HashMap;

use super::batch::{BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::operator::{BatchStream, Inputs, Operator, compute, once};
use crate::engine::QueryError;

/// Prometheus's words.
pub(crate) fn duplicate_series() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// The operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unique {
    /// Series of equal labels become one when they have no step in common; otherwise they are an error at once.
    pub merge: bool,
    pub steps: usize,
}

impl Operator for Unique {
    fn name(&self) -> &'static str {
        "Unique"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let batches = inputs.collect(0).await?;
            let query = Arc::clone(&inputs.query);
            compute(&query, batches.values(), move || {
                batches.encode(merge_equal(&batches, self.steps, self.merge)?, &inputs)
            })
            .await
        })
    }
}

/// One batch in which every label set appears once.
pub(crate) fn merge_equal(
    batches: &[SeriesBatch],
    steps: usize,
    merge: bool,
) -> Result<SeriesBatch, QueryError> {
    let rows = batches.iter().map(SeriesBatch::rows).sum();
    let mut groups: HashMap<&[u8], usize> = HashMap::with_capacity(rows);
    let mut members: Vec<Vec<(usize, usize)>> = Vec::with_capacity(rows);
    for (b, batch) in batches.iter().enumerate() {
        for i in 0..batch.rows() {
            let next = members.len();
            let group = *groups.entry(batch.labels.value(i)).or_insert(next);
            if group == next {
                members.push(vec![(b, i)]);
            } else if merge {
                members[group].push((b, i));
            } else {
                return Err(duplicate_series());
            }
        }
    }
    if let [batch] = batches
        && members.len() == batch.rows()
    {
        return Ok(batch.clone());
    }
    let mut out = BatchBuilder::new(steps, members.len());
    for group in members {
        let (b, i) = group[0];
        let first = &batches[b];
        let labels = first.labels.value(i);
        let drop_name = first.drop_name.value(i);
        if group.len() == 1 {
            out.push_row(labels, drop_name, first.row(i), first.histogram_row(i));
            continue;
        }
        let mut floats = first.row(i).to_vec();
        let mut histograms: Vec<HistogramSlot> =
            first.histogram_row(i).map_or_else(|| vec![None; steps], <[HistogramSlot]>::to_vec);
        for (b, i) in &group[1..] {
            let batch = &batches[*b];
            for (step, v) in batch.row(*i).iter().enumerate() {
                let histogram = batch.histogram_row(*i).and_then(|h| h[step].clone());
                if is_absent(*v) && histogram.is_none() {
                    continue;
                }
                if !is_absent(floats[step]) || histograms[step].is_some() {
                    return Err(duplicate_series());
                }
                floats[step] = *v;
                histograms[step] = histogram;
            }
        }
        out.push_row(labels, drop_name, &floats, Some(&histograms));
    }
    Ok(out.finish())
}
