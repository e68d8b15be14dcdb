//! Which segments hold a group's entries, by what is durable.
//!
//! Kept by the writer in the order of the records, never ahead of them: a segment may go only when
//! the purge that frees it is durable.

use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    segment: u64,
    first: u64,
    last: u64,
}

/// The segments of one group, oldest first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Spans(VecDeque<Span>);

impl Spans {
    /// Entry `index` was written to `segment`.
    pub(crate) fn wrote(&mut self, index: u64, segment: u64) {
        match self.0.back_mut() {
            Some(span) if span.segment == segment => {
                span.first = span.first.min(index);
                span.last = span.last.max(index);
            }
            _ => self.0.push_back(Span { segment, first: index, last: index }),
        }
    }

    /// The purge up to `upto` is durable.
    pub(crate) fn purge(&mut self, upto: u64) {
        while let Some(front) = self.0.front() {
            // what later segments hold replaces what this one holds from their first entry on
            let replaced = self.0.get(1).is_some_and(|next| next.first <= upto + 1);
            if front.last > upto && !replaced {
                return;
            }
            self.0.pop_front();
        }
    }

    /// The oldest segment the group needs.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.0.front().map(|span| span.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_needed_until_all_its_entries_are_purged() {
        let mut spans = Spans::default();
        for (index, segment) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
            spans.wrote(index, segment);
        }
        assert_eq!(spans.oldest(), Some(1));
        spans.purge(1);
        assert_eq!(spans.oldest(), Some(1));
        spans.purge(2);
        assert_eq!(spans.oldest(), Some(2));
        spans.purge(4);
        assert_eq!(spans.oldest(), None);
    }

    #[test]
    fn entries_written_again_free_their_first_segment_only_with_the_purge_before_them() {
        let mut spans = Spans::default();
        for (index, segment) in [(5, 3), (6, 3), (7, 3), (8, 4), (7, 5)] {
            spans.wrote(index, segment);
        }
        spans.purge(5);
        assert_eq!(spans.oldest(), Some(3), "entry 6 is only there");
        spans.purge(7);
        assert_eq!(spans.oldest(), None, "entry 8 of segment 4 was replaced when 7 was written again");
    }
}
