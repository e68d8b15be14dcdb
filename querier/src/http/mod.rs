//! Prometheus's HTTP API: routes, and what every request goes through.
//!
//! Order: tenant, then readiness, then the form, then limits, then the handler. Errors are the JSON envelope,
//! but for what Prometheus itself answers in plain text. The same routes lie at `/api/v1` (Prometheus's flavour) and `/prometheus/api/v1` (Mimir's):
//! they differ in `buildinfo` alone, by which Grafana tells the two. `/federate` lies beside both.

mod active;
mod explain;
mod federate;
mod form;
mod listing;
mod log;
mod query;
mod reply;
mod rules;
mod stats;
mod status;
mod time;
mod tree;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::routing::{MethodRouter, delete, get, post};
use bytes::Bytes;
use http::HeaderMap;
use model::TenantId;
use runtime::Moment;

use crate::{Api, ApiError, read};
pub(crate) use form::Form;
pub(crate) use reply::Reply;
pub(crate) use time::quote;

pub use form::fuzz_form;
pub use time::fuzz_time;

/// What is kept of a dashboard's name.
const DASHBOARD_CHARS_MAX: usize = 64;

/// A request whose tenant is known and whose form is read.
pub(crate) struct Call {
    pub(crate) tenant: TenantId,
    pub(crate) form: Form,
    pub(crate) path: String,
    pub(crate) since: Moment,
    /// Who sent it; for the log.
    pub(crate) caller: Caller,
    /// `Accept`.
    pub(crate) accept: String,
    /// The client wants an answer for which nothing kept was used.
    pub(crate) no_cache: bool,
}

/// Who sent a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// Empty where the server does not tell.
    pub(crate) client_ip: String,
    pub(crate) method: String,
    /// The dashboard and the panel a query comes from, as Grafana tells them.
    pub(crate) dashboard: String,
    pub(crate) panel: String,
}

impl Caller {
    fn of(parts: &http::request::Parts) -> Self {
        let header = |name: &str| -> String {
            let text = parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
            text.chars().take(DASHBOARD_CHARS_MAX).collect()
        };
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Caller {
            client_ip: address.map_or_else(String::new, |info| info.0.ip().to_string()),
            method: parts.method.to_string(),
            dashboard: header("x-dashboard-uid"),
            panel: header("x-panel-id"),
        }
    }
}

/// Which base path a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Prometheus,
    Mimir,
}

/// The API at `/api/v1` and `/prometheus/api/v1`.
pub fn routes(api: Arc<Api>) -> Router {
    let both = flavoured(Flavour::Prometheus)
        .into_iter()
        .map(|(path, route)| (format!("/api/v1{path}"), route))
        .chain(
            flavoured(Flavour::Mimir)
                .into_iter()
                .map(|(path, route)| (format!("/prometheus/api/v1{path}"), route)),
        );
    let federation = || {
        get(|State(api): State<Arc<Api>>, request: Request| async {
            serve("federate", api, request, federate::federate, Reply::plain_error).await
        })
    };
    let reads = || post(|State(api): State<Arc<Api>>, request: Request| remote_read(api, request));
    both.chain([("/federate".to_owned(), federation()), ("/prometheus/federate".to_owned(), federation())])
        .chain([("/api/v1/read".to_owned(), reads()), ("/prometheus/api/v1/read".to_owned(), reads())])
        .fold(Router::new(), |router, (path, route)| router.route(&path, route))
        .with_state(api)
}

fn flavoured(flavour: Flavour) -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/query", both("query", query::instant)),
        ("/query_range", both("query_range", query::range)),
        ("/query_exemplars", both("query_exemplars", listing::exemplars)),
        ("/explain", both("explain", explain::explain)),
        ("/format_query", both("format_query", query::format)),
        ("/parse_query", both("parse_query", query::parse)),
        ("/series", both("series", listing::series)),
        ("/labels", both("labels", listing::label_names)),
        ("/label/{name}/values", only_get("label_values", listing::label_values)),
        ("/metadata", only_get("metadata", listing::metadata)),
        ("/rules", only_get("rules", rules::rules)),
        ("/alerts", only_get("alerts", rules::alerts)),
        ("/alertmanagers", only_get("alertmanagers", rules::alertmanagers)),
        ("/targets", only_get("targets", rules::targets)),
        ("/targets/metadata", only_get("targets_metadata", rules::target_metadata)),
        ("/scrape_pools", only_get("scrape_pools", rules::scrape_pools)),
        ("/notifications", only_get("notifications", rules::notifications)),
        (
            "/status/buildinfo",
            match flavour {
                Flavour::Prometheus => only_get("buildinfo", status::build_info),
                Flavour::Mimir => only_get("buildinfo", status::build_info_with_features),
            },
        ),
        ("/status/runtimeinfo", only_get("runtimeinfo", status::runtime_info)),
        ("/status/tsdb", only_get("tsdb", status::tsdb)),
        ("/status/flags", only_get("flags", status::flags)),
        ("/status/config", only_get("config", status::config)),
        ("/status/walreplay", get(wal_replay)),
        ("/status/active_queries", only_get("active_queries", active::list)),
        ("/status/active_queries/{id}", only_delete("kill_query", active::kill)),
        ("/features", only_get("features", status::features)),
    ]
}

fn only_get<H, F>(endpoint: &'static str, handler: H) -> MethodRouter<Arc<Api>>
where
    H: Fn(Arc<Api>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    get(move |State(api): State<Arc<Api>>, request: Request| {
        serve(endpoint, api, request, handler, Reply::error)
    })
}

fn only_delete<H, F>(endpoint: &'static str, handler: H) -> MethodRouter<Arc<Api>>
where
    H: Fn(Arc<Api>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    delete(move |State(api): State<Arc<Api>>, request: Request| {
        serve(endpoint, api, request, handler, Reply::error)
    })
}

fn both<H, F>(endpoint: &'static str, handler: H) -> MethodRouter<Arc<Api>>
where
    H: Fn(Arc<Api>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    let posted = handler.clone();
    only_get(endpoint, handler).post(move |State(api): State<Arc<Api>>, request: Request| {
        serve(endpoint, api, request, posted, Reply::error)
    })
}

/// Counts a request when it ends, also when the client goes away before.
struct Counted {
    api: Arc<Api>,
    endpoint: &'static str,
    since: Moment,
    status: u16,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.api.recorder.request(self.endpoint, self.status, self.api.runtime.monotonic().since(self.since));
    }
}

async fn serve<H, F>(
    endpoint: &'static str,
    api: Arc<Api>,
    request: Request,
    handler: H,
    refusal: fn(&ApiError) -> Reply,
) -> axum::response::Response
where
    H: Fn(Arc<Api>, Call) -> F,
    F: Future<Output = Result<Reply, ApiError>>,
{
    let since = api.runtime.monotonic();
    let mut counted = Counted { api: Arc::clone(&api), endpoint, since, status: 499 };
    let result = match open(&api, request, since).await {
        Ok(call) => handler(Arc::clone(&api), call).await,
        Err(reply) => reply,
    };
    let reply = result.unwrap_or_else(|error| {
        if matches!(error, ApiError::Internal(_)) {
            tracing::error!(endpoint, %error, "request failed");
        }
        if let Some(limit) = error.limit() {
            api.recorder.limited(limit);
        }
        refusal(&error)
    });
    counted.status = reply.status();
    reply.into_response(&api)
}

/// What precedes every handler; `Err` is the answer already.
async fn open(api: &Api, request: Request, since: Moment) -> Result<Call, Result<Reply, ApiError>> {
    let (parts, body) = request.into_parts();
    let tenant = (api.tenant)(&parts.headers)
        .map_err(|(status, text)| Err(ApiError::Refused { status: status.as_u16(), text }))?;
    if !api.status.ready() {
        return Err(Ok(Reply::not_ready(api.status.stopping())));
    }
    let posted = match is_form(&parts.headers) {
        true => axum::body::to_bytes(body, api.limits.form_bytes_max).await.map_err(|_| {
            Err(ApiError::BadData(format!(
                "error parsing form values: the form cannot be read or is larger than {} bytes",
                api.limits.form_bytes_max
            )))
        })?,
        false => Bytes::new(),
    };
    let form = Form::parse(&posted, parts.uri.query().unwrap_or(""));
    let caller = Caller::of(&parts);
    let no_cache = refuses_cache(&parts.headers) || matches!(form.get("nocache"), "1" | "true");
    let accept =
        parts.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    Ok(Call { tenant, form, path: parts.uri.path().to_owned(), since, caller, accept, no_cache })
}

/// `Cache-Control: no-store` or `no-cache`.
fn refuses_cache(headers: &HeaderMap) -> bool {
    let values = headers.get_all(http::header::CACHE_CONTROL).into_iter().filter_map(|v| v.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.any(|d| d.eq_ignore_ascii_case("no-store") || d.eq_ignore_ascii_case("no-cache"))
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads the body of a remote read and answers it.
async fn remote_read(api: Arc<Api>, request: Request) -> axum::response::Response {
    let since = api.runtime.monotonic();
    let mut counted = Counted { api: Arc::clone(&api), endpoint: "read", since, status: 499 };
    let result = async {
        let (parts, body) = request.into_parts();
        let tenant = (api.tenant)(&parts.headers)
            .map_err(|(status, text)| ApiError::Refused { status: status.as_u16(), text })?;
        if !api.status.ready() {
            return Ok(Reply::not_ready(api.status.stopping()).into_response(&api));
        }
        let body = axum::body::to_bytes(body, read::BODY_BYTES_MAX).await.map_err(|_| {
            let most = read::BODY_BYTES_MAX;
            ApiError::BadData(format!("the body cannot be read or is larger than {most} bytes"))
        })?;
        read::answer(Arc::clone(&api), tenant, body).await
    };
    let response = result.await.unwrap_or_else(|error| {
        if matches!(error, ApiError::Internal(_)) {
            tracing::error!(endpoint = "read", %error, "request failed");
        }
        Reply::plain_error(&error).into_response(&api)
    });
    counted.status = response.status().as_u16();
    response
}

/// Answers before the server is ready: this is how one looks at what it waits for.
async fn wal_replay(State(api): State<Arc<Api>>, request: Request) -> axum::response::Response {
    let reply = match (api.tenant)(request.headers()) {
        Ok(_) => status::wal_replay(&api),
        Err((status, text)) => Reply::error(&ApiError::Refused { status: status.as_u16(), text }),
    };
    reply.into_response(&api)
}
