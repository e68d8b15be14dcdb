//! Lengths of time in rule files and in tests of rules.

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub i64);

impl Span {
    /// Reads a duration.
    ///
    /// # Errors
    /// Prometheus's text when it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let nanos = model::parse_duration_ns(text).map_err(|error| error.to_string())?;
        Ok(Span(nanos / 1_000_000))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&model::format_duration_ms(self.0))
    }
}
