//! Functions of numbers and texts.

use std::net::IpAddr;

use model::Replacer;

use super::format::four_digits;
use super::functions::{Called, Failure, text};
use super::literal;
use super::printf::sprint;
use super::value::Value;

pub(super) fn call(name: &str, args: &[Value]) -> Called {
    let done = |text: String| Ok(Value::Text(text));
    match name {
        "safeHtml" => Ok(Value::Html(text(args, 0)?.to_owned())),
        "toUpper" => done(text(args, 0)?.to_uppercase()),
        "toLower" => done(text(args, 0)?.to_lowercase()),
        "title" => done(title(text(args, 0)?)),
        "match" => match Replacer::searching(text(args, 0)?) {
            Ok(regex) => Ok(Value::Bool(regex.is_match(text(args, 1)?))),
            Err(why) => Err(Failure::Call(format!("error parsing regexp: {why}"))),
        },
        "reReplaceAll" => {
            let pattern = text(args, 0)?;
            match Replacer::searching(pattern) {
                Ok(regex) => done(regex.replace_all(text(args, 2)?, text(args, 1)?)),
                Err(why) => {
                    // a pattern with back quotes is shown in double ones
                    let shown =
                        if pattern.contains('`') { model::go_quote(pattern) } else { format!("`{pattern}`") };
                    Err(Failure::Call(format!("regexp: Compile({shown}): error parsing regexp: {why}")))
                }
            }
        }
        "graphLink" => done(format!("/graph?g0.expr={}&g0.tab=0", query_escape(text(args, 0)?))),
        "tableLink" => done(format!("/graph?g0.expr={}&g0.tab=1", query_escape(text(args, 0)?))),
        "urlQueryEscape" => done(query_escape(text(args, 0)?)),
        "urlquery" => done(query_escape(&joined(args))),
        "html" => done(html(&joined(args))),
        "js" => done(js(&joined(args))),
        "stripPort" => {
            let host = text(args, 0)?;
            done(split_host_port(host).map_or_else(|| host.to_owned(), |(host, _)| host.to_owned()))
        }
        "stripDomain" => done(strip_domain(text(args, 0)?)),
        "parseDuration" => {
            let text = text(args, 0)?;
            let (sign, magnitude) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
            let nanos = model::parse_duration_ns(magnitude).map_err(|e| Failure::Call(e.to_string()))?;
            Ok(Value::Float(sign * nanos as f64 / 1e9))
        }
        "humanize" => done(humanize(float(&args[0])?)),
        "humanize1024" => done(humanize_1024(float(&args[0])?)),
        "humanizePercentage" => done(format!("{}%", four_digits(float(&args[0])? * 100.0))),
        "humanizeDuration" => done(humanize_duration(float(&args[0])?)),
        "humanizeTimestamp" => {
            let seconds = float(&args[0])?;
            if seconds.is_nan() || seconds.is_infinite() {
                return done(four_digits(seconds));
            }
            done(time(seconds)?.show())
        }
        "toTime" => {
            let seconds = float(&args[0])?;
            if seconds.is_nan() || seconds.is_infinite() {
                return Err(Failure::Call("value is NaN or Inf".to_owned()));
            }
            time(seconds)
        }
        "toDuration" => Ok(Value::Duration((float(&args[0])? * 1e9) as i64)),
        _ => Err(Failure::Call("there is no such function".to_owned())),
    }
}

fn joined(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => text.clone(),
        _ => {
            let shown = |value: &Value| match value {
                Value::Nil | Value::Sample(_) => Value::Text(value.show()),
                value => value.clone(),
            };
            sprint(&args.iter().map(shown).collect::<Vec<_>>())
        }
    }
}

/// A number out of what can be one.
fn float(value: &Value) -> Result<f64, Failure> {
    match value {
        Value::Float(v) => Ok(*v),
        Value::Int(v) => Ok(*v as f64),
        Value::Text(text) => {
            let quoted = model::go_quote(text);
            let fault = |why| Failure::Call(format!("strconv.ParseFloat: parsing {quoted}: {why}"));
            literal::float(text).ok_or_else(|| match text.parse::<f64>() {
                Ok(number) if number.is_infinite() => fault("value out of range"),
                _ => fault("invalid syntax"),
            })
        }
        other => Err(Failure::Call(format!("can't convert {} to float", other.type_name()))),
    }
}

fn time(seconds: f64) -> Called {
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        let shown = super::format_float(seconds);
        let why =
            format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64");
        return Err(Failure::Call(why));
    }
    // milliseconds are what samples have
    Ok(Value::Time(i128::from(nanos as i64) / 1_000_000 * 1_000_000))
}

/// Divides while it is large, multiplies while it is small.
fn scaled(v: f64, base: f64, prefixes: &[&'static str], grow: bool) -> (f64, &'static str) {
    let (mut v, mut chosen) = (v, "");
    for prefix in prefixes {
        if (grow && v.abs() < base) || (!grow && v.abs() >= 1.0) {
            break;
        }
        chosen = prefix;
        if grow {
            v /= base;
        } else {
            v *= base;
        }
    }
    (v, chosen)
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 {
        scaled(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"], true)
    } else {
        scaled(v, 1000.0, &SMALL, false)
    };
    format!("{}{prefix}", four_digits(v))
}

fn humanize_1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = scaled(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], true);
    format!("{}{prefix}", four_digits(v))
}

fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return four_digits(v);
    }
    if v == 0.0 {
        return format!("{}s", four_digits(v));
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scaled(v, 1000.0, &SMALL, false);
        return format!("{}{prefix}s", four_digits(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    // what is too large becomes the least there is, as on Prometheus's machines
    let whole = if v >= i64::MAX as f64 { i64::MIN } else { v as i64 };
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(v)),
        (0, 0, m) => format!("{sign}{m}m {seconds}s"),
        (0, h, m) => format!("{sign}{h}h {m}m {seconds}s"),
        (d, h, m) => format!("{sign}{d}d {h}h {m}m {seconds}s"),
    }
}

/// The first letter of every word large.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !inside && c.is_alphabetic() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        // figures go on with a word, but do not begin it
        inside = c.is_alphabetic() || inside && (c.is_numeric() || matches!(c, '\'' | '_' | '.' | ':'));
    }
    out
}

pub(super) fn query_escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn html(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '\0' => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn js(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' => r"\\".to_owned(),
        '\'' => r"\'".to_owned(),
        '"' => "\\\"".to_owned(),
        '<' | '>' | '&' | '=' => format!("\\u{:04X}", u32::from(c)),
        c if c < ' ' || (c > '~' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))) => {
            format!("\\u{:04X}", u32::from(c))
        }
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Host and port; `None` when there is no port.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let brackets = |part: &str| part.contains(['[', ']']);
    (!brackets(host) && !brackets(port)).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let first = host.split('.').next().unwrap_or(host);
    match port {
        "" => first.to_owned(),
        port if first.contains(':') => format!("[{first}]:{port}"),
        port => format!("{first}:{port}"),
    }
}
