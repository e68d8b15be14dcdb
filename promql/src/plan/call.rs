//! Function calls.

use model::{METRIC_NAME, MatchOp, Matcher, Replacer};

use super::{InfoNode, Node, Planner, ScalarArgs};
use crate::ast::{Call, Expr, PosRange, ValueType};
use crate::engine::QueryError;
use crate::exec::{
    Grid, GroupKey, HistogramCallKind, HistogramPart, InstantMode, MapKind, NameAction, RelabelKind,
    ScalarExpr, SortKey, push_pair,
};
use crate::functions::{SampleFunction, WindowFunction};

fn string(expr: Option<&Expr>) -> Result<String, QueryError> {
    match expr.map(Expr::unparen) {
        Some(Expr::String(s)) => Ok(s.value.clone()),
        _ => Err(QueryError::Internal("a string argument wanted".to_owned())),
    }
}

/// Labels that the matchers of a selector fix to one value.
fn absent_labels(expr: &Expr) -> Vec<u8> {
    let matchers: &[Matcher] = match expr {
        Expr::VectorSelector(v) => &v.matchers,
        Expr::MatrixSelector(m) => &m.selector.matchers,
        _ => &[],
    };
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers {
        if matcher.name() == METRIC_NAME {
            continue;
        }
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            seen.push(matcher.name());
            if !matcher.value().is_empty() {
                pairs.push((matcher.name(), matcher.value()));
            }
        } else {
            pairs.retain(|(n, _)| *n != matcher.name());
        }
    }
    pairs.sort_unstable();
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        push_pair(&mut bytes, name, value);
    }
    bytes
}

impl Planner<'_> {
    pub(super) fn call(
        &mut self,
        call: &Call,
        grid: Grid,
        wanted: Option<GroupKey>,
        drops: bool,
    ) -> Result<Node, QueryError> {
        let name = call.function.name;
        let args: Vec<&Expr> = call.args.iter().map(Expr::unparen).collect();
        let first = args.first().copied();
        if let Some(function) = WindowFunction::find(name) {
            return self.window_call(function, call, &args, grid, wanted, drops);
        }
        if let Some(function) = SampleFunction::find(name) {
            let Some(arg) = first else {
                let scalar = ScalarArgs { exprs: vec![ScalarExpr::Time], vectors: Vec::new() };
                return Ok(Node::FromScalar { scalar, grid, function: Some(function) });
            };
            return self.mapped(arg, MapKind::Function(function), grid, ScalarArgs::default(), wanted);
        }
        let part = match name {
            "histogram_count" => Some(HistogramPart::Count),
            "histogram_sum" => Some(HistogramPart::Sum),
            "histogram_avg" => Some(HistogramPart::Avg),
            "histogram_stddev" => Some(HistogramPart::Stddev),
            "histogram_stdvar" => Some(HistogramPart::Stdvar),
            _ => None,
        };
        let Some(first) = first else {
            return self.vector_of_scalar(&Expr::Call(call.clone()), grid);
        };
        if let Some(part) = part {
            return self.mapped(first, MapKind::Histogram(part), grid, ScalarArgs::default(), wanted);
        }
        match name {
            "vector" => self.vector_of_scalar(first, grid),
            "clamp" => {
                let params = self.scalars(args[1..].iter().copied(), grid)?;
                self.mapped(first, MapKind::Clamp, grid, params, wanted)
            }
            "clamp_min" => {
                let mut params = self.scalars(args[1..].iter().copied(), grid)?;
                params.exprs.push(ScalarExpr::Constant(f64::INFINITY));
                self.mapped(first, MapKind::Clamp, grid, params, wanted)
            }
            "clamp_max" => {
                let mut params = self.scalars(args[1..].iter().copied(), grid)?;
                params.exprs.insert(0, ScalarExpr::Constant(f64::NEG_INFINITY));
                self.mapped(first, MapKind::Clamp, grid, params, wanted)
            }
            "round" => {
                let mut params = self.scalars(args[1..].iter().copied(), grid)?;
                if params.exprs.is_empty() {
                    params.exprs.push(ScalarExpr::Constant(1.0));
                }
                self.mapped(first, MapKind::Round, grid, params, wanted)
            }
            "timestamp" | "start_timestamp" => self.timestamp(name, first, grid),
            "absent" => {
                let input = Box::new(self.wrapped(first, grid)?);
                let labels = absent_labels(first);
                Ok(Node::Absent { input, labels, steps: grid.steps, drop_name: false })
            }
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                let input = Box::new(self.wrapped(first, grid)?);
                let key = if name.starts_with("sort_by_label") {
                    let names = args[1..].iter().map(|a| string(Some(a)));
                    SortKey::Labels(names.collect::<Result<_, _>>()?)
                } else {
                    SortKey::Value
                };
                Ok(Node::Sort { input, key, descending: name.ends_with("_desc"), steps: grid.steps })
            }
            "label_replace" | "label_join" => self.relabel(name, &args, grid),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.histogram_call(name, &args, grid)
            }
            "info" => self.info(&args, grid),
            _ if call.function.return_type == ValueType::Scalar => {
                self.vector_of_scalar(&Expr::Call(call.clone()), grid)
            }
            _ => Err(QueryError::Execution(format!("function {name} is not implemented"))),
        }
    }

    /// A function of each sample, which drops names.
    fn mapped(
        &mut self,
        arg: &Expr,
        kind: MapKind,
        grid: Grid,
        params: ScalarArgs,
        wanted: Option<GroupKey>,
    ) -> Result<Node, QueryError> {
        self.wanted = wanted;
        self.drops_names = true;
        let input = self.wrapped(arg, grid)?;
        Ok(self.map(input, kind, grid, params, true))
    }

    fn window_call(
        &mut self,
        function: WindowFunction,
        call: &Call,
        args: &[&Expr],
        grid: Grid,
        wanted: Option<GroupKey>,
        drops: bool,
    ) -> Result<Node, QueryError> {
        let is_window = |e: &&Expr| matches!(e, Expr::MatrixSelector(_) | Expr::Subquery(_));
        let Some(window) = args.iter().find(|e| is_window(e)).copied() else {
            return Err(QueryError::Internal(format!("{} without a range vector", call.function.name)));
        };
        let params = self.scalars(args.iter().copied().filter(|e| !is_window(e)), grid)?;
        let pos = match args.first() {
            // Prometheus puts the subquery's samples in the place of a selector that stands nowhere.
            Some(Expr::Subquery(_)) | None => PosRange::default(),
            Some(first) => first.pos(),
        };
        let node = match window {
            Expr::MatrixSelector(m) => {
                let name = call.function.name;
                let refused = if m.selector.anchored && !function.allows_anchored() {
                    Some("anchored modifier can only be used with: changes, delta, increase, rate, resets")
                } else if m.selector.smoothed && !function.allows_smoothed() {
                    Some("smoothed modifier can only be used with: delta, increase, rate")
                } else {
                    None
                };
                if let Some(why) = refused {
                    let error = QueryError::Execution(format!("{why} - not with {name}"));
                    return Ok(Node::failing(params.vectors, error, grid.steps));
                }
                self.wanted = wanted.filter(|_| function != WindowFunction::Absent);
                self.drops_names = drops;
                self.range(function, m, grid, params, pos, call.pos)?
            }
            Expr::Subquery(s) => self.subquery_window(function, s, grid, params, pos)?,
            _ => return Err(QueryError::Internal("a range vector wanted".to_owned())),
        };
        if function != WindowFunction::Absent {
            return Ok(node);
        }
        self.exact = false;
        // no label of the series is looked at: equal ones do not matter
        let input = match node {
            Node::Unique { input, .. } => input,
            other => Box::new(other),
        };
        let labels = absent_labels(window);
        let drop_name = self.features.delayed_name_removal;
        Ok(Node::Absent { input, labels, steps: grid.steps, drop_name })
    }

    fn timestamp(&mut self, name: &str, arg: &Expr, grid: Grid) -> Result<Node, QueryError> {
        let is_start = name == "start_timestamp";
        let kind = if is_start { MapKind::Nothing } else { MapKind::EvaluationTime };
        let Expr::VectorSelector(selector) = arg else {
            let input = self.wrapped(arg, grid)?;
            return Ok(self.map(input, kind, grid, ScalarArgs::default(), true));
        };
        if is_start && !self.features.start_timestamps {
            // samples as they are: nothing is interpolated, so there is nothing to warn of
            let input = self.instant_with(selector, grid, InstantMode::Value, NameAction::Keep)?;
            return Ok(self.map(input, kind, grid, ScalarArgs::default(), true));
        }
        let mode = if is_start { InstantMode::StartTimestamp } else { InstantMode::Timestamp };
        let action = self.drop_action();
        let node = self.instant_with(selector, grid, mode, action)?;
        let fixed = action != NameAction::Drop || node.names_fixed(&self.selectors);
        Ok(if fixed { node } else { Node::Unique { input: Box::new(node), merge: true, steps: grid.steps } })
    }

    fn relabel(&mut self, name: &str, args: &[&Expr], grid: Grid) -> Result<Node, QueryError> {
        let target = string(args.get(1).copied())?;
        let input = self.wrapped(args[0], grid)?;
        // Prometheus looks at these arguments when the vector is there.
        let refused =
            |input: Node, why: String| Ok(Node::failing(vec![input], QueryError::Execution(why), grid.steps));
        let kind = if name == "label_replace" {
            let replacement = string(args.get(2).copied())?;
            let source = string(args.get(3).copied())?;
            let pattern = string(args.get(4).copied())?;
            let Ok(replacer) = Replacer::new(&pattern) else {
                return refused(input, format!("invalid regular expression in label_replace(): {pattern}"));
            };
            RelabelKind::Replace { source, replacer, replacement }
        } else {
            let separator = string(args.get(2).copied())?;
            let sources: Vec<String> =
                args.iter().skip(3).map(|a| string(Some(a))).collect::<Result<_, _>>()?;
            if let Some(source) = sources.iter().find(|s| !Self::is_label_name(s)) {
                return refused(input, format!("invalid source label name in label_join(): {source}"));
            }
            RelabelKind::Join { separator, sources }
        };
        if !Self::is_label_name(&target) {
            return refused(input, format!("invalid destination label name in {name}(): {target}"));
        }
        let node = Node::Relabel { input: Box::new(input), target, kind, steps: grid.steps };
        Ok(Node::Unique { input: Box::new(node), merge: true, steps: grid.steps })
    }

    fn histogram_call(&mut self, name: &str, args: &[&Expr], grid: Grid) -> Result<Node, QueryError> {
        let (kind, vector, params) = match name {
            "histogram_quantile" => (HistogramCallKind::Quantile, args[1], vec![args[0]]),
            "histogram_fraction" => (HistogramCallKind::Fraction, args[2], vec![args[0], args[1]]),
            _ => {
                let label = string(args.get(1).copied())?;
                (HistogramCallKind::Quantiles(label), args[0], args[2..].to_vec())
            }
        };
        let param_pos = params.iter().map(|p| p.pos()).collect();
        let params = self.scalars(params, grid)?;
        let input = Box::new(self.wrapped(vector, grid)?);
        Ok(Node::Histogram {
            input,
            kind,
            grid,
            params,
            param_pos,
            pos: vector.pos(),
            delayed_names: self.features.delayed_name_removal,
        })
    }

    fn info(&mut self, args: &[&Expr], grid: Grid) -> Result<Node, QueryError> {
        let (pinned, offset) = self.info_time(args[0])?;
        let input = Box::new(self.wrapped(args[0], grid)?);
        let matchers = match args.get(1) {
            Some(Expr::VectorSelector(v)) => Some(v.matchers.clone()),
            _ => None,
        };
        Ok(Node::Info(InfoNode { input, matchers, grid, pinned, offset, lookback_ms: self.lookback_ms }))
    }

    /// `@` and offset of the first selector in the expression, with what enclosing subqueries add.
    fn info_time(&self, expr: &Expr) -> Result<(Option<i64>, i64), QueryError> {
        let mut found = None;
        expr.walk(&mut |node, path| {
            if found.is_some() {
                return;
            }
            let selector = match node {
                Expr::VectorSelector(v) => v,
                Expr::MatrixSelector(m) => &m.selector,
                _ => return,
            };
            let mut pinned = self.pinned(selector.at);
            let mut offset = self.duration_ms(&selector.offset, true);
            for above in path.iter().rev() {
                if pinned.is_some() {
                    break;
                }
                if let Expr::Subquery(s) = above {
                    offset = offset.and_then(|o| Ok(o + self.duration_ms(&s.offset, true)?));
                    pinned = self.pinned(s.at);
                }
            }
            found = Some(offset.map(|o| (pinned, o)));
        });
        found.unwrap_or(Ok((None, 0)))
    }
}
