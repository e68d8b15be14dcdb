//! Push-down: which parts of a query are evaluated where their series lie.
//!
//! A shard's series are in no other shard, so whatever is computed series by series is the same whether it is computed
//! for all of them or shard by shard. Each rule that uses this is a file of its own and can be switched off; what no
//! rule takes is read from all places and computed here. Always: with any choice of rules the answer is the same,
//! annotations included (sums of floats to rounding).

mod aggregate;
mod count_values;
mod map;
mod one_place;
mod rank;
mod seams;
mod selector;
mod spec;
mod window;
mod window_states;

use std::fmt;

pub(crate) use seams::Part;
use seams::{Reach, parts_of};
pub(crate) use spec::{FragmentSpec, text_at};
pub(crate) use window_states::sides;

use model::{METRIC_NAME, MatchOp, Matcher};
use proto::{FragmentOutput, Layout};

use super::{Node, Planner};
use crate::ast::{AggregateOp, Expr, ValueType};
use crate::engine::QueryError;
use crate::exec::{Grid, GroupKey};

/// A rule of push-down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rewrite {
    /// Instant selectors are read where they lie.
    Selector,
    /// Functions of a range selector are computed there.
    Window,
    /// Functions of single samples and operators with a scalar are computed there.
    Map,
    /// `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar`: places return states, which merge.
    Aggregate,
    /// `topk`, `bottomk`, `limitk`, `limit_ratio`: places choose candidates.
    Rank,
    /// `count_values`: places count, counts add up.
    CountValues,
    /// What one place holds is computed there as a whole: joins, `quantile`, `histogram_quantile`, everything.
    OnePlace,
    /// Steps of one query are answered by several places, each those whose windows it holds.
    TimeSplit,
    /// Where windows reach over several places, they tell states of their parts, which merge.
    WindowStates,
}

impl Rewrite {
    /// All of them.
    pub const ALL: [Rewrite; 9] = [
        Rewrite::Selector,
        Rewrite::Window,
        Rewrite::Map,
        Rewrite::Aggregate,
        Rewrite::Rank,
        Rewrite::CountValues,
        Rewrite::OnePlace,
        Rewrite::TimeSplit,
        Rewrite::WindowStates,
    ];

    /// As settings name it.
    pub fn name(self) -> &'static str {
        match self {
            Rewrite::Selector => "push-selector",
            Rewrite::Window => "push-window",
            Rewrite::Map => "push-map",
            Rewrite::Aggregate => "push-aggregate",
            Rewrite::Rank => "push-rank",
            Rewrite::CountValues => "push-count-values",
            Rewrite::OnePlace => "one-place",
            Rewrite::TimeSplit => "time-split",
            Rewrite::WindowStates => "window-states",
        }
    }
}

/// The rules that are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rewrites(u16);

impl Rewrites {
    /// No rule.
    pub const NONE: Rewrites = Rewrites(0);

    /// These with `rewrite`.
    #[must_use]
    pub fn with(self, rewrite: Rewrite) -> Self {
        Rewrites(self.0 | 1 << rewrite as u8)
    }

    /// These without `rewrite`.
    #[must_use]
    pub fn without(self, rewrite: Rewrite) -> Self {
        Rewrites(self.0 & !(1 << rewrite as u8))
    }

    /// All but those of these names.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn all_but<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let mut rewrites = Rewrites::default();
        for name in names {
            let known = Rewrite::ALL.into_iter().find(|r| r.name() == name.as_ref());
            rewrites = rewrites.without(known.ok_or_else(|| name.as_ref().to_owned())?);
        }
        Ok(rewrites)
    }

    /// Whether a rule is on.
    pub fn has(self, rewrite: Rewrite) -> bool {
        self.0 & 1 << rewrite as u8 != 0
    }
}

impl Default for Rewrites {
    /// All rules.
    fn default() -> Self {
        Rewrite::ALL.into_iter().fold(Rewrites::NONE, Rewrites::with)
    }
}

impl fmt::Debug for Rewrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Rewrite::ALL.into_iter().filter(|r| self.has(*r)).map(Rewrite::name);
        f.debug_set().entries(names).finish()
    }
}

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PushDown<'a> {
    pub rewrites: Rewrites,
    pub layout: &'a Layout,
    /// Names are dropped at the query's end only: series that differ in their name stay apart until then.
    pub delayed_names: bool,
    /// Names do not tell metrics apart by themselves.
    pub type_and_unit_labels: bool,
    /// Whether steps may be split over places.
    pub may_split: bool,
    /// From how many samples a step on states of windows are asked for; `None`: as measured.
    pub states_from: Option<i64>,
}

/// What places return for an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Its rows: those of all places together are the answer.
    Rows,
    /// States of its aggregation, to be merged.
    States,
    /// Its rows per place, over which it is evaluated again.
    Candidates,
    /// Rows of counts; those of equal labels add up.
    Counts,
}

impl PushDown<'_> {
    /// What places can do for `expr` as a whole.
    fn form(&self, expr: &Expr) -> Option<Form> {
        if self.one_place(expr) {
            return Some(Form::Rows);
        }
        if let Expr::Aggregate(a) = expr {
            return aggregate::form(self, a)
                .or_else(|| rank::form(self, a))
                .or_else(|| count_values::form(self, a));
        }
        self.rows(expr).then_some(Form::Rows)
    }

    /// Whether the rows of `expr` can be computed shard by shard.
    fn rows(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Paren(p) => self.rows(&p.expr),
            Expr::VectorSelector(_) => selector::rows(self),
            Expr::Aggregate(a) => rank::form(self, a) == Some(Form::Rows),
            Expr::Call(c) => window::rows(self, c) || map::call_rows(self, c),
            Expr::Unary(_) | Expr::Binary(_) => map::operator_rows(self, expr),
            _ => false,
        }
    }

    fn has(&self, rewrite: Rewrite) -> bool {
        self.rewrites.has(rewrite)
    }

    /// The same without a rule.
    fn without(self, rewrite: Rewrite) -> Self {
        PushDown { rewrites: self.rewrites.without(rewrite), ..self }
    }

    /// Whether no two series of `expr` become one when their names are dropped. Where they might, the check for
    /// duplicates has to see all of them at once.
    fn names_stay_apart(&self, expr: &Expr) -> bool {
        if self.delayed_names {
            return true;
        }
        let fixed = |matchers: &[Matcher]| {
            let mut names = matchers.iter().filter(|m| m.name() == METRIC_NAME);
            names.any(|m| m.op() == MatchOp::Equal && !m.value().is_empty())
        };
        !self.type_and_unit_labels && expr.selectors().into_iter().all(fixed)
    }
}

/// Whether a scalar expression needs no series.
fn is_plain_scalar(expr: &Expr) -> bool {
    expr.value_type() == ValueType::Scalar && expr.selectors().is_empty()
}

/// Whether something inside is evaluated at points of its own, or reads series that no selector names.
fn has_inner_queries(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |node, _| {
        found |=
            matches!(node, Expr::Subquery(_)) || matches!(node, Expr::Call(c) if c.function.name == "info");
    });
    found
}

impl Planner<'_> {
    /// The node of an expression that places evaluate, if a rule allows it.
    pub(super) fn pushed(&mut self, expr: &Expr, grid: Grid) -> Result<Option<Node>, QueryError> {
        let Some(push) = self.push else { return Ok(None) };
        if grid.steps == 0 {
            return Ok(None);
        }
        self.pushed_by(push, expr, grid)
    }

    /// The same by these rules.
    fn pushed_by(&mut self, push: PushDown<'_>, expr: &Expr, grid: Grid) -> Result<Option<Node>, QueryError> {
        let Some(form) = push.form(expr) else { return Ok(None) };
        let output =
            if form == Form::States { FragmentOutput::AggregationStates } else { FragmentOutput::Rows };
        let (spec, plain) = self.fragment(expr, grid, output, &push)?;
        if form == Form::Rows && push.one_place(expr) && !push.is_exact_place(&spec) {
            // its parts may lie in one place each, or what reaches over a seam is cheaper as states
            return if self.has_seam_states(&push, &spec)? {
                self.pushed_by(push.without(Rewrite::OnePlace), expr, grid)
            } else {
                Ok(None)
            };
        }
        let names_fixed = spec.names_fixed;
        let fragment = self.fragments.len();
        let rows = Box::new(Node::Fragment {
            fragment,
            names_fixed,
            is_stitched: form != Form::Counts,
            steps: grid.steps,
        });
        let node = match (form, plain) {
            (Form::Rows, _) => *rows,
            (Form::States, Node::Aggregate { op, steps, pos, metric, .. }) => {
                Node::MergeStates { fragment, op, steps, pos, metric, names_fixed }
            }
            (
                Form::Candidates,
                Node::Rank { op, key, grid, param, value_label, pos, inner_pos, param_pos, .. },
            ) if param.vectors.is_empty() => {
                Node::Rank { input: rows, op, key, grid, param, value_label, pos, inner_pos, param_pos }
            }
            (Form::Counts, Node::Rank { inner_pos, .. }) => Node::Aggregate {
                input: rows,
                op: AggregateOp::Sum,
                key: GroupKey::Exact,
                steps: grid.steps,
                pos: inner_pos,
                metric: None,
            },
            _ => return Ok(None),
        };
        self.fragments.push(spec);
        Ok(Some(node))
    }
}
