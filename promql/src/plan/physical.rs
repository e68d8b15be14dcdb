//! From logical nodes to operators.
//!
//! Everything is selected by now: how many series there are decides over how many partitions a selector is read.

use std::ops::Range;
use std::sync::Arc;

use datafusion_physical_plan::ExecutionPlan;
use proto::{Fragment, LabelsWanted, RunFragment, Selection, Source};

use super::{Node, ScalarArgs, SelectorSpec};
use crate::exec::{
    Absent, AtPlace, Binary, Combine, Final, FromScalar, Gather, HistogramCall, Info, InstantSelect, Leaf,
    Map, Nothing, Operator, OperatorExec, Partial, QueryContext, RangeSelect, Rank, Relabel, Remote, Repeat,
    ScalarExpr, SeamSelection, SeamSide, SeamWindows, Sort, SubqueryWindow, Union, Unique, WindowSpec,
    WindowStates, series_schema, state_schema, window_states_schema,
};
use crate::functions::Family;
use model::TenantId;

type Plan = Arc<dyn ExecutionPlan>;

/// What the state of a window takes at most, as a rule: histograms of many buckets.
const STATE_BYTES_MAX: usize = 1 << 14;

/// Who does a part of a fragment.
pub(crate) enum Work {
    /// This process, over series selected already.
    Here {
        node: Box<Node>,
        selectors: Vec<SelectorSpec>,
        selections: Vec<Arc<dyn Selection>>,
        /// Per selector: who tells of it, where places tell states of windows.
        seams: Vec<Option<Seam>>,
        source: Arc<dyn Source>,
    },
    /// Another one.
    There { run: Arc<dyn RunFragment>, fragment: Box<Fragment> },
}

/// Who tells which part of a selector's windows; its selection is a `SeamSelection`.
#[derive(Clone)]
pub(crate) struct Seam {
    pub family: Family,
    /// In order of time.
    pub sides: Vec<SeamSide>,
    /// Of those that lie here, in order of time.
    pub selection: Arc<SeamSelection>,
    /// Those that lie elsewhere, and what they are asked; in order of time.
    pub elsewhere: Vec<(Arc<dyn RunFragment>, Fragment)>,
}

/// A part of a fragment, ready to run.
pub(crate) struct Prepared {
    /// The place, as plans show it.
    pub name: String,
    /// Which of the fragment's steps.
    pub steps: Range<usize>,
    /// Whether other parts may hold the same series at other steps.
    pub is_stitched: bool,
    pub work: Work,
}

/// Builds operators.
pub(crate) struct Builder<'a> {
    pub query: &'a Arc<QueryContext>,
    pub selectors: &'a [SelectorSpec],
    pub selections: &'a [Arc<dyn Selection>],
    /// Per selector, as far as there are any.
    pub seams: &'a [Option<Seam>],
    /// The parts of every fragment.
    pub fragments: &'a [Vec<Prepared>],
    pub source: &'a Arc<dyn Source>,
    pub tenant: &'a TenantId,
    pub series_max: usize,
    pub partitions_max: usize,
}

fn partitions(plan: &Plan) -> usize {
    plan.properties().partitioning.partition_count()
}

impl Builder<'_> {
    /// The plan of a node, with one partition.
    pub(crate) fn single(&self, node: Node) -> Plan {
        self.gather(self.build(node))
    }

    fn gather(&self, plan: Plan) -> Plan {
        if partitions(&plan) == 1 {
            return plan;
        }
        let schema = Arc::clone(plan.properties().eq_properties.schema());
        OperatorExec::with_schema(self.query, Arc::new(Gather), vec![plan], schema, 1)
    }

    fn operator(
        &self,
        operator: impl Operator,
        children: Vec<Plan>,
        steps: usize,
        partitions: usize,
    ) -> Plan {
        OperatorExec::series(self.query, Arc::new(operator), children, steps, partitions)
    }

    fn leaf(&self, selector: usize, steps: usize) -> Leaf {
        let spec = &self.selectors[selector];
        let selection = Arc::clone(&self.selections[selector]);
        let memory_max = self.query.memory.limit();
        Leaf::new(selection, steps, spec.range, self.partitions_max, memory_max, spec.stats_only)
    }

    fn scalar_children(&self, args: &mut ScalarArgs) -> Vec<Plan> {
        std::mem::take(&mut args.vectors).into_iter().map(|node| self.single(node)).collect()
    }

    /// The plan of an aggregation that gives its states in one batch; `None` for any other node.
    pub(crate) fn states(&self, node: &Node) -> Option<Plan> {
        let partial = self.partial(node)?;
        if partitions(&partial) == 1 && !matches!(node, Node::MergeStates { .. }) {
            return Some(partial);
        }
        let (op, steps, pos, metric) = match node {
            Node::Aggregate { op, steps, pos, metric, .. }
            | Node::MergeStates { op, steps, pos, metric, .. } => (*op, *steps, *pos, metric.clone()),
            _ => return None,
        };
        let combine = Combine(Final { op, steps, pos, metric });
        Some(self.with_states(Arc::new(combine), vec![partial], steps, 1))
    }

    /// The plan of an aggregation that gives states, one batch per partition.
    fn partial(&self, node: &Node) -> Option<Plan> {
        match node {
            Node::Aggregate { input, op, key, steps, pos, metric } => {
                let input = self.build(input.as_ref().clone());
                let count = partitions(&input);
                let partial =
                    Partial { op: *op, key: key.clone(), steps: *steps, pos: *pos, metric: metric.clone() };
                Some(self.with_states(Arc::new(partial), vec![input], *steps, count))
            }
            Node::MergeStates { fragment, steps, .. } => Some(self.places(*fragment, *steps, true)),
            _ => None,
        }
    }

    fn with_states(
        &self,
        operator: Arc<dyn Operator>,
        children: Vec<Plan>,
        steps: usize,
        count: usize,
    ) -> Plan {
        OperatorExec::with_schema(self.query, operator, children, state_schema(steps), count)
    }

    /// What all places of a fragment give, side by side.
    fn places(&self, fragment: usize, steps: usize, states: bool) -> Plan {
        let parts = self.fragments.get(fragment).map_or(&[][..], Vec::as_slice);
        let schema = if states { state_schema(steps) } else { series_schema(steps) };
        let mut children: Vec<Plan> = Vec::with_capacity(parts.len());
        for part in parts {
            let count = part.steps.len();
            let child = match &part.work {
                Work::Here { node, selectors, selections, seams, source } => {
                    let builder = Builder { selectors, selections, seams, source, fragments: &[], ..*self };
                    let partial = if states { builder.partial(node) } else { None };
                    partial.unwrap_or_else(|| builder.build(node.as_ref().clone()))
                }
                Work::There { run, fragment } => {
                    let remote = Remote::new(Arc::clone(run), fragment.as_ref().clone(), count);
                    let schema = if states { state_schema(count) } else { series_schema(count) };
                    OperatorExec::with_schema(self.query, Arc::new(remote), Vec::new(), schema, 1)
                }
            };
            let at = AtPlace {
                name: part.name.clone(),
                from: part.steps.start,
                steps: count,
                total: steps,
                states,
            };
            let count = partitions(&child);
            children.push(OperatorExec::with_schema(
                self.query,
                Arc::new(at),
                vec![child],
                Arc::clone(&schema),
                count,
            ));
        }
        if children.len() == 1 {
            return children.swap_remove(0);
        }
        let count = children.iter().map(partitions).sum();
        OperatorExec::with_schema(self.query, Arc::new(Union), children, schema, count)
    }

    /// Windows from the states of several places.
    fn seam(
        &self,
        seam: &Seam,
        leaf: Leaf,
        labels: LabelsWanted,
        spec: WindowSpec,
        params: Vec<ScalarExpr>,
        scalars: Vec<Plan>,
    ) -> Plan {
        let steps = spec.grid.steps;
        let names = seam.sides.iter().filter(|side| side.is_elsewhere).map(|side| &side.name);
        let mut children: Vec<Plan> = Vec::new();
        for ((run, fragment), name) in seam.elsewhere.iter().zip(names) {
            let schema = window_states_schema;
            let remote = Remote::new(Arc::clone(run), fragment.clone(), steps);
            let child = OperatorExec::with_schema(self.query, Arc::new(remote), Vec::new(), schema(), 1);
            let at = AtPlace { name: name.clone(), from: 0, steps, total: steps, states: true };
            children.push(OperatorExec::with_schema(self.query, Arc::new(at), vec![child], schema(), 1));
        }
        let count = if children.is_empty() { leaf.partitions } else { 1 };
        children.extend(scalars);
        let (family, sides, selection) = (seam.family, seam.sides.clone(), Arc::clone(&seam.selection));
        let operator = SeamWindows { leaf, selection, labels, sides, family, spec, params };
        self.operator(operator, children, steps, count)
    }

    fn build(&self, node: Node) -> Plan {
        match node {
            Node::Fragment { fragment, is_stitched, steps, .. } => {
                let places = self.places(fragment, steps, false);
                if !is_stitched || !self.fragments[fragment].iter().any(|part| part.is_stitched) {
                    return places;
                }
                let places = self.gather(places);
                self.operator(Unique { merge: true, steps }, vec![places], steps, 1)
            }
            Node::MergeStates { fragment, op, steps, pos, metric, .. } => {
                let places = self.places(fragment, steps, true);
                self.operator(Final { op, steps, pos, metric }, vec![places], steps, 1)
            }
            Node::Instant {
                selector,
                grid,
                offset,
                pinned,
                lookback,
                mode,
                name_action,
                pos,
                count_times,
            } => {
                let leaf = self.leaf(selector, grid.steps);
                let count = leaf.partitions;
                let operator = InstantSelect {
                    leaf,
                    grid,
                    offset,
                    pinned,
                    lookback,
                    mode,
                    name_action,
                    pos,
                    count_times,
                };
                self.operator(operator, Vec::new(), grid.steps, count)
            }
            Node::Range { selector, spec, mut params } => {
                let leaf = self.leaf(selector, spec.grid.steps);
                let (count, steps) = (leaf.partitions, spec.grid.steps);
                let children = self.scalar_children(&mut params);
                if let Some(seam) = self.seams.get(selector).and_then(Option::as_ref) {
                    let labels = self.selectors[selector].labels.clone();
                    return self.seam(seam, leaf, labels, spec, params.exprs, children);
                }
                self.operator(RangeSelect { leaf, spec, params: params.exprs }, children, steps, count)
            }
            Node::WindowStates { selector, spec, family, part } => {
                let leaf = self.leaf(selector, spec.grid.steps).for_states(STATE_BYTES_MAX);
                let count = leaf.partitions;
                let operator = WindowStates { leaf, part, family, spec };
                OperatorExec::with_schema(
                    self.query,
                    Arc::new(operator),
                    Vec::new(),
                    window_states_schema(),
                    count,
                )
            }
            Node::Subquery { input, inner, spec, mut params } => {
                let input = self.build(*input);
                let (count, steps) = (partitions(&input), spec.grid.steps);
                let mut children = vec![input];
                children.extend(self.scalar_children(&mut params));
                let operator = SubqueryWindow { spec, inner, params: params.exprs };
                self.operator(operator, children, steps, count)
            }
            Node::Map { input, kind, grid, mut params, name_action } => {
                let input = self.build(*input);
                let count = partitions(&input);
                let mut children = vec![input];
                children.extend(self.scalar_children(&mut params));
                let operator = Map { kind, grid, params: params.exprs, name_action };
                self.operator(operator, children, grid.steps, count)
            }
            Node::Unique { input, merge, steps } => {
                let input = self.single(*input);
                self.operator(Unique { merge, steps }, vec![input], steps, 1)
            }
            Node::Relabel { input, target, kind, steps } => {
                let input = self.build(*input);
                let count = partitions(&input);
                self.operator(Relabel { target, kind }, vec![input], steps, count)
            }
            Node::Aggregate { input, op, key, steps, pos, metric } => {
                let input = self.build(*input);
                let count = partitions(&input);
                let partial = Partial { op, key, steps, pos, metric: metric.clone() };
                let partial = self.with_states(Arc::new(partial), vec![input], steps, count);
                self.operator(Final { op, steps, pos, metric }, vec![partial], steps, 1)
            }
            Node::Rank { input, op, key, grid, mut param, value_label, pos, inner_pos, param_pos } => {
                let mut children = vec![self.single(*input)];
                children.extend(self.scalar_children(&mut param));
                let param = param.exprs.swap_remove(0);
                let operator = Rank { op, key, grid, param, value_label, pos, inner_pos, param_pos };
                self.operator(operator, children, grid.steps, 1)
            }
            Node::Binary { left, right, op, matching, return_bool, steps, pos, delayed_names } => {
                let children = vec![self.single(*left), self.single(*right)];
                let operator = Binary { op, matching, return_bool, steps, pos, delayed_names };
                self.operator(operator, children, steps, 1)
            }
            Node::Histogram { input, kind, grid, mut params, param_pos, pos, delayed_names } => {
                let mut children = vec![self.single(*input)];
                children.extend(self.scalar_children(&mut params));
                let operator =
                    HistogramCall { kind, grid, params: params.exprs, param_pos, pos, delayed_names };
                self.operator(operator, children, grid.steps, 1)
            }
            Node::Absent { input, labels, steps, drop_name } => {
                let input = self.build(*input);
                self.operator(Absent { labels, steps, drop_name }, vec![input], steps, 1)
            }
            Node::Sort { input, key, descending, steps } => {
                let input = self.single(*input);
                self.operator(Sort { key, descending, steps }, vec![input], steps, 1)
            }
            Node::Repeat { input, steps } => {
                let input = self.build(*input);
                let count = partitions(&input);
                self.operator(Repeat { steps }, vec![input], steps, count)
            }
            Node::FromScalar { mut scalar, grid, function } => {
                let children = self.scalar_children(&mut scalar);
                let scalar = scalar.exprs.swap_remove(0);
                self.operator(FromScalar { scalar, grid, function }, children, grid.steps, 1)
            }
            Node::Nothing { after, error, steps } => {
                let children = after.into_iter().map(|node| self.single(node)).collect();
                self.operator(Nothing { error }, children, steps, 1)
            }
            Node::Info(info) => {
                let input = self.single(*info.input);
                let operator = Info {
                    source: Arc::clone(self.source),
                    tenant: self.tenant.clone(),
                    series_max: self.series_max,
                    matchers: info.matchers,
                    grid: info.grid,
                    pinned: info.pinned,
                    offset: info.offset,
                    lookback_ms: info.lookback_ms,
                };
                self.operator(operator, vec![input], info.grid.steps, 1)
            }
        }
    }
}
