//! What happens to each sample by itself: functions of one value, operators with a scalar, signs.

use std::sync::Arc;
use std::task::Poll;

use futures::{StreamExt, stream};

use super::batch::{ABSENT, BatchBuilder, HistogramSlot, SeriesBatch, is_absent};
use super::element::{Element, apply};
use super::grid::Grid;
use super::label_bytes::{self, NameAction};
use super::operator::{BatchStream, Inputs, Operator, deferred};
use super::scalar::{ScalarExpr, evaluate_all};
use crate::ast::{BinaryOp, PosRange};
use crate::functions::{SampleFunction, arithmetic, compare, go_max, go_min};
use crate::histogram;

/// What of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramPart {
    Count,
    Sum,
    Avg,
    Stddev,
    Stdvar,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MapKind {
    /// A function of a float.
    Function(SampleFunction),
    /// `-v`
    Negate,
    /// `clamp(v, min, max)`; params 0 and 1.
    Clamp,
    /// `round(v, to)`; param 0.
    Round,
    /// `v op s` or, swapped, `s op v`; param 0.
    Scalar { op: BinaryOp, swapped: bool, return_bool: bool, pos: PosRange },
    /// A number out of a histogram.
    Histogram(HistogramPart),
    /// The evaluation's time.
    EvaluationTime,
    /// Nothing: `start_timestamp` of what is no selector.
    Nothing,
}

/// The operator: child 0 is the vector, the others are what scalar arguments need.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub kind: MapKind,
    pub grid: Grid,
    pub params: Vec<ScalarExpr>,
    pub name_action: NameAction,
}

impl Operator for Map {
    fn name(&self) -> &'static str {
        "Map"
    }

    fn detail(&self) -> String {
        match &self.kind {
            MapKind::Scalar { op, swapped, return_bool, .. } => {
                let op = format!("{}{}", op.as_str(), if *return_bool { " bool" } else { "" });
                if *swapped { format!("scalar {op} vector") } else { format!("vector {op} scalar") }
            }
            kind => format!("{kind:?}"),
        }
    }

    fn run(self: Arc<Self>, inputs: Inputs, partition: usize) -> BatchStream {
        deferred(async move {
            let is_swapped = matches!(self.kind, MapKind::Scalar { swapped: true, .. });
            let before = inputs.query.annotations();
            let params = match evaluate_all(&self.params, self.grid, &inputs, 1).await {
                Ok(params) => params,
                Err(error) => {
                    // Of two failures the one that stands first is told.
                    if !is_swapped {
                        inputs.collect(0).await?;
                    }
                    return Err(error);
                }
            };
            let batches = inputs.series(0, partition);
            // What stands behind the vector is noted after it.
            let noted = inputs.query.annotations().since(&before);
            let query = Arc::clone(&inputs.query);
            let at_end = stream::poll_fn(move |_| {
                if !is_swapped {
                    query.place_annotations(&noted);
                }
                Poll::Ready(None)
            });
            let made = batches.map(move |batch| inputs.encode(self.batch(&batch?, &inputs, &params)));
            Ok(made.chain(at_end).boxed())
        })
    }
}

impl Map {
    fn batch(&self, batch: &SeriesBatch, inputs: &Inputs, params: &[Vec<f64>]) -> SeriesBatch {
        let steps = batch.steps;
        let mut out = BatchBuilder::new(steps, batch.rows());
        let mut scratch = Vec::new();
        for i in 0..batch.rows() {
            scratch.clear();
            let drop_name = label_bytes::apply_into(
                batch.labels.value(i),
                self.name_action,
                batch.drop_name.value(i),
                &mut scratch,
            );
            out.push_empty(&scratch, drop_name);
            let row = batch.row(i);
            self.floats(row, params, out.floats());
            if let Some(slots) = batch.histogram_row(i) {
                self.histograms(slots, inputs, params, &mut out);
            }
            if matches!(self.kind, MapKind::Scalar { op, .. } if arithmetic(op, 0.0, 0.0).is_none() && compare(op, 0.0, 0.0).is_none())
            {
                self.note_floats(row, inputs, params);
            }
            if !out.last_has_values() {
                out.pop();
            }
        }
        out.finish()
    }

    fn floats(&self, row: &[f64], params: &[Vec<f64>], out: &mut [f64]) {
        match &self.kind {
            MapKind::Function(function) => {
                for (o, v) in out.iter_mut().zip(row) {
                    if !is_absent(*v) {
                        *o = function.apply(*v);
                    }
                }
            }
            MapKind::Negate => {
                for (o, v) in out.iter_mut().zip(row) {
                    if !is_absent(*v) {
                        *o = -*v;
                    }
                }
            }
            MapKind::Clamp => {
                for (((o, v), min), max) in out.iter_mut().zip(row).zip(&params[0]).zip(&params[1]) {
                    // an empty range keeps nothing; NaN bounds are not below each other
                    let is_empty = *max < *min;
                    if !is_absent(*v) && !is_empty {
                        *o = go_max(*min, go_min(*max, *v));
                    }
                }
            }
            MapKind::Round => {
                for ((o, v), to) in out.iter_mut().zip(row).zip(&params[0]) {
                    if !is_absent(*v) {
                        let inverse = 1.0 / *to;
                        *o = (*v * inverse + 0.5).floor() / inverse;
                    }
                }
            }
            MapKind::Scalar { op, swapped, return_bool, .. } => {
                for ((o, v), s) in out.iter_mut().zip(row).zip(&params[0]) {
                    if is_absent(*v) {
                        continue;
                    }
                    let (l, r) = if *swapped { (*s, *v) } else { (*v, *s) };
                    *o = if let Some(value) = arithmetic(*op, l, r) {
                        value
                    } else {
                        match compare(*op, l, r) {
                            Some(keep) if *return_bool => f64::from(u8::from(keep)),
                            Some(true) => *v,
                            _ => ABSENT,
                        }
                    };
                }
            }
            MapKind::EvaluationTime => {
                for (step, (o, v)) in out.iter_mut().zip(row).enumerate() {
                    if !is_absent(*v) {
                        *o = self.grid.at(step) as f64 / 1000.0;
                    }
                }
            }
            MapKind::Histogram(_) | MapKind::Nothing => {}
        }
    }

    fn histograms(
        &self,
        slots: &[HistogramSlot],
        inputs: &Inputs,
        params: &[Vec<f64>],
        out: &mut BatchBuilder,
    ) {
        for (step, slot) in slots.iter().enumerate() {
            let Some(h) = slot else { continue };
            match &self.kind {
                MapKind::Negate => {
                    let mut negative = (**h).clone();
                    histogram::scale(&mut negative, -1.0);
                    out.set_histogram(step, Arc::new(negative));
                }
                MapKind::Histogram(part) => {
                    out.floats()[step] = match part {
                        HistogramPart::Count => h.count,
                        HistogramPart::Sum => h.sum,
                        HistogramPart::Avg => h.sum / h.count,
                        HistogramPart::Stdvar => histogram::variance(h),
                        HistogramPart::Stddev => histogram::variance(h).sqrt(),
                    };
                }
                MapKind::EvaluationTime => out.floats()[step] = self.grid.at(step) as f64 / 1000.0,
                MapKind::Scalar { op, swapped, return_bool, pos } => {
                    let vector = Element::Histogram(Arc::clone(h));
                    let scalar = Element::Float(params[0][step]);
                    let applied = if *swapped {
                        apply(*op, &scalar, &vector, *pos)
                    } else {
                        apply(*op, &vector, &scalar, *pos)
                    };
                    match applied {
                        Err(note) => inputs.query.annotate(note),
                        Ok(outcome) if *return_bool => {
                            out.floats()[step] = f64::from(u8::from(outcome.keep));
                        }
                        Ok(outcome) => match outcome.value {
                            Element::Histogram(h) => out.set_histogram(step, h),
                            Element::Float(v) => out.floats()[step] = v,
                        },
                    }
                }
                _ => {}
            }
        }
    }

    /// Operators that make no sense between floats.
    fn note_floats(&self, row: &[f64], inputs: &Inputs, params: &[Vec<f64>]) {
        let MapKind::Scalar { op, pos, .. } = &self.kind else { return };
        for (v, s) in row.iter().zip(&params[0]) {
            if !is_absent(*v) {
                if let Err(note) = apply(*op, &Element::Float(*v), &Element::Float(*s), *pos) {
                    inputs.query.annotate(note);
                }
                return;
            }
        }
    }
}
