//! The configuration file: YAML whose keys are the flags' paths.
//!
//! Unknown keys are errors; an error names file, line, key, what is expected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::config::{ConfigError, Limits};

/// A duration in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileDuration(pub(crate) Duration);

impl<'de> Deserialize<'de> for FileDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        model::parse_duration(&text)
            .map(FileDuration)
            .map_err(|_| serde::de::Error::custom(not_a_duration(&text)))
    }
}

pub(crate) fn not_a_duration(text: &str) -> String {
    format!("`{text}` is not a duration; expected something like 30s, 5m, 2h or 15d")
}

/// An address in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileAddress(pub(crate) SocketAddr);

impl<'de> Deserialize<'de> for FileAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_address(&text).map(FileAddress).map_err(serde::de::Error::custom)
    }
}

/// `host:port` or `:port`.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.replace("localhost:", "127.0.0.1:")
    };
    full.parse()
        .map_err(|_| format!("`{text}` is not an address; expected IP:PORT or :PORT, such as 0.0.0.0:9009"))
}

/// A level in the file.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// The file, as it is written: `None` where it says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) data: DataFile,
    pub(crate) bucket: Option<String>,
    pub(crate) http: ListenFile,
    pub(crate) grpc: ListenFile,
    pub(crate) target: Option<String>,
    pub(crate) querier: QuerierFile,
    pub(crate) multi_tenancy: Option<bool>,
    pub(crate) storage: StorageFile,
    pub(crate) query: QueryFile,
    pub(crate) limits: Limits,
    pub(crate) self_scrape: SelfScrapeFile,
    pub(crate) log: LogFile,
    pub(crate) enable_feature: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DataFile {
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenFile {
    pub(crate) listen: Option<FileAddress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuerierFile {
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageFile {
    pub(crate) retention: Option<FileDuration>,
    pub(crate) query_overlap: Option<FileDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QueryFile {
    pub(crate) disable_rewrites: Vec<String>,
    pub(crate) lookback_delta: Option<FileDuration>,
    pub(crate) timeout: Option<FileDuration>,
    pub(crate) max_samples: Option<usize>,
    pub(crate) max_memory_bytes: Option<usize>,
    pub(crate) max_tenant_memory_bytes: Option<usize>,
    pub(crate) max_total_memory_bytes: Option<usize>,
    pub(crate) max_series: Option<usize>,
    pub(crate) max_points_per_series: Option<usize>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) log_max_bytes: Option<u64>,
    pub(crate) max_concurrency: Option<usize>,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) tenant_max_concurrency: Option<usize>,
    pub(crate) tenant_max_waiting: Option<usize>,
    pub(crate) result_cache_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SelfScrapeFile {
    pub(crate) interval: Option<FileDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogFile {
    pub(crate) level: Option<FileLevel>,
}

pub(crate) fn file_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    FileDuration::deserialize(deserializer).map(|d| d.0)
}

#[expect(clippy::disallowed_methods, reason = "the configuration is read before there is a runtime")]
pub(crate) fn read_file(path: &Path) -> Result<File, ConfigError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { file: name.clone(), source })?;
    parse_file(&name, &String::from_utf8_lossy(&bytes))
}

pub(crate) fn parse_file(name: &str, text: &str) -> Result<File, ConfigError> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let location = error.location();
        let (line, column) = location.map_or((1, 1), |l| (l.line(), l.column()));
        let key = key_path(text, usize::try_from(line).unwrap_or(1));
        let whole = error.without_snippet().to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
        ConfigError::File {
            file: name.to_owned(),
            line,
            column,
            key: if key.is_empty() { key } else { format!("`{key}`: ") },
            message,
        }
    })
}

/// The path of the key on `line` (from 1), found by indentation.
fn key_path(text: &str, line: usize) -> String {
    let mut path: Vec<&str> = Vec::new();
    let mut indent_above = usize::MAX;
    for text_line in text.lines().take(line).collect::<Vec<_>>().into_iter().rev() {
        let trimmed = text_line.trim_start();
        let indent = text_line.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with('#') || indent >= indent_above {
            continue;
        }
        if let Some((key, _)) = trimmed.split_once(':') {
            path.push(key.trim());
            indent_above = indent;
        }
    }
    path.reverse();
    path.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse_file("e.yml", text).expect_err("must not parse").to_string()
    }

    #[test]
    fn errors_name_file_line_key_and_what_is_expected() {
        let wrong =
            error("http:\n  listen: \"0.0.0.0:9009\"\nstorage:\n  # how long\n  retention: 15 days\n");
        assert!(wrong.starts_with("e.yml:5:"), "{wrong}");
        assert!(
            wrong.contains("`storage.retention`: ") && wrong.contains("expected something like"),
            "{wrong}"
        );
        let unknown = error("storage:\n  retentoin: 15d\n");
        assert!(unknown.starts_with("e.yml:2:") && unknown.contains("retentoin"), "{unknown}");
        assert!(unknown.contains("retention"), "says what is expected: {unknown}");
        let address = error("http:\n  listen: nowhere\n");
        assert!(address.contains("IP:PORT"), "{address}");
    }
}
