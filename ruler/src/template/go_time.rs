//! Times in the layouts of Go, which show how a certain time would be written.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// What a layout holds and what stands for it; of two that begin alike the longer comes first.
const PARTS: [&str; 29] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "002",
    "15",
    "PM",
    "pm",
    "-07:00:00",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z07:00",
    "Z0700",
    "Z07",
    "_2",
    "1",
    "2",
    "3",
    "4",
];

/// The time as `layout` has it, in UTC.
pub(super) fn format(time: DateTime<Utc>, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((text, length)) = fraction(time, rest, &out) {
            out.push_str(&text);
            rest = &rest[length..];
            continue;
        }
        match PARTS.iter().find(|part| is_here(rest, part)) {
            Some(part) => {
                out.push_str(&written(time, part));
                rest = &rest[part.len()..];
            }
            None if rest.starts_with('5') => {
                out.push_str(&time.second().to_string());
                rest = &rest[1..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Whether a part stands at the beginning: `Jan` in `January` and `Janet` is none of its own.
fn is_here(rest: &str, part: &str) -> bool {
    let Some(behind) = rest.strip_prefix(part) else { return false };
    match part {
        "Jan" | "Mon" => !behind.starts_with(|c: char| c.is_ascii_lowercase()),
        "_2" => !behind.starts_with("006"),
        _ => true,
    }
}

fn written(time: DateTime<Utc>, part: &str) -> String {
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match part {
        "January" => time.format("%B").to_string(),
        "Jan" => time.format("%b").to_string(),
        "Monday" => time.format("%A").to_string(),
        "Mon" => time.format("%a").to_string(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", time.year()),
        "06" => format!("{:02}", time.year().rem_euclid(100)),
        "01" => format!("{:02}", time.month()),
        "1" => time.month().to_string(),
        "02" => format!("{:02}", time.day()),
        "_2" => format!("{:2}", time.day()),
        "2" => time.day().to_string(),
        "002" => format!("{:03}", time.ordinal()),
        "15" => format!("{:02}", time.hour()),
        "03" => format!("{hour:02}"),
        "3" => hour.to_string(),
        "04" => format!("{:02}", time.minute()),
        "4" => time.minute().to_string(),
        "05" => format!("{:02}", time.second()),
        "PM" => if time.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        "pm" => if time.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        "-07:00:00" => "+00:00:00".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07" => "+00".to_owned(),
        // `Z…` of UTC
        _ => "Z".to_owned(),
    }
}

/// `.000` or `.999` behind seconds: what it stands for, and its length.
fn fraction(time: DateTime<Utc>, rest: &str, before: &str) -> Option<(String, usize)> {
    let point = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = rest[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest[1..].len() - rest[1..].trim_start_matches(digit).len();
    let follows = rest[1 + digits..].chars().next();
    if follows.is_some_and(|c| c.is_ascii_digit()) || !before.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{:09}", time.nanosecond());
    let shown = format!("{nanos:0<digits$}")[..digits].to_owned();
    let length = 1 + digits;
    if digit == '0' {
        return Some((format!("{point}{shown}"), length));
    }
    let shown = shown.trim_end_matches('0');
    Some((if shown.is_empty() { String::new() } else { format!("{point}{shown}") }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_layout_is() {
        let time = DateTime::from_timestamp(1_700_000_000, 500_000_000).expect("a time");
        for (layout, wanted) in [
            ("2006-01-02T15:04:05Z07:00", "2023-11-14T22:13:20Z"),
            ("Mon Jan _2 15:04:05.000 MST 2006", "Tue Nov 14 22:13:20.500 UTC 2023"),
            ("Monday, 2 January 06 3:04:5.999PM -0700", "Tuesday, 14 November 23 10:13:20.5PM +0000"),
            ("day 002 of 1/2", "day 318 of 11/14"),
            ("é x", "é x"),
        ] {
            assert_eq!(format(time, layout), wanted, "{layout}");
        }
    }
}
