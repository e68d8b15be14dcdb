//! Lines of start timestamps: `metric{a="b"}@st _ -1m -30s+1sx3`, offsets relative to the samples of the next line.

use model::Labels;

use crate::parse::parse_series_desc;

const MAX_VALUES: usize = 1 << 20;

/// Whether the line's first word ends in `@st`.
pub(super) fn is_start_line(line: &str) -> bool {
    line.split_once([' ', '\t']).is_some_and(|(first, _)| first.ends_with("@st"))
}

/// The labels and one offset in milliseconds, or none, per sample.
pub(super) fn parse_start_line(line: &str) -> Result<(Labels, Vec<Option<i64>>), String> {
    let (first, items) = line.split_once([' ', '\t']).ok_or("invalid @st line: missing value sequence")?;
    let metric = first.strip_suffix("@st").unwrap_or(first);
    let described =
        parse_series_desc(metric).map_err(|e| format!("invalid @st line metric {metric:?}: {e}"))?;
    let mut offsets = Vec::new();
    for item in items.split_whitespace() {
        expand(item, &mut offsets)
            .map_err(|e| format!("invalid @st sequence: invalid ST item {item:?}: {e}"))?;
    }
    Ok((described.labels, offsets))
}

fn expand(item: &str, offsets: &mut Vec<Option<i64>>) -> Result<(), String> {
    let mut push = |first: Option<i64>, step: i64, count: usize| {
        if count > MAX_VALUES - offsets.len().min(MAX_VALUES) {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        let mut value = first;
        for _ in 0..count {
            offsets.push(value);
            value = value.map(|v| v.saturating_add(step));
        }
        Ok(())
    };
    if item == "_" {
        return push(None, 0, 1);
    }
    if let Some(count) = item.strip_prefix("_x") {
        return match repeat(count)? {
            0 => Err("invalid repeat count".to_owned()),
            count => push(None, 0, count),
        };
    }
    let (base, rest) = duration(item)?;
    if rest.is_empty() {
        return push(Some(base), 0, 1);
    }
    if let Some(count) = rest.strip_prefix('x') {
        return push(Some(base), 0, repeat(count)?.saturating_add(1));
    }
    let (step, rest) = match rest.strip_prefix('-') {
        Some(rest) => duration(rest).map(|(step, rest)| (-step, rest))?,
        None => duration(rest.strip_prefix('+').ok_or("unexpected character after duration")?)?,
    };
    let count = rest.strip_prefix('x').ok_or("expected 'x<count>' after step duration")?;
    push(Some(base), step, repeat(count)?.saturating_add(1))
}

fn repeat(count: &str) -> Result<usize, String> {
    count.parse().map_err(|_| "invalid repeat count".to_owned())
}

/// A duration with or without a sign at the beginning of `text`, in milliseconds, and the rest.
fn duration(text: &str) -> Result<(i64, &str), String> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Err(format!("expected digits in duration {text:?}"));
    }
    let (_, after) = unsigned.split_at(digits);
    let unit = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic() && c != 'x').len();
    let (duration, rest) = unsigned.split_at(digits + unit);
    let ms = model::parse_duration_ns(duration).map_err(|error| error.to_string())? / 1_000_000;
    Ok((if negative { -ms } else { ms }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_expand() {
        assert!(is_start_line("m{a=\"b\"}@st _ 1m") && !is_start_line("m@st") && !is_start_line("m 1@st"));
        let (labels, offsets) = parse_start_line("m{a=\"b\"}@st _ _x2 -30s-1mx2 0s 5msx1").unwrap();
        assert_eq!(labels.get("a"), Some("b"));
        assert_eq!(
            offsets,
            [None, None, None, Some(-30_000), Some(-90_000), Some(-150_000), Some(0), Some(5), Some(5)]
        );
        for bad in ["m@st _x0", "m@st 5", "m@st 5m1", "m@st 1m+1m", "m@st x", "m@st 1mx9999999999"] {
            assert!(parse_start_line(bad).is_err(), "{bad}");
        }
    }
}
