//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant vector.

use std::cmp::Ordering;
use std::sync::Arc;

use model::LabelsIter;

use super::batch::{BatchBuilder, SeriesBatch, is_absent};
use super::label_bytes;
use super::operator::{BatchStream, Inputs, Operator, once};

/// By what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SortKey {
    /// Values; series with histograms are left out.
    Value,
    /// These labels, numbers in them by their size.
    Labels(Vec<String>),
}

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct Sort {
    pub key: SortKey,
    pub descending: bool,
    pub steps: usize,
}

impl Operator for Sort {
    fn name(&self) -> &'static str {
        "Sort"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        once(async move {
            let batches = inputs.collect(0).await?;
            batches.encode(self.sorted(&batches), &inputs)
        })
    }
}

/// Compares texts that hold numbers: digits by value, the rest by bytes.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let length = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
                let (la, lb) = (length(a), length(b));
                let strip = |s: &[u8]| {
                    let zeros = s.iter().take_while(|c| **c == b'0').count();
                    s[zeros..].to_vec()
                };
                let (na, nb) = (strip(&a[..la]), strip(&b[..lb]));
                let order = na.len().cmp(&nb.len()).then_with(|| na.cmp(&nb)).then_with(|| la.cmp(&lb));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[la..], &b[lb..]);
            }
            (Some(x), Some(y)) => {
                if x != y {
                    return x.cmp(y);
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
    }
}

impl Sort {
    fn sorted(&self, batches: &[SeriesBatch]) -> SeriesBatch {
        let mut places: Vec<(usize, usize)> = batches
            .iter()
            .enumerate()
            .flat_map(|(b, batch)| (0..batch.rows()).map(move |i| (b, i)))
            .collect();
        let labels = |place: &(usize, usize)| batches[place.0].labels.value(place.1);
        match &self.key {
            SortKey::Value => {
                let value = |place: &(usize, usize)| batches[place.0].row(place.1).first().copied();
                places.retain(|place| batches[place.0].row(place.1).iter().any(|v| !is_absent(*v)));
                if self.steps == 1 {
                    places.sort_by(|a, b| {
                        let (a, b) = (value(a).unwrap_or(f64::NAN), value(b).unwrap_or(f64::NAN));
                        match (a.is_nan(), b.is_nan()) {
                            (true, true) => Ordering::Equal,
                            (true, false) => Ordering::Greater,
                            (false, true) => Ordering::Less,
                            (false, false) => {
                                let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
                                if self.descending { order.reverse() } else { order }
                            }
                        }
                    });
                }
            }
            SortKey::Labels(names) => {
                places.sort_by(|a, b| {
                    let (a, b) = (labels(a), labels(b));
                    let mut order = Ordering::Equal;
                    for name in names {
                        order = natural(label_bytes::get(a, name), label_bytes::get(b, name));
                        if order != Ordering::Equal {
                            break;
                        }
                    }
                    let order = order.then_with(|| LabelsIter::over(a).cmp(LabelsIter::over(b)));
                    if self.descending { order.reverse() } else { order }
                });
            }
        }
        let mut out = BatchBuilder::new(self.steps, places.len());
        for (b, i) in places {
            let batch = &batches[b];
            let histograms = if self.key == SortKey::Value { None } else { batch.histogram_row(i) };
            out.push_row(batch.labels.value(i), batch.drop_name.value(i), batch.row(i), histograms);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_sort_by_value() {
        assert_eq!(natural("node2", "node10"), Ordering::Less);
        assert_eq!(natural("a", "b"), Ordering::Less);
        assert_eq!(natural("1.10", "1.9"), Ordering::Greater);
    }
}
