//! Selectors: which series, which window, shifted how.

use model::Matcher;

use super::{DurationArg, PosRange};

/// `@`: the time a selector or subquery is pinned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtModifier {
    /// `@ 1609746000`, in milliseconds.
    Timestamp(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// `name{matchers} offset … @ …`: one sample per series.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces; empty when there is none.
    pub name: String,
    /// All matchers; a name before the braces is the last of them, as `__name__="…"`.
    pub matchers: Vec<Matcher>,
    /// `offset`, as written (the engine adds what enclosing subqueries shift).
    pub offset: DurationArg,
    /// `@`
    pub at: Option<AtModifier>,
    /// Extended range selector: values at the window's edges are carried.
    pub anchored: bool,
    /// Extended range selector: values at the window's edges are interpolated.
    pub smoothed: bool,
    /// The second argument of `info()`, which may consist of matchers that match the empty string.
    pub bypass_empty_matcher_check: bool,
    /// Where it stands, modifiers included.
    pub pos: PosRange,
}

/// `selector[range]`: a window of samples per series. `offset` and `@` live in the selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// Which series; carries `offset`, `@`, `anchored` and `smoothed`.
    pub selector: VectorSelector,
    /// The window's length.
    pub range: DurationArg,
    /// Where it stands, modifiers included.
    pub pos: PosRange,
}
