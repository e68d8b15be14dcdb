//! Parameters of a request: the posted form first, then the URL, as Go merges them.

use super::time::quote;

/// Parameters in order; a name may come several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    posted: Vec<(String, String)>,
    query: Vec<(String, String)>,
    fault: Option<String>,
}

impl Form {
    /// Reads a posted form and a URL's query. What cannot be decoded is left out, as Go does.
    pub(crate) fn parse(posted: &[u8], query: &str) -> Self {
        let (mut of_form, mut of_url) = (None, None);
        Form {
            posted: pairs(posted, &mut of_form),
            query: pairs(query.as_bytes(), &mut of_url),
            fault: of_form.or(of_url),
        }
    }

    /// Why something was left out, in Go's words. Few requests fail for it.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The first value of `name`, or "".
    pub(crate) fn get(&self, name: &str) -> &str {
        self.posted.iter().chain(&self.query).find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The first value of `name` in the URL, or "".
    pub(crate) fn of_url(&self, name: &str) -> &str {
        self.query.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.posted.iter().chain(&self.query).filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn pairs(text: &[u8], fault: &mut Option<String>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        if pair.contains(&b';') {
            *fault = Some("invalid semicolon separator in query".to_owned());
            continue;
        }
        let mut halves = pair.splitn(2, |b| *b == b'=');
        let mut half = || {
            let text = halves.next().unwrap_or(b"");
            let bytes = unescape(text, true);
            if bytes.is_none() && fault.is_none() {
                *fault = Some(format!("invalid URL escape {}", quote(&broken_escape(text))));
            }
            bytes
        };
        if let Some(name) = half()
            && let Some(value) = half()
        {
            pairs.push((lossy(name), lossy(value)));
        }
    }
    pairs
}

/// The first `%` that is not followed by two digits, with what follows it.
fn broken_escape(text: &[u8]) -> String {
    let is_broken = |at: &usize| {
        text[*at] == b'%'
            && !text.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    let at = (0..text.len()).find(is_broken).unwrap_or(0);
    String::from_utf8_lossy(&text[at..text.len().min(at + 3)]).into_owned()
}

/// UTF-8, what is none replaced.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Resolves `%XX`, and `+` when it stands for a blank. `None` for a broken escape.
pub(crate) fn unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            b'+' if plus => b' ',
            other => *other,
        });
    }
    Some(out)
}

/// Reads `data` as a form and looks at it; never panics.
pub fn fuzz_form(data: &[u8]) {
    let form = Form::parse(data, &String::from_utf8_lossy(data));
    let _values = (form.get("query").len(), form.all("match[]").count(), form.of_url("type").len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_posted_form_comes_before_the_url() {
        let form = Form::parse(b"query=a+b&match[]=x&match%5B%5D=y%7B%7D", "query=c&match[]=z&type=alert");
        assert_eq!(form.get("query"), "a b");
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["x", "y{}", "z"]);
        assert_eq!(form.of_url("type"), "alert");
        assert_eq!(form.get("none"), "");
    }

    #[test]
    fn what_cannot_be_decoded_is_left_out() {
        let form = Form::parse(b"a=%zz&b=%4&c=1&d;e=2&f&=x&g=%ff", "");
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("f")), ("", "", "1", ""));
        assert_eq!(form.get("d;e"), "");
        assert_eq!(form.get("g"), "\u{fffd}");
    }

    #[test]
    fn what_is_left_out_is_told() {
        for (posted, query, fault) in [
            ("a=%zz&b=%4", "", Some("invalid URL escape \"%zz\"")),
            ("a=1&%", "c;d", Some("invalid URL escape \"%\"")),
            ("a=%zz&c;d", "", Some("invalid semicolon separator in query")),
            ("a=1", "b=%41%4", Some("invalid URL escape \"%4\"")),
            ("a=%41&&=", "b", None),
        ] {
            assert_eq!(Form::parse(posted.as_bytes(), query).fault(), fault, "{posted} {query}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_form(data: Vec<u8>) {
            fuzz_form(&data);
        }

        #[test]
        fn what_is_escaped_reads_back(value: String) {
            let escaped: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            let form = Form::parse(format!("v={escaped}").as_bytes(), "");
            prop_assert_eq!(form.get("v"), value);
        }
    }
}
