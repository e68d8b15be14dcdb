//! Remote read requests (`prometheus.ReadRequest`): decoded with bounds, so that a small body cannot become a
//! large value.

use model::{MatchOp, TimestampMs};

use crate::wire::{Reader, WireError};

/// Queries in one request, and matchers in all of them.
const PARTS_MAX: usize = 10_000;

/// A decoded request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRequest {
    /// What is asked for.
    pub queries: Vec<ReadQuery>,
    /// The forms of an answer the reader takes, most wanted first: wire numbers.
    pub accepted: Vec<i32>,
}

/// One selection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadQuery {
    /// First millisecond.
    pub start: TimestampMs,
    /// Last millisecond.
    pub end: TimestampMs,
    /// All must match.
    pub matchers: Vec<ReadMatcher>,
    /// What the reader will do with the samples.
    pub hints: Option<ReadHints>,
}

/// A condition on a label, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMatcher {
    /// How it compares; `None` for a number that is no comparison.
    pub op: Option<MatchOp>,
    /// The label.
    pub name: String,
    /// The value or regular expression.
    pub value: String,
}

/// What is used of the hints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadHints {
    /// First millisecond that will be looked at.
    pub start: TimestampMs,
    /// Last millisecond that will be looked at.
    pub end: TimestampMs,
    /// The function around the selector; `series` when only labels matter.
    pub func: String,
}

/// Why bytes are no read request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadRequestError {
    /// Not the message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A text that is not UTF-8.
    #[error("malformed protobuf: field {0} is not UTF-8")]
    Utf8(u32),
    /// Too much for one request.
    #[error("the request has more than {PARTS_MAX} queries and matchers")]
    TooMany,
}

impl ReadRequestError {
    /// What the reader should do: repair the request.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::Invalid
    }
}

/// Reads a decompressed request.
///
/// # Errors
/// When `bytes` are not that message, or it has more than 10,000 queries and matchers.
pub fn decode_read_request(bytes: &[u8]) -> Result<ReadRequest, ReadRequestError> {
    let mut request = ReadRequest::default();
    let mut parts = PARTS_MAX;
    let mut r = Reader::new(bytes);
    while let Some((field, w)) = r.field()? {
        match field {
            1 => {
                take_one(&mut parts)?;
                request.queries.push(query(r.slice(field, w)?, &mut parts)?);
            }
            2 => {
                let accepted = &mut request.accepted;
                r.repeated_varint(field, w, |v| {
                    // more kinds than there are tell nothing new
                    if accepted.len() < 16 {
                        accepted.push(v as i32);
                    }
                })?;
            }
            _ => r.skip(field, w)?,
        }
    }
    Ok(request)
}

fn take_one(parts: &mut usize) -> Result<(), ReadRequestError> {
    *parts = parts.checked_sub(1).ok_or(ReadRequestError::TooMany)?;
    Ok(())
}

fn text(field: u32, bytes: &[u8]) -> Result<String, ReadRequestError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ReadRequestError::Utf8(field))
}

fn query(bytes: &[u8], parts: &mut usize) -> Result<ReadQuery, ReadRequestError> {
    let mut query = ReadQuery::default();
    let mut r = Reader::new(bytes);
    while let Some((field, w)) = r.field()? {
        match field {
            1 => query.start = r.number(field, w)? as i64,
            2 => query.end = r.number(field, w)? as i64,
            3 => {
                take_one(parts)?;
                query.matchers.push(matcher(r.slice(field, w)?)?);
            }
            4 => hints(r.slice(field, w)?, query.hints.get_or_insert_default())?,
            _ => r.skip(field, w)?,
        }
    }
    Ok(query)
}

fn matcher(bytes: &[u8]) -> Result<ReadMatcher, ReadRequestError> {
    let mut matcher = ReadMatcher { op: Some(MatchOp::Equal), name: String::new(), value: String::new() };
    let mut r = Reader::new(bytes);
    while let Some((field, w)) = r.field()? {
        match field {
            1 => {
                matcher.op = match r.number(field, w)? as i32 {
                    0 => Some(MatchOp::Equal),
                    1 => Some(MatchOp::NotEqual),
                    2 => Some(MatchOp::Regex),
                    3 => Some(MatchOp::NotRegex),
                    _ => None,
                }
            }
            2 => matcher.name = text(field, r.slice(field, w)?)?,
            3 => matcher.value = text(field, r.slice(field, w)?)?,
            _ => r.skip(field, w)?,
        }
    }
    Ok(matcher)
}

fn hints(bytes: &[u8], hints: &mut ReadHints) -> Result<(), ReadRequestError> {
    let mut r = Reader::new(bytes);
    while let Some((field, w)) = r.field()? {
        match field {
            2 => hints.func = text(field, r.slice(field, w)?)?,
            3 => hints.start = r.number(field, w)? as i64,
            4 => hints.end = r.number(field, w)? as i64,
            _ => r.skip(field, w)?,
        }
    }
    Ok(())
}

/// Reads any bytes as a request; never panics, never takes more than it is given.
pub fn fuzz_read_request(data: &[u8]) {
    if let Ok(request) = decode_read_request(data) {
        let texts = request.queries.iter().flat_map(|q| &q.matchers).map(|m| m.name.len() + m.value.len());
        assert!(texts.sum::<usize>() <= data.len(), "texts lie in the data");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::prometheus as generated;

    fn of(request: &generated::ReadRequest) -> ReadRequest {
        let query = |q: &generated::Query| ReadQuery {
            start: q.start_timestamp_ms,
            end: q.end_timestamp_ms,
            matchers: q
                .matchers
                .iter()
                .map(|m| ReadMatcher {
                    op: [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]
                        .get(m.r#type as usize)
                        .copied(),
                    name: m.name.clone(),
                    value: m.value.clone(),
                })
                .collect(),
            hints: q.hints.as_ref().map(|h| ReadHints {
                start: h.start_ms,
                end: h.end_ms,
                func: h.func.clone(),
            }),
        };
        ReadRequest {
            queries: request.queries.iter().map(query).collect(),
            accepted: request.accepted_response_types.clone(),
        }
    }

    prop_compose! {
        fn matchers()(r#type in -1..6i32, name: String, value: String) -> generated::LabelMatcher {
            generated::LabelMatcher { r#type, name, value }
        }
    }

    prop_compose! {
        fn queries()(
            start_timestamp_ms: i64,
            end_timestamp_ms: i64,
            matchers in prop::collection::vec(matchers(), 0..4),
            hints in prop::option::of((any::<i64>(), any::<i64>(), any::<String>())),
        ) -> generated::Query {
            let hints = hints.map(|(start_ms, end_ms, func)| generated::ReadHints {
                start_ms, end_ms, func, step_ms: 15, grouping: vec!["a".into()], by: true, range_ms: -1,
            });
            generated::Query { start_timestamp_ms, end_timestamp_ms, matchers, hints }
        }
    }

    proptest! {
        #[test]
        fn what_a_client_encodes_is_read(
            queries in prop::collection::vec(queries(), 0..4),
            accepted_response_types in prop::collection::vec(0..4i32, 0..5),
        ) {
            let request = generated::ReadRequest { queries, accepted_response_types };
            prop_assert_eq!(decode_read_request(&request.encode_to_vec()), Ok(of(&request)));
        }

        #[test]
        fn damaged_requests_are_read_or_refused(
            queries in prop::collection::vec(queries(), 1..3),
            at: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
        ) {
            let request = generated::ReadRequest { queries, accepted_response_types: vec![1, 0] };
            let mut bytes = request.encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fuzz_read_request(&bytes);
            fuzz_read_request(&bytes[..cut.index(bytes.len())]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>) {
            fuzz_read_request(&data);
        }
    }

    #[test]
    fn a_request_has_a_largest_size() {
        let queries = vec![generated::Query::default(); PARTS_MAX + 1];
        let request = generated::ReadRequest { queries, accepted_response_types: vec![] };
        assert_eq!(decode_read_request(&request.encode_to_vec()), Err(ReadRequestError::TooMany));
    }
}
