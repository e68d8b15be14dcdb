//! Answers: the envelope, and how it becomes an HTTP response.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};

use crate::json::{AnswerWriter, write_string, write_strings};
use crate::{Api, ApiError};

const JSON: &str = "application/json";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// Most warnings shown, and most infos.
const ANNOTATIONS_MAX: usize = 10;
/// Bytes of an answer that are held at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What a handler answers.
pub(crate) struct Reply {
    status: u16,
    body: Payload,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

enum Payload {
    Whole { bytes: Vec<u8>, content_type: HeaderValue },
    Pieces { first: Vec<u8>, rest: Box<AnswerWriter> },
    Empty,
}

impl Reply {
    /// `{"status":"success","data":…}` with warnings; `data` is JSON.
    pub(crate) fn success(data: Vec<u8>, warnings: Vec<String>) -> Self {
        let mut bytes = Vec::with_capacity(data.len() + 64);
        bytes.extend_from_slice(b"{\"status\":\"success\",\"data\":");
        bytes.extend_from_slice(&data);
        if !warnings.is_empty() {
            bytes.extend_from_slice(b",\"warnings\":");
            write_strings(&mut bytes, &shown(warnings, "warning"));
        }
        bytes.push(b'}');
        Self::json(200, bytes)
    }

    /// An answer that is written while it is sent.
    pub(crate) fn streamed(mut writer: AnswerWriter) -> Self {
        let first = writer.piece(PIECE_BYTES).unwrap_or_default();
        let body = Payload::Pieces { first, rest: Box::new(writer) };
        Reply { status: 200, body, headers: Vec::new() }
    }

    /// `{"status":"error",…}`
    pub(crate) fn error(error: &ApiError) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        bytes.extend_from_slice(error.error_type().as_bytes());
        bytes.extend_from_slice(b"\",\"error\":");
        write_string(&mut bytes, &error.to_string());
        bytes.push(b'}');
        Self::json(error.status(), bytes).with_advice()
    }

    /// The text of an error alone, for endpoints that do not speak JSON.
    pub(crate) fn plain_error(error: &ApiError) -> Self {
        let bytes = format!("{error}\n").into_bytes();
        let mut reply = Self::whole(HeaderValue::from_static(PLAIN_TEXT), bytes);
        reply.status = error.status();
        reply.headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        reply.with_advice()
    }

    /// Success with a body of any type.
    pub(crate) fn whole(content_type: HeaderValue, bytes: Vec<u8>) -> Self {
        Reply { status: 200, body: Payload::Whole { bytes, content_type }, headers: Vec::new() }
    }

    /// Tells what to do about some statuses.
    fn with_advice(mut self) -> Self {
        match self.status {
            401 => {
                let challenge = HeaderValue::from_static("Basic realm=\"epimetheus\"");
                self.headers.push((header::WWW_AUTHENTICATE, challenge));
            }
            429 | 503 => self.headers.push((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        self
    }

    /// Success without a body.
    pub(crate) fn no_content() -> Self {
        Reply { status: 204, body: Payload::Empty, headers: Vec::new() }
    }

    /// What every endpoint says before reads work.
    pub(crate) fn not_ready(stopping: bool) -> Self {
        let state = HeaderValue::from_static(if stopping { "true" } else { "false" });
        let body = Payload::Whole {
            bytes: b"Service Unavailable".to_vec(),
            content_type: HeaderValue::from_static(PLAIN_TEXT),
        };
        let headers = vec![
            (header::HeaderName::from_static("x-prometheus-stopping"), state),
            (header::RETRY_AFTER, HeaderValue::from_static("1")),
        ];
        Reply { status: 503, body, headers }
    }

    fn json(status: u16, bytes: Vec<u8>) -> Self {
        Reply {
            status,
            body: Payload::Whole { bytes, content_type: HeaderValue::from_static(JSON) },
            headers: Vec::new(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn into_response(self, api: &Arc<Api>) -> Response {
        let (body, content_type) = match self.body {
            Payload::Empty => (Body::empty(), None),
            Payload::Whole { bytes, content_type } => {
                api.recorder.bytes(bytes.len());
                (Body::from(bytes), Some(content_type))
            }
            Payload::Pieces { first, rest } if rest.is_done() => {
                api.recorder.bytes(first.len());
                (Body::from(first), Some(HeaderValue::from_static(JSON)))
            }
            Payload::Pieces { first, rest } => {
                (pieces(Arc::clone(api), first, rest), Some(HeaderValue::from_static(JSON)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        headers.extend(self.headers);
        response
    }
}

/// The rest of a long answer is written piece by piece on the CPU pool, as fast as the client reads.
fn pieces(api: Arc<Api>, first: Vec<u8>, rest: Box<AnswerWriter>) -> Body {
    enum Next {
        First(Vec<u8>, Box<AnswerWriter>),
        Rest(Box<AnswerWriter>),
    }
    let stream = stream::unfold(Next::First(first, rest), move |next| {
        let api = Arc::clone(&api);
        async move {
            let (piece, rest) = match next {
                Next::First(first, rest) => (first, rest),
                Next::Rest(mut rest) => {
                    let (piece, rest) = api.runtime.cpu(move || (rest.piece(PIECE_BYTES), rest)).await;
                    (piece?, rest)
                }
            };
            api.recorder.bytes(piece.len());
            Some((Ok::<Bytes, std::convert::Infallible>(Bytes::from(piece)), Next::Rest(rest)))
        }
    });
    Body::from_stream(stream)
}

/// The first ten, and how many more there are.
pub(crate) fn shown(mut annotations: Vec<String>, kind: &str) -> Vec<String> {
    let left_out = annotations.len().saturating_sub(ANNOTATIONS_MAX);
    if left_out > 0 {
        annotations.truncate(ANNOTATIONS_MAX);
        annotations.push(format!("{left_out} more {kind} annotations omitted"));
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_annotations_are_shown_and_the_rest_counted() {
        let of = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(shown(of(10), "warning"), of(10));
        let cut = shown(of(12), "info");
        assert_eq!((cut.len(), cut[10].as_str()), (11, "2 more info annotations omitted"));
    }
}
