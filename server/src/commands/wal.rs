//! `epimetheus wal repair`: cuts a damaged log at the damage, and says what that loses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use runtime::Runtime;

use crate::cli::WalCommand;

/// Runs the command.
pub(crate) fn run(command: &WalCommand) -> Result<ExitCode> {
    let WalCommand::Repair { data_dir } = command;
    let data_dir = data_dir.clone().unwrap_or_else(|| PathBuf::from("./data"));
    repair(&data_dir)?;
    Ok(ExitCode::SUCCESS)
}

fn repair(data_dir: &Path) -> Result<()> {
    let runtime = Runtime::real();
    let report = cluster::repair(&*runtime.disk(), data_dir)?;
    if report.was_sound() {
        println!("the write-ahead log under {} is sound; nothing was changed", data_dir.display());
    }
    for (segment, byte, reason) in &report.damage {
        println!("{segment}: damaged at byte {byte}: {reason}; cut there, what came after is lost");
    }
    for file in &report.set_aside {
        println!("kept aside: {}", file.display());
    }
    Ok(())
}
