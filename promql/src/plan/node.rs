//! The nodes of a logical plan.

use model::{Matcher, TimeRange};
use proto::LabelsWanted;

use crate::ast::{AggregateOp, BinaryOp, PosRange, VectorMatching};
use crate::engine::QueryError;
use crate::exec::{
    Grid, GroupKey, HistogramCallKind, InstantMode, MapKind, NameAction, RelabelKind, ScalarExpr, SortKey,
    WindowSpec,
};
use crate::functions::{Extended, Family, SampleFunction, WindowFunction};

/// What one selector asks of the source.
#[derive(Debug, Clone)]
pub(crate) struct SelectorSpec {
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
    pub labels: LabelsWanted,
    /// Whether all series have the same name (and dropping it leaves them different).
    pub names_fixed: bool,
    /// Whether only count and sum of its histograms will be looked at.
    pub stats_only: bool,
    /// The function of windows it is read for, if it is.
    pub window: Option<WindowRead>,
}

/// What windows a selector is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowRead {
    pub function: WindowFunction,
    pub extended: Extended,
    /// When it is evaluated.
    pub grid: Grid,
    /// How often its samples count in the query's statistics.
    pub count_times: u64,
    /// Where the call stands.
    pub pos: PosRange,
    /// Whether the call's other arguments need no series.
    pub is_plain: bool,
}

/// Scalar arguments, and the vectors they need.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScalarArgs {
    pub exprs: Vec<ScalarExpr>,
    pub vectors: Vec<Node>,
}

/// `info(v, selector)`.
#[derive(Debug, Clone)]
pub(crate) struct InfoNode {
    pub input: Box<Node>,
    /// Matchers of the second argument; `None` when there is none.
    pub matchers: Option<Vec<Matcher>>,
    pub grid: Grid,
    pub pinned: Option<i64>,
    pub offset: i64,
    pub lookback_ms: i64,
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Instant {
        selector: usize,
        grid: Grid,
        offset: i64,
        pinned: Option<i64>,
        /// Milliseconds.
        lookback: i64,
        mode: InstantMode,
        name_action: NameAction,
        pos: PosRange,
        count_times: u64,
    },
    Range {
        selector: usize,
        spec: WindowSpec,
        params: ScalarArgs,
    },
    /// The states of windows as far as they lie in a part of the time, for another process.
    WindowStates {
        selector: usize,
        spec: WindowSpec,
        family: Family,
        part: TimeRange,
    },
    Subquery {
        input: Box<Node>,
        inner: Grid,
        spec: WindowSpec,
        params: ScalarArgs,
    },
    Map {
        input: Box<Node>,
        kind: MapKind,
        grid: Grid,
        params: ScalarArgs,
        name_action: NameAction,
    },
    Unique {
        input: Box<Node>,
        merge: bool,
        steps: usize,
    },
    Relabel {
        input: Box<Node>,
        target: String,
        kind: RelabelKind,
        steps: usize,
    },
    Aggregate {
        input: Box<Node>,
        op: AggregateOp,
        key: GroupKey,
        steps: usize,
        pos: PosRange,
        /// The name all series have, if the plan knows it.
        metric: Option<String>,
    },
    Rank {
        input: Box<Node>,
        op: AggregateOp,
        key: GroupKey,
        grid: Grid,
        param: ScalarArgs,
        value_label: String,
        pos: PosRange,
        inner_pos: PosRange,
        param_pos: PosRange,
    },
    Binary {
        left: Box<Node>,
        right: Box<Node>,
        op: BinaryOp,
        matching: VectorMatching,
        return_bool: bool,
        steps: usize,
        pos: PosRange,
        delayed_names: bool,
    },
    Histogram {
        input: Box<Node>,
        kind: HistogramCallKind,
        grid: Grid,
        params: ScalarArgs,
        param_pos: Vec<PosRange>,
        pos: PosRange,
        delayed_names: bool,
    },
    Absent {
        input: Box<Node>,
        labels: Vec<u8>,
        steps: usize,
        drop_name: bool,
    },
    Sort {
        input: Box<Node>,
        key: SortKey,
        descending: bool,
        steps: usize,
    },
    Repeat {
        input: Box<Node>,
        steps: usize,
    },
    FromScalar {
        scalar: ScalarArgs,
        grid: Grid,
        function: Option<SampleFunction>,
    },
    Info(InfoNode),
    /// The rows of a fragment, from all its places.
    Fragment {
        fragment: usize,
        names_fixed: bool,
        /// Whether rows of equal labels, which answer different steps, become one.
        is_stitched: bool,
        steps: usize,
    },
    /// The aggregation whose states a fragment's places return.
    MergeStates {
        fragment: usize,
        op: AggregateOp,
        steps: usize,
        pos: PosRange,
        metric: Option<String>,
        names_fixed: bool,
    },
    /// Nothing, or a failure, once `after` has been evaluated.
    Nothing {
        after: Vec<Node>,
        error: Option<QueryError>,
        steps: usize,
    },
}

impl Node {
    /// A failure that is met when the node is evaluated: not where there are no steps, and not before what is
    /// evaluated earlier has failed.
    pub(crate) fn failing(after: Vec<Node>, error: QueryError, steps: usize) -> Self {
        Node::Nothing { after, error: (steps > 0).then_some(error), steps }
    }

    /// Whether series stay different when their name is dropped.
    pub(crate) fn names_fixed(&self, selectors: &[SelectorSpec]) -> bool {
        let keyed = |key: &GroupKey| match key {
            GroupKey::By(names) => !names.iter().any(|n| crate::exec::is_metadata(n)),
            GroupKey::Without(_) => true,
            GroupKey::Exact => false,
        };
        match self {
            Node::Instant { selector, .. } => selectors[*selector].names_fixed,
            Node::Range { selector, spec, .. } | Node::WindowStates { selector, spec, .. } => {
                spec.name_action == NameAction::Drop || selectors[*selector].names_fixed
            }
            Node::Subquery { input, spec, .. } => {
                spec.name_action == NameAction::Drop || input.names_fixed(selectors)
            }
            Node::Map { input, name_action, .. } => {
                *name_action == NameAction::Drop || input.names_fixed(selectors)
            }
            Node::Aggregate { key, .. } => keyed(key),
            Node::Rank { input, op, key, .. } => match op {
                AggregateOp::Quantile | AggregateOp::CountValues => keyed(key),
                _ => input.names_fixed(selectors),
            },
            Node::Unique { input, .. } | Node::Sort { input, .. } | Node::Repeat { input, .. } => {
                input.names_fixed(selectors)
            }
            Node::Histogram { delayed_names, .. } => !delayed_names,
            Node::Fragment { names_fixed, .. } | Node::MergeStates { names_fixed, .. } => *names_fixed,
            Node::Absent { .. } | Node::FromScalar { .. } | Node::Nothing { .. } => true,
            Node::Relabel { .. } | Node::Binary { .. } | Node::Info(_) => false,
        }
    }
}
