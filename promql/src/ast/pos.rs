//! Where a node stands in the query text.

/// A range of byte offsets into the query: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PosRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl PosRange {
    /// The range from `start` to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        PosRange { start, end }
    }

    /// From the beginning of `self` to the end of `last`.
    pub fn to(self, last: PosRange) -> Self {
        PosRange { start: self.start, end: last.end }
    }

    /// `line:column` of the start within `query`, both from one, columns in bytes: the form errors and annotations print.
    pub fn line_col(self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.as_bytes().get(..self.start) else {
            return "invalid position".to_owned();
        };
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        format!("{line}:{}", self.start - line_start + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let query = "sum(\n  rate(x[5m]))";
        assert_eq!(PosRange::new(0, 1).line_col(query), "1:1");
        assert_eq!(PosRange::new(7, 8).line_col(query), "2:3");
        assert_eq!(PosRange::new(99, 100).line_col(query), "invalid position");
        assert_eq!(PosRange::new(0, 0).line_col(""), "unknown position");
    }
}
