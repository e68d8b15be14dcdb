//! Answers before there is anything to answer with: while the log is read, `/-/healthy` is 200 and the rest 503.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tower::ServiceExt;

/// The router in force: none while starting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door(Arc<OnceLock<Router>>);

impl Door {
    /// Closed.
    pub(crate) fn new() -> Self {
        Door::default()
    }

    /// From now on `router` answers.
    pub(crate) fn open(&self, router: Router) {
        // Opened once: the node starts once.
        let _twice = self.0.set(router);
    }

    /// What the listener serves.
    pub(crate) fn router(&self) -> Router {
        let door = self.clone();
        Router::new().fallback(move |request: Request| {
            let door = door.clone();
            async move { door.answer(request).await }
        })
    }

    async fn answer(&self, request: Request) -> Response {
        match self.0.get() {
            Some(router) => match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            None => starting(request.uri().path()),
        }
    }
}

fn starting(path: &str) -> Response {
    match path {
        "/-/healthy" => (StatusCode::OK, "Epimetheus is Healthy.\n").into_response(),
        "/api/v1/status/walreplay" => {
            let body = r#"{"status":"success","data":{"min":0,"max":0,"current":0,"state":"in progress"}}"#;
            ([(http::header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            [("x-prometheus-stopping", "false"), ("retry-after", "1")],
            "Service Unavailable: starting, the write-ahead log is being read\n",
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn closed_it_asks_to_come_back_and_open_it_passes_on() {
        let door = Door::new();
        let ask = |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            door.router().oneshot(request)
        };
        let closed = ask("/api/v1/query").await.unwrap();
        assert_eq!(closed.status(), 503);
        assert!(closed.headers().contains_key("retry-after"));
        assert_eq!(ask("/-/healthy").await.unwrap().status(), 200);
        door.open(Router::new().route("/api/v1/query", get(|| async { "x" })));
        assert_eq!(ask("/api/v1/query").await.unwrap().status(), 200);
        assert_eq!(ask("/nothing").await.unwrap().status(), 404);
    }
}
