//! The plan of a fragment on the wire.

use std::time::Duration;

use proto::{ExplainedOperator, Measured, PartUse, StoragePart};

use crate::generated::{self as wire, storage_part::Use};
use crate::limits::PLAN_DEPTH_MAX;
use crate::list::Malformed;

/// An operator and what it works on, as deep as it can be read again.
pub(crate) fn put(operator: &ExplainedOperator) -> wire::Operator {
    put_to(operator, PLAN_DEPTH_MAX)
}

fn put_to(operator: &ExplainedOperator, depth: usize) -> wire::Operator {
    let inputs = if depth > 1 { operator.inputs.as_slice() } else { &[] };
    let storage = |part: &StoragePart| wire::StoragePart {
        name: part.name.clone(),
        used: match part.used {
            PartUse::Read => Use::Read,
            PartUse::NoMatch => Use::NoMatch,
            PartUse::OtherTime => Use::OtherTime,
        }
        .into(),
        series: part.series as u64,
    };
    let measured = |measured: &Measured| wire::Measured {
        rows: measured.rows,
        bytes: measured.bytes,
        samples: measured.samples,
        sample_bytes: measured.sample_bytes,
        nanoseconds: u64::try_from(measured.time.as_nanos()).unwrap_or(u64::MAX),
    };
    wire::Operator {
        name: operator.name.clone(),
        detail: operator.detail.clone(),
        place: operator.place.clone(),
        partitions: operator.partitions as u64,
        series: operator.series.map(|series| series as u64),
        storage: operator.storage.iter().map(storage).collect(),
        measured: operator.measured.as_ref().map(measured),
        inputs: inputs.iter().map(|input| put_to(input, depth - 1)).collect(),
    }
}

/// Reads it again. How deep it is, the reader of messages has bounded.
pub(crate) fn get(operator: wire::Operator) -> Result<ExplainedOperator, Malformed> {
    let size = |number: u64| usize::try_from(number).map_err(|_| Malformed);
    let storage = |part: wire::StoragePart| {
        let used = match Use::try_from(part.used) {
            Ok(Use::Read) => PartUse::Read,
            Ok(Use::NoMatch) => PartUse::NoMatch,
            Ok(Use::OtherTime) => PartUse::OtherTime,
            Err(_) => return Err(Malformed),
        };
        Ok(StoragePart { name: part.name, used, series: size(part.series)? })
    };
    let measured = |measured: wire::Measured| Measured {
        rows: measured.rows,
        bytes: measured.bytes,
        samples: measured.samples,
        sample_bytes: measured.sample_bytes,
        time: Duration::from_nanos(measured.nanoseconds),
    };
    Ok(ExplainedOperator {
        name: operator.name,
        detail: operator.detail,
        place: operator.place,
        partitions: size(operator.partitions)?,
        series: operator.series.map(size).transpose()?,
        storage: operator.storage.into_iter().map(storage).collect::<Result<_, _>>()?,
        measured: operator.measured.map(measured),
        inputs: operator.inputs.into_iter().map(get).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn nested(depth: usize) -> ExplainedOperator {
        let mut operator = ExplainedOperator { name: "leaf".to_owned(), ..ExplainedOperator::default() };
        for _ in 1..depth {
            operator = ExplainedOperator { inputs: vec![operator], ..ExplainedOperator::default() };
        }
        operator
    }

    #[test]
    fn plans_are_told_as_deep_as_they_can_be_read() {
        for depth in [1, PLAN_DEPTH_MAX, PLAN_DEPTH_MAX + 1, 500] {
            let bytes = wire::FragmentEnd { plan: Some(put(&nested(depth))), ..wire::FragmentEnd::default() };
            let bytes = bytes.encode_to_vec();
            let plan = get(wire::FragmentEnd::decode(bytes.as_slice()).unwrap().plan.unwrap()).unwrap();
            let expected = nested(depth);
            assert_eq!(plan == expected, depth <= PLAN_DEPTH_MAX, "{depth}");
        }
    }
}
