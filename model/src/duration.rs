//! Durations as Prometheus writes them: `15d`, `1h30m`, `500ms`.
//!
//! Units stand from large to small, each at most once; a year has 365 days. Nothing longer than 292 years fits.

use std::fmt::Write as _;
use std::time::Duration;

use crate::go_quote;

/// Name, milliseconds, and whether it is only written when nothing is left over.
const UNITS: [(&str, u64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];
const NANOS_PER_MS: u64 = 1_000_000;

/// Why a text is no duration; the messages are Prometheus's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no text.
    #[error("empty duration string")]
    Empty,
    /// Not numbers with units from large to small.
    #[error("not a valid duration string: {}", go_quote(.0))]
    Invalid(String),
    /// A number has a unit that there is not.
    #[error("unknown unit {} in duration {}", go_quote(unit), go_quote(text))]
    UnknownUnit {
        /// What stands for the unit.
        unit: String,
        /// All of the text.
        text: String,
    },
    /// More nanoseconds than 63 bits hold.
    #[error("duration out of range")]
    OutOfRange,
}

/// Reads a duration as nanoseconds; `0` needs no unit.
///
/// # Errors
/// When it is none, or is negative.
pub fn parse_duration_ns(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut total: u64 = 0;
    let mut larger = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(at) = UNITS.iter().position(|(name, ..)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        if at < larger {
            return Err(invalid());
        }
        larger = at + 1;
        let part = number.checked_mul(UNITS[at].1 * NANOS_PER_MS);
        total = part.and_then(|part| total.checked_add(part)).ok_or(DurationError::OutOfRange)?;
        if total > i64::MAX as u64 {
            return Err(DurationError::OutOfRange);
        }
        rest = behind;
    }
    i64::try_from(total).map_err(|_| DurationError::OutOfRange)
}

/// Reads a duration.
///
/// # Errors
/// When it is none, or is negative.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration_ns(text).map(|ns| Duration::from_nanos(ns.unsigned_abs()))
}

/// Milliseconds as `1d2h`, `90d`, `0s`: years and weeks only when nothing is left over.
pub fn format_duration_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if ms < 0 {
        text.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (unit, size, only_exact) in UNITS {
        if (only_exact && !rest.is_multiple_of(size)) || rest < size {
            continue;
        }
        let _never_fails = write!(text, "{}{unit}", rest / size);
        rest %= size;
    }
    text
}

/// As `format_duration_ms`; what is shorter than a millisecond is not told.
pub fn format_duration(duration: Duration) -> String {
    format_duration_ms(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_prometheus_does() {
        assert_eq!(parse_duration_ns("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration_ns("0"), Ok(0));
        assert_eq!(parse_duration_ns("0s"), Ok(0));
        assert_eq!(parse_duration("15d"), Ok(Duration::from_secs(15 * 86_400)));
        assert_eq!(parse_duration("1y2w3d4h5m6s7ms"), Ok(Duration::from_millis(33_019_506_007)));
        let text = |text| parse_duration_ns(text).expect_err("no duration").to_string();
        assert_eq!(text(""), "empty duration string");
        for bad in ["1", "h", "1m1h", "1h1h", "-1h", " 1h", "99999999999999999999s", "1h30"] {
            assert_eq!(text(bad), format!("not a valid duration string: \"{bad}\""));
        }
        assert_eq!(text("1.5h"), "unknown unit \".\" in duration \"1.5h\"");
        assert_eq!(text("1h "), "unknown unit \"h \" in duration \"1h \"");
        assert_eq!(text("300y"), "duration out of range");
        assert_eq!(text("292y180d"), "duration out of range");
        assert_eq!(text("18446744073709551615ms"), "duration out of range");
    }

    #[test]
    fn durations_print_as_prometheus_does() {
        let day = 86_400_000;
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1s500ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (7 * day, "1w"),
            (90 * day, "90d"),
            (365 * day, "1y"),
            (372 * day, "372d"),
            (-90_000, "-1m30s"),
        ] {
            assert_eq!(format_duration_ms(ms), text);
        }
        assert_eq!(format_duration(Duration::from_secs(15 * 86_400)), "15d");
        assert_eq!(format_duration(Duration::from_micros(999)), "0s");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in 0..9_000_000_000_000i64) {
            prop_assert_eq!(parse_duration_ns(&format_duration_ms(ms)), Ok(ms * 1_000_000));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, figures in "[0-9ywdhms]{0,24}") {
            let _refused = (parse_duration_ns(&text), parse_duration_ns(&figures));
        }
    }
}
