//! `epimetheus query instant|range|series|labels`: asks a running server and prints the answer as promtool does.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use querier::Format;
use runtime::Runtime;

use crate::cli::{OutputFormat, QueryArgs, QueryCommand, TimesArgs};
use crate::duration;

/// Points of a range query that names no step.
const STEPS: f64 = 250.0;
/// How far listings look both ways when they are told no times.
const LISTING_SECONDS: f64 = 9999.0 * 3600.0;

/// Runs the command.
pub(crate) fn run(command: &QueryCommand) -> Result<ExitCode> {
    let runtime = Runtime::real();
    runtime.block_on(ask(&runtime, command))
}

/// A question as a request.
struct Question<'a> {
    server: &'a str,
    common: &'a QueryArgs,
    /// Below the server's address.
    path: Vec<&'a str>,
    form: Vec<(&'static str, String)>,
    kind: Kind,
}

/// Which shape the answer has.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Query,
    Listing,
    Explain,
}

async fn ask(runtime: &Runtime, command: &QueryCommand) -> Result<ExitCode> {
    let question = question(now_seconds(runtime), command)?;
    let body = send(&question).await?;
    let format = match question.common.format {
        OutputFormat::Promql => Format::Promql,
        OutputFormat::Json => Format::Json,
    };
    let rendered = match question.kind {
        Kind::Listing => querier::render_listing(&body, format),
        Kind::Query => querier::render(&body, format),
        Kind::Explain => querier::render_explanation(&body, format),
    };
    match rendered {
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

fn question(now: f64, command: &QueryCommand) -> Result<Question<'_>> {
    Ok(match command {
        QueryCommand::Instant { server, expr, time, common } => {
            let time = time.clone().unwrap_or_else(|| now.to_string());
            let form = vec![("query", expr.clone()), ("time", time)];
            Question { server, common, path: vec!["query"], form, kind: Kind::Query }
        }
        QueryCommand::Range { server, expr, start, end, step, common } => {
            let mut form = vec![("query", expr.clone())];
            form.extend(range_form(now, start, end, step)?);
            Question { server, common, path: vec!["query_range"], form, kind: Kind::Query }
        }
        QueryCommand::Explain { server, expr, analyze, time, start, end, step, common } => {
            let mut form = vec![("query", expr.clone()), ("analyze", analyze.to_string())];
            if start.is_some() || end.is_some() || step.is_some() {
                form.extend(range_form(now, start, end, step)?);
            } else {
                form.push(("time", time.clone().unwrap_or_else(|| now.to_string())));
            }
            Question { server, common, path: vec!["explain"], form, kind: Kind::Explain }
        }
        QueryCommand::Series { server, matches, times, common } => {
            let form = listing_form(now, matches, times)?;
            Question { server, common, path: vec!["series"], form, kind: Kind::Listing }
        }
        QueryCommand::Labels { server, name, matches, times, common } => {
            let form = listing_form(now, matches, times)?;
            Question { server, common, path: vec!["label", name, "values"], form, kind: Kind::Listing }
        }
    })
}

fn range_form(
    now: f64,
    start: &Option<String>,
    end: &Option<String>,
    step: &Option<String>,
) -> Result<Vec<(&'static str, String)>> {
    let end = end.as_deref().map_or(Ok(now), seconds)?;
    let start = start.as_deref().map_or(Ok(end - 300.0), seconds)?;
    if start > end {
        bail!("--start is after --end");
    }
    let step = match step {
        Some(text) => match duration::parse(text) {
            Some(step) => step.as_secs_f64(),
            None => text.parse().with_context(|| format!("--step: `{text}` is not a duration"))?,
        },
        None => ((end - start) / STEPS).max(1.0),
    };
    Ok(vec![("start", start.to_string()), ("end", end.to_string()), ("step", step.to_string())])
}

fn listing_form(now: f64, matches: &[String], times: &TimesArgs) -> Result<Vec<(&'static str, String)>> {
    let start = times.start.as_deref().map_or(Ok(now - LISTING_SECONDS), seconds)?;
    let end = times.end.as_deref().map_or(Ok(now + LISTING_SECONDS), seconds)?;
    let mut form = vec![("start", start.to_string()), ("end", end.to_string())];
    form.extend(matches.iter().map(|selector| ("match[]", selector.clone())));
    Ok(form)
}

/// Sends the form; the body of the answer, whatever its status.
async fn send(question: &Question<'_>) -> Result<Vec<u8>> {
    // A second installation is refused and harmless.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let server = question.server;
    let base = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let mut url = reqwest::Url::parse(&base).with_context(|| format!("`{server}` is no server"))?;
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().extend(["api", "v1"]).extend(&question.path);
        }
        Err(()) => bail!("`{server}` is no server"),
    }
    let client = reqwest::Client::new();
    // values of labels are only told to GET
    let mut request = match question.path.len() {
        1 => client.post(url.clone()).form(&question.form),
        _ => client.get(url.clone()).query(&question.form),
    };
    if let Some(tenant) = &question.common.tenant {
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
