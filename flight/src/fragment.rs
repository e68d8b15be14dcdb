//! The answer to a fragment on the wire: record batches as Arrow IPC, then a message without header that holds the
//! end. An answer without its end is not complete.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use proto::{FragmentEnd, FragmentNote, FragmentPart, FragmentStream};
use tonic::Status;

use crate::error::of_fragment;
use crate::generated as wire;
use crate::limits::PIECE_BYTES;
use crate::list::Malformed;
use crate::{batch, explained};

fn put_end(end: &FragmentEnd) -> Bytes {
    let note = |note: &FragmentNote| wire::Note {
        is_info: note.is_info,
        text: note.text.clone(),
        pos: Some(wire::Bytes { start: note.pos.0 as u64, end: note.pos.1 as u64 }),
        detail: note.detail.clone(),
    };
    let end = wire::FragmentEnd {
        notes: end.notes.iter().map(note).collect(),
        warnings: end.warnings.clone(),
        samples_total: end.samples_total,
        samples_per_step: end.samples_per_step.clone(),
        samples_peak: end.samples_peak,
        series: end.series,
        samples_read: end.samples_read,
        samples_read_per_step: end.samples_read_per_step.clone(),
        plan: end.plan.as_deref().map(explained::put),
    };
    Bytes::from(end.encode_to_vec())
}

fn get_end(bytes: Bytes) -> Result<FragmentEnd, Malformed> {
    let end = wire::FragmentEnd::decode(bytes)?;
    let note = |note: wire::Note| {
        let pos = note.pos.unwrap_or_default();
        let at = |number: u64| usize::try_from(number).map_err(|_| Malformed);
        let pos = (at(pos.start)?, at(pos.end)?);
        if pos.0 > pos.1 {
            return Err(Malformed);
        }
        Ok(FragmentNote { is_info: note.is_info, text: note.text, pos, detail: note.detail })
    };
    Ok(FragmentEnd {
        notes: end.notes.into_iter().map(note).collect::<Result<_, _>>()?,
        warnings: end.warnings,
        samples_total: end.samples_total,
        samples_per_step: end.samples_per_step,
        samples_peak: end.samples_peak,
        series: end.series,
        samples_read: end.samples_read,
        samples_read_per_step: end.samples_read_per_step,
        plan: end.plan.map(explained::get).transpose()?.map(Box::new),
    })
}

/// The messages of an answer.
pub(crate) fn encode(parts: FragmentStream) -> BoxStream<'static, Result<FlightData, Status>> {
    let end: Arc<OnceLock<Bytes>> = Arc::default();
    let seen = Arc::clone(&end);
    let batches = parts.filter_map(move |part| {
        let batch = match part {
            Ok(FragmentPart::Batch(batch)) => Some(Ok(batch)),
            Ok(FragmentPart::End(end)) => {
                // there is only one
                let _again = seen.set(put_end(&end));
                None
            }
            Err(error) => Some(Err(FlightError::from(of_fragment(error)))),
        };
        futures::future::ready(batch)
    });
    let encoded = FlightDataEncoderBuilder::new()
        .with_max_flight_data_size(PIECE_BYTES)
        .build(batches)
        .map_err(Status::from);
    let last = stream::once(async move {
        let end = end.get().cloned().ok_or_else(|| Status::internal("the answer has no end"))?;
        Ok(FlightData { app_metadata: end, ..FlightData::default() })
    });
    encoded.chain(last).boxed()
}

/// Reads the messages of an answer one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
}

impl Decoder {
    /// What a message says; `None` for the first, which tells the columns.
    pub(crate) fn decode(&mut self, data: FlightData) -> Result<Option<FragmentPart>, Malformed> {
        if data.data_header.is_empty() {
            return Ok(Some(FragmentPart::End(get_end(data.app_metadata)?)));
        }
        match &self.schema {
            None => {
                self.schema = Some(batch::schema(&data)?);
                Ok(None)
            }
            Some(schema) => Ok(Some(FragmentPart::Batch(batch::read(&data, schema)?))),
        }
    }
}

/// For fuzzing: any bytes are read or refused. The first two bytes say how long the first message is.
pub fn fuzz_fragment_answer(data: &[u8]) {
    let Some((length, mut rest)) = data.split_first_chunk::<2>() else { return };
    let mut decoder = Decoder::default();
    let length = usize::from(u16::from_le_bytes(*length));
    while !rest.is_empty() {
        let (message, after) = rest.split_at(length.clamp(1, rest.len()));
        rest = after;
        let Ok(message) = FlightData::decode(Bytes::copy_from_slice(message)) else { return };
        if decoder.decode(message).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, BooleanArray, FixedSizeListArray, Float64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use futures::executor::block_on;
    use proptest::prelude::*;
    use proto::{ExplainedOperator, FragmentError, Measured, PartUse, StoragePart};
    use std::time::Duration;

    use super::*;

    fn rows(count: usize, steps: i32) -> RecordBatch {
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let values =
            Float64Array::from_iter((0..count * steps as usize).map(|i| (i % 3 > 0).then_some(i as f64)));
        let lists = FixedSizeListArray::try_new(Arc::clone(&item), steps, Arc::new(values), None).unwrap();
        let schema = Schema::new(vec![
            Field::new("labels", DataType::Binary, false),
            Field::new("drop_name", DataType::Boolean, false),
            Field::new("values", DataType::FixedSizeList(item, steps), false),
            Field::new("histograms", DataType::Binary, true),
        ]);
        let texts: Vec<Vec<u8>> = (0..count).map(|i| format!("row {i}").into_bytes()).collect();
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(BinaryArray::from_iter_values(&texts)),
                Arc::new(BooleanArray::from_iter((0..count).map(|i| Some(i % 2 > 0)))),
                Arc::new(lists),
                Arc::new(BinaryArray::from_iter((0..count).map(|i| (i % 5 == 0).then_some(b"h")))),
            ],
        )
        .unwrap()
    }

    fn end() -> FragmentEnd {
        FragmentEnd {
            notes: vec![FragmentNote {
                is_info: true,
                text: "a note".to_owned(),
                pos: (3, 9),
                detail: vec![f64::INFINITY, 2.0],
            }],
            warnings: vec!["a block is damaged".to_owned()],
            samples_total: 7,
            samples_per_step: vec![3, 4],
            samples_peak: 5,
            series: 2,
            samples_read: 6,
            samples_read_per_step: vec![3, 3],
            plan: Some(Box::new(ExplainedOperator {
                name: "Sum".to_owned(),
                partitions: 2,
                measured: Some(Measured { rows: 3, time: Duration::from_micros(8), ..Measured::default() }),
                inputs: vec![ExplainedOperator {
                    name: "Window".to_owned(),
                    detail: "rate".to_owned(),
                    place: Some("heads".to_owned()),
                    series: Some(7),
                    storage: vec![StoragePart { name: "a".to_owned(), used: PartUse::OtherTime, series: 0 }],
                    ..ExplainedOperator::default()
                }],
                ..ExplainedOperator::default()
            })),
        }
    }

    fn messages(parts: Vec<Result<FragmentPart, FragmentError>>) -> Vec<Result<FlightData, Status>> {
        block_on(encode(stream::iter(parts).boxed()).collect())
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        let batch = rows(4000, 60);
        let sent = vec![Ok(FragmentPart::Batch(batch.clone())), Ok(FragmentPart::End(end()))];
        let messages = messages(sent);
        assert!(messages.len() > 3, "large batches are divided");
        let (mut decoder, mut there, mut ended) = (Decoder::default(), Vec::new(), None);
        for message in messages {
            let message = message.unwrap();
            assert!(message.encoded_len() < 2 * PIECE_BYTES);
            match decoder.decode(message).unwrap() {
                Some(FragmentPart::Batch(batch)) => there.push(batch),
                Some(FragmentPart::End(end)) => ended = Some(end),
                None => {}
            }
        }
        let mut row = 0;
        for part in &there {
            assert_eq!(part, &batch.slice(row, part.num_rows()));
            row += part.num_rows();
        }
        assert_eq!((row, ended), (batch.num_rows(), Some(end())));
    }

    #[test]
    fn an_error_ends_the_answer() {
        let sent = vec![
            Ok(FragmentPart::Batch(rows(1, 2))),
            Err(FragmentError::Execution("too many samples".to_owned())),
        ];
        let error = messages(sent).into_iter().find_map(Result::err).unwrap();
        assert_eq!((error.code(), error.message()), (tonic::Code::FailedPrecondition, "too many samples"));
        assert!(messages(vec![]).pop().unwrap().is_err(), "no end, no answer");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]
        #[test]
        fn damaged_answers_are_read_or_refused(
            which in 0..3usize, in_header: bool, at: prop::sample::Index, byte: u8, cut: Option<prop::sample::Index>,
        ) {
            let sent = vec![Ok(FragmentPart::Batch(rows(7, 3))), Ok(FragmentPart::End(end()))];
            let mut decoder = Decoder::default();
            for (i, message) in messages(sent).into_iter().enumerate() {
                let mut message = message.unwrap();
                if i == which {
                    let part = if i == 2 {
                        &mut message.app_metadata
                    } else if in_header || message.data_body.is_empty() {
                        &mut message.data_header
                    } else {
                        &mut message.data_body
                    };
                    let mut bytes = part.to_vec();
                    let position = at.index(bytes.len());
                    bytes[position] = byte;
                    if let Some(cut) = cut {
                        bytes.truncate(cut.index(bytes.len()));
                    }
                    *part = Bytes::from(bytes);
                }
                if decoder.decode(message).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>) {
            fuzz_fragment_answer(&data);
        }
    }
}
