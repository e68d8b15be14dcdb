//! Labels of selected series, made once per distinct projection.

use hashbrown::HashMap;
use model::Labels;
use proto::LabelsWanted;
use smallvec::SmallVec;

use crate::head::TenantHead;

type Key = SmallVec<[u32; 12]>;

/// Projects the labels of rows of one head.
pub(super) struct Projection {
    /// By name id: whether it is wanted; `None`: all are.
    wanted: Option<Vec<bool>>,
    /// Whether nothing is wanted at all.
    is_empty: bool,
    empty: Labels,
    known: HashMap<Key, Labels>,
    buffer: Vec<u8>,
    last: Option<(Key, Labels)>,
}

impl Projection {
    pub(super) fn new(head: &TenantHead, labels: &LabelsWanted) -> Self {
        let wanted: Option<Vec<bool>> = match labels {
            LabelsWanted::All => None,
            some => Some(head.index.names.iter().map(|name| some.wants(&name.text)).collect()),
        };
        let is_empty = wanted.as_ref().is_some_and(|wanted| !wanted.contains(&true));
        Projection {
            wanted,
            is_empty,
            empty: Labels::empty(),
            known: HashMap::new(),
            buffer: Vec::new(),
            last: None,
        }
    }

    pub(super) fn labels(&mut self, head: &TenantHead, row: u32) -> Labels {
        let Some(wanted) = &self.wanted else { return head.labels_in(row, &mut self.buffer) };
        if self.is_empty {
            return self.empty.clone();
        }
        let is_wanted = |id: &u32| wanted[head.index.pairs[*id as usize].name as usize];
        let key: Key = head.series.pairs(row).iter().copied().filter(is_wanted).collect();
        // Neighbours often agree.
        if let Some((last, labels)) = &self.last
            && *last == key
        {
            return labels.clone();
        }
        let buffer = &mut self.buffer;
        let make = || head.index.labels(key.iter().copied(), buffer);
        let labels = self.known.entry(key.clone()).or_insert_with(make).clone();
        self.last = Some((key, labels.clone()));
        labels
    }
}
