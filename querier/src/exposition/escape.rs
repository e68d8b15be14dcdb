//! Names that are not letters, digits, `_` and `:`, for readers that take no others.

use proto::exposition::MetricFamily;

/// What becomes of such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// It stays.
    AllowUtf8,
    /// What cannot stand there becomes `_`.
    Underscores,
    /// Dots become `_dot_`, the rest `__`.
    Dots,
    /// `U__` and the characters' numbers.
    Values,
}

impl Escaping {
    /// By the name that headers use.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values]
            .into_iter()
            .find(|e| e.name() == name)
    }

    /// The name that headers use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// Escapes the names of a family and of its labels.
    pub(super) fn family(self, family: &mut MetricFamily) {
        if self == Escaping::AllowUtf8 {
            return;
        }
        let labels = family.metric.iter_mut().flat_map(|m| &mut m.label).map(|l| &mut l.name);
        for name in labels.chain([&mut family.name]).flatten() {
            if !is_plain(name) {
                *name = self.escape(name);
            }
        }
    }

    fn escape(self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (i, c) in name.char_indices() {
            match (self, c) {
                (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (_, c) if is_plain_char(c, i == 0) => out.push(c),
                (Escaping::Dots, _) => out.push_str("__"),
                (Escaping::Values, c) => out.push_str(&format!("_{:x}_", u32::from(c))),
                _ => out.push('_'),
            }
        }
        out
    }
}

fn is_plain_char(c: char, first: bool) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && !first)
}

/// Whether every reader takes the name.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.char_indices().all(|(i, c)| is_plain_char(c, i == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_the_reader_wants() {
        let name = "1my.näme_x:y";
        assert_eq!(Escaping::Underscores.escape(name), "_my_n_me_x:y");
        assert_eq!(Escaping::Dots.escape(name), "__my_dot_n__me__x:y");
        assert_eq!(Escaping::Values.escape(name), "U___31_my_2e_n_e4_me__x:y");
        assert!(is_plain("a_b:c1") && !is_plain("1a") && !is_plain("a.b") && !is_plain(""));
        for escaping in [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values] {
            assert_eq!(Escaping::named(escaping.name()), Some(escaping));
        }
    }
}
