//! Everything that needs parts from outside, in one run that fails when a part is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::program;
use crate::{differential, end_to_end, promtool as tool};

/// The absolute path of the binary under test: `EPIMETHEUS`, or built now in the profile that the tests use.
pub(crate) fn binary() -> Result<PathBuf> {
    if std::env::var_os("EPIMETHEUS").is_some() {
        // Absolute, for `cargo test` runs each test binary in the folder of its crate.
        return Ok(std::path::absolute(program("EPIMETHEUS", "epimetheus")?)?);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // as the tests are built: nothing is compiled a second time
    let status = Command::new(&cargo).args(["test", "--workspace", "--no-run"]).status()?;
    ensure!(status.success(), "build failed");
    let output = Command::new(&cargo).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("debug/epimetheus"))
}

/// Runs all parts; the last lines count them.
pub(crate) fn run() -> Result<()> {
    let binary = binary()?;
    let mut passed = 0u32;
    let mut failed = 0u32;
    let mut part = |name: &str, result: Result<String>| match result {
        Ok(line) => {
            passed += 1;
            println!("{name}: ok: {line}");
        }
        Err(error) => {
            failed += 1;
            println!("{name}: FAILED: {error:#}");
        }
    };
    for (name, result) in promql_scripts(&binary)? {
        part(&name, result);
    }
    for (name, result) in tool::run(&binary)? {
        part(&name, result);
    }
    for (name, result) in generated_queries(&binary) {
        part(name, result);
    }
    for (name, result) in end_to_end::run(&binary)? {
        part(&name, result);
    }
    println!("\n{passed} passed, {failed} failed");
    ensure!(failed == 0, "conformance failed");
    Ok(())
}

/// Compares with promtool alone.
pub(crate) fn promtool() -> Result<()> {
    let mut failed = 0u32;
    for (name, result) in tool::run(&binary()?)? {
        match result {
            Ok(line) => println!("{name}: ok: {line}"),
            Err(error) => {
                failed += 1;
                println!("{name}: FAILED: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} comparisons failed");
    Ok(())
}

/// Evaluations that Prometheus's scripts hold at least, all together.
const PROMQL_EVALUATIONS_MIN: u64 = 2214;

/// How the data of a script is held.
const WAYS: [(&str, &[&str]); 3] =
    [("", &[]), (" through storage", &["--storage"]), (" through three nodes", &["--storage", "--nodes=3"])];

/// Every script of `PROMQLTEST_DIR` by itself, every way, and how many evaluations they held.
fn promql_scripts(binary: &Path) -> Result<Vec<(String, Result<String>)>> {
    let dir = std::env::var("PROMQLTEST_DIR").context("PROMQLTEST_DIR is not set")?;
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.clone())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "test") {
            scripts.push(path);
        }
    }
    scripts.sort();
    let mut parts = Vec::new();
    for (way, flags) in WAYS {
        let mut total = 0;
        for path in &scripts {
            let result = promql_script(binary, path, flags);
            total += *result.as_ref().unwrap_or(&0);
            let line = result.map(|passed| format!("{passed} evaluations"));
            parts.push((format!("promql script{way} {}", path.display()), line));
        }
        let enough = (total >= PROMQL_EVALUATIONS_MIN)
            .then(|| format!("{total} evaluations in {} scripts", scripts.len()))
            .with_context(|| format!("{total} evaluations passed, not {PROMQL_EVALUATIONS_MIN}"));
        parts.push((format!("promql scripts{way}"), enough));
    }
    Ok(parts)
}

/// How many evaluations of one script passed; an error when any failed.
fn promql_script(binary: &Path, script: &Path, flags: &[&str]) -> Result<u64> {
    let mut command = Command::new(binary);
    command.args(["test", "promql", "--verbose"]).args(flags);
    let output = command.arg(script).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or("");
    let passed = last.split(", ").find_map(|part| part.strip_suffix(" passed")?.trim().parse().ok());
    let passed = passed.with_context(|| {
        format!("no count at the end of: {text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(output.status.success(), "{text}");
    Ok(passed)
}

/// What today's Prometheus knows behind flags, and we too.
const FEATURES: &str =
    "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers";
/// Of generated data and queries in each run.
const SEED: u64 = 42;

/// Generated queries against both versions of Prometheus, from heads and from blocks.
fn generated_queries(binary: &Path) -> Vec<(&'static str, Result<String>)> {
    let run = |variable: &str, default: &str, features: &str, queries: u64, flush: bool| {
        let mut options = differential::Options::new(program(variable, default)?);
        options.queries = queries;
        options.seed = SEED;
        options.features = features.to_owned();
        options.flush = flush;
        // of the older one, only what today's answers otherwise may differ
        options.today = Some(program("PROMETHEUS3", "prometheus3")?);
        differential::run(binary, &options)
    };
    let delayed = format!("{FEATURES},promql-delayed-name-removal");
    vec![
        ("generated queries, older Prometheus", run("PROMETHEUS2", "prometheus", "", 4000, false)),
        ("generated queries, today's Prometheus", run("PROMETHEUS3", "prometheus3", FEATURES, 3000, false)),
        ("generated queries, ours from blocks", run("PROMETHEUS3", "prometheus3", FEATURES, 2000, true)),
        ("generated queries, names dropped late", run("PROMETHEUS3", "prometheus3", &delayed, 1000, false)),
    ]
}
