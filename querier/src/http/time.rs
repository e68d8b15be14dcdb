//! Times, durations and limits as parameters: Prometheus's grammar, Prometheus's error texts.

use chrono::DateTime;

const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// Prometheus's first and last time: what it writes for "no start" and "no end", in Unix seconds.
const FIRST_SECOND: i64 = i64::MIN / 1000 + 62_135_596_801;
const LAST_SECOND: i64 = i64::MAX / 1000 - 62_135_596_801;

/// Seconds from the year 1, Go's first moment, to 1970.
const SECONDS_BEFORE_1970: i64 = 62_135_596_800;

/// A point in time, Unix nanoseconds. In the order of Go's times, whose seconds are counted from the year 1 in 64 bits:
/// what lies beyond their end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) i128);

impl Time {
    /// Earliest there is: the default of `start`.
    pub(crate) const FIRST: Time = Time(FIRST_SECOND as i128 * NANOS_PER_SECOND);
    /// Latest there is: the default of `end`.
    pub(crate) const LAST: Time = Time(LAST_SECOND as i128 * NANOS_PER_SECOND + 999_999_999);

    pub(crate) fn from_ms(ms: i64) -> Self {
        Time(i128::from(ms) * 1_000_000)
    }

    fn of_unix(second: i64, nanos: i64) -> Self {
        let second = second.wrapping_add(nanos.div_euclid(1_000_000_000));
        let nanos = nanos.rem_euclid(1_000_000_000);
        let from_year_1 = i128::from(second.wrapping_add(SECONDS_BEFORE_1970));
        Time((from_year_1 - i128::from(SECONDS_BEFORE_1970)) * NANOS_PER_SECOND + i128::from(nanos))
    }

    /// Whole milliseconds, rounded down; what does not fit wraps around.
    pub(crate) fn ms(self) -> i64 {
        let second = self.0.div_euclid(NANOS_PER_SECOND) as i64;
        second.wrapping_mul(1000).wrapping_add(self.0.rem_euclid(NANOS_PER_SECOND) as i64 / 1_000_000)
    }

    /// Milliseconds as the engine of Prometheus takes them: by way of nanoseconds, 292 years around 1970, beyond which
    /// they wrap around.
    pub(crate) fn evaluation_ms(self) -> i64 {
        self.0 as i64 / 1_000_000
    }
}

/// Reads Unix seconds (rounded to milliseconds) or RFC 3339.
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    if let Some(seconds) = parse_float(text) {
        let whole = seconds.trunc();
        let fraction = ((seconds - whole) * 1000.0).round() / 1000.0;
        return Ok(Time::of_unix(integer(whole), integer(fraction * 1e9)));
    } else if let Some(time) = parse_rfc3339(text) {
        return Ok(time);
    }
    match text {
        "-292273086-05-16T16:47:06Z" => Ok(Time::FIRST),
        "292277025-08-18T07:12:54.999999999Z" => Ok(Time::LAST),
        _ => Err(format!("cannot parse {} to a valid timestamp", quote(text))),
    }
}

/// As processors convert: what is no 64-bit integer, NaN too, becomes the least.
fn integer(value: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&value) { value as i64 } else { i64::MIN }
}

/// Reads parameter `name`; `default` when it is not there.
pub(crate) fn parse_time_parameter(name: &str, text: &str, default: Time) -> Result<Time, String> {
    if text.is_empty() {
        return Ok(default);
    }
    parse_time(text).map_err(|e| format!("invalid time value for '{name}': {e}"))
}

fn parse_rfc3339(text: &str) -> Option<Time> {
    // chrono takes lower case, blanks and leap seconds, Go takes a comma and zones of up to 24 hours and 60 minutes
    let strict = text.is_ascii()
        && text.as_bytes().get(10) == Some(&b'T')
        && !text.contains(['t', 'z', ' '])
        && text.as_bytes().get(17) != Some(&b'6');
    if !strict {
        return None;
    }
    let (local, ahead) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, zone_seconds(zone)?)
        }
    };
    let time = DateTime::parse_from_rfc3339(&(local.replacen(',', ".", 1) + "Z")).ok()?;
    let second = i128::from(time.timestamp() - ahead);
    Some(Time(second * NANOS_PER_SECOND + i128::from(time.timestamp_subsec_nanos())))
}

/// `+hh:mm` in seconds.
fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |digits: &str, most: i64| -> Option<i64> {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|n| plain && *n <= most)
    };
    Some(sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

/// Reads seconds or `1h30m` as nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(text)));
        }
        // NaN becomes 0
        return Ok(nanos as i64);
    }
    model::parse_duration_ns(text).map_err(|_| format!("cannot parse {} to a valid duration", quote(text)))
}

/// A float as Go reads it: no overflow to infinity, `_` between digits.
fn parse_float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let between_digits =
        |i: usize| i > 0 && bytes[i - 1].is_ascii_digit() && bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
    let v: f64 = if bytes.contains(&b'_') {
        if !(0..bytes.len()).all(|i| bytes[i] != b'_' || between_digits(i)) {
            return None;
        }
        text.replace('_', "").parse().ok()?
    } else {
        text.parse().ok()?
    };
    let spelt = text.bytes().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E'));
    if v.is_infinite() && !spelt { None } else { Some(v) }
}

/// Reads an integer as Go's `Atoi` does, with its error text.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|e| {
        let why = match e.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {why}", quote(text))
    })
}

/// Reads `limit`: 0, or nothing there, means no limit.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let limit = parse_integer(text)?;
    usize::try_from(limit).map_err(|_| "limit must be non-negative".to_owned())
}

/// In double quotes, with Go's escapes.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\0'..' ' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads `data` as each kind of parameter; never panics.
pub fn fuzz_time(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _read = (parse_time(&text).map(Time::ms), parse_duration(&text), parse_limit(&text), quote(&text));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> Option<i64> {
        parse_time(text).ok().map(Time::ms)
    }

    #[test]
    fn times_are_seconds_or_rfc3339() {
        for (text, expected) in [
            ("4", 4_000),
            ("1.5", 1_500),
            ("1435781451.781", 1_435_781_451_781),
            ("1.0005", 1_000),
            ("-0.0005", -1),
            ("-1.5", -1_500),
            ("1e3", 1_000_000),
            ("1_0", 10_000),
            ("1700000000000", 1_700_000_000_000_000),
            ("2020-01-01T00:00:00Z", 1_577_836_800_000),
            ("2020-01-01T00:00:00,5Z", 1_577_836_800_500),
            ("2020-01-01T00:00:00.123456789+01:00", 1_577_833_200_123),
            ("-292273086-05-16T16:47:06Z", Time::FIRST.ms()),
            ("292277025-08-18T07:12:54.999999999Z", Time::LAST.ms()),
        ] {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "1e400",
            "0x10",
            "2020-01-01t00:00:00z",
            "2020-01-01",
            "_1",
            "1_",
            "2020-01-01T00:00:00+24:01x",
            "2020-01-01T00:00:00+25:00",
            "2020-01-01T00:00:00+01:61",
            "2020-01-01T00:00:00+0100",
            "2020-01-01T00:00:00",
        ] {
            assert_eq!(ms(text), None, "{text}");
        }
        assert_eq!(ms("2020-01-01T00:00:60Z"), None);
        assert_eq!(parse_time("x").unwrap_err(), "cannot parse \"x\" to a valid timestamp");
    }

    #[test]
    fn times_wrap_where_those_of_prometheus_do() {
        for (text, expected) in [
            ("NaN", -9_223_372_036_854),
            ("-Inf", -9_223_372_036_854),
            ("1e30", 0),
            ("9223372036854775807", 0),
            ("9999999999", -8_446_744_074_709),
            ("9999-12-31T23:59:59Z", -4_852_116_232_933),
            ("0001-01-01T00:00:00Z", -6_795_364_578_871),
            ("1970-01-01T00:50:00+24:00", -83_400_000),
            ("1970-01-01T00:50:00.9999-24:60", 93_000_999),
            ("1969-12-31T23:59:59.9995Z", 0),
            ("-0.0005", -1),
        ] {
            assert_eq!(parse_time(text).map(Time::evaluation_ms), Ok(expected), "{text}");
        }
        assert!(parse_time("Inf").unwrap() < parse_time("0").unwrap());
        assert!(parse_time("NaN").unwrap() < parse_time("-1e12").unwrap());
    }

    #[test]
    fn durations_are_seconds_or_units_from_large_to_small() {
        let second = 1_000_000_000;
        for (text, expected) in [
            ("15", 15 * second),
            ("0.5", second / 2),
            ("-1", -second),
            ("NaN", 0),
            ("1h30m", 5_400 * second),
            ("5ms", 5_000_000),
            ("1y", 365 * 86_400 * second),
            ("2w1d", 15 * 86_400 * second),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "-1s", "1d1w", "1m1m", "1.5h", "300y", "h", "1h ", "99999999999999999999h"] {
            let expected = format!("cannot parse \"{text}\" to a valid duration");
            assert_eq!(parse_duration(text), Err(expected));
        }
        let overflow = parse_duration("1e300").unwrap_err();
        assert_eq!(overflow, "cannot parse \"1e300\" to a valid duration. It overflows int64");
    }

    #[test]
    fn limits_are_integers_from_zero() {
        assert_eq!(parse_limit(""), Ok(0));
        assert_eq!(parse_limit("+5"), Ok(5));
        assert_eq!(parse_limit("x").unwrap_err(), "strconv.Atoi: parsing \"x\": invalid syntax");
        assert_eq!(
            parse_limit("99999999999999999999").unwrap_err(),
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(parse_limit("-1").unwrap_err(), "limit must be non-negative");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data: Vec<u8>) {
            fuzz_time(&data);
        }

        #[test]
        fn near_misses_are_read_without_panic(text in "[-+0-9.eE_TZ:, yhdmsinfaNé]{0,30}") {
            fuzz_time(text.as_bytes());
        }
    }
}
