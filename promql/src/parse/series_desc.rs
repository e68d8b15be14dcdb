//! Series descriptions: labels and a compact list of values, the language of test scripts and rule tests.
//!
//! `name{a="b"} 1+2x3 _ stale {{schema:1 count:22 buckets:[5 10 7]}}x2`

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::ast::{BinaryOp, UnaryOp};

use super::error::ParseErrors;
use super::expr::sign;
use super::histogram_desc::{HistogramDesc, combine};
use super::parser::{Parsed, Parser, Stop};
use super::token::{Tok, Token};
use super::{ParseOptions, run};

/// More values than this in one description are refused.
const MAX_VALUES: u64 = 1 << 20;

/// One value of a series, or its absence.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample at this step.
    Omitted,
    /// A float; `stale` is the staleness marker.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// The histogram.
        histogram: Arc<FloatHistogram>,
        /// Whether its counter reset hint was written and so matters in comparisons.
        hint_set: bool,
    },
}

/// A series and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesDescription {
    /// The series' labels.
    pub labels: Labels,
    /// One value per step.
    pub values: Vec<SequenceValue>,
}

/// Parses a series description.
pub fn parse_series_desc(text: &str) -> Result<SeriesDescription, ParseErrors> {
    run(text, &ParseOptions::all(), true, |p| {
        let labels = p.metric()?.build();
        let values = p.series_values()?;
        Ok(SeriesDescription { labels, values })
    })
}

impl Parser<'_> {
    /// Only what is wrong within a value, or directly after the labels, is said to be about values.
    fn series_values(&mut self) -> Parsed<Vec<SequenceValue>> {
        let mut values = Vec::new();
        self.within("series values", "", |p| match p.peek() {
            Tok::Eof | Tok::Space => Ok(()),
            _ => Err(Stop::Unexpected),
        })?;
        while self.take_if(Tok::Space).is_some() {
            if matches!(
                self.peek(),
                Tok::Blank
                    | Tok::OpenHistogram
                    | Tok::Identifier
                    | Tok::Number
                    | Tok::Duration
                    | Tok::Op(BinaryOp::Add | BinaryOp::Sub)
            ) {
                self.within("series values", "", |p| p.series_item(&mut values))?;
            }
        }
        self.expect(Tok::Eof)?;
        Ok(values)
    }

    fn series_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        match self.peek() {
            Tok::Blank => {
                self.take();
                let times =
                    if self.take_if(Tok::Times).is_some() { self.repetitions(values.len(), 0)? } else { 1 };
                values.extend((0..times).map(|_| SequenceValue::Omitted));
                Ok(())
            }
            Tok::OpenHistogram => self.histogram_item(values),
            _ => self.float_item(values),
        }
    }

    fn float_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let mut value = match self.take_if(Tok::Identifier) {
            Some(word) => {
                if word.text(self.input) != "stale" {
                    self.unexpected("series values", "number or \"stale\"");
                }
                model::stale_nan()
            }
            None => self.signed_number()?,
        };
        let step = match sign(self.peek()) {
            Some(op) => {
                self.take();
                let step = self.plain_number()?;
                if op == UnaryOp::Minus { -step } else { step }
            }
            None if self.peek() == Tok::Times => 0.0,
            None => {
                values.push(SequenceValue::Float(value));
                return Ok(());
            }
        };
        self.expect(Tok::Times)?;
        let constant = step == 0.0;
        // The value itself and so many repetitions.
        for _ in 0..self.repetitions(values.len(), 1)? {
            values.push(SequenceValue::Float(value));
            if !constant {
                value += step;
            }
        }
        Ok(())
    }

    fn plain_number(&mut self) -> Parsed<f64> {
        if !matches!(self.peek(), Tok::Number | Tok::Duration) {
            return Err(Stop::Unexpected);
        }
        let token = self.take();
        Ok(self.number_value(token))
    }

    fn histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let first = self.histogram()?;
        let (base, hint_set) = (Arc::new(first.histogram), first.hint_set);
        match self.peek() {
            Tok::Times => {
                self.take();
                for _ in 0..self.repetitions(values.len(), 1)? {
                    values.push(SequenceValue::Histogram { histogram: Arc::clone(&base), hint_set });
                }
            }
            Tok::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take();
                let step = self.histogram()?;
                self.expect(Tok::Times)?;
                let times = self.repetitions(values.len(), 1)?;
                self.histogram_steps(values, base, &step, op == BinaryOp::Sub, times);
            }
            _ => values.push(SequenceValue::Histogram { histogram: base, hint_set }),
        }
        Ok(())
    }

    /// `base`, `base ± step`, `base ± 2 step`, …; the step's hint decides whether hints matter.
    fn histogram_steps(
        &mut self,
        values: &mut Vec<SequenceValue>,
        base: Arc<FloatHistogram>,
        step: &HistogramDesc,
        subtract: bool,
        times: u64,
    ) {
        let mut current = base;
        for i in 0..times {
            if i > 0 {
                match combine(&current, &step.histogram, subtract) {
                    Ok(next) => current = Arc::new(next),
                    Err(why) => return self.error(self.last.pos(), why),
                }
            }
            values
                .push(SequenceValue::Histogram { histogram: Arc::clone(&current), hint_set: step.hint_set });
        }
    }

    /// The count after `x`, plus `extra`, checked against what may still come.
    fn repetitions(&mut self, so_far: usize, extra: u64) -> Parsed<u64> {
        let token = self.expect(Tok::Number)?;
        let times = self.unsigned(token).saturating_add(extra);
        if times.saturating_add(so_far as u64) > MAX_VALUES {
            self.error(token.pos(), format!("more than {MAX_VALUES} values in one series"));
            return Err(Stop::Reported);
        }
        Ok(times)
    }

    pub(super) fn unsigned(&mut self, token: Token) -> u64 {
        let text = token.text(self.input);
        match text.parse::<u64>() {
            Ok(n) if text.bytes().all(|b| b.is_ascii_digit()) => n,
            _ => {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let why = if digits { "value out of range" } else { "invalid syntax" };
                let quoted = crate::ast::go_quote(text);
                let message = format!(
                    "invalid repetition in series values: strconv.ParseUint: parsing {quoted}: {why}"
                );
                self.error(token.pos(), message);
                0
            }
        }
    }
}
