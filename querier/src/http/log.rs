//! The query log: one JSON object for each query, with the keys that Prometheus's has.
//!
//! Beside those: the tenant, and the dashboard and panel a query came from. Always: a query that was begun is logged
//! once, however it ends.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use promql::QueryStats;
use serde_json::{Map, Value, json};

use super::stats::write_stats;
use super::{Call, Caller};
use crate::front::Times;
use crate::{Api, ApiError};

/// What is logged of a query's text.
const EXPR_BYTES_MAX: usize = 64 << 10;

/// A query that will be logged when it ends.
pub(super) struct Logged {
    api: Arc<Api>,
    tenant: String,
    caller: Caller,
    path: String,
    expr: String,
    times: Times,
    since: runtime::Moment,
    /// What it ended with; nothing: it was dropped.
    end: Option<End>,
}

enum End {
    Answer(Box<QueryStats>, Duration),
    Error(String),
}

impl Logged {
    /// `None` where nothing is logged.
    pub(super) fn begin(api: &Arc<Api>, call: &Call, times: Times) -> Option<Self> {
        api.query_log.get()?;
        Some(Logged {
            api: Arc::clone(api),
            tenant: call.tenant.as_str().to_owned(),
            caller: call.caller.clone(),
            path: call.path.clone(),
            expr: cut(call.form.get("query")).to_owned(),
            times,
            since: call.since,
            end: None,
        })
    }

    pub(super) fn answered(&mut self, stats: &QueryStats, waited: Duration) {
        self.end = Some(End::Answer(Box::new(stats.clone()), waited));
    }

    pub(super) fn failed(&mut self, error: &ApiError) {
        self.end = Some(End::Error(error.to_string()));
    }

    /// The line, newline included.
    fn line(&self) -> Vec<u8> {
        let (start, end) = (self.times.ends().0, self.times.end());
        let step = if matches!(self.times, Times::Instant(_)) { 0 } else { self.times.step() / 1000 };
        let nothing = QueryStats::default();
        let (stats, waited, error) = match &self.end {
            Some(End::Answer(stats, waited)) => (&**stats, *waited, None),
            Some(End::Error(text)) => (&nothing, Duration::ZERO, Some(text.as_str())),
            None => (&nothing, Duration::ZERO, Some("query was canceled in expression evaluation")),
        };
        let mut line = b"{\"time\":".to_vec();
        let mut put = |key: &str, value: &Value| {
            if !key.is_empty() {
                line.extend_from_slice(format!(",\"{key}\":").as_bytes());
            }
            line.extend_from_slice(value.to_string().as_bytes());
        };
        put("", &json!(time(self.api.runtime.now_ms())));
        put("level", &json!("INFO"));
        put("msg", &json!("promql query logged"));
        put("params", &json!({"end": time(end), "query": self.expr, "start": time(start), "step": step}));
        if let Some(error) = error {
            put("error", &json!(error));
        }
        let mut request = Map::new();
        request.insert("clientIP".to_owned(), json!(self.caller.client_ip));
        request.insert("method".to_owned(), json!(self.caller.method));
        request.insert("path".to_owned(), json!(self.path));
        put("httpRequest", &Value::Object(request));
        put("tenant", &json!(self.tenant));
        for (key, value) in [("dashboardUID", &self.caller.dashboard), ("panelID", &self.caller.panel)] {
            if !value.is_empty() {
                put(key, &json!(value));
            }
        }
        line.extend_from_slice(b",\"stats\":");
        let total = self.api.runtime.monotonic().since(self.since);
        write_stats(&mut line, stats, waited, total);
        line.extend_from_slice(b"}\n");
        line
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if let Some(log) = self.api.query_log.get() {
            log.append(self.line());
        }
    }
}

fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXPR_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("up"), "up");
        let long = format!("a{}", "é".repeat(EXPR_BYTES_MAX));
        assert_eq!(cut(&long).len(), EXPR_BYTES_MAX - 1);
    }
}
