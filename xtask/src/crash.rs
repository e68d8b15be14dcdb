//! Many rounds of the crash test that `cargo test` runs a few of.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// Runs `rounds` of kill -9 under load against `binary`.
pub(crate) fn run(binary: &Path, rounds: u32) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--test", "it", "kill_9_under_load", "--", "--nocapture"])
        .env("CRASH_ROUNDS", rounds.to_string())
        .env("EPIMETHEUS", binary)
        .status()?;
    ensure!(status.success(), "crash rounds failed");
    Ok(())
}
