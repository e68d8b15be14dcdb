//! `epimetheus promql format`: lays an expression out as promtool does.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result};
use promql::parse::{ParseOptions, parse};

use crate::cli::PromqlCommand;

/// Runs the command.
pub(crate) fn run(command: &PromqlCommand) -> Result<ExitCode> {
    let PromqlCommand::Format { expr } = command;
    let text = match expr.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        expr => expr.to_owned(),
    };
    match parse(&text, &ParseOptions::all()) {
        Ok(expr) => {
            println!("{}", expr.prettify());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}
