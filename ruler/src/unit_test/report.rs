//! How the tests of a file went, and the same as JUnit XML.

use chrono::{DateTime, Local};
use model::TimestampMs;

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// Its name; `unnamed#3` when it has none.
    pub name: String,
    /// What went wrong, one text each.
    pub failures: Vec<String>,
}

/// What came of the tests of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitTestReport {
    /// When the first test began; `None`: none did.
    pub started: Option<TimestampMs>,
    /// Why the file cannot be used; then no test ran.
    pub aborted: Option<String>,
    /// The tests that ran.
    pub cases: Vec<CaseReport>,
}

impl UnitTestReport {
    /// Of a file that cannot be used.
    pub fn aborted(why: String) -> Self {
        UnitTestReport { aborted: Some(why), ..UnitTestReport::default() }
    }

    /// All that went wrong; nothing when every test succeeded.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        let of_cases = self.cases.iter().flat_map(|case| &case.failures);
        self.aborted.iter().chain(of_cases).map(String::as_str)
    }
}

/// The reports of files, by their paths, in the format of JUnit.
pub fn junit_xml(reports: &[(String, UnitTestReport)]) -> String {
    let mut xml = "<testsuites>".to_owned();
    for (path, report) in reports {
        // why a file cannot be used is told of a test that is not there
        let cases = report.cases.len().max(usize::from(report.aborted.is_some()));
        let failures: usize = report.cases.iter().map(|case| case.failures.len()).sum();
        let started = report.started.and_then(DateTime::from_timestamp_millis);
        let started = started.map(|time| time.with_timezone(&Local).format("%Y-%m-%dT%H:%M:%S").to_string());
        xml.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{cases}\" failures=\"{failures}\" errors=\"{}\" skipped=\"0\" timestamp=\"{}\">",
            escape(path),
            usize::from(report.aborted.is_some()),
            started.unwrap_or_default()
        ));
        for case in &report.cases {
            xml.push_str(&format!("<testcase name=\"{}\">", escape(&case.name)));
            for failure in &case.failures {
                xml.push_str(&format!("<failure>{}</failure>", escape(failure)));
            }
            xml.push_str("</testcase>");
        }
        if let Some(why) = &report.aborted {
            xml.push_str(&format!("<testcase name=\"unknown\"><error>{}</error></testcase>", escape(why)));
        }
        xml.push_str("</testsuite>");
    }
    xml + "</testsuites>"
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            // XML has no way to say these
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_junit_xml() {
        let bad = UnitTestReport::aborted("no \"such\" file\n".to_owned());
        let case = |name: &str, failures: &[&str]| CaseReport {
            name: name.to_owned(),
            failures: failures.iter().map(|&f| f.to_owned()).collect(),
        };
        let mixed = UnitTestReport {
            started: None,
            aborted: None,
            cases: vec![case("<a>", &["x\u{1}", "y"]), case("b", &[])],
        };
        assert_eq!(mixed.failures().collect::<Vec<_>>(), ["x\u{1}", "y"]);
        assert_eq!(
            junit_xml(&[("f".to_owned(), bad), ("g".to_owned(), mixed)]),
            "<testsuites>\
             <testsuite name=\"f\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"\">\
             <testcase name=\"unknown\"><error>no &#34;such&#34; file&#xA;</error></testcase></testsuite>\
             <testsuite name=\"g\" tests=\"2\" failures=\"2\" errors=\"0\" skipped=\"0\" timestamp=\"\">\
             <testcase name=\"&lt;a&gt;\"><failure>x\u{fffd}</failure><failure>y</failure></testcase>\
             <testcase name=\"b\"></testcase></testsuite></testsuites>"
        );
    }
}
