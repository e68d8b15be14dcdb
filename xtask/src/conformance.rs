//! Everything that needs parts from outside, in one run that fails when a part is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::end_to_end;
use crate::process::program;

/// The absolute path of the binary under test: `EPIMETHEUS`, or built now in the profile that the tests use.
pub(crate) fn binary() -> Result<PathBuf> {
    if std::env::var_os("EPIMETHEUS").is_some() {
        // Absolute, for `cargo test` runs each test binary in the folder of its crate.
        return Ok(std::path::absolute(program("EPIMETHEUS", "epimetheus")?)?);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(&cargo).args(["build", "--workspace", "--bins", "--tests"]).status()?;
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
    part("promql scripts", promql_scripts(&binary, false));
    part("promql scripts through storage", promql_scripts(&binary, true));
    for (name, result) in end_to_end::run(&binary)? {
        part(&name, result);
    }
    println!("\n{passed} passed, {failed} failed");
    ensure!(failed == 0, "conformance failed");
    Ok(())
}

/// Evaluations of Prometheus's scripts that must pass; raised as more of the language is there.
const PROMQL_EVALUATIONS_MIN: [(bool, u64); 2] = [(false, 2214), (true, 2214)];

fn promql_scripts(binary: &Path, storage: bool) -> Result<String> {
    let dir = std::env::var("PROMQLTEST_DIR").context("PROMQLTEST_DIR is not set")?;
    let mut command = Command::new(binary);
    command.args(["test", "promql"]);
    if storage {
        command.arg("--storage");
    }
    let output = command.arg(&dir).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or("").to_owned();
    let count = |what: &str| -> Option<u64> {
        last.split(", ").find_map(|part| part.strip_suffix(what)).and_then(|n| n.trim().parse().ok())
    };
    let passed = count(" passed").with_context(|| format!("no count at the end of: {text}"))?;
    let minimum = PROMQL_EVALUATIONS_MIN.iter().find(|(s, _)| *s == storage).map_or(0, |(_, m)| *m);
    ensure!(passed >= minimum, "{last}; at least {minimum} must pass\n{text}");
    Ok(format!("{last} (at least {minimum} must pass)"))
}
