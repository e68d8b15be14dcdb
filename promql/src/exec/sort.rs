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

/// Whether Prometheus takes `a` to stand before `b`. That is no order: of texts with equal numbers each stands before
/// the other, and nothing stands before an empty text, nor an empty one before anything.
fn go_less(a: &str, b: &str) -> bool {
    let (a, b) = (chunks(a), chunks(b));
    for (i, x) in a.iter().enumerate() {
        let Some(y) = b.get(i) else { return false };
        match (x.parse::<i64>(), y.parse::<i64>()) {
            (Ok(x), Ok(y)) if x != y => return x < y,
            (Ok(_), Ok(_)) => {}
            _ if x != y => return x < y,
            _ => {}
        }
        if i == a.len() - 1 {
            return true;
        }
        if i == b.len() - 1 {
            return false;
        }
    }
    false
}

/// Runs of digits and of everything else.
fn chunks(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.bytes().position(|c| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

/// Go sorts by insertion what is not longer; then it does not matter that its comparison is no order.
const INSERTED_MAX: usize = 12;

impl Sort {
    fn stands_before(&self, names: &[String], a: &[u8], b: &[u8]) -> bool {
        let pair =
            names.iter().map(|n| (label_bytes::get(a, n), label_bytes::get(b, n))).find(|(x, y)| x != y);
        match pair {
            Some((x, y)) => go_less(x, y) != self.descending,
            None => self.in_order(&[], a, b) == Ordering::Less,
        }
    }

    fn in_order(&self, names: &[String], a: &[u8], b: &[u8]) -> Ordering {
        let mut order = Ordering::Equal;
        for name in names {
            order = natural(label_bytes::get(a, name), label_bytes::get(b, name));
            if order != Ordering::Equal {
                break;
            }
        }
        let order = order.then_with(|| LabelsIter::over(a).cmp(LabelsIter::over(b)));
        if self.descending { order.reverse() } else { order }
    }

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
                if places.len() <= INSERTED_MAX {
                    for i in 1..places.len() {
                        let mut at = i;
                        while at > 0
                            && self.stands_before(names, labels(&places[at]), labels(&places[at - 1]))
                        {
                            places.swap(at, at - 1);
                            at -= 1;
                        }
                    }
                } else {
                    places.sort_by(|a, b| self.in_order(names, labels(a), labels(b)));
                }
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

    #[test]
    fn texts_stand_before_others_as_in_prometheus() {
        assert!(go_less("node2", "node10") && !go_less("node10", "node2"));
        assert!(go_less("node2", "node2b") && !go_less("node2b", "node2"));
        assert!(go_less("01", "1") && go_less("1", "01"));
        assert!(!go_less("", "2") && !go_less("2", ""));
    }

    #[test]
    fn of_unlike_labels_the_last_stands_where_insertion_leaves_it() {
        let mut batch = BatchBuilder::new(1, 2);
        for labels in [vec![("code", "500"), ("instance", "2")], vec![("job", "api")]] {
            let labels = model::Labels::new(labels).unwrap();
            batch.push_row(labels.as_bytes(), false, &[1.0], None);
        }
        let batches = [batch.finish()];
        let first = |descending| {
            let sort = Sort { key: SortKey::Labels(vec!["instance".to_owned()]), descending, steps: 1 };
            label_bytes::get(sort.sorted(&batches).labels.value(0), "job").to_owned()
        };
        // Prometheus puts a missing label first when it sorts descending, last when ascending
        assert_eq!((first(true).as_str(), first(false).as_str()), ("api", ""));
    }
}
