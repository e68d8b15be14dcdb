//! Stores our own metrics as a Prometheus would scrape them, so that the first query shows something.

use std::sync::Arc;
use std::time::Duration;

use distributor::Distributor;

use crate::node::Node;

/// Stores the node's metrics every `interval` until it stops.
pub(crate) async fn run(node: Arc<Node>, distributor: Distributor, interval: Duration) {
    let tenant = node.tenancy.own_metrics();
    let instance = node.config.http_listen.to_string();
    let mut said = false;
    loop {
        tokio::select! { biased;
            () = node.shutdown.cancelled() => return,
            () = node.runtime.sleep(interval) => {}
        }
        let Ok(text) = node.metrics_text() else { continue };
        let labels = [("instance", instance.as_str()), ("job", "epimetheus")];
        let now_ms = node.runtime.now_ms();
        match distributor.append_text(&tenant, &labels, now_ms, &text).await {
            Ok(_) if !said => {
                said = true;
                tracing::info!(tenant = %tenant, "own metrics stored");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "own metrics not stored"),
        }
    }
}
