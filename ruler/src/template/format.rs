//! Numbers and times as Go prints them, and `printf`.

use super::value::Value;

/// Widest padding, and most digits.
const WIDTH_MAX: usize = 1000;

/// `%v` of a float: as few digits as read back equal, an exponent below 1e-4 and from 1e6.
pub fn format_float(v: f64) -> String {
    general(v, None, 6)
}

fn special(v: f64) -> Option<String> {
    if v.is_nan() {
        Some("NaN".to_owned())
    } else if v.is_infinite() {
        Some(if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

/// `%g` with so many digits; `exponent_from`: with an exponent from this power of ten on.
fn general(v: f64, digits: Option<usize>, exponent_from: i32) -> String {
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

/// A directive of `printf`.
#[derive(Default)]
struct Directive {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    blank: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf` of what templates hold.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args_left = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut d = Directive::default();
        while let Some(flag) = chars.next_if(|c| "-0+# ".contains(*c)) {
            match flag {
                '-' => d.left = true,
                '0' => d.zero = true,
                '+' => d.plus = true,
                '#' => d.sharp = true,
                _ => d.blank = true,
            }
        }
        let mut number = || {
            let mut value = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                value = Some((value.unwrap_or(0) * 10 + digit as usize).min(WIDTH_MAX));
                chars.next();
            }
            value
        };
        d.width = number().unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut value = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                value = (value * 10 + digit as usize).min(WIDTH_MAX);
                chars.next();
            }
            d.precision = Some(value);
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args_left.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&d.write(verb, value)),
            },
        }
    }
    let rest: Vec<String> = args_left
        .map(|value| match value {
            Value::Nil => "<nil>".to_owned(),
            value => format!("{}={}", value.type_name(), value.show()),
        })
        .collect();
    if !rest.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    out
}

impl Directive {
    fn write(&self, verb: char, value: &Value) -> String {
        let bad = || match value {
            Value::Nil => format!("%!{verb}(<nil>)"),
            value => format!("%!{verb}({}={})", value.type_name(), value.show()),
        };
        let numeric = matches!(value, Value::Int(_) | Value::Float(_));
        let text = match (verb, value) {
            ('v', Value::Float(v)) => self.signed(match self.precision {
                Some(digits) => general(*v, Some(digits), 0),
                None => format_float(*v),
            }),
            ('v' | 'd', Value::Int(v)) => self.signed(v.to_string()),
            ('v', Value::Nil) => "<nil>".to_owned(),
            ('s' | 'v', Value::Text(text)) => match self.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text.clone(),
            },
            ('v', value) => value.show(),
            ('s', Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Nil) => return bad(),
            ('s', value) => value.show(),
            ('q', Value::Text(text)) => promql::go_quote(text),
            ('t', Value::Bool(value)) => value.to_string(),
            ('T', value) => value.type_name().to_owned(),
            ('f' | 'F', Value::Float(v)) => {
                self.signed(special(*v).unwrap_or_else(|| format!("{:.*}", self.precision.unwrap_or(6), v)))
            }
            ('g' | 'G', Value::Float(v)) => self.signed(match self.precision {
                Some(digits) => general(*v, Some(digits), 0),
                None => general(*v, None, 6),
            }),
            ('e' | 'E', Value::Float(v)) => {
                let text = special(*v).unwrap_or_else(|| {
                    let text = format!("{:.*e}", self.precision.unwrap_or(6), v);
                    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                    let exponent: i32 = exponent.parse().unwrap_or(0);
                    let sign = if exponent < 0 { '-' } else { '+' };
                    format!("{mantissa}e{sign}{:02}", exponent.abs())
                });
                self.signed(if verb == 'E' { text.to_uppercase() } else { text })
            }
            ('x', Value::Int(v)) => self.radix(*v, "0x", |m| format!("{m:x}")),
            ('X', Value::Int(v)) => self.radix(*v, "0X", |m| format!("{m:X}")),
            ('o', Value::Int(v)) => self.radix(*v, "0", |m| format!("{m:o}")),
            ('b', Value::Int(v)) => self.radix(*v, "0b", |m| format!("{m:b}")),
            ('c', Value::Int(v)) => {
                u32::try_from(*v).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
            }
            ('x' | 'X', Value::Text(text)) => {
                let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
                if verb == 'X' { hex.to_uppercase() } else { hex }
            }
            _ => return bad(),
        };
        self.pad(text, numeric)
    }

    fn radix(&self, v: i64, prefix: &str, digits: impl Fn(u64) -> String) -> String {
        let sign = if v < 0 { "-" } else { "" };
        let prefix = if self.sharp { prefix } else { "" };
        self.signed(format!("{sign}{prefix}{}", digits(v.unsigned_abs())))
    }

    fn signed(&self, text: String) -> String {
        if text.starts_with(['-', '+']) {
            // of infinity the sign is only told when asked for
            return text;
        }
        match (self.plus, self.blank) {
            (true, _) => format!("+{text}"),
            (false, true) => format!(" {text}"),
            (false, false) => text,
        }
    }

    fn pad(&self, text: String, numeric: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if missing == 0 {
            return text;
        }
        if self.left {
            return text + &" ".repeat(missing);
        }
        if self.zero && numeric && text.contains(|c: char| c.is_ascii_digit()) {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+', ' '])));
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        " ".repeat(missing) + &text
    }
}
