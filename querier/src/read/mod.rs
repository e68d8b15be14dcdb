//! Remote read: another Prometheus asks for samples as they are stored.
//!
//! Two forms of an answer: all samples in one message, or chunks in frames, written while they are sent. Errors are
//! plain text.

mod chunks;
mod request;
mod samples;
mod streamed;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use model::TenantId;

use crate::{Api, ApiError};
use request::{Form, Wanted};

/// Largest body, compressed and not.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 20;

/// Answers a request whose body was read.
pub(crate) async fn answer(api: Arc<Api>, tenant: TenantId, body: Bytes) -> Result<Response, ApiError> {
    let permit = api.remote_reads.enter(&tenant).await?;
    let wanted = Wanted::read(&tenant, &body)?;
    match wanted.form {
        Form::Samples => samples::answer(&api, wanted).await,
        Form::Chunks => streamed::answer(api, wanted, permit).await,
    }
}

/// An answer with its content type and, where it is compressed, how.
fn response(body: Body, content_type: &'static str, encoding: Option<&'static str>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Some(encoding) = encoding {
        headers.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static(encoding));
    }
    response
}
