//! Status: what runs, since when, with how much in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::{Call, Reply};
use crate::status::NameCount;
use crate::{Api, ApiError};

const TSDB_LIMIT_DEFAULT: usize = 10;
const TSDB_LIMIT_MAX: usize = 10_000;

pub(super) fn reply(data: &impl Serialize) -> Result<Reply, ApiError> {
    let data = serde_json::to_vec(data)
        .map_err(|e| ApiError::Internal(format!("the answer cannot be written as JSON: {e}")))?;
    Ok(Reply::success(data, Vec::new()))
}

/// Unix milliseconds as RFC 3339, with as many digits as needed.
pub(super) fn rfc3339(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let text = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    match text.strip_suffix('Z') {
        Some(digits) if text.contains('.') => format!("{}Z", digits.trim_end_matches('0')),
        _ => text,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfoJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'static str>,
    version: &'a str,
    revision: &'a str,
    branch: &'a str,
    build_user: &'a str,
    build_date: &'a str,
    go_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<BTreeMap<&'static str, &'static str>>,
}

fn build(api: &Api, mimir: bool) -> Result<Reply, ApiError> {
    let info = api.status.build_info();
    // strings on purpose: that is how clients read them
    let features = [
        ("alertmanager_config_api", "false"),
        ("federated_rules", "false"),
        ("query_sharding", "false"),
        ("ruler_config_api", "false"),
    ];
    reply(&BuildInfoJson {
        application: mimir.then_some("Grafana Mimir"),
        version: &info.version,
        revision: &info.revision,
        branch: &info.branch,
        build_user: &info.build_user,
        build_date: &info.build_date,
        go_version: &info.go_version,
        features: mimir.then(|| BTreeMap::from(features)),
    })
}

pub(super) async fn build_info(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    build(&api, false)
}

pub(super) async fn build_info_with_features(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    build(&api, true)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfoJson {
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    time_series_count: u64,
    corruption_count: u64,
    goroutine_count: u64,
    #[serde(rename = "GOMAXPROCS")]
    cores: u64,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: u64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    storage_retention: String,
}

pub(super) async fn runtime_info(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    let info = api.status.runtime_info();
    reply(&RuntimeInfoJson {
        start_time: rfc3339(info.start_ms),
        cwd: info.working_directory,
        hostname: info.hostname,
        server_time: rfc3339(api.runtime.now_ms()),
        reload_config_success: info.reload_config_success,
        last_config_time: rfc3339(info.last_config_ms),
        time_series_count: info.series,
        corruption_count: info.corruptions,
        goroutine_count: info.tasks,
        cores: info.cores,
        memory_limit: info.memory_limit,
        gogc: "",
        godebug: "",
        storage_retention: info.retention,
    })
}

#[derive(Serialize)]
struct NameCountJson {
    name: String,
    value: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStatsJson {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbJson {
    head_stats: HeadStatsJson,
    series_count_by_metric_name: Vec<NameCountJson>,
    label_value_count_by_label_name: Vec<NameCountJson>,
    memory_in_bytes_by_label_name: Vec<NameCountJson>,
    series_count_by_label_value_pair: Vec<NameCountJson>,
}

pub(super) async fn tsdb(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let limit = match call.form.get("limit") {
        "" => TSDB_LIMIT_DEFAULT,
        text => match text.parse::<i64>() {
            Ok(limit) if limit > TSDB_LIMIT_MAX as i64 => {
                return Err(ApiError::BadData(format!("limit must not exceed {TSDB_LIMIT_MAX}")));
            }
            Ok(limit) if limit >= 1 => limit as usize,
            _ => return Err(ApiError::BadData("limit must be a positive number".to_owned())),
        },
    };
    let _running = api.listings.enter(&call.tenant).await?;
    let status = api.status.tsdb(&call.tenant, limit).await?;
    let list = |entries: Vec<NameCount>| -> Vec<NameCountJson> {
        entries.into_iter().take(limit).map(|e| NameCountJson { name: e.name, value: e.value }).collect()
    };
    reply(&TsdbJson {
        head_stats: HeadStatsJson {
            num_series: status.series,
            num_label_pairs: status.label_pairs,
            chunk_count: status.chunks,
            min_time: status.min_time,
            max_time: status.max_time,
        },
        series_count_by_metric_name: list(status.series_by_metric),
        label_value_count_by_label_name: list(status.values_by_label),
        memory_in_bytes_by_label_name: list(status.bytes_by_label),
        series_count_by_label_value_pair: list(status.series_by_pair),
    })
}

pub(super) async fn flags(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    reply(&BTreeMap::from_iter(api.status.flags()))
}

pub(super) async fn config(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    reply(&BTreeMap::from([("yaml", api.status.config_yaml())]))
}

pub(super) fn wal_replay(api: &Api) -> Reply {
    let replay = api.status.wal_replay();
    let data = format!("{{\"min\":{},\"max\":{},\"current\":{}}}", replay.min, replay.max, replay.current);
    Reply::success(data.into_bytes(), Vec::new())
}

pub(super) async fn features(api: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    let on = api.engine.options().features;
    let category = |entries: &[(&'static str, bool)]| BTreeMap::from_iter(entries.iter().copied());
    reply(&BTreeMap::from([
        (
            "api",
            category(&[
                ("admin", false),
                ("exclude_alerts", true),
                ("label_values_match", true),
                ("query_stats", true),
                ("query_warnings", true),
                ("remote_write_receiver", true),
                ("time_range_labels", true),
                ("time_range_series", true),
            ]),
        ),
        (
            "promql",
            category(&[
                ("at_modifier", true),
                ("by", true),
                ("offset", true),
                ("subqueries", true),
                ("without", true),
                ("experimental_functions", on.experimental_functions),
                ("duration_expr", true),
                ("extended_range_selectors", on.extended_range_selectors),
                ("fill", on.fill_modifiers),
                ("delayed_name_removal", on.delayed_name_removal),
                ("per_step_stats", true),
            ]),
        ),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_they_need() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(1_005), "1970-01-01T00:00:01.005Z");
    }
}
