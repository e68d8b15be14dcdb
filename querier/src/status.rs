//! What the status endpoints show, and where it comes from: the server implements [`StatusSource`].

use async_trait::async_trait;
use model::TenantId;
use proto::SourceError;

/// A name and a number of one of the lists of `TsdbStatus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameCount {
    /// Metric, label or `label=value`.
    pub name: String,
    /// How many.
    pub value: u64,
}

/// Numbers of a tenant's series; the lists are descending and cut at the limit asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TsdbStatus {
    /// Series in the head.
    pub series: u64,
    /// Different `label=value` pairs.
    pub label_pairs: u64,
    /// Sealed chunks.
    pub chunks: u64,
    /// Oldest sample's time in ms.
    pub min_time: i64,
    /// Newest sample's time in ms.
    pub max_time: i64,
    /// Series per metric.
    pub series_by_metric: Vec<NameCount>,
    /// Different values per label.
    pub values_by_label: Vec<NameCount>,
    /// Bytes of values per label.
    pub bytes_by_label: Vec<NameCount>,
    /// Series per `label=value`.
    pub series_by_pair: Vec<NameCount>,
}

/// What this binary is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// A Prometheus version that clients may rely on (3.x), not ours.
    pub version: String,
    /// Commit.
    pub revision: String,
    /// Branch.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When it was built.
    pub build_date: String,
    /// The compiler.
    pub go_version: String,
}

/// How this process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// When the process started, Unix ms.
    pub start_ms: i64,
    /// Working directory.
    pub working_directory: String,
    /// This machine's name.
    pub hostname: String,
    /// Whether the last reload of the configuration worked.
    pub reload_config_success: bool,
    /// When the configuration was last read, Unix ms.
    pub last_config_ms: i64,
    /// Series in all heads.
    pub series: u64,
    /// Damages found in logs and blocks.
    pub corruptions: u64,
    /// Tasks or threads.
    pub tasks: u64,
    /// Cores in use.
    pub cores: u64,
    /// Memory limit in bytes, 0 when there is none.
    pub memory_limit: u64,
    /// How long data is kept, as shown.
    pub retention: String,
}

/// How far the log has been read at start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalReplay {
    /// First segment.
    pub min: u64,
    /// Last segment.
    pub max: u64,
    /// Segment that was read last.
    pub current: u64,
}

/// Where the status endpoints get what they show.
#[async_trait]
pub trait StatusSource: Send + Sync + 'static {
    /// Whether reads work. Until then every endpoint but `walreplay` answers 503.
    fn ready(&self) -> bool;

    /// Whether the process is on its way out.
    fn stopping(&self) -> bool {
        false
    }

    /// A tenant's numbers; at most `limit` entries a list.
    async fn tsdb(&self, tenant: &TenantId, limit: usize) -> Result<TsdbStatus, SourceError>;

    /// Flags with their values.
    fn flags(&self) -> Vec<(String, String)>;

    /// The configuration in force as YAML, secrets hidden.
    fn config_yaml(&self) -> String;

    /// What this binary is.
    fn build_info(&self) -> BuildInfo;

    /// How this process runs.
    fn runtime_info(&self) -> RuntimeInfo;

    /// How far the log has been read.
    fn wal_replay(&self) -> WalReplay {
        WalReplay::default()
    }
}
