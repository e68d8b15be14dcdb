//! What is asked for: the body, decompressed with a bound, decoded, checked.

use model::{Matcher, TenantId, TimeRange};
use proto::{LabelsWanted, ReadMatcher, ReadQuery, SelectRequest, decode_read_request};

use super::BODY_BYTES_MAX;
use crate::ApiError;

/// How samples are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One message.
    Samples,
    /// Frames of chunks.
    Chunks,
}

/// A request, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) form: Form,
    pub(super) queries: Vec<Query>,
    pub(super) tenant: TenantId,
}

/// One selection.
#[derive(Debug)]
pub(super) struct Query {
    /// `None`: no matcher selects nothing.
    pub(super) select: Option<SelectRequest>,
    /// No samples are looked at.
    pub(super) labels_only: bool,
}

impl Wanted {
    pub(super) fn read(tenant: &TenantId, body: &[u8]) -> Result<Self, ApiError> {
        let bad = |error: &dyn std::fmt::Display| ApiError::BadData(error.to_string());
        let length = snap::raw::decompress_len(body).map_err(|e| bad(&e))?;
        if length > BODY_BYTES_MAX {
            return Err(ApiError::BadData(format!(
                "snappy: decoded length {length} exceeds limit {BODY_BYTES_MAX}"
            )));
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| bad(&e))?;
        let request = decode_read_request(&bytes).map_err(|e| bad(&e))?;
        let form = form_of(&request.accepted)?;
        let queries = request.queries.iter().map(|q| Query::of(tenant, q)).collect::<Result<_, _>>()?;
        Ok(Wanted { form, queries, tenant: tenant.clone() })
    }
}

/// The first form that we know; readers that tell none are old ones.
fn form_of(accepted: &[i32]) -> Result<Form, ApiError> {
    if accepted.is_empty() {
        return Ok(Form::Samples);
    }
    let known = |number: &i32| match number {
        0 => Some(Form::Samples),
        1 => Some(Form::Chunks),
        _ => None,
    };
    accepted.iter().find_map(known).ok_or_else(|| {
        let shown: Vec<String> = accepted.iter().map(ToString::to_string).collect();
        ApiError::BadData(format!(
            "server does not support any of the requested response types: [{}]; supported: map[SAMPLES:{{}} \
             STREAMED_XOR_CHUNKS:{{}}]",
            shown.join(" ")
        ))
    })
}

impl Query {
    fn of(tenant: &TenantId, query: &ReadQuery) -> Result<Self, ApiError> {
        let matchers: Vec<Matcher> = query.matchers.iter().map(matcher).collect::<Result<_, _>>()?;
        let mut range = TimeRange::inclusive(query.start, query.end);
        let mut labels_only = false;
        if let Some(hints) = &query.hints {
            labels_only = hints.func == "series";
            // what the reader will look at is often less than what its query spans
            if hints.start <= hints.end && (hints.start, hints.end) != (0, 0) {
                range = range.intersect(&TimeRange::inclusive(hints.start, hints.end));
            }
        }
        let select = (!matchers.is_empty() && !range.is_empty()).then(|| SelectRequest {
            tenant: tenant.clone(),
            matchers,
            range,
            labels: LabelsWanted::All,
            series_max: 0,
        });
        Ok(Query { select, labels_only })
    }
}

fn matcher(matcher: &ReadMatcher) -> Result<Matcher, ApiError> {
    let op = matcher.op.ok_or_else(|| ApiError::BadData("invalid matcher type".to_owned()))?;
    Matcher::new(op, &matcher.name, &matcher.value).map_err(|e| ApiError::BadData(e.to_string()))
}
