//! Evaluating and laying out queries.

use std::sync::Arc;
use std::time::Duration;

use promql::{QueryLimit, Value};

use super::log::Logged;
use super::reply::shown;
use super::stats::write_stats;
use super::time::{Time, parse_duration, parse_limit, parse_time, parse_time_parameter, quote};
use super::tree::tree_json;
use super::{Call, Reply};
use crate::api::POINTS_MAX;
use crate::front::{Answered, Asked, Flight, Times};
use crate::json::{AnswerWriter, Tail, write_string};
use crate::{Api, ApiError, language};

/// Answers with more samples than this are written on the CPU pool.
const SAMPLES_INLINE_MAX: usize = 2_000;
/// What a listing or an answer says that `limit` cut.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// What both kinds of query take.
struct Options {
    limit: usize,
    timeout: Option<i64>,
    lookback_ms: Option<i64>,
    stats: String,
}

pub(super) async fn instant(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let limit = parse_limit(call.form.get("limit")).map_err(|e| ApiError::parameter("limit", e))?;
    let times = instant_times(&api, &call)?;
    let options = options(&call, limit)?;
    run(api, &call, "query", times, options).await
}

/// When an instant query is evaluated.
pub(super) fn instant_times(api: &Api, call: &Call) -> Result<Times, ApiError> {
    let now = Time::from_ms(api.runtime.now_ms());
    let time = parse_time_parameter("time", call.form.get("time"), now);
    Ok(Times::Instant(time.map_err(|e| ApiError::parameter("time", e))?.evaluation_ms()))
}

pub(super) async fn range(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let limit = parse_limit(call.form.get("limit")).map_err(|e| ApiError::parameter("limit", e))?;
    let times = range_times(&api, &call)?;
    let options = options(&call, limit)?;
    run(api, &call, "query_range", times, options).await
}

/// When a range query is evaluated.
pub(super) fn range_times(api: &Api, call: &Call) -> Result<Times, ApiError> {
    let form = &call.form;
    let time = |name: &str| parse_time(form.get(name)).map_err(|e| ApiError::parameter(name, e));
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = parse_duration(form.get("step")).map_err(|e| ApiError::parameter("step", e))?;
    // steps are whole milliseconds, and less than one is none
    if step < 1_000_000 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let most = api.limits.points_max;
    // the difference ends where 64 bits do
    let nanos = (end.0 - start.0).min(i128::from(i64::MAX));
    if most > 0 && nanos / i128::from(step) > most as i128 {
        return Err(too_many_points(most));
    }
    Ok(Times::Range { start: start.evaluation_ms(), end: end.evaluation_ms(), step: step / 1_000_000 })
}

fn options(call: &Call, limit: usize) -> Result<Options, ApiError> {
    let form = &call.form;
    let timeout = match form.get("timeout") {
        "" => None,
        text => Some(parse_duration(text).map_err(|e| ApiError::parameter("timeout", e))?),
    };
    let lookback_ms = match form.get("lookback_delta") {
        "" => None,
        text => {
            let nanos = parse_duration(text)
                .map_err(|e| ApiError::BadData(format!("error parsing lookback delta duration: {e}")))?;
            Some(nanos / 1_000_000).filter(|ms| *ms > 0)
        }
    };
    Ok(Options { limit, timeout, lookback_ms, stats: form.get("stats").to_owned() })
}

async fn run(
    api: Arc<Api>,
    call: &Call,
    endpoint: &'static str,
    times: Times,
    options: Options,
) -> Result<Reply, ApiError> {
    let expr = call.form.get("query");
    // before the queue: who sends nonsense need not wait to learn it
    language::parse(expr, api.engine.options().features).map_err(|e| ApiError::parameter("query", e))?;
    let mut logged = Logged::begin(&api, call, times);
    let began = api.runtime.monotonic();
    let answered = evaluate(&api, call, endpoint, times, &options).await.inspect_err(|error| {
        if let Some(logged) = &mut logged {
            logged.failed(error);
        }
    })?;
    let (stats, waited) = (&answered.stats, answered.waited);
    if let Some(logged) = &mut logged {
        logged.answered(stats, waited);
    }
    api.recorder.waited(waited);
    if answered.count() {
        api.recorder.answer(stats.samples_total, stats.series);
    }
    let (mut warnings, infos) = (answered.warnings.clone(), answered.infos.clone());
    let mut value = Arc::clone(&answered.value);
    if options.limit > 0 && truncate(&mut value, options.limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    if !matches!(&*options.stats, "" | "true" | "all") {
        warnings.push(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\"",
            quote(&options.stats)
        ));
    }
    let mut tail = Tail {
        stats: Vec::new(),
        warnings: shown(warnings, "warning"),
        infos: shown(infos, "info"),
        _memory: answered.memory.clone(),
    };
    if !options.stats.is_empty() {
        write_stats(&mut tail.stats, stats, waited, began.elapsed());
    }
    let large = sample_count(&value) > SAMPLES_INLINE_MAX;
    let writer = AnswerWriter::new(value, tail);
    Ok(if large { api.runtime.cpu(move || Reply::streamed(writer)).await } else { Reply::streamed(writer) })
}

/// The answer, unless the query is ended before.
async fn evaluate(
    api: &Arc<Api>,
    call: &Call,
    endpoint: &'static str,
    times: Times,
    options: &Options,
) -> Result<Arc<Answered>, ApiError> {
    let (expr, allowed) = (call.form.get("query"), api.engine.options().timeout);
    let timeout = match options.timeout {
        Some(nanos) if nanos <= 0 => {
            return Err(ApiError::Timeout("query timed out in query execution".to_owned()));
        }
        Some(nanos) => allowed.min(Duration::from_nanos(nanos.unsigned_abs())),
        None => allowed,
    };
    let came = (call.since, api.runtime.now_ms());
    let (listed, killed) = api.active.add(&call.tenant, endpoint, expr, times, came);
    let asked = Asked {
        tenant: call.tenant.clone(),
        expr: Arc::from(expr),
        times,
        lookback_ms: options.lookback_ms,
        timeout,
        series_max: api.limits.series_max,
        per_step_stats: options.stats == "all",
        may_keep: options.stats.is_empty() && !call.no_cache,
    };
    let watch = |flight: &Arc<Flight>| listed.evaluated_by(flight);
    let answered = tokio::select! { biased;
        () = killed.wait() => {
            api.recorder.killed();
            let stage = if listed.is_waiting() { "query queue" } else { "expression evaluation" };
            Err(ApiError::Canceled(format!("query was canceled in {stage}")))
        }
        answered = api.front.answer((api.source)(&call.tenant), asked, &watch) => answered,
    };
    answered.map_err(|error| match error {
        ApiError::Timeout(text) if timeout < allowed => {
            ApiError::Timeout(format!("{text}: the parameter `timeout` is {}", seconds(timeout)))
        }
        ApiError::Timeout(text) => {
            ApiError::Timeout(format!("{text}: the limit is {} (`query.timeout`)", seconds(timeout)))
        }
        other => other,
    })
}

/// A time as settings are written.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

/// Prometheus's text; a limit of our own names its setting.
fn too_many_points(most: usize) -> ApiError {
    let mut digits = most.to_string();
    let count = digits.len();
    for at in (1..count).rev().filter(|at| (count - at).is_multiple_of(3)) {
        digits.insert(at, ',');
    }
    let mut text = format!(
        "exceeded maximum resolution of {digits} points per timeseries. Try decreasing the query resolution (?step=XX)"
    );
    if most != POINTS_MAX {
        text.push_str(" or raise `query.max_points_per_series`");
    }
    ApiError::Limit(QueryLimit::Points, text)
}

fn truncate(value: &mut Arc<Value>, limit: usize) -> bool {
    let cut = match &**value {
        Value::Vector(samples) if samples.len() > limit => Value::Vector(samples[..limit].to_vec()),
        Value::Matrix(series) if series.len() > limit => Value::Matrix(series[..limit].to_vec()),
        _ => return false,
    };
    *value = Arc::new(cut);
    true
}

fn sample_count(value: &Value) -> usize {
    match value {
        Value::Scalar { .. } | Value::String { .. } => 1,
        Value::Vector(samples) => samples.len(),
        // a histogram takes the room of many floats
        Value::Matrix(series) => series.iter().map(|s| s.floats.len() + 20 * s.histograms.len()).sum(),
    }
}

/// `format_query`: the query laid out.
pub(super) async fn format(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let expr = language::parse(call.form.get("query"), api.engine.options().features)
        .map_err(|e| ApiError::parameter("query", e))?;
    let mut data = Vec::new();
    write_string(&mut data, &expr.prettify());
    Ok(Reply::success(data, Vec::new()))
}

/// `parse_query`: the query's syntax tree.
pub(super) async fn parse(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let expr = language::parse(call.form.get("query"), api.engine.options().features)
        .map_err(|e| ApiError::parameter("query", e))?;
    Ok(Reply::success(tree_json(&expr), Vec::new()))
}
