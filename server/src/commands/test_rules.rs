//! `epimetheus test rules`: runs unit tests of rules and prints what promtool prints.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use regex::Regex;
use ruler::unit_test::{RuleSource, UnitTestFile, UnitTestOptions, UnitTestReport, junit_xml};
use runtime::Runtime;

use super::check_rules::language;
use super::existing::all_exist;
use super::glob::glob;
use crate::cli::TestRulesArgs;

/// Runs the command; succeeds when every test does.
pub(crate) fn run(args: &TestRulesArgs) -> Result<ExitCode> {
    let wanted = match &args.run[..] {
        [] => None,
        names => Some(Regex::new(&names.join("|")).context("--run")?),
    };
    let options = UnitTestOptions {
        language: language(&args.features),
        delayed_name_removal: args.features.names.iter().any(|name| name == "promql-delayed-name-removal"),
        ignore_unknown_fields: args.ignore_unknown_fields,
        diff: args.diff,
    };
    if !all_exist(&args.files) {
        return Ok(ExitCode::FAILURE);
    }
    // as soon as possible, so that no test runs whose result nobody could read
    let junit = args.junit.as_deref().map(create).transpose()?;
    let debug = |text: &str| eprintln!("DEBUG: {text}");
    let debug: Option<&(dyn Fn(&str) + Sync)> = if args.debug { Some(&debug) } else { None };
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let runtime = Runtime::real();
    let mut failed = false;
    let mut reports = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let report = tokio.block_on(test(file, wanted.as_ref(), &runtime, &options, debug));
        if report.failures().next().is_none() {
            println!("  SUCCESS");
        } else {
            failed = true;
            eprintln!("  FAILED:");
            for failure in report.failures() {
                eprintln!("{failure}");
                println!();
            }
        }
        println!();
        reports.push((file.display().to_string(), report));
    }
    if let Some(mut junit) = junit
        && let Err(error) = junit.write_all(junit_xml(&reports).as_bytes())
    {
        eprintln!("failed to write JUnit XML: {error}");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[expect(clippy::disallowed_methods, reason = "the report is the user's file, not the server's data")]
fn create(path: &Path) -> Result<std::fs::File> {
    std::fs::File::create(path).with_context(|| format!("--junit: {}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "tests are the user's files, not the server's data")]
fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "yaml: the file is not UTF-8".to_owned())
}

async fn test(
    path: &Path,
    wanted: Option<&Regex>,
    runtime: &Runtime,
    options: &UnitTestOptions,
    debug: Option<&(dyn Fn(&str) + Sync)>,
) -> UnitTestReport {
    let file = match read(path).and_then(|text| UnitTestFile::parse(&text)) {
        Ok(file) => file,
        Err(why) => return UnitTestReport::aborted(why),
    };
    let mut sources: Vec<RuleSource> = Vec::new();
    for pattern in &file.rule_files {
        let pattern = beside(path, pattern);
        let found = match glob(&pattern) {
            Ok(found) => found,
            Err(why) => return UnitTestReport::aborted(why),
        };
        if found.is_empty() {
            eprintln!("  WARNING: no file match pattern {pattern}");
        }
        for path in found {
            let shown = path.display().to_string();
            if sources.iter().all(|source| source.path != shown) {
                sources.push(RuleSource { text: read(&path), path: shown });
            }
        }
    }
    let wanted = |name: &str| wanted.is_none_or(|wanted| wanted.is_match(name));
    Box::pin(file.run(&sources, runtime, options, wanted, debug)).await
}

/// A pattern that is meant from the folder of the file it stands in.
fn beside(file: &Path, pattern: &str) -> String {
    if pattern.is_empty() || pattern.starts_with('/') {
        return pattern.to_owned();
    }
    let mut joined = PathBuf::new();
    for part in file.parent().unwrap_or(Path::new("")).join(pattern).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if joined.file_name().is_some() => {
                joined.pop();
            }
            part => joined.push(part),
        }
    }
    joined.display().to_string()
}
