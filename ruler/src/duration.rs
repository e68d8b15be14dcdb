//! Durations as Prometheus's files write them: `15d`, `1h30m`, `500ms`.

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub i64);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, factor) in UNITS {
            // years and weeks only when nothing is left over
            if matches!(name, "y" | "w") && rest % factor != 0 {
                continue;
            }
            if rest >= factor {
                write!(f, "{}{name}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// Reads a duration in milliseconds; units descend and come once.
///
/// # Errors
/// Prometheus's text when it is none.
pub(crate) fn parse_ms(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let bad = || format!("not a valid duration string: {}", promql::go_quote(text));
    let range = || "duration out of range".to_owned();
    let mut rest = text;
    let mut smaller = 0;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0).ok_or_else(bad)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            let (unit, text) = (promql::go_quote(unit), promql::go_quote(text));
            return Err(format!("unknown unit {unit} in duration {text}"));
        };
        if at < smaller {
            return Err(bad());
        }
        smaller = at + 1;
        let number = i64::try_from(number).map_err(|_| range())?;
        let (_, factor) = UNITS[at];
        total = number.checked_mul(factor).and_then(|ms| total.checked_add(ms)).ok_or_else(range)?;
        rest = behind;
    }
    // nanoseconds must fit
    if total > i64::MAX / 1_000_000 { Err(range()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_prometheus_does() {
        assert_eq!(parse_ms("1h30m"), Ok(5_400_000));
        assert_eq!(parse_ms("0"), Ok(0));
        assert_eq!(parse_ms(""), Err("empty duration string".into()));
        for bad in ["1", "h", "1m1h", "-1h", " 1h", "99999999999999999999s"] {
            assert_eq!(parse_ms(bad), Err(format!("not a valid duration string: \"{bad}\"")));
        }
        assert_eq!(parse_ms("1.5h"), Err("unknown unit \".\" in duration \"1.5h\"".into()));
        assert_eq!(parse_ms("300y"), Err("duration out of range".into()));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..1_000_000_000_000i64) {
            prop_assert_eq!(parse_ms(&Span(ms).to_string()), Ok(ms));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, figures in "[0-9ywdhms]{0,24}") {
            let _refused = (parse_ms(&text), parse_ms(&figures));
        }
    }
}
