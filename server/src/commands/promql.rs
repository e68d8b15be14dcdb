//! `epimetheus promql format|label-matchers`: lays expressions out and changes them as promtool does.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result};
use model::Matcher;
use promql::ast::{Expr, VectorSelector};
use promql::parse::parse;

use super::check_rules::language;
use crate::cli::{FeatureArgs, LabelMatchersCommand, PromqlCommand};

/// Runs the command.
pub(crate) fn run(command: &PromqlCommand) -> Result<ExitCode> {
    match command {
        PromqlCommand::Format { expr, features } => edit(expr, features, &mut |_| {}),
        PromqlCommand::LabelMatchers(LabelMatchersCommand::Set { op, expr, name, value, features }) => {
            let matcher = match Matcher::new(*op, name, value) {
                Ok(matcher) => matcher,
                Err(error) => {
                    eprintln!("{error}");
                    return Ok(ExitCode::FAILURE);
                }
            };
            edit(expr, features, &mut |selector| {
                let mut is_new = true;
                for known in selector.matchers.iter_mut().filter(|known| known.name() == name) {
                    *known = matcher.clone();
                    is_new = false;
                }
                if is_new {
                    selector.matchers.push(matcher.clone());
                }
            })
        }
        PromqlCommand::LabelMatchers(LabelMatchersCommand::Delete { expr, name, features }) => {
            edit(expr, features, &mut |selector| selector.matchers.retain(|known| known.name() != name))
        }
    }
}

/// Prints the expression laid out, its selectors changed.
fn edit(expr: &str, features: &FeatureArgs, change: &mut dyn FnMut(&mut VectorSelector)) -> Result<ExitCode> {
    let text = match expr {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        expr => expr.to_owned(),
    };
    match parse(&text, &language(features)) {
        Ok(mut expr) => {
            change_selectors(&mut expr, change);
            println!("{}", expr.prettify());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn change_selectors(expr: &mut Expr, change: &mut dyn FnMut(&mut VectorSelector)) {
    match expr {
        Expr::VectorSelector(selector) => change(selector),
        Expr::MatrixSelector(matrix) => change(&mut matrix.selector),
        other => {
            for child in other.children_mut() {
                change_selectors(child, change);
            }
        }
    }
}
