//! `epimetheus query`: asks a running server and prints the answer as promtool does.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use querier::Format;
use runtime::Runtime;

use crate::cli::{OutputFormat, QueryArgs, QueryCommand, TimesArgs};

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
    let question = match question(now_seconds(runtime), command) {
        Ok(question) => question,
        Err(why) => {
            eprintln!("{why}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let body = match send(&question).await {
        Ok(body) => body,
        Err(error) => {
            eprintln!("query error: {error:#}");
            return Ok(ExitCode::FAILURE);
        }
    };
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
                eprintln!("query warning: {note}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn question(now: f64, command: &QueryCommand) -> Result<Question<'_>, String> {
    Ok(match command {
        QueryCommand::Instant { server, expr, time, common } => {
            let time = seconds("evaluation", time, now)?;
            let form = vec![("query", expr.clone()), ("time", time.to_string())];
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
                form.push(("time", seconds("evaluation", time, now)?.to_string()));
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
) -> Result<Vec<(&'static str, String)>, String> {
    let end = seconds("end", end, now)?;
    let start = seconds("start", start, end - 300.0)?;
    if start >= end {
        return Err("start time is not before end time".to_owned());
    }
    let step = match step {
        Some(text) => step_seconds(text)?,
        None => ((end - start) / STEPS).floor().max(1.0),
    };
    Ok(vec![("start", start.to_string()), ("end", end.to_string()), ("step", step.to_string())])
}

/// Seconds out of a duration, in Go's form (`1.5h`) or Prometheus's (`1d`), or out of a number.
fn step_seconds(text: &str) -> Result<f64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    if let Ok(step) = model::parse_duration(text) {
        return Ok(step.as_secs_f64());
    }
    let not_one = || format!("error parsing step: time: invalid duration {}", model::go_quote(text));
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let figures = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(not_one)?;
        let (number, behind) = rest.split_at(figures);
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let size = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(not_one()),
        };
        total += number.parse::<f64>().map_err(|_| not_one())? * size;
        rest = behind;
    }
    Ok(total)
}

fn listing_form(
    now: f64,
    matches: &[String],
    times: &TimesArgs,
) -> Result<Vec<(&'static str, String)>, String> {
    let start = seconds("start", &times.start, now - LISTING_SECONDS)?;
    let end = seconds("end", &times.end, now + LISTING_SECONDS)?;
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
    for (name, value) in &question.common.headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    Ok(answer.bytes().await?.to_vec())
}

fn now_seconds(runtime: &Runtime) -> f64 {
    runtime.now_ms() as f64 / 1000.0
}

/// Unix seconds out of RFC 3339 or a number; `default` when nothing is given.
fn seconds(of: &str, text: &Option<String>, default: f64) -> Result<f64, String> {
    let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return Ok(default) };
    if let Ok(number) = text.parse::<f64>() {
        return Ok(number);
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| {
        format!("error parsing {of} time: cannot parse {} to a valid timestamp", model::go_quote(text))
    })?;
    Ok(time.timestamp_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_rfc_3339() {
        let read = |text: &str| seconds("start", &Some(text.to_owned()), 7.0);
        assert_eq!(read("1.5"), Ok(1.5));
        assert_eq!(read("1970-01-01T00:00:01.250Z"), Ok(1.25));
        assert_eq!(read(""), Ok(7.0));
        assert_eq!(
            read("yesterday"),
            Err("error parsing start time: cannot parse \"yesterday\" to a valid timestamp".to_owned())
        );
    }

    #[test]
    fn steps_are_durations_of_either_kind() {
        assert_eq!(step_seconds("15"), Ok(15.0));
        assert_eq!(step_seconds("1d"), Ok(86_400.0));
        assert_eq!(step_seconds("1.5h"), Ok(5_400.0));
        assert_eq!(step_seconds("1h500ms"), Ok(3_600.5));
        for bad in ["x", "1x", "1h1", "h", "1.2.3s"] {
            assert!(step_seconds(bad).is_err(), "{bad}");
        }
    }
}
