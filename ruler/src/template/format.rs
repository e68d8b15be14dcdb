//! Numbers and times as Go prints them.

/// `%v` of a float: as few digits as read back equal, an exponent below 1e-4 and from 1e6.
pub fn format_float(v: f64) -> String {
    general(v, None, 6)
}

pub(super) fn special(v: f64) -> Option<String> {
    if v.is_nan() {
        Some("NaN".to_owned())
    } else if v.is_infinite() {
        Some(if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

/// `%g` with so many digits; `exponent_from`: with an exponent from this power of ten on.
pub(super) fn general(v: f64, digits: Option<usize>, exponent_from: i32) -> String {
    if let Some(text) = special(v) {
        return text;
    }
    let text = match digits {
        Some(digits) => format!("{:.*e}", digits.max(1) - 1, v),
        None => format!("{v:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let mut figures: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    while figures.len() > 1 && figures.ends_with('0') {
        figures.pop();
    }
    let limit = digits.map_or(exponent_from, |d| i32::try_from(d.max(1)).unwrap_or(i32::MAX));
    if exponent < -4 || exponent >= limit {
        let (first, rest) = figures.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let esign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{esign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{figures}");
    }
    let whole = exponent as usize + 1;
    if figures.len() <= whole {
        return format!("{sign}{figures}{}", "0".repeat(whole - figures.len()));
    }
    format!("{sign}{}.{}", &figures[..whole], &figures[whole..])
}

/// `%.4g`
pub(super) fn four_digits(v: f64) -> String {
    general(v, Some(4), 4)
}

/// `2006-01-02 15:04:05.999999999 +0000 UTC`
pub(super) fn format_time(nanos: i128) -> String {
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let time = i64::try_from(seconds).ok().and_then(|s| chrono::DateTime::from_timestamp(s, 0));
    let Some(time) = time else { return seconds.to_string() };
    let fraction = format!("{rest:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction} +0000 UTC", time.format("%Y-%m-%d %H:%M:%S"))
}

/// `1h2m3.5s`
pub(crate) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let trimmed = |value: f64| {
        let text = format!("{value:.9}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", trimmed(magnitude as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", trimmed(magnitude as f64 / 1e6)),
        _ => {
            let (minutes, rest) = (magnitude / 60_000_000_000, magnitude % 60_000_000_000);
            let seconds = trimmed(rest as f64 / 1e9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}
