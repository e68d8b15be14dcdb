//! The answer of apply to an append: what became of each section. Nothing to say takes no bytes.

use bytes::Bytes;
use proto::{AppendOutcome, Column, RejectReason, Rejection};

use crate::wire::{Malformed, Reader, put_bytes, put_varint, put_zigzag};

const OUTCOMES: u8 = 1;
const REFUSED: u8 = 2;

/// What apply said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Every item of every section was taken, and there were no new series.
    AllTaken,
    /// One per section.
    Outcomes(Vec<AppendOutcome>),
    /// The entry could not be applied at all, and changed nothing.
    Refused(String),
}

pub(crate) fn encode_outcomes(outcomes: &[AppendOutcome]) -> Bytes {
    if outcomes.iter().all(|o| o.references.is_empty() && o.rejections.is_empty()) {
        return Bytes::new();
    }
    let mut out = vec![OUTCOMES];
    put_varint(&mut out, outcomes.len() as u64);
    for outcome in outcomes {
        put_varint(&mut out, outcome.references.len() as u64);
        let mut before = 0;
        for reference in &outcome.references {
            put_zigzag(&mut out, i64::from(*reference) - before);
            before = i64::from(*reference);
        }
        put_varint(&mut out, outcome.rejections.len() as u64);
        for rejection in &outcome.rejections {
            out.push(rejection.column as u8 | (rejection.reason as u8) << 4);
            put_varint(&mut out, u64::from(rejection.index));
        }
        put_varint(&mut out, outcome.series_limit);
    }
    Bytes::from(out)
}

pub(crate) fn encode_refusal(reason: &str) -> Bytes {
    let mut out = vec![REFUSED];
    put_bytes(&mut out, reason.as_bytes());
    Bytes::from(out)
}

/// Reads an answer.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.is_empty() {
        return Ok(Answer::AllTaken);
    }
    match reader.byte()? {
        OUTCOMES => {}
        REFUSED => return Ok(Answer::Refused(reader.text()?.to_owned())),
        _ => return Err(Malformed("answer")),
    }
    let count = reader.count(3)?;
    let mut outcomes = Vec::with_capacity(count);
    for _ in 0..count {
        let mut outcome = AppendOutcome::default();
        let mut reference = 0_i64;
        for _ in 0..reader.count(1)? {
            reference = reference.wrapping_add(reader.zigzag()?);
            outcome.references.push(u32::try_from(reference).map_err(|_| Malformed("reference"))?);
        }
        for _ in 0..reader.count(2)? {
            let head = reader.byte()?;
            let column = match head & 15 {
                0 => Column::Floats,
                1 => Column::Histograms,
                2 => Column::Exemplars,
                _ => return Err(Malformed("column")),
            };
            outcome.rejections.push(Rejection { column, reason: reason(head >> 4)?, index: reader.u32()? });
        }
        outcome.series_limit = reader.varint()?;
        outcomes.push(outcome);
    }
    Ok(Answer::Outcomes(outcomes))
}

fn reason(number: u8) -> Result<RejectReason, Malformed> {
    Ok(match number {
        1 => RejectReason::StaleReference,
        2 => RejectReason::TooOld,
        3 => RejectReason::OutOfOrder,
        4 => RejectReason::Duplicate,
        5 => RejectReason::TooFarInFuture,
        6 => RejectReason::SeriesLimit,
        7 => RejectReason::ExemplarOutOfOrder,
        _ => return Err(Malformed("reason")),
    })
}
