//! A binary operator between two samples.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::annotations::Annotation;
use crate::ast::{BinaryOp, PosRange};
use crate::functions::{arithmetic, compare};
use crate::histogram::{self, Incompatible};

/// A float or a histogram.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// What the operator gives.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The value; of comparisons the left one.
    pub value: Element,
    /// Whether a comparison holds; true for the rest.
    pub keep: bool,
    /// What to tell beside the value.
    pub note: Option<Annotation>,
}

fn outcome(value: Element) -> Result<Outcome, Annotation> {
    Ok(Outcome { value, keep: true, note: None })
}

fn histogram(h: FloatHistogram) -> Result<Outcome, Annotation> {
    outcome(Element::Histogram(Arc::new(h)))
}

/// Applies `op`; an error means there is no value.
pub(crate) fn apply(
    op: BinaryOp,
    left: &Element,
    right: &Element,
    pos: PosRange,
) -> Result<Outcome, Annotation> {
    let mismatch = |l: &str, r: &str| Err(Annotation::incompatible_types(l, op.as_str(), r, pos));
    match (left, right) {
        (Element::Float(l), Element::Float(r)) => {
            if let Some(v) = arithmetic(op, *l, *r) {
                outcome(Element::Float(v))
            } else if let Some(keep) = compare(op, *l, *r) {
                Ok(Outcome { value: Element::Float(*l), keep, note: None })
            } else {
                mismatch("float", "float")
            }
        }
        (Element::Float(l), Element::Histogram(r)) => match op {
            BinaryOp::Mul => {
                let mut h = (**r).clone();
                histogram::scale(&mut h, *l);
                histogram::compact(&mut h);
                histogram(h)
            }
            _ => mismatch("float", "histogram"),
        },
        (Element::Histogram(l), Element::Float(r)) => {
            let mut h = (**l).clone();
            match op {
                BinaryOp::Mul => {
                    histogram::scale(&mut h, *r);
                    histogram::compact(&mut h);
                }
                BinaryOp::Div => {
                    histogram::divide(&mut h, *r);
                    histogram::compact(&mut h);
                }
                BinaryOp::TrimUpper => histogram::trim(&mut h, *r, true),
                BinaryOp::TrimLower => histogram::trim(&mut h, *r, false),
                _ => return mismatch("histogram", "float"),
            }
            histogram(h)
        }
        (Element::Histogram(l), Element::Histogram(r)) => match op {
            BinaryOp::Add | BinaryOp::Sub => add_or_subtract(op, l, r, pos),
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let keep = histogram::equals(l, r) == (op == BinaryOp::Equal);
                Ok(Outcome { value: left.clone(), keep, note: None })
            }
            _ => mismatch("histogram", "histogram"),
        },
    }
}

fn add_or_subtract(
    op: BinaryOp,
    l: &FloatHistogram,
    r: &FloatHistogram,
    pos: PosRange,
) -> Result<Outcome, Annotation> {
    let mut h = l.clone();
    let (merged, operation) = if op == BinaryOp::Add {
        (histogram::add(&mut h, r), "addition")
    } else {
        (histogram::sub(&mut h, r), "subtraction")
    };
    let merge = match merged {
        Ok(merge) => merge,
        Err(Incompatible) => return Err(Annotation::incompatible_layout(op.as_str(), pos)),
    };
    if op == BinaryOp::Sub {
        h.counter_reset_hint = CounterResetHint::Gauge;
    }
    histogram::compact(&mut h);
    let note = if merge.collision {
        Some(Annotation::counter_reset_collision(operation, pos))
    } else if merge.reconciled {
        Some(Annotation::mismatched_custom_buckets(operation, pos))
    } else {
        None
    };
    Ok(Outcome { value: Element::Histogram(Arc::new(h)), keep: true, note })
}
