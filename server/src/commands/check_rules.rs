//! `epimetheus check rules`: checks rule files and prints what promtool prints.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use promql::parse::ParseOptions;
use ruler::{RuleFile, RuleFileOptions};

use super::existing::all_exist;
use crate::cli::{CheckCommand, FeatureArgs};

/// How it went.
#[derive(Debug, Clone, Copy, Default)]
struct Findings {
    faults: bool,
    lints: bool,
}

/// Runs the command: 1 when a file cannot be used, 3 when lints count and find something.
pub(crate) fn run(command: &CheckCommand) -> Result<ExitCode> {
    let CheckCommand::Rules { lint, lint_fatal, ignore_unknown_fields, features, files } = command;
    if !all_exist(files) {
        return Ok(ExitCode::FAILURE);
    }
    let mut find_duplicates = false;
    for name in lint.split(',') {
        match name {
            "all" | "duplicate-rules" => find_duplicates = true,
            "none" | "" => {}
            other => println!("WARNING: unknown lint option: {}", promql::go_quote(other)),
        }
    }
    let options =
        RuleFileOptions { ignore_unknown_fields: *ignore_unknown_fields, language: language(features) };
    let mut findings = Findings::default();
    if files.is_empty() {
        println!("Checking standard input");
        let mut bytes = Vec::new();
        match std::io::stdin().read_to_end(&mut bytes) {
            Ok(_) => check(None, bytes, &options, find_duplicates, &mut findings),
            Err(error) => {
                eprintln!("  FAILED: {error}");
                findings.faults = true;
            }
        }
    }
    for file in files {
        println!("Checking {}", file.display());
        match read(file) {
            Ok(bytes) => check(Some(file), bytes, &options, find_duplicates, &mut findings),
            Err(error) => {
                eprintln!("  FAILED:\n{}: {error}", file.display());
                findings.faults = true;
            }
        }
    }
    Ok(match findings {
        Findings { faults: true, .. } => ExitCode::FAILURE,
        Findings { lints: true, .. } if *lint_fatal => ExitCode::from(3),
        Findings { .. } => ExitCode::SUCCESS,
    })
}

/// The parts of the language that are on.
pub(crate) fn language(features: &FeatureArgs) -> ParseOptions {
    let mut language = ParseOptions::default();
    for name in &features.names {
        match name.as_str() {
            "promql-experimental-functions" => language.experimental_functions = true,
            "promql-extended-range-selectors" => language.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => language.binop_fill_modifiers = true,
            "promql-delayed-name-removal" | "promql-duration-expr" | "" => {}
            other => print!("  WARNING: Unknown feature passed to --enable-feature: {other}"),
        }
    }
    language
}

#[expect(clippy::disallowed_methods, reason = "rules are the user's files, not the server's data")]
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(file)
}

fn check(
    file: Option<&Path>,
    bytes: Vec<u8>,
    options: &RuleFileOptions,
    find_duplicates: bool,
    findings: &mut Findings,
) {
    let before = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
    let Ok(text) = String::from_utf8(bytes) else {
        eprintln!("  FAILED:\n{before}yaml: the file is not UTF-8");
        findings.faults = true;
        return;
    };
    let parsed = RuleFile::parse(&text, options);
    if parsed.as_ref().map_or_else(|e| e.has_more_documents, |f| f.has_more_documents) {
        eprintln!(
            "level=WARN msg=\"Multiple document yaml rules files are not supported, only the first document is processed\""
        );
    }
    let rules = match parsed {
        Ok(rules) => rules,
        Err(error) => {
            eprintln!("  FAILED:");
            for fault in error.faults {
                eprintln!("{before}{fault}");
            }
            findings.faults = true;
            return;
        }
    };
    let duplicates = if find_duplicates { rules.duplicates() } else { Vec::new() };
    if duplicates.is_empty() {
        println!("  SUCCESS: {} rules found\n", rules.rule_count());
        return;
    }
    eprintln!("  FAILED:\nlint error {} duplicate rule(s) found.", duplicates.len());
    for (name, labels) in duplicates {
        eprintln!("Metric: {name}\nLabel(s):");
        for (name, value) in labels {
            eprintln!("\t{name}: {value}");
        }
    }
    eprintln!("Might cause inconsistency while recording expressions");
    println!();
    findings.lints = true;
}
