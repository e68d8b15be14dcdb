//! `explain`: the plan of a query, and with `analyze=true` what its operators did.

use std::sync::Arc;
use std::time::Duration;

use promql::{QueryRequest, QueryStats};
use proto::{ExplainedOperator, Measured, PartUse};
use serde_json::{Value, json};

use super::query::{instant_times, range_times};
use super::status::reply;
use super::{Call, Reply};
use crate::front::{Flight, Times};
use crate::{Api, ApiError, language};

/// `GET …/explain`: with `start`, `end` and `step` of a range query, else of an instant one at `time`.
pub(super) async fn explain(api: Arc<Api>, call: Call) -> Result<Reply, ApiError> {
    let expr = call.form.get("query");
    language::parse(expr, api.engine.options().features).map_err(|e| ApiError::parameter("query", e))?;
    let times = match call.form.get("step") {
        "" => instant_times(&api, &call)?,
        _ => range_times(&api, &call)?,
    };
    let analyze = matches!(call.form.get("analyze"), "1" | "true");
    let came = (call.since, api.runtime.now_ms());
    let (listed, killed) = api.active.add(&call.tenant, "explain", expr, times, came);
    let flight = Arc::new(Flight::default());
    listed.evaluated_by(&flight);
    let timeout = api.engine.options().timeout;
    let work = async {
        let place = api.runtime.timeout(timeout, api.queries.enter(&call.tenant)).await;
        let _place = place.map_err(|_| ApiError::Timeout("query timed out in query queue".to_owned()))??;
        let request = QueryRequest {
            series_max: api.limits.series_max,
            progress: flight.progress().clone(),
            ..QueryRequest::new(call.tenant.clone(), expr)
        };
        let (start, end) = (times.ends().0, times.end());
        let step = if matches!(times, Times::Instant(_)) { 0 } else { times.step() };
        let source = (api.source)(&call.tenant);
        Ok(api.engine.explain(source, request, start, end, step, analyze).await?)
    };
    let explained = tokio::select! { biased;
        () = killed.wait() => {
            api.recorder.killed();
            Err(ApiError::Canceled("query was canceled in expression evaluation".to_owned()))
        }
        explained = work => explained,
    }?;
    reply(&json!({
        "query": expr,
        "plan": tree(&explained.root),
        "stats": explained.stats.as_ref().map(stats),
        "text": explained.to_string(),
    }))
}

fn tree(operator: &ExplainedOperator) -> Value {
    let mut out = json!({ "operator": operator.name, "partitions": operator.partitions });
    let mut put = |key: &str, value: Value| out[key] = value;
    if !operator.detail.is_empty() {
        put("detail", json!(operator.detail));
    }
    if let Some(place) = &operator.place {
        put("place", json!(place));
    }
    if let Some(series) = operator.series {
        put("series", json!(series));
    }
    if !operator.storage.is_empty() {
        let part = |used: &str, part: &proto::StoragePart| json!({"name": part.name, "use": used, "series": part.series});
        let parts = operator.storage.iter().map(|p| match p.used {
            PartUse::Read => part("read", p),
            PartUse::NoMatch => part("pruned: no series matches", p),
            PartUse::OtherTime => part("pruned: other times", p),
        });
        put("storage", parts.collect());
    }
    if let Some(Measured { rows, bytes, samples, sample_bytes, time }) = operator.measured {
        put("rows", json!(rows));
        put("bytes", json!(bytes));
        put("samples", json!(samples));
        put("sampleBytes", json!(sample_bytes));
        put("seconds", json!(time.as_secs_f64()));
    }
    if !operator.inputs.is_empty() {
        put("inputs", operator.inputs.iter().map(tree).collect());
    }
    out
}

fn stats(stats: &QueryStats) -> Value {
    let seconds = |time: Duration| time.as_secs_f64();
    json!({
        "samples": stats.samples_total,
        "samplesRead": stats.samples_read,
        "series": stats.series,
        "peakSamples": stats.samples_peak,
        "peakMemoryBytes": stats.memory_peak,
        "prepareSeconds": seconds(stats.prepare_time),
        "selectSeconds": seconds(stats.select_time),
        "evalSeconds": seconds(stats.eval_time),
    })
}
