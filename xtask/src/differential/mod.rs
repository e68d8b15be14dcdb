//! Generated queries, asked of our server and of a Prometheus over the same data: every difference is shown.

mod broken;
mod data;
mod disturbed;
mod duplicates;
mod grammar;
mod judge;
mod options;
mod peers;
mod question;
mod random;
mod rules;
mod spread;
mod tally;
mod words;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use data::Data;
use grammar::Dialect;
use judge::{Difference, Reply, judge};
pub(crate) use options::Options;
use peers::{Client, Peer};
use question::Question;
use spread::leaves_open;
use tally::{NO_RULE, Tally};

/// Answers that take longer than this, and much longer than the peer's, are mentioned.
const SLOW: Duration = Duration::from_secs(2);

/// Whom a question is asked of.
struct Asked {
    ours: Client,
    theirs: Client,
    /// Today's Prometheus, beside an older one.
    today: Option<Client>,
}

/// Runs it with our `binary`; an error when anything is left unexplained. The text counts what was seen.
pub(crate) fn run(binary: &Path, options: &Options) -> Result<String> {
    let dir = tempfile::tempdir()?;
    // A feature that it does not know is only a warning in its log.
    let features = &options.features;
    // A build from source without its makefile says no version: it is today's.
    let is_modern = |version: (u32, u32)| version >= (3, 0) || version == (0, 0);
    let older = !is_modern(peers::version(&options.prometheus)?);
    let theirs_features = if older { format!("native-histograms,{features}") } else { features.clone() };
    let start = |name: &str, path: &Path, port, features: &str| {
        Peer::prometheus(name, path, dir.path(), port, features.trim_end_matches(','))
    };
    let theirs = start("theirs", &options.prometheus, options.ports[1], &theirs_features)?;
    let today = match &options.today {
        Some(path) if older => Some(start("today", path, options.ports[2], features)?),
        _ => None,
    };
    let ours = Peer::ours(binary, dir.path(), options.ports[0], features)?;
    let clients = || Asked {
        ours: Client::new(ours.port),
        theirs: Client::new(theirs.port),
        today: today.as_ref().map(|peer| Client::new(peer.port)),
    };
    let asked = clients();
    let version = asked.theirs.version()?;
    let modern = is_modern(version);
    let has = |name: &str| modern && options.has(name);
    let dialect = Dialect {
        modern,
        experimental: has("promql-experimental-functions"),
        durations: modern,
        extended: has("promql-extended-range-selectors"),
        fill: has("promql-binop-fill-modifiers"),
    };
    let series = Data::generate(options.seed, modern);
    let mut all = vec![&asked.ours, &asked.theirs];
    all.extend(&asked.today);
    let samples = peers::load(&series, &all, options.flush)?;
    println!(
        "Prometheus {}.{} at port {}, ours at port {}{}; {} series, {samples} samples; seed {}",
        version.0,
        version.1,
        theirs.port,
        ours.port,
        today.as_ref().map_or(String::new(), |peer| format!(", today's at port {}", peer.port)),
        series.len(),
        options.seed
    );
    let tally = Mutex::new(Tally::default());
    let start = Instant::now();
    let next = AtomicU64::new(options.only.unwrap_or(0));
    let until = options.only.map_or(options.queries, |only| only + 1);
    std::thread::scope(|scope| {
        for _ in 0..options.parallel {
            scope.spawn(|| {
                let asked = clients();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= until {
                        break;
                    }
                    one(options, dialect, index, &asked, &tally);
                    if (index + 1).is_multiple_of(1000) {
                        println!("{} of {until} after {} s", index + 1, start.elapsed().as_secs());
                    }
                }
            });
        }
    });
    if options.hold {
        println!("all stay up until the input ends");
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line)? > 0 {}
    }
    let tally = tally.into_inner().unwrap_or_default();
    tally.summary(until - options.only.unwrap_or(0), today.is_some())
}

/// How a difference is judged.
enum Verdict {
    /// There is nothing to compare with.
    BeyondLimits,
    /// The peer's own answers leave ours open.
    Varies,
    /// A rule explains it, or today's Prometheus says what we say.
    Explained(&'static str),
    /// With what else is known of it.
    Unexplained(String),
}

fn one(options: &Options, dialect: Dialect, index: u64, asked: &Asked, tally: &Mutex<Tally>) {
    let question = Question::generate(options.seed, index, dialect);
    let (path, form) = question.request();
    let begin = Instant::now();
    let b = asked.theirs.ask(path, &form);
    let middle = Instant::now();
    let a = asked.ours.ask(path, &form);
    let (they_took, we_took) = (middle - begin, middle.elapsed());
    if we_took > SLOW && we_took > they_took * 10 {
        println!("SLOW #{index} {we_took:.1?} against {they_took:.1?}: {}", question.line());
    }
    let found = judge(&question, &a, &b, dialect.modern);
    let verdict = found.as_ref().map(|found| verdict(options, dialect, &question, (&a, &b), found, asked));
    let Ok(mut tally) = tally.lock() else { return };
    let (Some(found), Some(verdict)) = (found, verdict) else {
        tally.same += 1;
        tally.failing_alike += u64::from(b.body["status"] == "error");
        let data = &b.body["data"]["result"];
        tally.with_data += u64::from(data.as_array().is_some_and(|series| !series.is_empty()));
        let rounded = b.body["status"] != "error" && !spread::same_digits(&a, &b);
        tally.rounded += u64::from(rounded);
        if rounded && options.digits {
            println!("DIGITS #{index} {}\n    {}", question.line(), spread::other_digits(&a, &b));
        }
        return;
    };
    match verdict {
        Verdict::BeyondLimits => tally.timed_out += 1,
        Verdict::Varies => tally.varying += 1,
        Verdict::Explained(name) => *tally.explained.entry(name).or_default() += 1,
        Verdict::Unexplained(more) => {
            *tally.unexplained.entry(found.kind).or_default() += 1;
            println!("DIFFERENCE {:?} #{index} {}\n    {}{more}", found.kind, question.line(), found.text);
        }
    }
}

/// What today's Prometheus knows, asked what an older one is asked.
fn todays_dialect(older: Dialect) -> Dialect {
    Dialect { modern: true, durations: true, ..older }
}

/// Its time or samples ran out, or it tripped over itself.
fn is_beyond_limits(reply: &Reply) -> bool {
    let error = reply.body["error"].as_str().unwrap_or("");
    reply.body["errorType"] == "timeout"
        || error.contains("too many samples")
        || error.contains("runtime error")
}

fn verdict(
    options: &Options,
    dialect: Dialect,
    question: &Question,
    (a, b): (&Reply, &Reply),
    found: &Difference,
    asked: &Asked,
) -> Verdict {
    if is_beyond_limits(b) {
        return Verdict::BeyondLimits;
    }
    let setting =
        rules::Setting { modern: dialect.modern, delayed_names: options.has("promql-delayed-name-removal") };
    let rule = rules::explanation(setting, question, (a, b), found).map(|rule| rule.name);
    // blocks have their series in an order of their own; limit_ratio puts the peer's into others
    let reorder = options.flush && dialect.experimental;
    if let Some(today) = &asked.today {
        let (path, form) = question.request();
        let c = today.ask(path, &form);
        return match judge(question, a, &c, true) {
            None => Verdict::Explained(rule.unwrap_or(NO_RULE)),
            Some(_) if is_beyond_limits(&c) => Verdict::BeyondLimits,
            Some(_) if leaves_open(question, a, &c, today, todays_dialect(dialect), reorder) => {
                Verdict::Explained(rule.unwrap_or(NO_RULE))
            }
            Some(other) => Verdict::Unexplained(format!(
                "\n    today's: {:?} {}{}",
                other.kind,
                other.text,
                rule.map_or(String::new(), |name| format!("\n    by the words of the query: {name}"))
            )),
        };
    }
    if leaves_open(question, a, b, &asked.theirs, dialect, reorder) {
        return Verdict::Varies;
    }
    rule.map_or_else(|| Verdict::Unexplained(String::new()), Verdict::Explained)
}
