//! A label set in canonical form: pairs sorted by name, each string prefixed by its length, in one allocation.
//!
//! The canonical bytes are the identity of a series: `SeriesId` is their xxh3-64, blocks and the log hold
//! them as they are. Names are unique, values are never empty (an empty value is an absent label), both
//! are UTF-8.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::SeriesId;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the upper bound of a classic histogram's bucket.
pub const BUCKET_LABEL: &str = "le";
/// The label that holds the quantile of a summary.
pub const QUANTILE_LABEL: &str = "quantile";

/// A sorted, duplicate-free label set; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

/// Why pairs or bytes are not a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A pair without a name.
    #[error("label name is empty")]
    EmptyName,
    /// The same name twice.
    #[error("label name `{0}` appears twice")]
    Duplicate(String),
    /// Canonical bytes that are cut short, unsorted or not UTF-8.
    #[error("label bytes are malformed")]
    Malformed,
}

/// Reads a length prefix: LEB128, as protobuf's varint.
#[inline]
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((first as usize, &bytes[1..]));
    }
    let mut value = (first & 0x7f) as usize;
    let mut shift = 7;
    for (i, byte) in bytes.iter().enumerate().skip(1) {
        value |= ((byte & 0x7f) as usize) << shift;
        if *byte < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    None
}

/// How many bytes both begin with.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut same = 0;
    for (x, y) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        if x != y {
            break;
        }
        same += 16;
    }
    same + a[same..].iter().zip(&b[same..]).take_while(|(x, y)| x == y).count()
}

fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn write_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    write_length(out, name.len());
    out.extend_from_slice(name.as_bytes());
    write_length(out, value.len());
    out.extend_from_slice(value.as_bytes());
}

impl Labels {
    /// The empty label set.
    pub fn empty() -> Self {
        Labels(Arc::from(&[][..]))
    }

    /// Sorts `pairs` and checks them; pairs with an empty value are left out.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelsError> {
        let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        let mut bytes = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (i, (name, value)) in pairs.iter().enumerate() {
            if name.is_empty() {
                return Err(LabelsError::EmptyName);
            }
            if i > 0 && pairs[i - 1].0 == *name {
                return Err(LabelsError::Duplicate((*name).to_owned()));
            }
            if !value.is_empty() {
                write_pair(&mut bytes, name, value);
            }
        }
        Ok(Labels(Arc::from(bytes)))
    }

    /// From pairs that are sorted already, put together in `buffer`; `None` when they are not, or a name is
    /// empty or there twice. Pairs with an empty value are left out.
    pub fn from_ascending<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        buffer: &mut Vec<u8>,
    ) -> Option<Self> {
        buffer.clear();
        let mut previous = "";
        for (name, value) in pairs {
            if name <= previous {
                return None;
            }
            previous = name;
            if !value.is_empty() {
                write_pair(buffer, name, value);
            }
        }
        Some(Labels(Arc::from(&buffer[..])))
    }

    /// From canonical bytes, checked.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelsError> {
        let mut rest = bytes;
        let mut previous: &str = "";
        while !rest.is_empty() {
            let next = |rest: &mut &'_ [u8]| -> Option<(usize, usize)> {
                let (length, tail) = read_length(rest)?;
                let start = bytes.len() - tail.len();
                *rest = tail.get(length..)?;
                Some((start, start + length))
            };
            let (name, value) = match (next(&mut rest), next(&mut rest)) {
                (Some(n), Some(v)) => (&bytes[n.0..n.1], &bytes[v.0..v.1]),
                _ => return Err(LabelsError::Malformed),
            };
            let name = std::str::from_utf8(name).map_err(|_| LabelsError::Malformed)?;
            let value = std::str::from_utf8(value).map_err(|_| LabelsError::Malformed)?;
            if name.is_empty() || value.is_empty() || name <= previous {
                return Err(LabelsError::Malformed);
            }
            previous = name;
        }
        Ok(Labels(Arc::from(bytes)))
    }

    /// From canonical bytes that came out of a label set in this process: not checked again.
    pub fn from_trusted(bytes: &[u8]) -> Self {
        debug_assert!(Labels::from_canonical(bytes).is_ok());
        Labels(Arc::from(bytes))
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The identity of a series with these labels.
    pub fn series_id(&self) -> SeriesId {
        SeriesId(xxhash_rust::xxh3::xxh3_64(&self.0))
    }

    /// The pairs, sorted by name.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// The value of `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of `name`, or "".
    pub fn get_or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric's name, or "".
    pub fn metric_name(&self) -> &str {
        self.get_or_empty(METRIC_NAME)
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs whose name `keep` accepts.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                write_pair(&mut bytes, name, value);
            }
        }
        Labels(Arc::from(bytes))
    }

    /// Without the metric's name.
    pub fn without_name(&self) -> Labels {
        self.filter(|n| n != METRIC_NAME)
    }
}

/// Iterates over the pairs of a label set.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> LabelsIter<'a> {
    /// Over canonical bytes, checked when they were made.
    pub fn over(bytes: &'a [u8]) -> Self {
        LabelsIter { rest: bytes }
    }

    #[inline]
    fn next_string(&mut self) -> Option<&'a str> {
        let (length, rest) = read_length(self.rest)?;
        let text = rest.get(..length)?;
        self.rest = &rest[length..];
        // Canonical bytes were checked when the label set was made.
        std::str::from_utf8(text).ok()
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.next_string()?;
        let value = self.next_string()?;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    /// Prometheus's order: pair by pair, name then value; a prefix sorts first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.0[..], &other.0[..]);
        let same = common_prefix(a, b);
        // the first string that holds a difference, its length's bytes included
        let mut at = 0;
        while let (Some((length, rest)), Some((other_length, other_rest))) =
            (read_length(&a[at..]), read_length(&b[at..]))
        {
            let end = a.len() - rest.len() + length;
            if end > same {
                let text = rest.get(..length).unwrap_or(rest);
                return text.cmp(other_rest.get(..other_length).unwrap_or(other_rest));
            }
            at = end;
        }
        a.len().cmp(&b.len())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a name can stand without quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*` (labels: without the colon).
fn is_legacy_name(name: &str, colon: bool) -> bool {
    let ok = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    let mut chars = name.chars();
    chars.next().is_some_and(ok) && chars.all(|c| ok(c) || c.is_ascii_digit())
}

impl fmt::Display for Labels {
    /// As Prometheus writes a series: `name{a="b"}`; names outside the classic alphabet are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric_name();
        let legacy = is_legacy_name(metric, true);
        if legacy {
            f.write_str(metric)?;
        }
        let quoted_metric = !metric.is_empty() && !legacy;
        let mut pairs = self.iter().filter(|(n, _)| *n != METRIC_NAME).peekable();
        if pairs.peek().is_none() && legacy {
            return Ok(());
        }
        f.write_str("{")?;
        let mut first = true;
        if quoted_metric {
            write!(f, "{metric:?}")?;
            first = false;
        }
        for (name, value) in pairs {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_legacy_name(name, false) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Changes a label set: set, delete, keep.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from `labels`.
    pub fn from_labels(labels: &Labels) -> Self {
        LabelsBuilder { pairs: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Sets `name`; an empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.delete(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Deletes `name`.
    pub fn delete(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value of `name`, or "".
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    /// The finished label set.
    pub fn build(&self) -> Labels {
        let mut pairs: Vec<&(String, String)> =
            self.pairs.iter().filter(|(n, v)| !n.is_empty() && !v.is_empty()).collect();
        pairs.sort();
        let mut bytes = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in pairs {
            write_pair(&mut bytes, name, value);
        }
        Labels(Arc::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_sorted_checked_and_shown_as_prometheus_does() {
        let labels = Labels::new([("job", "a\"b"), ("__name__", "up"), ("empty", "")]).unwrap();
        assert_eq!(labels.to_string(), r#"up{job="a\"b"}"#);
        assert_eq!(labels.get("job"), Some("a\"b"));
        assert_eq!(labels.get("nope"), None);
        assert_eq!(Labels::new([("a", "1"), ("a", "2")]), Err(LabelsError::Duplicate("a".into())));
        assert_eq!(Labels::new([("", "1")]), Err(LabelsError::EmptyName));
        let quoted = Labels::new([("__name__", "a.b"), ("c d", "e")]).unwrap();
        assert_eq!(quoted.to_string(), r#"{"a.b", "c d"="e"}"#);
    }

    #[test]
    fn ascending_pairs_need_no_sorting() {
        let mut buffer = b"left over".to_vec();
        let mut of = |pairs: &[(&'static str, &'static str)]| {
            Labels::from_ascending(pairs.iter().copied(), &mut buffer)
        };
        let pairs = [("__name__", "up"), ("a", ""), ("job", "x")];
        assert_eq!(of(&pairs), Some(Labels::new(pairs).unwrap()));
        assert_eq!(of(&[]), Some(Labels::empty()));
        assert_eq!(of(&[("b", "1"), ("a", "1")]), None);
        assert_eq!(of(&[("a", "1"), ("a", "2")]), None);
        assert_eq!(of(&[("", "1")]), None);
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_pairs(a in some_pairs(), b in some_pairs()) {
            let of = |pairs: &BTreeMap<String, String>| {
                Labels::new(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
            };
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(x.cmp(&y), x.iter().cmp(y.iter()));
            prop_assert_eq!(x.cmp(&y) == Ordering::Equal, x == y);
        }
    }

    /// Few names and values that share beginnings, some of them long.
    fn some_pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
        let value = prop_oneof!["[ab]{1,3}", "a{14,18}[ab]", "a{126,130}b?"];
        proptest::collection::btree_map("[ab]{1,2}", value, 0..4)
    }

    #[test]
    fn order_is_by_pairs_not_by_bytes() {
        let long_first = Labels::new([("a", "bbbb")]).unwrap();
        let short_later = Labels::new([("a", "c")]).unwrap();
        assert!(long_first < short_later);
        assert!(Labels::empty() < long_first);
    }

    proptest! {
        #[test]
        fn canonical_bytes_read_back(pairs in proptest::collection::btree_map(".{1,20}", ".{1,200}", 0..12)) {
            let labels = Labels::new(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            prop_assert_eq!(&Labels::from_canonical(labels.as_bytes()).unwrap(), &labels);
            prop_assert_eq!(labels.len(), pairs.len());
            prop_assert_eq!(LabelsBuilder::from_labels(&labels).build(), labels);
        }

        #[test]
        fn malformed_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(labels) = Labels::from_canonical(&bytes) {
                prop_assert_eq!(labels.as_bytes(), &bytes[..]);
            }
        }
    }
}
