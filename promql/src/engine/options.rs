//! What an engine is built with, and what one query may ask for.

use std::time::Duration;

use model::TenantId;

use super::{MemoryLimits, QueryProgress};
use crate::plan::Rewrites;

/// Parts of the language that Prometheus keeps behind `--enable-feature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`
    pub fill_modifiers: bool,
    /// `promql-delayed-name-removal`
    pub delayed_name_removal: bool,
    /// `type-and-unit-labels`
    pub type_and_unit_labels: bool,
    /// `use-start-timestamps`
    pub start_timestamps: bool,
}

impl Features {
    /// Everything on.
    pub fn all() -> Self {
        Features {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            delayed_name_removal: true,
            type_and_unit_labels: true,
            start_timestamps: true,
        }
    }

    /// By the names of `--enable-feature`; names that are not known are left out.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Self {
        let has = |name: &str| names.iter().any(|n| n.as_ref() == name);
        Features {
            experimental_functions: has("promql-experimental-functions"),
            extended_range_selectors: has("promql-extended-range-selectors"),
            fill_modifiers: has("promql-binop-fill-modifiers"),
            delayed_name_removal: has("promql-delayed-name-removal"),
            type_and_unit_labels: has("type-and-unit-labels"),
            start_timestamps: has("use-start-timestamps"),
        }
    }

    /// What is on, by the names of `--enable-feature`.
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.experimental_functions, "promql-experimental-functions"),
            (self.extended_range_selectors, "promql-extended-range-selectors"),
            (self.fill_modifiers, "promql-binop-fill-modifiers"),
            (self.delayed_name_removal, "promql-delayed-name-removal"),
            (self.type_and_unit_labels, "type-and-unit-labels"),
            (self.start_timestamps, "use-start-timestamps"),
        ]
        .into_iter()
        .filter_map(|(is_on, name)| is_on.then_some(name))
        .collect()
    }

    /// What Prometheus's own test scripts are run with: everything but `type-and-unit-labels`.
    pub fn of_test_scripts() -> Self {
        Features { type_and_unit_labels: false, ..Features::all() }
    }
}

/// Settings of an engine; those of a request win.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback_delta_ms: i64,
    /// Most samples one query may hold at a time.
    pub max_samples: usize,
    /// Longest run of one query.
    pub timeout: Duration,
    /// What of the language is on.
    pub features: Features,
    /// Most parts of one selection that are worked on at a time.
    pub partitions: usize,
    /// Step of a subquery that names none.
    pub default_subquery_step_ms: i64,
    /// Most bytes queries may hold at a time.
    pub memory: MemoryLimits,
    /// Which parts of queries may be evaluated where their series lie.
    pub rewrites: Rewrites,
    /// From how many samples a step on places tell states of windows instead of samples. `None`: where that is less
    /// work.
    pub states_from: Option<i64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            lookback_delta_ms: 300_000,
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            features: Features::default(),
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            default_subquery_step_ms: 60_000,
            memory: MemoryLimits::default(),
            rewrites: Rewrites::default(),
            states_from: None,
        }
    }
}

/// One query, apart from its times.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// Whose series.
    pub tenant: TenantId,
    /// The query's text.
    pub expr: String,
    /// Instead of the engine's.
    pub lookback_delta_ms: Option<i64>,
    /// Instead of the engine's, when shorter.
    pub timeout: Option<Duration>,
    /// Most series one selector may match; 0: no limit.
    pub series_max: usize,
    /// Whether samples per step are counted (`stats=all`).
    pub per_step_stats: bool,
    /// Who looks on.
    pub progress: QueryProgress,
}

impl QueryRequest {
    /// A request with the engine's settings.
    pub fn new(tenant: TenantId, expr: impl Into<String>) -> Self {
        QueryRequest {
            tenant,
            expr: expr.into(),
            lookback_delta_ms: None,
            timeout: None,
            series_max: 0,
            per_step_stats: false,
            progress: QueryProgress::default(),
        }
    }
}
