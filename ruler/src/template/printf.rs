//! `printf` and `print` as Go's `fmt` has them.

use super::format::{format_float, general, special};
use super::value::Value;

/// Widest padding, and most digits.
const WIDTH_MAX: i64 = 1000;

/// Flags, width and precision of a directive.
#[derive(Debug, Clone, Default)]
struct Directive {
    minus: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    /// `%+v`
    plus_v: bool,
    /// `%#v`
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// A format under way.
struct Printer<'a> {
    format: std::iter::Peekable<std::str::Chars<'a>>,
    args: &'a [Value],
    /// Index of the next argument.
    next: usize,
    /// An argument was named by its number.
    reordered: bool,
    good_number: bool,
    out: String,
}

/// Go's `fmt.Sprintf`.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let format = format.chars().peekable();
    let mut printer =
        Printer { format, args, next: 0, reordered: false, good_number: true, out: String::new() };
    while let Some(c) = printer.format.next() {
        if c == '%' {
            printer.directive();
        } else {
            printer.out.push(c);
        }
    }
    if !printer.reordered && printer.next < args.len() {
        let rest: Vec<String> = args[printer.next..].iter().map(with_type).collect();
        printer.out.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    printer.out
}

fn with_type(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => format!("{}={}", value.type_name(), Directive::default().write('v', value)),
    }
}

/// Go's `fmt.Sprint`: blanks stand between what is no text.
pub(super) fn sprint(args: &[Value]) -> String {
    let is_text = |value: &Value| matches!(value, Value::Text(_) | Value::Html(_));
    let mut out = String::new();
    for (i, value) in args.iter().enumerate() {
        if i > 0 && !is_text(value) && !is_text(&args[i - 1]) {
            out.push(' ');
        }
        out.push_str(&plain(value));
    }
    out
}

/// `%v`
pub(super) fn plain(value: &Value) -> String {
    Directive::default().write('v', value)
}

impl Printer<'_> {
    fn directive(&mut self) {
        let mut d = Directive::default();
        self.good_number = true;
        while let Some(flag) = self.format.next_if(|c| "-0+# ".contains(*c)) {
            match flag {
                '-' => d.minus = true,
                '0' => d.zero = true,
                '+' => d.plus = true,
                '#' => d.sharp = true,
                _ => d.space = true,
            }
        }
        let mut behind_number = self.argument_number();
        if self.format.next_if_eq(&'*').is_some() {
            match self.int_argument() {
                Some(width) => {
                    d.minus |= width < 0;
                    d.width = Some(width.unsigned_abs() as usize);
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            behind_number = false;
        } else {
            d.width = self.figures();
            self.good_number &= !(behind_number && d.width.is_some());
        }
        if self.format.next_if_eq(&'.').is_some() {
            self.good_number &= !behind_number;
            behind_number = self.argument_number();
            if self.format.next_if_eq(&'*').is_some() {
                match self.int_argument() {
                    Some(precision) => d.precision = usize::try_from(precision).ok(),
                    None => self.out.push_str("%!(BADPREC)"),
                }
                behind_number = false;
            } else {
                d.precision = Some(self.figures().unwrap_or(0));
            }
        }
        if !behind_number {
            self.argument_number();
        }
        match self.format.next() {
            None => self.out.push_str("%!(NOVERB)"),
            Some('%') => self.out.push('%'),
            Some(verb) if !self.good_number => self.out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(verb) => match self.args.get(self.next) {
                None => self.out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    self.next += 1;
                    if verb == 'v' {
                        (d.sharp_v, d.sharp) = (d.sharp, false);
                        (d.plus_v, d.plus) = (d.plus, false);
                    }
                    self.out.push_str(&d.write(verb, value));
                }
            },
        }
    }

    fn figures(&mut self) -> Option<usize> {
        let mut value = None;
        while let Some(digit) = self.format.peek().and_then(|c| c.to_digit(10)) {
            value = Some((value.unwrap_or(0) * 10 + digit as usize).min(WIDTH_MAX as usize));
            self.format.next();
        }
        value
    }

    /// `[3]`: the number of the argument that comes next; whether there was a good one.
    fn argument_number(&mut self) -> bool {
        if self.format.peek() != Some(&'[') {
            return false;
        }
        self.reordered = true;
        let inside: String = self.format.clone().skip(1).take_while(|c| *c != ']').collect();
        let is_closed = self.format.clone().nth(inside.chars().count() + 1) == Some(']');
        let steps = if is_closed { inside.chars().count() + 2 } else { 1 };
        for _ in 0..steps {
            self.format.next();
        }
        match inside.parse::<usize>() {
            Ok(number) if is_closed && (1..=self.args.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            parsed => {
                self.good_number = false;
                is_closed && parsed.is_ok()
            }
        }
    }

    /// An argument that says a width or a precision.
    fn int_argument(&mut self) -> Option<i64> {
        let value = self.args.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(number) if (-WIDTH_MAX..=WIDTH_MAX).contains(number) => Some(*number),
            _ => None,
        }
    }
}

impl Directive {
    fn write(&self, verb: char, value: &Value) -> String {
        let known = match value {
            _ if verb == 'T' => Some(self.pad(self.cut(value.type_name()))),
            Value::Nil => (verb == 'v').then(|| self.pad("<nil>".to_owned())),
            Value::Bool(value) => matches!(verb, 't' | 'v').then(|| self.pad(value.to_string())),
            Value::Int(number) => self.integer(verb, *number),
            Value::Float(number) => self.float(verb, *number),
            Value::Text(text) | Value::Html(text) => self.text(verb, text),
            Value::Labels(labels) => Some(self.map(
                verb,
                "map[string]string",
                labels.iter().map(|(name, value)| (name, Value::Text(value.clone()))),
            )),
            Value::Args(args) => Some(self.map(
                verb,
                "map[string]interface {}",
                args.iter().map(|(name, value)| (name, value.clone())),
            )),
            Value::Sample(sample) => {
                let labels = self.write(verb, &Value::Labels(std::sync::Arc::new(sample.labels.clone())));
                let value = self.write(verb, &sample.value);
                Some(match self.plus_v {
                    true => format!("&{{Labels:{labels} Value:{value}}}"),
                    false => format!("&{{{labels} {value}}}"),
                })
            }
            other => self.text(verb, &other.show()),
        };
        known.unwrap_or_else(|| match value {
            Value::Nil => format!("%!{verb}(<nil>)"),
            value => format!("%!{verb}({}={})", value.type_name(), self.write('v', value)),
        })
    }

    fn map<'v>(
        &self,
        verb: char,
        type_name: &str,
        pairs: impl Iterator<Item = (&'v String, Value)>,
    ) -> String {
        let pairs: Vec<String> = pairs
            .map(|(name, value)| {
                let name = self.text(verb, name).unwrap_or_else(|| format!("%!{verb}(string={name})"));
                format!("{name}:{}", self.write(verb, &value))
            })
            .collect();
        match self.sharp_v {
            true => format!("{type_name}{{{}}}", pairs.join(", ")),
            false => format!("map[{}]", pairs.join(" ")),
        }
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn text(&self, verb: char, text: &str) -> Option<String> {
        match verb {
            'v' if self.sharp_v => Some(self.pad(quote(text, false))),
            'v' | 's' => Some(self.pad(self.cut(text))),
            'q' => {
                let text = self.cut(text);
                let plain = !text.contains(|c: char| c == '`' || (c.is_control() && c != '\t'));
                Some(self.pad(match self.sharp && plain {
                    true => format!("`{text}`"),
                    false => quote(&text, self.plus),
                }))
            }
            'x' | 'X' => {
                let bytes = text.bytes().take(self.precision.unwrap_or(usize::MAX));
                let pairs: Vec<String> = bytes
                    .map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") })
                    .collect();
                let prefix = if self.sharp { format!("0{verb}") } else { String::new() };
                let text = match (self.space, pairs.is_empty()) {
                    (_, true) => String::new(),
                    (true, _) => {
                        pairs.iter().map(|pair| format!("{prefix}{pair}")).collect::<Vec<_>>().join(" ")
                    }
                    (false, _) => format!("{prefix}{}", pairs.concat()),
                };
                Some(self.pad(text))
            }
            _ => None,
        }
    }

    fn integer(&self, verb: char, number: i64) -> Option<String> {
        let magnitude = number.unsigned_abs();
        let figures = match verb {
            'v' | 'd' => magnitude.to_string(),
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'c' | 'q' | 'U' => {
                let sign = u32::try_from(number).ok().and_then(char::from_u32);
                let c = sign.unwrap_or(char::REPLACEMENT_CHARACTER);
                return Some(self.pad(match verb {
                    'c' => c.to_string(),
                    'q' => quote_char(c, self.plus),
                    _ => {
                        let digits = self.precision.unwrap_or(4).max(4);
                        let is_shown = self.sharp && sign.is_some_and(|c| !c.is_control());
                        let shown = if is_shown { format!(" '{c}'") } else { String::new() };
                        format!("U+{magnitude:0digits$X}{shown}")
                    }
                }));
            }
            _ => return None,
        };
        let sign = match (number < 0, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        let digits = match (self.precision, self.width) {
            (Some(0), _) if number == 0 => return Some(" ".repeat(self.width.unwrap_or(0))),
            (Some(digits), _) => digits,
            (None, Some(width)) if self.zero && !self.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let figures = format!("{}{figures}", "0".repeat(digits.saturating_sub(figures.len())));
        let prefix = match verb {
            'O' => "0o",
            'b' if self.sharp => "0b",
            'o' if self.sharp && !figures.starts_with('0') => "0",
            'x' if self.sharp => "0x",
            'X' if self.sharp => "0X",
            _ => "",
        };
        let no_zeros = Directive { zero: false, ..self.clone() };
        Some(no_zeros.pad(format!("{sign}{prefix}{figures}")))
    }

    fn float(&self, verb: char, v: f64) -> Option<String> {
        if special(v).is_none() && !"vbgGxXfFeE".contains(verb) {
            return None;
        }
        let magnitude = v.abs();
        let unsigned = match verb {
            'b' => binary(magnitude),
            'x' => hexadecimal(magnitude, self.precision),
            'X' => hexadecimal(magnitude, self.precision).to_uppercase(),
            'v' | 'g' => {
                self.precision.map_or_else(|| format_float(magnitude), |p| general(magnitude, Some(p), 0))
            }
            'G' => self
                .precision
                .map_or_else(|| format_float(magnitude), |p| general(magnitude, Some(p), 0))
                .to_uppercase(),
            'f' | 'F' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => {
                let text = format!("{magnitude:.*e}", self.precision.unwrap_or(6));
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                let lower = format!("{mantissa}e{sign}{:02}", exponent.abs());
                if verb == 'E' { lower.to_uppercase() } else { lower }
            }
            _ => return None,
        };
        let positive = match (self.plus, self.space) {
            (true, _) => "+",
            (false, true) => " ",
            _ => "",
        };
        if let Some(text) = special(v) {
            let text = match (v.is_nan(), text.strip_prefix('+')) {
                (true, _) => format!("{positive}{text}"),
                (false, Some(inf)) if self.space && !self.plus => format!(" {inf}"),
                _ => text,
            };
            return Some(Directive { zero: false, ..self.clone() }.pad(text));
        }
        let sign = if v.is_sign_negative() { "-" } else { positive };
        let width = self.width.unwrap_or(0);
        let length = sign.len() + unsigned.len();
        if self.zero && !self.minus && width > length {
            return Some(format!("{sign}{}{unsigned}", "0".repeat(width - length)));
        }
        Some(self.pad(format!("{sign}{unsigned}")))
    }

    fn pad(&self, text: String) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        match (self.minus, self.zero) {
            (true, _) => text + &" ".repeat(missing),
            (false, true) => "0".repeat(missing) + &text,
            (false, false) => " ".repeat(missing) + &text,
        }
    }
}

fn quote(text: &str, ascii: bool) -> String {
    let quoted = model::go_quote(text);
    if !ascii {
        return quoted;
    }
    let escape = |c: char| match u32::from(c) {
        0..0x80 => c.to_string(),
        code @ 0x80..0x1_0000 => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    };
    quoted.chars().map(escape).collect()
}

fn quote_char(c: char, ascii: bool) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote(&c.to_string(), ascii);
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// Mantissa and power of two, as whole numbers.
fn binary(v: f64) -> String {
    let bits = v.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    format!("{mantissa}p{exponent:+}")
}

/// `0x1.8p+00`
fn hexadecimal(v: f64, digits: Option<usize>) -> String {
    if v == 0.0 {
        let zeros = digits.filter(|d| *d > 0).map_or_else(String::new, |d| format!(".{}", "0".repeat(d)));
        return format!("0x0{zeros}p+00");
    }
    let bits = v.to_bits();
    let mut exponent = (bits >> 52) as i32 & 0x7ff;
    let mut mantissa = bits & ((1 << 52) - 1);
    if exponent == 0 {
        exponent = 1;
        while mantissa & (1 << 52) == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
    }
    mantissa |= 1 << 52;
    if let Some(digits) = digits.filter(|d| *d < 13) {
        // half to even
        let shift = 52 - 4 * digits as u32;
        let (kept, rest, half) = (mantissa >> shift, mantissa & ((1 << shift) - 1), 1u64 << (shift - 1));
        let up = rest > half || (rest == half && kept & 1 == 1);
        mantissa = (kept + u64::from(up)) << shift;
        if mantissa >> 53 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let figures = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let figures = match digits {
        Some(digits) => format!("{figures:0<digits$}")[..digits].to_owned(),
        None => figures.trim_end_matches('0').to_owned(),
    };
    let point = if figures.is_empty() { "" } else { "." };
    let power = exponent - 1023;
    let sign = if power < 0 { '-' } else { '+' };
    format!("0x1{point}{figures}p{sign}{:02}", power.abs())
}
