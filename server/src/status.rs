//! What the status endpoints show of this process.

use std::sync::Arc;

use async_trait::async_trait;
use model::TenantId;
use proto::SourceError;
use querier::{BuildInfo, RuntimeInfo, StatusSource, TsdbStatus};
use runtime::{Runtime, Shutdown};

use crate::config::Config;

/// The Prometheus whose API we speak: tools compare it.
const PROMETHEUS_VERSION: &str = "3.14.0";

/// Everything the status endpoints need.
pub(crate) struct Status {
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// Clock.
    pub(crate) runtime: Runtime,
    /// Whether the process is on its way out.
    pub(crate) shutdown: Shutdown,
    /// When the process started, Unix ms.
    pub(crate) start_ms: i64,
    /// The heads, where this process has any.
    pub(crate) ingester: Option<ingester::Ingester>,
}

#[async_trait]
impl StatusSource for Status {
    fn ready(&self) -> bool {
        !self.shutdown.is_triggered()
    }

    fn stopping(&self) -> bool {
        self.shutdown.is_triggered()
    }

    async fn tsdb(&self, tenant: &TenantId, limit: usize) -> Result<TsdbStatus, SourceError> {
        let Some(ingester) = self.ingester.clone() else {
            return Err(SourceError::Unavailable("a querier holds no series: ask a node of it".to_owned()));
        };
        let tenant = tenant.clone();
        let head = self.runtime.cpu(move || ingester.status(&tenant, limit)).await;
        Ok(crate::readings::tsdb_status(head))
    }

    fn flags(&self) -> Vec<(String, String)> {
        self.config.flags()
    }

    fn config_yaml(&self) -> String {
        self.config.to_yaml()
    }

    fn build_info(&self) -> BuildInfo {
        BuildInfo {
            version: PROMETHEUS_VERSION.to_owned(),
            revision: format!("epimetheus-{}", env!("CARGO_PKG_VERSION")),
            branch: "main".to_owned(),
            build_user: String::new(),
            build_date: String::new(),
            go_version: format!("rust {}", env!("CARGO_PKG_RUST_VERSION")),
        }
    }

    fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo {
            start_ms: self.start_ms,
            working_directory: std::env::current_dir()
                .map_or_else(|_| String::new(), |d| d.display().to_string()),
            hostname: hostname(),
            reload_config_success: true,
            last_config_ms: self.start_ms,
            series: self.ingester.as_ref().map_or(0, |ingester| ingester.stats().series),
            corruptions: 0,
            tasks: self.runtime.tokio().metrics().num_alive_tasks() as u64,
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_limit: 0,
            retention: self.config.retention.map_or_else(|| "0s".to_owned(), model::format_duration),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel's view of itself is no disk")]
fn hostname() -> String {
    std::fs::read("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| String::from_utf8_lossy(&name).trim().to_owned())
}
