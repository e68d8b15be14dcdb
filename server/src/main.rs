//! The binary `epimetheus`: reads the command line and runs what it asks for.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to its user")]

mod cli;
mod commands;
mod config;
mod config_file;
mod data;
mod door;
mod http;
mod landing;
mod memory;
mod metrics;
mod node;
mod readings;
mod self_scrape;
mod status;
mod target;
mod tenant;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, TestCommand};

// The allocator of the shipped binary: returns memory to the system and does not fragment under churn.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => commands::serve::run(&cli.serve),
        Some(Command::Serve(args)) => commands::serve::run(&args),
        Some(Command::Query(query)) => commands::query::run(&query),
        Some(Command::Promql { command, .. }) => commands::promql::run(&command),
        Some(Command::Blocks(blocks)) => commands::blocks::run(&blocks),
        Some(Command::Check(check)) => commands::check_rules::run(&check),
        Some(Command::Test(TestCommand::Rules(args))) => commands::test_rules::run(&args),
        Some(Command::Test(TestCommand::Promql(args))) => commands::test_promql::run(&args),
        Some(Command::Wal(wal)) => commands::wal::run(&wal),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("epimetheus: {error:#}");
            ExitCode::FAILURE
        }
    }
}
