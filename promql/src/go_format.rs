//! Numbers, strings and times as Go prints them.

/// Digits and decimal exponent (value = 0.d1d2… × 10^exponent) of a finite positive number, shortest form.
fn shortest_digits(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn rounded_digits(value: f64, count: usize) -> (String, i32) {
    let text = format!("{value:.*e}", count.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let trimmed = digits.trim_end_matches('0');
    let digits = if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() };
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else if value == 0.0 {
        Some(if value.is_sign_negative() { "-0" } else { "0" }.to_owned())
    } else {
        None
    }
}

fn layout(negative: bool, digits: &str, point: i32, precision: i32) -> String {
    let exponent = point - 1;
    let sign = if negative { "-" } else { "" };
    if exponent < -4 || exponent >= precision {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let esign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{dot}{rest}e{esign}{:02}", exponent.abs());
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if point <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point >= count {
        format!("{sign}{digits}{}", "0".repeat((point - count).unsigned_abs() as usize))
    } else {
        let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
        format!("{sign}{whole}.{fraction}")
    }
}

/// `%g`, shortest.
pub(crate) fn format_g(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, point) = shortest_digits(value.abs());
    // the shortest form turns to exponents where six digits would
    layout(value < 0.0, &digits, point, 6)
}

/// `%.Ng`.
pub(crate) fn format_g_digits(value: f64, digits: usize) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (text, point) = rounded_digits(value.abs(), digits);
    layout(value < 0.0, &text, point, i32::try_from(digits).unwrap_or(i32::MAX))
}

/// `strconv.FormatFloat(v, 'f', -1, 64)`.
pub(crate) fn format_f(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    format!("{value}")
}

/// `%f`: six digits after the point.
pub(crate) fn format_fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { format_g(value) }
}

/// A float as OpenMetrics writes it: always with a point or an exponent.
pub(crate) fn format_open_metrics(value: f64) -> String {
    if value == 1.0 {
        return "1.0".to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    if value == -1.0 {
        return "-1.0".to_owned();
    }
    let text = format_g(value);
    if text.contains(['e', '.', 'N', 'I']) { text } else { format!("{text}.0") }
}

/// `%q` for what labels and names hold.
pub(crate) fn quote(text: &str) -> String {
    crate::ast::go_quote(text)
}

/// Seconds precision, UTC.
pub(crate) fn rfc3339(t_ms: i64) -> String {
    let civil = crate::functions::Civil::from_unix(t_ms / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_go_does() {
        assert_eq!(format_g(0.5), "0.5");
        assert_eq!(format_g(1e-7), "1e-07");
        assert_eq!(format_g(100.0), "100");
        assert_eq!(format_g(1e21), "1e+21");
        assert_eq!(format_g(123_456_789.0), "1.23456789e+08");
        assert_eq!(format_g(-1.1), "-1.1");
        assert_eq!(format_g(f64::INFINITY), "+Inf");
        assert_eq!(format_g_digits(123.0, 2), "1.2e+02");
        assert_eq!(format_g_digits(1.0, 2), "1");
        assert_eq!(format_f(1e30), "1000000000000000000000000000000");
        assert_eq!(format_open_metrics(0.99), "0.99");
        assert_eq!(format_open_metrics(2.0), "2.0");
    }
}
