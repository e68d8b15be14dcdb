//! The front door: which path is answered by which role.
//!
//! The Prometheus-flavoured base is `/`, the Mimir-flavoured one `/prometheus`. Identify first: every data
//! path asks `Tenancy` before anything else. Every request is counted by route, never by raw path.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use distributor::{PushAnswer, PushRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{Any, CorsLayer};

use crate::landing;
use crate::node::Node;

/// Answers below this are sent as they are: compressing them costs more than it saves.
const GZIP_BYTES_MIN: u16 = 1400;

/// Paths that take remote write, all equal.
const PUSH_PATHS: [&str; 4] = ["/api/v1/push", "/api/v1/write", "/api/v1/receive", "/api/prom/push"];

/// Everything this process serves to users.
pub(crate) fn router(node: &Arc<Node>) -> Router {
    let mut own = Router::new()
        .route("/", get(landing_page))
        .route("/metrics", get(metrics))
        .route("/version", get(|| async { env!("CARGO_PKG_VERSION") }))
        .route("/-/healthy", get(|| async { "Epimetheus is Healthy.\n" }))
        .route("/-/ready", get(ready))
        .route("/ready", get(ready))
        .route("/ingester/flush", post(flush));
    for path in PUSH_PATHS {
        own = own.route(path, post(push));
    }
    let own = own.with_state(Arc::clone(node));
    let queries = querier::routes(Arc::clone(&node.api))
        .layer(CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(GZIP_BYTES_MIN)));
    own.merge(queries).layer(axum::middleware::from_fn_with_state(Arc::clone(node), count)).layer(
        CorsLayer::new()
            .allow_origin(Any)
            .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
            .allow_headers([
                header::ACCEPT,
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::ORIGIN,
                HeaderName::from_static(crate::tenant::TENANT_HEADER),
            ])
            .expose_headers([header::DATE]),
    )
}

/// Counts requests by route and status, and how long they took.
async fn count(State(node): State<Arc<Node>>, request: Request, next: axum::middleware::Next) -> Response {
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let started = node.runtime.monotonic();
    let response = next.run(request).await;
    let seconds = node.runtime.monotonic().since(started).as_secs_f64();
    node.metrics.http_request(&route, response.status().as_u16(), seconds);
    response
}

async fn landing_page(State(node): State<Arc<Node>>) -> Html<String> {
    Html(landing::page(&node.config, env!("CARGO_PKG_VERSION")))
}

async fn metrics(State(node): State<Arc<Node>>) -> Response {
    match node.metrics_text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// 200 only when reads and writes work.
async fn ready(State(node): State<Arc<Node>>) -> Response {
    match node.not_ready() {
        None => (StatusCode::OK, "Epimetheus is Ready.\n").into_response(),
        Some(why) => {
            let stopping = if node.shutdown.is_triggered() { "true" } else { "false" };
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(HeaderName::from_static("x-prometheus-stopping"), stopping)],
                format!("Service Unavailable: {why}\n"),
            )
                .into_response()
        }
    }
}

/// Reads a body of at most `bytes_max`; `None` when it is larger.
async fn read_body(body: Body, bytes_max: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut body = body;
    let mut all: Option<BytesMut> = None;
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let held = all.as_ref().map_or(0, BytesMut::len) + first.as_ref().map_or(0, Bytes::len);
        if held + data.len() > bytes_max {
            return Ok(None);
        }
        match (&mut all, first.take()) {
            (Some(all), _) => all.extend_from_slice(&data),
            (None, None) => first = Some(data),
            (None, Some(start)) => {
                let mut joined = BytesMut::with_capacity((start.len() + data.len()) * 2);
                joined.extend_from_slice(&start);
                joined.extend_from_slice(&data);
                all = Some(joined);
            }
        }
    }
    Ok(Some(all.map_or_else(|| first.unwrap_or_default(), BytesMut::freeze)))
}

/// A text value of a header, if it is there and text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Asks senders to try again: what they send is not lost before somebody finds the address that is meant.
fn holds_nothing() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "this is a querier (--target=querier): it takes no samples\n")
        .into_response()
}

async fn push(State(node): State<Arc<Node>>, headers: HeaderMap, body: Body) -> Response {
    let tenant = match node.tenancy.of(&headers) {
        Ok(tenant) => tenant,
        Err((status, why)) => return (status, why).into_response(),
    };
    let Some(data) = &node.data else { return holds_nothing() };
    let (content_type, content_encoding) =
        (text(&headers, &header::CONTENT_TYPE), text(&headers, &header::CONTENT_ENCODING));
    let refuse = |bytes| data.distributor.refuse_early(content_type, content_encoding, bytes);
    let announced = text(&headers, &header::CONTENT_LENGTH).and_then(|n| n.parse::<usize>().ok());
    if let Some(answer) = refuse(announced) {
        return into_response(answer);
    }
    let limit = node.config.limits.request_bytes_max;
    let body = match read_body(body, limit).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            return refuse(Some(limit.saturating_add(1)))
                .map_or_else(|| StatusCode::PAYLOAD_TOO_LARGE.into_response(), into_response);
        }
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("cannot read the body: {error}\n")).into_response();
        }
    };
    let request = PushRequest { tenant, content_type, content_encoding, body };
    into_response(data.distributor.push(request).await)
}

fn into_response(answer: PushAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Parameters of `POST /ingester/flush`.
#[derive(Debug, Deserialize)]
struct FlushParameters {
    /// Also drop from the heads what blocks hold then.
    #[serde(default)]
    drop: bool,
}

async fn flush(State(node): State<Arc<Node>>, Query(parameters): Query<FlushParameters>) -> Response {
    let Some(data) = &node.data else { return holds_nothing() };
    match data.flush(parameters.drop).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
