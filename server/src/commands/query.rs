//! `epimetheus query instant|range`: asks a running server and prints the answer as promtool does.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use querier::Format;
use runtime::Runtime;

use crate::cli::{OutputFormat, QueryArgs, QueryCommand};
use crate::duration;

/// Points of a range query that names no step.
const STEPS: f64 = 250.0;

/// Runs the command.
pub(crate) fn run(command: &QueryCommand) -> Result<ExitCode> {
    let runtime = Runtime::real();
    runtime.block_on(ask(&runtime, command))
}

async fn ask(runtime: &Runtime, command: &QueryCommand) -> Result<ExitCode> {
    let now = now_seconds(runtime);
    let (server, path, form, common) = match command {
        QueryCommand::Instant { server, expr, time, common } => {
            let time = time.clone().unwrap_or_else(|| now.to_string());
            (server, "api/v1/query", vec![("query", expr.clone()), ("time", time)], common)
        }
        QueryCommand::Range { server, expr, start, end, step, common } => {
            let end_seconds = end.as_deref().map_or(Ok(now), seconds)?;
            let start_seconds = start.as_deref().map_or(Ok(end_seconds - 300.0), seconds)?;
            if start_seconds > end_seconds {
                bail!("--start is after --end");
            }
            let step = match step {
                Some(text) => match duration::parse(text) {
                    Some(step) => step.as_secs_f64(),
                    None => text.parse().with_context(|| format!("--step: `{text}` is not a duration"))?,
                },
                None => ((end_seconds - start_seconds) / STEPS).max(1.0),
            };
            let form = vec![
                ("query", expr.clone()),
                ("start", start_seconds.to_string()),
                ("end", end_seconds.to_string()),
                ("step", step.to_string()),
            ];
            (server, "api/v1/query_range", form, common)
        }
    };
    let body = post(server, path, &form, common).await?;
    let format = match common.format {
        OutputFormat::Promql => Format::Promql,
        OutputFormat::Json => Format::Json,
    };
    match querier::render(&body, format) {
        Ok(rendered) => {
            print!("{}", rendered.text);
            for note in rendered.notes {
                eprintln!("{note}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Sends the form; the body of the answer, whatever its status.
async fn post(server: &str, path: &str, form: &[(&str, String)], common: &QueryArgs) -> Result<Vec<u8>> {
    // A second installation is refused and harmless.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let base = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let url = format!("{}/{path}", base.trim_end_matches('/'));
    let mut request = reqwest::Client::new().post(&url).form(form);
    if let Some(tenant) = &common.tenant {
        request = request.header(crate::tenant::TENANT_HEADER, tenant);
    }
    let answer = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    Ok(answer.bytes().await?.to_vec())
}

fn now_seconds(runtime: &Runtime) -> f64 {
    runtime.now_ms() as f64 / 1000.0
}

/// Unix seconds out of RFC 3339 or a number.
fn seconds(text: &str) -> Result<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Ok(number);
    }
    let time = chrono::DateTime::parse_from_rfc3339(text)
        .with_context(|| format!("`{text}` is neither RFC 3339 nor Unix seconds"))?;
    Ok(time.timestamp_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_rfc_3339() {
        assert_eq!(seconds("1.5").unwrap(), 1.5);
        assert_eq!(seconds("1970-01-01T00:00:01.250Z").unwrap(), 1.25);
        assert!(seconds("yesterday").unwrap_err().to_string().contains("yesterday"));
    }
}
