//! Rules, alerts, targets: empty, and valid. Parameters are checked as they will be.

use std::sync::Arc;

use super::listing::matcher_sets;
use super::time::quote;
use super::{Call, Reply};
use crate::{Api, ApiError};

fn constant(data: &str) -> Result<Reply, ApiError> {
    Ok(Reply::success(data.as_bytes().to_vec(), Vec::new()))
}

pub(super) async fn rules(_: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    matcher_sets(&call).map_err(ApiError::BadData)?;
    let kind = call.form.of_url("type").to_lowercase();
    if !matches!(&*kind, "" | "alert" | "record") {
        return Err(ApiError::parameter("type", format!("not supported value {}", quote(&kind))));
    }
    let exclude = call.form.of_url("exclude_alerts").to_lowercase();
    if !matches!(&*exclude, "" | "1" | "t" | "true" | "0" | "f" | "false") {
        let text = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {}: invalid syntax",
            quote(&exclude)
        );
        return Err(ApiError::parameter("exclude_alerts", text));
    }
    let (limit, token) = (call.form.of_url("group_limit"), call.form.of_url("group_next_token"));
    if !token.is_empty() && limit.is_empty() {
        let text = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::parameter("group_next_token", text));
    }
    if !limit.is_empty() {
        let count = limit.parse::<i32>().map_err(|e| {
            let why = match e.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            let text = format!(
                "group_limit needs to be a valid number: strconv.ParseInt: parsing {}: {why}",
                quote(limit)
            );
            ApiError::parameter("group_limit", text)
        })?;
        if count <= 0 {
            return Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0"));
        }
    }
    if !token.is_empty() {
        let text = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", text));
    }
    constant("{\"groups\":[]}")
}

pub(super) async fn alerts(_: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    constant("{\"alerts\":[]}")
}

pub(super) async fn alertmanagers(_: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    constant("{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}")
}

pub(super) async fn targets(_: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let with_dropped = matches!(&*call.form.of_url("state").to_lowercase(), "" | "any" | "dropped");
    constant(if with_dropped {
        "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"
    } else {
        "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":null}"
    })
}

pub(super) async fn target_metadata(_: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let limit = call.form.get("limit");
    if !limit.is_empty() && limit.parse::<i64>().is_err() {
        return Err(ApiError::BadData("limit must be a number".to_owned()));
    }
    constant("[]")
}

pub(super) async fn scrape_pools(_: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    constant("{\"scrapePools\":[]}")
}

pub(super) async fn notifications(_: Arc<Api>, _: Call) -> Result<Reply, ApiError> {
    constant("[]")
}
