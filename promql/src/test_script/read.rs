//! Reading a script.

use std::collections::HashMap;

use model::{Labels, TimestampMs};

use crate::engine::SampleValue;
use crate::parse::{SequenceValue, parse_number, parse_series_desc, unquote};

use super::classic::with_custom_buckets;
use super::script::{
    Command, Eval, EvalTime, Expectation, Expected, ExpectedSeries, LoadedSample, LoadedSeries, Script,
    TextMatch,
};
use super::start_times::{is_start_line, parse_start_line};

/// A script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ScriptError {
    /// The script's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a script. Queries are not parsed here: one that does not parse fails when it is run.
pub fn parse_script(name: &str, text: &str) -> Result<Script, ScriptError> {
    let lines = text.lines().map(|l| l.trim()).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut reader = Reader { lines, at: 0 };
    let mut commands = Vec::new();
    while let Some(line) = reader.lines.get(reader.at).copied() {
        let number = reader.at + 1;
        reader.at += 1;
        let word = line.split([' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let command = match word.as_str() {
            "" => continue,
            "clear" => Ok(Command::Clear),
            word if word.starts_with("load") => reader.load(line),
            word if word.starts_with("eval") => reader.eval(line),
            _ => Err(format!("invalid command {line:?}")),
        };
        match command {
            Ok(command) => commands.push((number, command)),
            Err(message) => {
                // The reader stands behind the line it could not read.
                return Err(ScriptError { file: name.to_owned(), line: reader.at, message });
            }
        }
    }
    Ok(Script { name: name.to_owned(), commands })
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    /// Index of the next line.
    at: usize,
}

fn duration_ms(text: &str, what: &str) -> Result<i64, String> {
    match model::parse_duration_ns(text) {
        Ok(ns) => Ok(ns / 1_000_000),
        Err(why) => Err(format!("invalid {what} {text:?}: {why}")),
    }
}

/// Start, end and step, read and in order.
fn range_ms(from: &str, to: &str, step: &str) -> Result<(TimestampMs, TimestampMs, i64), String> {
    let start = duration_ms(from, "start timestamp definition")?;
    let end = duration_ms(to, "end timestamp definition")?;
    if end < start {
        return Err(format!("end timestamp ({to}) is before start timestamp ({from})"));
    }
    Ok((start, end, duration_ms(step, "step definition")?))
}

/// The first word and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

impl<'a> Reader<'a> {
    /// The next line of the block, unless the block ends here.
    fn block_line(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at).copied().filter(|l| !l.is_empty())?;
        self.at += 1;
        Some(line)
    }

    fn load(&mut self, line: &str) -> Result<Command, String> {
        let (command, step) = word(line);
        let custom_buckets = match command {
            "load" => false,
            "load_with_nhcb" => true,
            _ => return Err("invalid load command. (load[_with_nhcb] <step:duration>)".to_owned()),
        };
        let gap = duration_ms(step, "step definition")?;
        let mut series: Vec<LoadedSeries> = Vec::new();
        let mut index: HashMap<Labels, usize> = HashMap::new();
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        while let Some(line) = self.block_line() {
            if is_start_line(line) {
                if starts.is_some() {
                    return Err("@st line has no following sample line".to_owned());
                }
                starts = Some(parse_start_line(line)?);
                continue;
            }
            let described = parse_series_desc(line).map_err(|e| e.to_string())?;
            let starts = match starts.take() {
                None => Vec::new(),
                Some((labels, _)) if labels != described.labels => {
                    return Err("@st metric does not match the following sample line metric".to_owned());
                }
                Some((_, starts)) if starts.len() != described.values.len() => {
                    let (a, b) = (starts.len(), described.values.len());
                    return Err(format!("@st line has {a} values but sample line has {b}"));
                }
                Some((_, starts)) => starts,
            };
            let loaded =
                LoadedSeries { samples: samples(&described.values, &starts, gap), labels: described.labels };
            match index.get(&loaded.labels).and_then(|&at| series.get_mut(at)) {
                // The last description of a series in a block counts.
                Some(earlier) => *earlier = loaded,
                None => {
                    index.insert(loaded.labels.clone(), series.len());
                    series.push(loaded);
                }
            }
        }
        if starts.is_some() {
            return Err("@st line has no following sample line".to_owned());
        }
        if custom_buckets {
            let more = with_custom_buckets(&series)?;
            series.extend(more);
        }
        Ok(Command::Load(series))
    }

    fn eval(&mut self, line: &str) -> Result<Command, String> {
        let usage = "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered|_info] instant at <offset:duration> \
                     <query>' or 'eval[_fail|_warn|_info] range from <from> to <to> step <step> <query>'";
        let usage = || usage.to_owned();
        let (command, rest) = word(line);
        let (kind, rest) = word(rest);
        let older = match (command, kind) {
            ("eval", _) => None,
            ("eval_fail", _) => Some(Expectation::Fail(TextMatch::Any)),
            ("eval_warn", _) => Some(Expectation::AnyWarn),
            ("eval_info", _) => Some(Expectation::AnyInfo),
            ("eval_ordered", "instant") => Some(Expectation::Ordered),
            _ => return Err(usage()),
        };
        let (time, query) = match kind {
            "instant" => {
                let (at, query) = keyword(rest, "at").ok_or_else(usage)?;
                (EvalTime::Instant(duration_ms(at, "timestamp definition")?), query)
            }
            "range" => {
                let (from, rest) = keyword(rest, "from").ok_or_else(usage)?;
                let (to, rest) = keyword(rest, "to").ok_or_else(usage)?;
                let (step, query) = keyword(rest, "step").ok_or_else(usage)?;
                let (start, end, step_ms) = range_ms(from, to, step)?;
                (EvalTime::Range { start, end, step_ms }, query)
            }
            _ => return Err(usage()),
        };
        if query.is_empty() {
            return Err(usage());
        }
        let mut eval = Eval {
            query: query.to_owned(),
            time,
            expected: Expected::Series(Vec::new()),
            range_vector: None,
            expectations: older.into_iter().collect(),
        };
        self.expectations(&mut eval)?;
        Ok(Command::Eval(Box::new(eval)))
    }

    fn expectations(&mut self, eval: &mut Eval) -> Result<(), String> {
        let mut position = 0;
        while let Some(line) = self.block_line() {
            if let Some(Expectation::Fail(text)) = eval.expectations.first_mut() {
                if let Some(message) = line.strip_prefix("expected_fail_message") {
                    *text = TextMatch::Exact(message.trim().to_owned());
                    return Ok(());
                }
                if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
                    *text = pattern_match(pattern)?;
                    return Ok(());
                }
            }
            if let Some(rest) = line.strip_prefix("expect range vector") {
                let parsed = keyword(rest, "from").and_then(|(from, rest)| {
                    let (to, rest) = keyword(rest, "to")?;
                    let (step, rest) = keyword(rest, "step")?;
                    rest.is_empty().then_some((from, to, step))
                });
                let (from, to, step) =
                    parsed.ok_or_else(|| format!("invalid range vector definition {line:?}"))?;
                eval.range_vector = Some(range_ms(from, to, step)?);
            } else if let Some(rest) = line.strip_prefix("expect string") {
                eval.expected = Expected::String(quoted(rest.trim())?);
            } else if line.split(' ').next() == Some("expect") {
                eval.expectations.push(expectation(line)?);
                consistent(&eval.expectations)?;
            } else if let Some(number) = signed_number(line) {
                eval.expected = Expected::Scalar(number);
                return Ok(());
            } else {
                position += 1;
                expected_series(eval, line, position)?;
            }
        }
        Ok(())
    }
}

/// The word after `name`, and what follows it.
fn keyword<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (first, rest) = word(text);
    if first != name {
        return None;
    }
    Some(word(rest)).filter(|(value, _)| !value.is_empty())
}

fn expected_series(eval: &mut Eval, line: &str, position: usize) -> Result<(), String> {
    let described = parse_series_desc(line).map_err(|e| e.to_string())?;
    let instant = matches!(eval.time, EvalTime::Instant(_));
    if described.values.len() > 1 && instant && eval.range_vector.is_none() {
        return Err("expecting multiple values in instant evaluation not allowed. consider using 'expect range vector' \
                    directive to enable a range vector result for an instant query"
            .to_owned());
    }
    let series = ExpectedSeries { labels: described.labels, position, values: described.values };
    match &mut eval.expected {
        Expected::Series(all) => {
            all.retain(|s| s.labels != series.labels);
            all.push(series);
        }
        other => *other = Expected::Series(vec![series]),
    }
    Ok(())
}

fn quoted(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("expected string literal not valid - a quoted string literal is required".to_owned());
    }
    unquote(text).ok_or_else(|| {
        "expected string literal not valid - check that the string is correctly quoted".to_owned()
    })
}

fn pattern_match(pattern: &str) -> Result<TextMatch, String> {
    let pattern = pattern.trim();
    regex::Regex::new(pattern).map(TextMatch::Pattern).map_err(|_| format!("invalid regex {pattern}"))
}

/// `expect <type> [<match type>: <text>]`
fn expectation(line: &str) -> Result<Expectation, String> {
    let invalid =
        || "invalid expect statement, must match `expect <type> <match_type>: <string>` format".to_owned();
    let (_, rest) = word(line);
    let (kind, rest) = word(rest);
    let text = if rest.is_empty() {
        TextMatch::Any
    } else if let Some(message) = rest.strip_prefix("msg:") {
        TextMatch::Exact(message.trim().to_owned())
    } else if let Some(pattern) = rest.strip_prefix("regex:") {
        pattern_match(pattern)?
    } else {
        return Err(invalid());
    };
    Ok(match kind {
        "ordered" => Expectation::Ordered,
        "fail" => Expectation::Fail(text),
        "warn" => Expectation::Warn(text),
        "no_warn" => Expectation::NoWarn,
        "info" => Expectation::Info(text),
        "no_info" => Expectation::NoInfo,
        _ => return Err(invalid()),
    })
}

fn consistent(all: &[Expectation]) -> Result<(), String> {
    let has = |test: fn(&Expectation) -> bool| all.iter().filter(|e| test(e)).count();
    if has(|e| matches!(e, Expectation::Info(_))) > 0 && has(|e| matches!(e, Expectation::NoInfo)) > 0 {
        return Err("invalid expect lines, info and no_info cannot be used together".to_owned());
    }
    if has(|e| matches!(e, Expectation::Warn(_))) > 0 && has(|e| matches!(e, Expectation::NoWarn)) > 0 {
        return Err("invalid expect lines, warn and no_warn cannot be used together".to_owned());
    }
    if has(|e| matches!(e, Expectation::Fail(_))) > 1 {
        return Err("invalid expect lines, multiple expect fail lines are not allowed".to_owned());
    }
    Ok(())
}

/// A number alone on a line.
fn signed_number(text: &str) -> Option<f64> {
    let (factor, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    parse_number(digits).ok().map(|value| factor * value)
}

/// The samples of a load line: a value per step from time 0.
fn samples(values: &[SequenceValue], starts: &[Option<i64>], gap: i64) -> Vec<LoadedSample> {
    let mut t = 0i64;
    let mut out = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let value = match value {
            SequenceValue::Omitted => None,
            SequenceValue::Float(f) => Some(SampleValue::Float(*f)),
            SequenceValue::Histogram { histogram, .. } => Some(SampleValue::Histogram(histogram.clone())),
        };
        if let Some(value) = value {
            let start_t = starts.get(i).copied().flatten().map(|offset| t.saturating_add(offset));
            out.push(LoadedSample { t, start_t, value });
        }
        t = t.saturating_add(gap);
    }
    out
}
