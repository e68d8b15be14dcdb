//! Names, values and postings of one tenant's series.
//!
//! A pair (name, value) has an id and the set of rows that carry it; a name knows its pairs and the union
//! of their rows. Pairs whose last series is gone are forgotten and their ids used again.

use hashbrown::HashTable;
use model::{Labels, Matcher};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A label name.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) text: Box<str>,
    /// Ids of its pairs, in no order.
    pub(crate) pairs: Vec<u32>,
    /// Rows that carry the name.
    pub(crate) rows: RoaringBitmap,
}

/// A label name and value.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) name: u32,
    pub(crate) value: Box<str>,
    pub(crate) rows: RoaringBitmap,
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) names: Vec<Name>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) free_pairs: Vec<u32>,
    names_by_text: HashTable<u32>,
    pairs_by_text: HashTable<u32>,
    /// Of the process: nothing that is stored depends on it.
    seed: u64,
}

fn pair_hash(seed: u64, name: u32, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), seed ^ (u64::from(name) << 17))
}

impl Index {
    pub(crate) fn new(seed: u64) -> Self {
        Index { seed, ..Index::default() }
    }

    pub(crate) fn name_id(&self, name: &str) -> Option<u32> {
        let hash = xxh3_64_with_seed(name.as_bytes(), self.seed);
        self.names_by_text.find(hash, |id| &*self.names[*id as usize].text == name).copied()
    }

    pub(crate) fn pair_id(&self, name: u32, value: &str) -> Option<u32> {
        self.pairs_by_text
            .find(pair_hash(self.seed, name, value), |id| {
                let pair = &self.pairs[*id as usize];
                pair.name == name && &*pair.value == value
            })
            .copied()
    }

    pub(crate) fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.name_id(name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.names.push(Name { text: Box::from(name), pairs: Vec::new(), rows: RoaringBitmap::new() });
        let (names, seed) = (&self.names, self.seed);
        let hash_of = |id: &u32| xxh3_64_with_seed(names[*id as usize].text.as_bytes(), seed);
        self.names_by_text.insert_unique(hash_of(&id), id, hash_of);
        id
    }

    pub(crate) fn intern_pair(&mut self, name: u32, value: &str) -> u32 {
        if let Some(id) = self.pair_id(name, value) {
            return id;
        }
        let pair = Pair { name, value: Box::from(value), rows: RoaringBitmap::new() };
        let id = match self.free_pairs.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                id
            }
            None => {
                self.pairs.push(pair);
                self.pairs.len() as u32 - 1
            }
        };
        self.names[name as usize].pairs.push(id);
        self.enter_pair(id);
        id
    }

    fn enter_pair(&mut self, id: u32) {
        let (pairs, seed) = (&self.pairs, self.seed);
        let hash_of = |id: &u32| {
            let pair = &pairs[*id as usize];
            pair_hash(seed, pair.name, &pair.value)
        };
        self.pairs_by_text.insert_unique(hash_of(&id), id, hash_of);
    }

    /// Puts a pair at its old id (when a snapshot is read); ids must come in ascending order.
    pub(crate) fn restore_pair(&mut self, id: u32, name: u32, value: &str) {
        while self.pairs.len() < id as usize {
            self.pairs.push(Pair { name: u32::MAX, value: Box::from(""), rows: RoaringBitmap::new() });
        }
        self.pairs.push(Pair { name, value: Box::from(value), rows: RoaringBitmap::new() });
        self.names[name as usize].pairs.push(id);
        self.enter_pair(id);
    }

    /// Fills up with pairs that are free, in the order they will be used.
    pub(crate) fn restore_free(&mut self, count: usize, free: Vec<u32>) {
        while self.pairs.len() < count {
            self.pairs.push(Pair { name: u32::MAX, value: Box::from(""), rows: RoaringBitmap::new() });
        }
        self.free_pairs = free;
    }

    /// Enters `row` under `pairs`.
    pub(crate) fn add(&mut self, row: u32, pairs: &[u32]) {
        for id in pairs {
            let pair = &mut self.pairs[*id as usize];
            pair.rows.insert(row);
            self.names[pair.name as usize].rows.insert(row);
        }
    }

    /// Forgets `rows`, which carried `touched` pairs (sorted, each once).
    pub(crate) fn remove(&mut self, rows: &RoaringBitmap, touched: &[u32]) {
        let mut emptied = Vec::new();
        for id in touched {
            let pair = &mut self.pairs[*id as usize];
            pair.rows -= rows;
            if pair.rows.is_empty() {
                emptied.push(*id);
            }
        }
        for name in &mut self.names {
            name.rows -= rows;
        }
        for id in &emptied {
            let hash = {
                let pair = &self.pairs[*id as usize];
                pair_hash(self.seed, pair.name, &pair.value)
            };
            if let Ok(entry) = self.pairs_by_text.find_entry(hash, |other| other == id) {
                entry.remove();
            }
            let pair = &mut self.pairs[*id as usize];
            let name = &mut self.names[pair.name as usize];
            name.pairs.retain(|other| other != id);
            pair.name = u32::MAX;
            pair.value = Box::from("");
            self.free_pairs.push(*id);
        }
    }

    /// Whether the pairs spell `labels`.
    pub(crate) fn spells(&self, pairs: &[u32], labels: &Labels) -> bool {
        let mut pairs = pairs.iter();
        for (name, value) in labels {
            let Some(id) = pairs.next() else { return false };
            let pair = &self.pairs[*id as usize];
            if &*pair.value != value || &*self.names[pair.name as usize].text != name {
                return false;
            }
        }
        pairs.next().is_none()
    }

    /// The labels that the pairs spell; `buffer` is for their bytes.
    pub(crate) fn labels(&self, pairs: impl Iterator<Item = u32> + Clone, buffer: &mut Vec<u8>) -> Labels {
        let texts = pairs.map(|id| {
            let pair = &self.pairs[id as usize];
            (&*self.names[pair.name as usize].text, &*pair.value)
        });
        // pairs of a series stand in the order of their names
        let labels = Labels::from_ascending(texts.clone(), buffer).map_or_else(|| Labels::new(texts), Ok);
        labels.unwrap_or_else(|_| Labels::empty())
    }

    /// Rows among `all` that pass every matcher.
    pub(crate) fn find(&self, matchers: &[Matcher], all: &RoaringBitmap) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        let mut subtract = Vec::new();
        // Matchers that need the label first: they make the set small.
        for matcher in matchers {
            if matcher.matches_everything() {
                continue;
            }
            if matcher.matches_empty() {
                subtract.push(matcher);
                continue;
            }
            let rows = self.rows_of(matcher);
            match &mut found {
                Some(found) => *found &= rows,
                None => found = Some(rows),
            }
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return RoaringBitmap::new();
            }
        }
        let mut found = found.unwrap_or_else(|| all.clone());
        for matcher in subtract {
            self.subtract(matcher, &mut found);
        }
        found
    }

    /// Takes away rows with a value that does not pass; those without the label do.
    fn subtract(&self, matcher: &Matcher, found: &mut RoaringBitmap) {
        let Some(name) = self.name_id(matcher.name()) else { return };
        let entry = &self.names[name as usize];
        if matcher.literal_values().is_some_and(|values| values == [""]) {
            *found -= &entry.rows;
            return;
        }
        if let Some(values) = matcher.excluded_values() {
            for id in values.iter().filter_map(|value| self.pair_id(name, value)) {
                *found -= &self.pairs[id as usize].rows;
            }
            return;
        }
        let (passing, failing) = self.split(entry, matcher);
        if failing.len() <= passing.len() {
            for id in failing {
                *found -= &self.pairs[id as usize].rows;
            }
        } else {
            *found -= &entry.rows - self.union(passing.into_iter());
        }
    }

    /// A name's pairs that pass and those that do not. Each value is looked at once.
    fn split(&self, entry: &Name, matcher: &Matcher) -> (Vec<u32>, Vec<u32>) {
        entry.pairs.iter().copied().partition(|id| matcher.matches(&self.pairs[*id as usize].value))
    }

    /// Rows with a value that passes; the empty value does not.
    fn rows_of(&self, matcher: &Matcher) -> RoaringBitmap {
        let Some(name) = self.name_id(matcher.name()) else { return RoaringBitmap::new() };
        if let Some(values) = matcher.literal_values() {
            let ids = values.iter().filter_map(|value| self.pair_id(name, value));
            return self.union(ids);
        }
        let entry = &self.names[name as usize];
        if matcher.matches_all_but_empty() {
            return entry.rows.clone();
        }
        if let Some(values) = matcher.excluded_values() {
            let failing: Vec<u32> = values.iter().filter_map(|value| self.pair_id(name, value)).collect();
            return self.without(entry, &failing);
        }
        let (passing, failing) = self.split(entry, matcher);
        if passing.len() > failing.len() {
            self.without(entry, &failing)
        } else {
            self.union(passing.into_iter())
        }
    }

    /// A name's rows but for those of some pairs.
    fn without(&self, entry: &Name, pairs: &[u32]) -> RoaringBitmap {
        let mut rows = entry.rows.clone();
        for id in pairs {
            rows -= &self.pairs[*id as usize].rows;
        }
        rows
    }

    fn union(&self, ids: impl Iterator<Item = u32>) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        for id in ids {
            rows |= &self.pairs[id as usize].rows;
        }
        rows
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let pairs: usize = self.pairs.iter().map(|p| p.value.len() + p.rows.serialized_size()).sum();
        let names: usize = self.names.iter().map(|n| n.rows.serialized_size() + n.pairs.capacity() * 4).sum();
        pairs + names + self.pairs.capacity() * size_of::<Pair>()
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "a", "ab", "abc", "abd", "b", "ba", "c", "ä"])
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let literal = (any::<bool>(), text())
            .prop_map(|(is_equal, value)| (if is_equal { MatchOp::Equal } else { MatchOp::NotEqual }, value));
        let patterns = vec![
            "",
            ".*",
            ".+",
            "a",
            "a|b",
            "|a",
            "a|abc|nope",
            "a.*",
            ".*b",
            "a.+",
            "ab[cd]",
            "(a|b).*",
            "[bc]",
            "a?",
            "(?i)AB",
            "z.*",
        ];
        let pattern = (any::<bool>(), prop::sample::select(patterns))
            .prop_map(|(is_equal, value)| (if is_equal { MatchOp::Regex } else { MatchOp::NotRegex }, value));
        let name = prop::sample::select(vec!["__name__", "x", "y", "absent"]);
        (name, prop_oneof![literal, pattern])
            .prop_map(|(name, (op, value))| Matcher::new(op, name, value).unwrap())
    }

    proptest! {
        #[test]
        fn rows_that_are_found_are_those_that_pass(
            series in proptest::collection::vec((text(), text(), text()), 1..20),
            removed in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
            sets in proptest::collection::vec(proptest::collection::vec(matcher(), 1..4), 1..8),
        ) {
            let mut index = Index::new(7);
            let mut rows: Vec<(u32, Labels, Vec<u32>)> = Vec::new();
            for (row, (name, x, y)) in (0u32..).zip(series) {
                let pairs: Vec<(&str, &str)> = [("__name__", name), ("x", x), ("y", y)]
                    .into_iter()
                    .filter(|(_, value)| !value.is_empty())
                    .collect();
                let ids: Vec<u32> = pairs
                    .iter()
                    .map(|(name, value)| {
                        let name = index.intern_name(name);
                        index.intern_pair(name, value)
                    })
                    .collect();
                index.add(row, &ids);
                rows.push((row, Labels::new(pairs).unwrap(), ids));
            }
            for which in removed {
                if !rows.is_empty() {
                    let (row, _, mut ids) = rows.swap_remove(which.index(rows.len()));
                    ids.sort_unstable();
                    index.remove(&RoaringBitmap::from_iter([row]), &ids);
                }
            }
            let all: RoaringBitmap = rows.iter().map(|(row, ..)| *row).collect();
            for matchers in &sets {
                let passing: RoaringBitmap = rows
                    .iter()
                    .filter(|(_, labels, _)| Matcher::all_match(matchers, labels))
                    .map(|(row, ..)| *row)
                    .collect();
                prop_assert_eq!(index.find(matchers, &all), passing, "{:?}", matchers);
            }
        }
    }
}
