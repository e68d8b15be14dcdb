//! Our command line against promtool's: the same files, the same words, the same exit codes.
//!
//! The questions lie in `ruler/tests/promtool/`:
//! - `templates.txt`, `template_errors.txt`: templates, one a line (`⏎`: a line break), as annotations of alerts;
//! - `*.test.yml`: unit tests of rules; `*.rules.yml`: rule files to check; a first line `# flags: …` adds flags;
//! - `expressions.txt`: arguments of `promql`, one command a line, separated by ` ¦ `.
//!
//! What may differ is written here, in `Outcome::plain`, and nowhere else: the program's name, how long a test took,
//! when it ran, and what a logger puts around a message.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process::program;

/// Lines of a difference that are shown.
const SHOWN_MAX: usize = 20;
/// Bytes of such a line.
const LINE_MAX: usize = 300;

/// Runs all comparisons; each with a line about it.
pub(crate) fn run(binary: &Path) -> Result<Vec<(String, Result<String>)>> {
    let tools = Tools {
        ours: binary.to_owned(),
        theirs: program("PROMTOOL", "promtool")?,
        questions: Path::new(env!("CARGO_MANIFEST_DIR")).join("../ruler/tests/promtool").canonicalize()?,
    };
    Ok(vec![
        ("promtool: templates".to_owned(), tools.templates()),
        ("promtool: texts that are no templates".to_owned(), tools.template_errors()),
        ("promtool: test rules".to_owned(), tools.files(".test.yml", &["test", "rules"])),
        ("promtool: check rules".to_owned(), tools.files(".rules.yml", &["check", "rules"])),
        ("promtool: promql".to_owned(), tools.expressions()),
    ])
}

struct Tools {
    ours: PathBuf,
    theirs: PathBuf,
    questions: PathBuf,
}

/// What a command said and did.
#[derive(Debug, PartialEq)]
struct Outcome {
    out: String,
    err: String,
    code: Option<i32>,
    /// The JUnit report, when one was written.
    report: String,
}

impl Outcome {
    /// Without what may differ.
    fn plain(text: &str) -> String {
        let plain_line = |line: &str| {
            if let Some((test, _)) = line.split_once(" finished, took ") {
                return format!("{test} finished");
            }
            if line.contains("level=") && line.contains(" msg=") {
                let words = line.split(' ');
                let kept: Vec<&str> =
                    words.filter(|word| !word.starts_with("time=") && !word.starts_with("source=")).collect();
                return kept.join(" ");
            }
            line.replacen("promtool: error:", "epimetheus: error:", 1)
        };
        text.split('\n').map(plain_line).collect::<Vec<_>>().join("\n")
    }

    /// The first lines that differ; `None` when all is the same.
    fn difference(&self, theirs: &Outcome) -> Option<String> {
        if self == theirs {
            return None;
        }
        let mut shown = vec![format!("exit code: ours {:?}, promtool's {:?}", self.code, theirs.code)];
        for (what, ours, theirs) in [
            ("stdout", &self.out, &theirs.out),
            ("stderr", &self.err, &theirs.err),
            ("report", &self.report, &theirs.report),
        ] {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
            for i in 0..ours.len().max(theirs.len()) {
                if ours.get(i) != theirs.get(i) {
                    shown.push(format!("{what} line {}:", i + 1));
                    shown.push(format!("  ours:     {}", ours.get(i).unwrap_or(&"nothing")));
                    shown.push(format!("  promtool: {}", theirs.get(i).unwrap_or(&"nothing")));
                }
            }
        }
        shown.truncate(SHOWN_MAX);
        for line in &mut shown {
            line.truncate(line.floor_char_boundary(LINE_MAX));
        }
        Some(shown.join("\n"))
    }
}

impl Tools {
    fn ask(&self, tool: &Path, args: &[&str], dir: &Path, input: &str) -> Result<Outcome> {
        let report = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(tool);
        command.args(args).current_dir(dir);
        if args.contains(&"test") {
            command.arg(format!("--junit={}", report.path().display()));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| tool.display().to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let report = std::fs::read_to_string(report.path())?;
        let report = report.split(" timestamp=\"").map(|part| match part.split_once("\">") {
            Some((_, rest)) => rest,
            None => part,
        });
        Ok(Outcome {
            out: Outcome::plain(&String::from_utf8_lossy(&output.stdout)),
            err: Outcome::plain(&String::from_utf8_lossy(&output.stderr)),
            code: output.status.code(),
            report: report.collect::<Vec<_>>().join("\n"),
        })
    }

    /// Asks both the same; what differs is an error.
    fn compare(&self, args: &[&str], dir: &Path, input: &str) -> Result<Option<String>> {
        let ours = self.ask(&self.ours, args, dir, input)?;
        let mut their_args = args.to_vec();
        if args.first() == Some(&"promql") {
            their_args.insert(0, "--experimental");
        }
        let theirs = self.ask(&self.theirs, &their_args, dir, input)?;
        Ok(ours.difference(&theirs))
    }

    fn lines(&self, name: &str) -> Result<Vec<String>> {
        let path = self.questions.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(|line| line.replace('⏎', "\n")).collect())
    }

    /// A rule file whose alerts have these templates as annotations.
    fn rules_of(templates: &[String]) -> String {
        let mut rules = "groups:\n- name: g\n  rules:\n".to_owned();
        for (i, template) in templates.iter().enumerate() {
            let quoted = serde_json::Value::String(template.clone());
            rules.push_str(&format!(
                "  - alert: A{i}\n    expr: m > 0\n    annotations: {{text: {quoted}}}\n"
            ));
        }
        rules
    }

    fn templates(&self) -> Result<String> {
        let templates = self.lines("templates.txt")?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("rules.yml"), Self::rules_of(&templates))?;
        let mut tests = std::fs::read_to_string(self.questions.join("templates.head.yml"))?;
        for i in 0..templates.len() {
            // nothing is expected: what is there is shown
            tests.push_str(&format!("  - {{eval_time: 0, alertname: A{i}}}\n"));
        }
        std::fs::write(dir.path().join("test.yml"), tests)?;
        let difference = self.compare(&["test", "rules", "test.yml"], dir.path(), "")?;
        ensure!(difference.is_none(), "{}", difference.unwrap_or_default());
        Ok(format!("{} templates", templates.len()))
    }

    fn template_errors(&self) -> Result<String> {
        let templates = self.lines("template_errors.txt")?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("rules.yml"), Self::rules_of(&templates))?;
        let difference = self.compare(&["check", "rules", "rules.yml"], dir.path(), "")?;
        ensure!(difference.is_none(), "{}", difference.unwrap_or_default());
        Ok(format!("{} texts", templates.len()))
    }

    /// Every file of the folder whose name ends so, by itself.
    fn files(&self, ending: &str, command: &[&str]) -> Result<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(&self.questions)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(ending)));
        }
        names.sort();
        let mut differences = Vec::new();
        for name in &names {
            let text = std::fs::read(self.questions.join(name))?;
            let text = String::from_utf8_lossy(&text);
            let flags = text.lines().next().and_then(|line| line.strip_prefix("# flags: ")).unwrap_or("");
            let mut args = command.to_vec();
            args.extend(flags.split_whitespace());
            let mut input = "";
            // `-`: it comes from standard input
            if args.last() == Some(&"-") {
                args.pop();
                input = &text;
            } else {
                args.push(name);
            }
            if let Some(difference) = self.compare(&args, &self.questions, input)? {
                differences.push(format!("{name}: {difference}"));
            }
        }
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(format!("{} files", names.len()))
    }

    fn expressions(&self) -> Result<String> {
        let commands = self.lines("expressions.txt")?;
        let mut differences = Vec::new();
        for command in &commands {
            let args: Vec<&str> = std::iter::once("promql").chain(command.split(" ¦ ")).collect();
            if let Some(difference) = self.compare(&args, &self.questions, "")? {
                differences.push(format!("{command}: {difference}"));
            }
        }
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(format!("{} commands", commands.len()))
    }
}
