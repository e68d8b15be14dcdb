//! What a unit test is given: rules and series.

use promql::test_script::{Command, LoadedSeries, parse_script};

use super::UnitTestOptions;
use crate::{RuleFile, RuleFileOptions};

/// A rule file's path as messages show it, and its text or why it could not be read.
#[derive(Debug, Clone)]
pub struct RuleSource {
    /// The path.
    pub path: String,
    /// The text.
    pub text: Result<String, String>,
}

/// Reads rule files; the first that cannot be used ends it.
pub(super) fn load_rules(
    sources: &[RuleSource],
    options: &UnitTestOptions,
) -> Result<Vec<RuleFile>, Vec<String>> {
    let options = RuleFileOptions {
        ignore_unknown_fields: options.ignore_unknown_fields,
        language: options.language.clone(),
    };
    let mut files = Vec::with_capacity(sources.len());
    for source in sources {
        let path = &source.path;
        let text = source.text.as_ref().map_err(|why| vec![format!("{path}: {why}")])?;
        let file = RuleFile::parse(text, &options);
        files.push(
            file.map_err(|e| e.faults.iter().map(|fault| format!("{path}: {fault}")).collect::<Vec<_>>())?,
        );
    }
    Ok(files)
}

/// Reads series in the notation of test scripts: a value every `interval`, described by (series, values).
pub(super) fn load_series(interval: &str, series: &[(String, String)]) -> Result<Vec<LoadedSeries>, String> {
    let mut script = format!("load {interval}\n");
    for (series, values) in series {
        script.push_str(&format!("  {series} {values}\n"));
    }
    // beginnings of lines that are no series would be other commands; they are refused like any other fault
    let script =
        parse_script("", &script).map_err(|error| match error.message.split_once(": parse error: ") {
            Some((place, message)) => {
                let column = place.rsplit_once(':').map_or(place, |(_, column)| column);
                format!("{}:{column}: parse error: {message}", error.line)
            }
            None => format!("{}:0: parse error: {}", error.line, error.message),
        })?;
    match script.commands.into_iter().next() {
        Some((_, Command::Load(series))) => Ok(series),
        _ => Err("no \"load\" command found".to_owned()),
    }
}
