//! Which form a reader takes: the `Accept` header, read as Prometheus reads it.

use std::collections::HashMap;

use super::escape::Escaping;

/// Clauses of a header that are looked at.
const CLAUSES_MAX: usize = 64;
const PROTOBUF: &str = "application/vnd.google.protobuf";
const FAMILY: &str = "io.prometheus.client.MetricFamily";

/// How families are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Text 0.0.4.
    Text,
    /// Protobuf, each family after its length.
    Protobuf,
}

/// How families are written, and what becomes of names that are not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exposition {
    pub(crate) encoding: Encoding,
    pub(crate) escaping: Escaping,
}

/// One clause of the header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: f64,
    parameters: HashMap<&'a str, &'a str>,
}

impl Exposition {
    /// The first form of `accept` (in the reader's order of preference) that we write; else text.
    pub(crate) fn accepted(accept: &str) -> Self {
        let mut escaping = Escaping::Underscores;
        for clause in clauses(accept) {
            let parameter = |name: &str| clause.parameters.get(name).copied().unwrap_or("");
            if let Some(known) = Escaping::named(parameter("escaping")) {
                escaping = known;
            }
            let media_type = (clause.kind, clause.subtype);
            if media_type == PROTOBUF.split_once('/').unwrap_or_default()
                && parameter("proto") == FAMILY
                && parameter("encoding") == "delimited"
            {
                return Exposition { encoding: Encoding::Protobuf, escaping };
            }
            if media_type == ("text", "plain") && matches!(parameter("version"), "" | "0.0.4") {
                return Exposition { encoding: Encoding::Text, escaping };
            }
        }
        Exposition { encoding: Encoding::Text, escaping }
    }

    /// The answer's `Content-Type`.
    pub(crate) fn content_type(&self) -> String {
        let escaping = self.escaping.name();
        match self.encoding {
            Encoding::Text => format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}"),
            Encoding::Protobuf => {
                format!("{PROTOBUF}; proto={FAMILY}; encoding=delimited; escaping={escaping}")
            }
        }
    }
}

/// The clauses, most wanted first. What is no clause is left out.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut out: Vec<Clause<'_>> = accept.split(',').take(CLAUSES_MAX).filter_map(clause).collect();
    // The order that Prometheus's library gives: its comparison is none that a sort could rely on, so the same
    // steps are taken here.
    for i in 1..out.len() {
        let mut at = i;
        while at > 0 && before(&out[at], &out[at - 1]) {
            out.swap(at, at - 1);
            at -= 1;
        }
    }
    out
}

fn before(a: &Clause<'_>, b: &Clause<'_>) -> bool {
    a.weight > b.weight || (a.kind != "*" && b.kind == "*") || (a.subtype != "*" && b.subtype == "*")
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let blanks = |text| str::trim_matches(text, ' ');
    let mut parts = blanks(text).split(';');
    let media_type = parts.next().unwrap_or("");
    let (kind, subtype) = match media_type.split_once('/') {
        Some((kind, subtype)) if !subtype.is_empty() && !subtype.contains('/') => {
            (blanks(kind), blanks(subtype))
        }
        _ if blanks(media_type.trim_end_matches('/')) == "*" => ("*", "*"),
        _ => return None,
    };
    let mut clause = Clause { kind, subtype, weight: 1.0, parameters: HashMap::new() };
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) if !value.is_empty() && !value.contains('=') => match blanks(name) {
                "q" => clause.weight = value.parse().unwrap_or(0.0),
                name => {
                    clause.parameters.insert(name, blanks(value));
                }
            },
            _ => {}
        }
    }
    Some(clause)
}

/// Reads `data` as the header; never panics.
pub fn fuzz_accept(data: &[u8]) {
    let chosen = Exposition::accepted(&String::from_utf8_lossy(data));
    assert!(chosen.content_type().contains("escaping="), "every answer says how names are written");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(accept: &str) -> (Encoding, &'static str) {
        let chosen = Exposition::accepted(accept);
        (chosen.encoding, chosen.escaping.name())
    }

    #[test]
    fn the_readers_wish_decides() {
        let proto =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        assert_eq!(of(""), (Encoding::Text, "underscores"));
        assert_eq!(of(proto), (Encoding::Protobuf, "underscores"));
        assert_eq!(of(&format!("{proto};q=0.5,text/plain;q=0.4")), (Encoding::Protobuf, "underscores"));
        assert_eq!(
            of(&format!("{proto};q=0.5,text/plain;version=0.0.4;q=0.7")),
            (Encoding::Text, "underscores")
        );
        assert_eq!(of(&format!("{proto}; escaping=allow-utf-8")), (Encoding::Protobuf, "allow-utf-8"));
        // a clause before the chosen one tells the escaping too
        assert_eq!(of(&format!("a/b;escaping=dots,{proto}")), (Encoding::Protobuf, "dots"));
        assert_eq!(of("text/plain;escaping=nonsense"), (Encoding::Text, "underscores"));
        assert_eq!(of("application/vnd.google.protobuf;encoding=delimited"), (Encoding::Text, "underscores"));
        assert_eq!(of(&format!("*/*;q=0.9,{proto};q=0.1")), (Encoding::Protobuf, "underscores"));
        assert_eq!(of("application/openmetrics-text;version=1.0.0"), (Encoding::Text, "underscores"));
    }

    proptest! {
        #[test]
        fn any_header_chooses_something(data: Vec<u8>) {
            fuzz_accept(&data);
        }

        #[test]
        fn pieces_of_headers_choose_something(parts in prop::collection::vec("(text|\\*)?/(plain|\\*)?(;q=0?\\.?[0-9]?|;a=b|;=| )", 0..20)) {
            fuzz_accept(parts.join(",").as_bytes());
        }
    }
}
