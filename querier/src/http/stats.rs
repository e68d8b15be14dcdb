//! Statistics of a query, as the API and the query log show them.

use std::time::Duration;

use model::TimestampMs;
use promql::QueryStats;

use crate::json::{write_float, write_seconds, write_string};

/// Appends the JSON object. `queue`: time it waited; `total`: from its coming on.
pub(super) fn write_stats(out: &mut Vec<u8>, stats: &QueryStats, queue: Duration, total: Duration) {
    let evaluated = stats.select_time + stats.eval_time;
    let timings = [
        ("evalTotalTime", stats.prepare_time + evaluated),
        ("resultSortTime", Duration::ZERO),
        ("queryPreparationTime", stats.prepare_time + stats.select_time),
        ("innerEvalTime", stats.eval_time),
        ("execQueueTime", queue),
        ("execTotalTime", total),
    ];
    out.extend_from_slice(b"{\"timings\":{");
    for (i, (name, time)) in timings.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_float(out, time.as_secs_f64());
    }
    out.extend_from_slice(b"},\"samples\":{");
    if let Some(steps) = &stats.samples_per_step {
        write_steps(out, "totalQueryableSamplesPerStep", steps.iter().map(|step| (step.t, step.samples)));
    }
    out.extend_from_slice(format!("\"totalQueryableSamples\":{},", stats.samples_total).as_bytes());
    if let Some(steps) = &stats.samples_per_step {
        write_steps(out, "samplesReadPerStep", steps.iter().map(|step| (step.t, step.samples_read)));
    }
    let (read, peak) = (stats.samples_read, stats.samples_peak);
    out.extend_from_slice(format!("\"samplesRead\":{read},\"peakSamples\":{peak}}}}}").as_bytes());
}

fn write_steps(out: &mut Vec<u8>, name: &str, steps: impl Iterator<Item = (TimestampMs, u64)>) {
    write_string(out, name);
    out.extend_from_slice(b":[");
    for (i, (t, samples)) in steps.enumerate() {
        out.extend_from_slice(if i == 0 { b"[" } else { b",[" });
        write_seconds(out, t);
        out.push(b',');
        out.extend_from_slice(samples.to_string().as_bytes());
        out.push(b']');
    }
    out.extend_from_slice(b"],");
}
