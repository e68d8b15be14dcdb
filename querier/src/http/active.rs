//! The queries under way: a tenant lists its own, and ends them.

use std::sync::Arc;

use serde::Serialize;

use super::status::{reply, rfc3339};
use super::{Call, Reply};
use crate::{ActiveQuery, Api, ApiError};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveQueryJson<'a> {
    id: u64,
    tenant: &'a str,
    endpoint: &'a str,
    query: &'a str,
    start: String,
    end: String,
    /// Seconds; 0: an instant query.
    step: f64,
    since: String,
    elapsed_seconds: f64,
    state: &'static str,
    samples: u64,
    series: u64,
    memory_bytes: u64,
}

/// `GET …/status/active_queries`, oldest first.
pub(super) async fn list(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let now = api.runtime.monotonic();
    let queries = api.active.list(Some(&call.tenant));
    let shown = |query: &ActiveQuery| -> Result<serde_json::Value, ApiError> {
        let (start, end, step) = query.times;
        serde_json::to_value(ActiveQueryJson {
            id: query.id,
            tenant: query.tenant.as_str(),
            endpoint: query.endpoint,
            query: &query.expr,
            start: rfc3339(start),
            end: rfc3339(end),
            step: step as f64 / 1000.0,
            since: rfc3339(query.since_ms),
            elapsed_seconds: now.since(query.since).as_secs_f64(),
            state: if query.is_waiting { "waiting" } else { "running" },
            samples: query.samples,
            series: query.series,
            memory_bytes: query.memory_bytes,
        })
        .map_err(|e| ApiError::Internal(e.to_string()))
    };
    reply(&queries.iter().map(shown).collect::<Result<Vec<_>, _>>()?)
}

/// `DELETE …/status/active_queries/{id}`: whoever waits for the query is told that it was canceled.
pub(super) async fn kill(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let text = call.path.rsplit('/').next().unwrap_or("");
    let id: u64 =
        text.parse().map_err(|_| ApiError::BadData(format!("`{text}` is not the id of a query")))?;
    if !api.active.kill(&call.tenant, id) {
        return Err(ApiError::NotFound(format!("no query `{id}` is under way")));
    }
    tracing::info!(tenant = %call.tenant, id, "query killed");
    reply(&serde_json::json!({ "id": id }))
}
