//! Groups of series: by which labels, and their numbers.

use hashbrown::HashMap;
use model::METRIC_NAME;

use crate::exec::label_bytes::filter_into;

/// What makes a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupKey {
    /// Labels as they come: the source handed out only those that count.
    Exact,
    /// Only these, sorted.
    By(Vec<String>),
    /// All but these, sorted; the metric's name is among them.
    Without(Vec<String>),
}

impl GroupKey {
    /// Of `by (…)` or `without (…)`.
    pub(crate) fn new(without: bool, labels: &[String]) -> Self {
        let mut labels = labels.to_vec();
        if without {
            labels.push(METRIC_NAME.to_owned());
        }
        labels.sort();
        labels.dedup();
        if without { GroupKey::Without(labels) } else { GroupKey::By(labels) }
    }

    /// Appends the labels of the group a series belongs to.
    pub(crate) fn write(&self, labels: &[u8], out: &mut Vec<u8>) {
        match self {
            GroupKey::Exact => out.extend_from_slice(labels),
            GroupKey::By(names) if names.is_empty() => {}
            GroupKey::By(names) => {
                filter_into(labels, out, |n| names.binary_search_by(|x| x.as_str().cmp(n)).is_ok());
            }
            GroupKey::Without(names) => {
                filter_into(labels, out, |n| names.binary_search_by(|x| x.as_str().cmp(n)).is_err());
            }
        }
    }
}

/// Numbers groups in the order of their appearance.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    numbers: HashMap<Box<[u8]>, u32>,
    /// Labels per group.
    pub labels: Vec<Box<[u8]>>,
    /// Whether a member's name is to be dropped at the end.
    pub drop_name: Vec<bool>,
    scratch: Vec<u8>,
    label_bytes: usize,
    /// The group without labels: looked up without comparing nothing to nothing.
    unlabelled: Option<usize>,
}

impl Groups {
    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_of(self.labels.len(), self.label_bytes)
    }

    /// Bytes that `groups` take whose labels have `label_bytes`: they are kept twice.
    pub(crate) fn bytes_of(&self, groups: usize, label_bytes: usize) -> usize {
        groups * 64 + label_bytes * 2
    }

    /// The group of a series; `true` when it is new.
    pub(crate) fn find(&mut self, key: &GroupKey, labels: &[u8], drop_name: bool) -> (usize, bool) {
        let bytes: &[u8] = if *key == GroupKey::Exact {
            labels
        } else {
            self.scratch.clear();
            key.write(labels, &mut self.scratch);
            &self.scratch
        };
        let known = if bytes.is_empty() {
            self.unlabelled
        } else {
            self.numbers.get(bytes).map(|number| *number as usize)
        };
        if let Some(number) = known {
            self.drop_name[number] |= drop_name;
            return (number, false);
        }
        let number = self.labels.len();
        if bytes.is_empty() {
            self.unlabelled = Some(number);
        }
        let bytes: Box<[u8]> = Box::from(bytes);
        self.label_bytes += bytes.len();
        self.labels.push(bytes.clone());
        self.drop_name.push(drop_name);
        self.numbers.insert(bytes, number as u32);
        (number, true)
    }
}
