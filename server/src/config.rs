//! The configuration: flags over the file over defaults.
//!
//! The only place that reads flags. An error names the flag, or file, line and key, and what is expected.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::format_duration;
use promql::MemoryLimits;
use serde::Deserialize;

use crate::cli::{LogLevel, ServeArgs};
use crate::config_file::{
    File, FileDuration, FileLevel, file_duration, not_a_duration, parse_address, read_file,
};
use crate::memory::machine_memory;
use crate::target::Target;

/// What one query may hold where nothing is said.
const QUERY_BYTES_MAX: usize = 2 << 30;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{file}:{line}:{column}: {key}{message}")]
    File {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// "`key.path`: ", or empty.
        key: String,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A flag says something that cannot be.
    #[error("--{flag}: {message}")]
    Flag {
        /// The flag, without dashes.
        flag: &'static str,
        /// What is wrong and what is expected.
        message: String,
    },
}

/// Limits, of a tenant where nothing else is said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Most active series of a tenant; 0: no limit.
    pub(crate) series_per_tenant_max: u64,
    /// How far behind its newest sample a series may still be written.
    #[serde(deserialize_with = "file_duration")]
    pub(crate) out_of_order_time_window: Duration,
    /// Samples per second a tenant may write; 0: no limit.
    pub(crate) samples_per_second: f64,
    /// Samples a tenant may write at once after a pause.
    pub(crate) samples_burst: f64,
    /// Most labels of a series.
    pub(crate) labels_per_series_max: usize,
    /// Longest label name in bytes.
    pub(crate) label_name_bytes_max: usize,
    /// Longest label value in bytes.
    pub(crate) label_value_bytes_max: usize,
    /// Most bytes in the labels of an exemplar.
    pub(crate) exemplar_label_bytes_max: usize,
    /// Largest push request as sent, in bytes.
    pub(crate) request_bytes_max: usize,
    /// Largest push request decompressed, in bytes.
    pub(crate) decoded_bytes_max: usize,
    /// Bytes of all push requests in work at once.
    pub(crate) inflight_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let door = distributor::Limits::default();
        Limits {
            series_per_tenant_max: 0,
            out_of_order_time_window: Duration::from_secs(24 * 3600),
            samples_per_second: 0.0,
            samples_burst: 0.0,
            labels_per_series_max: door.labels_per_series_max,
            label_name_bytes_max: door.label_name_bytes_max,
            label_value_bytes_max: door.label_value_bytes_max,
            exemplar_label_bytes_max: door.exemplar_label_bytes_max,
            request_bytes_max: door.request_bytes_max,
            decoded_bytes_max: door.decoded_bytes_max,
            inflight_bytes_max: door.inflight_bytes_max,
        }
    }
}

impl Limits {
    /// Those of the write door.
    pub(crate) fn of_door(&self) -> distributor::Limits {
        distributor::Limits {
            request_bytes_max: self.request_bytes_max,
            decoded_bytes_max: self.decoded_bytes_max,
            inflight_bytes_max: self.inflight_bytes_max,
            labels_per_series_max: self.labels_per_series_max,
            label_name_bytes_max: self.label_name_bytes_max,
            label_value_bytes_max: self.label_value_bytes_max,
            exemplar_label_bytes_max: self.exemplar_label_bytes_max,
            samples_per_second: (self.samples_per_second > 0.0).then_some(self.samples_per_second),
            samples_burst: self.samples_burst,
            ..distributor::Limits::default()
        }
    }
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where the log and snapshots are.
    pub(crate) data_dir: PathBuf,
    /// Where blocks are: a folder or a URL.
    pub(crate) bucket: String,
    /// Address for users.
    pub(crate) http_listen: SocketAddr,
    /// Address for nodes.
    pub(crate) grpc_listen: SocketAddr,
    /// Whether somebody chose it: then it has to be free.
    pub(crate) is_grpc_listen_given: bool,
    /// Roles in this process.
    pub(crate) target: Target,
    /// Whether tenants are told apart.
    pub(crate) multi_tenancy: bool,
    /// Age at which blocks are dropped; `None`: never.
    pub(crate) retention: Option<Duration>,
    /// How long heads keep what blocks hold already.
    pub(crate) query_overlap: Duration,
    /// How far a query looks back.
    pub(crate) lookback_delta: Duration,
    /// How long a query may run.
    pub(crate) query_timeout: Duration,
    /// How many samples a query may hold.
    pub(crate) query_max_samples: usize,
    /// How many bytes queries may hold; 0: no limit.
    pub(crate) query_memory: MemoryLimits,
    /// How many series one selector may match; 0: no limit.
    pub(crate) query_max_series: usize,
    /// How many points a series of an answer may have; 0: no limit.
    pub(crate) query_max_points_per_series: usize,
    /// Where queries are logged; `None`: nowhere.
    pub(crate) query_log_file: Option<PathBuf>,
    /// From how many bytes on that file is put aside.
    pub(crate) query_log_max_bytes: u64,
    /// How many queries run at once, and how many wait.
    pub(crate) query_max_concurrency: usize,
    pub(crate) query_max_waiting: usize,
    /// Of one tenant; 0: as many as of all.
    pub(crate) query_tenant_max_concurrency: usize,
    pub(crate) query_tenant_max_waiting: usize,
    /// How many bytes of answers are kept.
    pub(crate) query_result_cache_bytes: u64,
    /// How often our own metrics are stored; `None`: never.
    pub(crate) self_scrape_interval: Option<Duration>,
    /// What is switched on.
    pub(crate) features: Vec<String>,
    /// Rules of push-down that are off.
    pub(crate) rewrites_off: Vec<String>,
    /// Data groups of the node: a constant of the wiring, no setting.
    pub(crate) data_groups: u32,
    /// Limits of every tenant.
    pub(crate) limits: Limits,
    /// Least severe messages to log.
    pub(crate) log_level: LogLevel,
}

/// As milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Config {
    /// Reads the file, if one is named, and lays the flags over it.
    pub(crate) fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let file = match &args.config_file {
            Some(path) => read_file(path)?,
            None => File::default(),
        };
        let flag_duration = |flag: &'static str, value: &Option<String>| match value {
            Some(text) => model::parse_duration(text)
                .map(Some)
                .map_err(|_| ConfigError::Flag { flag, message: not_a_duration(text) }),
            None => Ok(None),
        };
        let flag_address = |flag: &'static str, value: &Option<String>| match value {
            Some(text) => {
                parse_address(text).map(Some).map_err(|message| ConfigError::Flag { flag, message })
            }
            None => Ok(None),
        };
        let in_file = |value: Option<FileDuration>| value.map(|d| d.0);

        let data_dir = args.data_dir.clone().or(file.data.dir).unwrap_or_else(|| PathBuf::from("./data"));
        let bucket = args
            .bucket
            .clone()
            .or(file.bucket)
            .unwrap_or_else(|| data_dir.join("bucket").to_string_lossy().into_owned());
        let nodes = Some(args.querier_nodes.clone()).filter(|nodes| !nodes.is_empty());
        let target = args.target.as_deref().or(file.target.as_deref());
        let target = Target::new(target, nodes.unwrap_or(file.querier.nodes))?;
        let mut rewrites_off = file.query.disable_rewrites;
        rewrites_off.extend(args.query_disable_rewrites.iter().cloned());
        let mut features = file.enable_feature;
        features.extend(args.enable_feature.iter().cloned());
        let http_listen = flag_address("http.listen", &args.http_listen)?
            .or(file.http.listen.map(|a| a.0))
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 9009)));
        let grpc_given = flag_address("grpc.listen", &args.grpc_listen)?.or(file.grpc.listen.map(|a| a.0));
        let retention = flag_duration("storage.retention", &args.retention)?
            .or(in_file(file.storage.retention))
            .filter(|d| !d.is_zero());
        let mut limits = file.limits;
        if let Some(window) =
            flag_duration("limits.out-of-order-time-window", &args.out_of_order_time_window)?
        {
            limits.out_of_order_time_window = window;
        }
        let query_max_concurrency = args.query_max_concurrency.or(file.query.max_concurrency).unwrap_or(20);
        if query_max_concurrency == 0 {
            return Err(ConfigError::Flag {
                flag: "query.max-concurrency",
                message: "`0` would answer no query; expected 1 or more".to_owned(),
            });
        }
        Ok(Config {
            data_groups: 1,
            data_dir,
            bucket,
            http_listen,
            grpc_listen: grpc_given.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 9095))),
            is_grpc_listen_given: grpc_given.is_some(),
            target,
            multi_tenancy: args.multi_tenancy || file.multi_tenancy.unwrap_or(false),
            retention,
            query_overlap: in_file(file.storage.query_overlap).unwrap_or(Duration::from_secs(2 * 3600)),
            lookback_delta: flag_duration("query.lookback-delta", &args.lookback_delta)?
                .or(in_file(file.query.lookback_delta))
                .unwrap_or(Duration::from_secs(300)),
            query_timeout: flag_duration("query.timeout", &args.query_timeout)?
                .or(in_file(file.query.timeout))
                .unwrap_or(Duration::from_secs(120)),
            query_max_samples: args.query_max_samples.or(file.query.max_samples).unwrap_or(50_000_000),
            query_memory: MemoryLimits {
                query_bytes_max: args
                    .query_max_memory_bytes
                    .or(file.query.max_memory_bytes)
                    .unwrap_or(QUERY_BYTES_MAX),
                tenant_bytes_max: args
                    .query_max_tenant_memory_bytes
                    .or(file.query.max_tenant_memory_bytes)
                    .unwrap_or(0),
                total_bytes_max: args
                    .query_max_total_memory_bytes
                    .or(file.query.max_total_memory_bytes)
                    .unwrap_or_else(|| machine_memory() / 2),
            },
            query_max_series: args.query_max_series.or(file.query.max_series).unwrap_or(0),
            query_max_points_per_series: args
                .query_max_points_per_series
                .or(file.query.max_points_per_series)
                .unwrap_or(11_000),
            query_log_file: args
                .query_log_file
                .clone()
                .or(file.query.log_file)
                .filter(|path| !path.as_os_str().is_empty()),
            query_log_max_bytes: file.query.log_max_bytes.unwrap_or(256 << 20),
            query_max_concurrency,
            query_max_waiting: file.query.max_waiting.unwrap_or(2_000),
            query_tenant_max_concurrency: file.query.tenant_max_concurrency.unwrap_or(0),
            query_tenant_max_waiting: file.query.tenant_max_waiting.unwrap_or(200),
            query_result_cache_bytes: args
                .query_result_cache_bytes
                .or(file.query.result_cache_bytes)
                .unwrap_or(128 << 20),
            self_scrape_interval: Some(
                flag_duration("self-scrape.interval", &args.self_scrape_interval)?
                    .or(in_file(file.self_scrape.interval))
                    .unwrap_or(Duration::from_secs(15)),
            )
            .filter(|d| !d.is_zero()),
            features,
            rewrites_off,
            limits,
            log_level: args.log_level.unwrap_or(match file.log.level {
                Some(FileLevel::Debug) => LogLevel::Debug,
                Some(FileLevel::Warn) => LogLevel::Warn,
                Some(FileLevel::Error) => LogLevel::Error,
                Some(FileLevel::Info) | None => LogLevel::Info,
            }),
        })
    }

    /// The flags in force, by name: what `/api/v1/status/flags` shows.
    pub(crate) fn flags(&self) -> Vec<(String, String)> {
        let none_is_zero = |d: Option<Duration>| d.map_or_else(|| "0s".to_owned(), format_duration);
        [
            ("bucket", self.bucket.clone()),
            ("data.dir", self.data_dir.display().to_string()),
            ("enable-feature", self.features.join(",")),
            ("query.disable-rewrites", self.rewrites_off.join(",")),
            ("grpc.listen", self.grpc_listen.to_string()),
            ("limits.out-of-order-time-window", format_duration(self.limits.out_of_order_time_window)),
            ("http.listen", self.http_listen.to_string()),
            ("multi-tenancy", self.multi_tenancy.to_string()),
            ("query.lookback-delta", format_duration(self.lookback_delta)),
            ("query.max-concurrency", self.query_max_concurrency.to_string()),
            ("query.max-memory-bytes", self.query_memory.query_bytes_max.to_string()),
            ("query.log-file", self.query_log_text()),
            ("query.max-points-per-series", self.query_max_points_per_series.to_string()),
            ("query.max-samples", self.query_max_samples.to_string()),
            ("query.max-series", self.query_max_series.to_string()),
            ("query.max-tenant-memory-bytes", self.query_memory.tenant_bytes_max.to_string()),
            ("query.max-total-memory-bytes", self.query_memory.total_bytes_max.to_string()),
            ("query.result-cache-bytes", self.query_result_cache_bytes.to_string()),
            ("query.timeout", format_duration(self.query_timeout)),
            ("self-scrape.interval", none_is_zero(self.self_scrape_interval)),
            ("storage.retention", none_is_zero(self.retention)),
            ("querier.nodes", self.target.nodes().join(",")),
            ("target", self.target.name().to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// The query log's file, empty when there is none.
    fn query_log_text(&self) -> String {
        self.query_log_file.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }

    /// The configuration in force as YAML: what `/api/v1/status/config` shows. It holds no secrets: keys of
    /// a bucket come from the environment alone.
    pub(crate) fn to_yaml(&self) -> String {
        let retention = self.retention.map_or_else(|| "0s".to_owned(), format_duration);
        let l = &self.limits;
        format!(
            "data:\n  dir: {data:?}\nbucket: {bucket:?}\nhttp:\n  listen: \"{http}\"\ngrpc:\n  listen: \"{grpc}\"\n\
             target: {target}\nquerier:\n  nodes: [{nodes}]\nmulti_tenancy: {tenancy}\nstorage:\n  retention: {retention}\n  \
             query_overlap: {overlap}\nquery:\n  lookback_delta: {lookback}\n  \
             timeout: {timeout}\n  max_samples: {samples}\n  max_series: {query_series}\n  max_points_per_series: {points}\n  \
             log_file: {log_file:?}\n  log_max_bytes: {log_bytes}\n  \
             max_memory_bytes: {memory}\n  max_tenant_memory_bytes: {tenant_memory}\n  \
             max_total_memory_bytes: {total_memory}\n  max_concurrency: {concurrency}\n  \
             max_waiting: {waiting}\n  tenant_max_concurrency: {tenant_concurrency}\n  \
             tenant_max_waiting: {tenant_waiting}\n  result_cache_bytes: {cache}\n  disable_rewrites: [{rewrites}]\nlimits:\n  \
             series_per_tenant_max: {series}\n  out_of_order_time_window: {ooo}\n  \
             samples_per_second: {rate}\n  samples_burst: {burst}\n  labels_per_series_max: {names}\n  \
             label_name_bytes_max: {name_bytes}\n  label_value_bytes_max: {value_bytes}\n  \
             exemplar_label_bytes_max: {exemplar_bytes}\n  request_bytes_max: {request}\n  \
             decoded_bytes_max: {decoded}\n  inflight_bytes_max: {inflight}\n\
             self_scrape:\n  interval: {scrape}\nenable_feature: [{features}]\n",
            data = self.data_dir.display().to_string(),
            bucket = self.bucket,
            http = self.http_listen,
            grpc = self.grpc_listen,
            target = self.target.name(),
            nodes = self.target.nodes_yaml(),
            tenancy = self.multi_tenancy,
            overlap = format_duration(self.query_overlap),
            lookback = format_duration(self.lookback_delta),
            timeout = format_duration(self.query_timeout),
            samples = self.query_max_samples,
            query_series = self.query_max_series,
            points = self.query_max_points_per_series,
            log_file = self.query_log_text(),
            log_bytes = self.query_log_max_bytes,
            memory = self.query_memory.query_bytes_max,
            tenant_memory = self.query_memory.tenant_bytes_max,
            total_memory = self.query_memory.total_bytes_max,
            concurrency = self.query_max_concurrency,
            waiting = self.query_max_waiting,
            tenant_concurrency = self.query_tenant_max_concurrency,
            tenant_waiting = self.query_tenant_max_waiting,
            cache = self.query_result_cache_bytes,
            rewrites = self.rewrites_off.join(", "),
            series = l.series_per_tenant_max,
            ooo = format_duration(l.out_of_order_time_window),
            rate = l.samples_per_second,
            burst = l.samples_burst,
            names = l.labels_per_series_max,
            name_bytes = l.label_name_bytes_max,
            value_bytes = l.label_value_bytes_max,
            exemplar_bytes = l.exemplar_label_bytes_max,
            request = l.request_bytes_max,
            decoded = l.decoded_bytes_max,
            inflight = l.inflight_bytes_max,
            scrape = self.self_scrape_interval.map_or_else(|| "0s".to_owned(), format_duration),
            features = self.features.join(", "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::parse_file;

    #[test]
    fn flags_win_over_the_file_and_defaults_hold_without_one() {
        let plain = Config::load(&ServeArgs::default()).unwrap();
        assert_eq!(plain.http_listen.port(), 9009);
        assert!(plain.bucket.ends_with("data/bucket"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.yml");
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().create(true).write(true).truncate(true).open(&file).unwrap(),
            b"storage:\n  retention: 30d\nhttp: { listen: ':1' }\n",
        )
        .unwrap();
        let args =
            ServeArgs { config_file: Some(file), retention: Some("1d".to_owned()), ..ServeArgs::default() };
        let config = Config::load(&args).unwrap();
        assert_eq!(config.retention, Some(Duration::from_secs(86400)));
        assert_eq!(config.http_listen.port(), 1);
        let bad = ServeArgs { retention: Some("soon".to_owned()), ..ServeArgs::default() };
        assert!(Config::load(&bad).unwrap_err().to_string().starts_with("--storage.retention: `soon`"));
    }

    #[test]
    fn the_shown_configuration_reads_back() {
        let config = Config::load(&ServeArgs::default()).unwrap();
        let file = parse_file("shown", &config.to_yaml()).unwrap();
        assert_eq!(file.limits, config.limits);
        assert_eq!(file.query.timeout, Some(FileDuration(config.query_timeout)));
    }
}
