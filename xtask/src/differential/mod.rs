//! Generated queries, asked of our server and of a Prometheus over the same data: every difference is shown.

mod broken;
mod data;
mod grammar;
mod judge;
mod peers;
mod question;
mod random;
mod rules;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::program;
use data::Data;
use grammar::Dialect;
use judge::{Kind, Reply, judge};
use peers::{Client, Peer};
use question::Question;

/// Answers that take longer than this, and much longer than the peer's, are mentioned.
const SLOW: Duration = Duration::from_secs(2);

/// What a run is told.
#[derive(Clone)]
pub(crate) struct Options {
    /// How many queries.
    pub(crate) queries: u64,
    /// Of data and queries.
    pub(crate) seed: u64,
    /// The Prometheus to compare with.
    pub(crate) prometheus: PathBuf,
    /// `--enable-feature` of both.
    pub(crate) features: String,
    /// Half of our data in blocks.
    pub(crate) flush: bool,
    /// Questions under way at a time.
    pub(crate) parallel: usize,
    /// Only this one.
    only: Option<u64>,
    /// Ports: ours, theirs.
    ports: [Option<u16>; 2],
    /// Both stay up at the end until the input ends.
    hold: bool,
}

impl Options {
    /// 10,000 queries against that Prometheus.
    pub(crate) fn new(prometheus: PathBuf) -> Self {
        Options {
            queries: 10_000,
            seed: 1,
            prometheus,
            features: String::new(),
            flush: false,
            parallel: 4,
            only: None,
            ports: [None; 2],
            hold: false,
        }
    }

    /// From the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options::new(PathBuf::new());
        let mut prometheus = None;
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--queries" => options.queries = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--prometheus" => prometheus = Some(PathBuf::from(value()?)),
                "--features" => options.features = value()?.clone(),
                "--parallel" => options.parallel = value()?.parse::<usize>()?.max(1),
                "--only" => options.only = Some(value()?.parse()?),
                "--flush" => options.flush = true,
                "--ports" => {
                    let (ours, theirs) = value()?.split_once(',').context("--ports OURS,THEIRS")?;
                    options.ports = [Some(ours.parse()?), Some(theirs.parse()?)];
                }
                "--hold" => options.hold = true,
                other => bail!("no such option: {other}"),
            }
        }
        options.prometheus = match prometheus {
            Some(path) => path,
            None => program("PROMETHEUS2", "prometheus")?,
        };
        Ok(options)
    }
}

/// Counts of a run.
#[derive(Default)]
struct Tally {
    same: u64,
    with_data: u64,
    failing_alike: u64,
    timed_out: u64,
    varying: u64,
    explained: BTreeMap<&'static str, u64>,
    unexplained: BTreeMap<Kind, u64>,
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
    let theirs = Peer::prometheus(
        &options.prometheus,
        dir.path(),
        options.ports[1],
        theirs_features.trim_end_matches(','),
    )?;
    let ours = Peer::ours(binary, dir.path(), options.ports[0], features)?;
    let version = Client::new(theirs.port).version()?;
    let modern = is_modern(version);
    let has = |name: &str| modern && features.split(',').any(|f| f == name);
    let dialect = Dialect {
        modern,
        experimental: has("promql-experimental-functions"),
        durations: modern,
        extended: has("promql-extended-range-selectors"),
        fill: has("promql-binop-fill-modifiers"),
    };
    let series = Data::generate(options.seed, modern);
    let samples = peers::load(&series, &[&Client::new(ours.port), &Client::new(theirs.port)], options.flush)?;
    println!(
        "Prometheus {}.{} at port {}, ours at port {}; {} series, {samples} samples; seed {}",
        version.0,
        version.1,
        theirs.port,
        ours.port,
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
                let clients = (Client::new(ours.port), Client::new(theirs.port));
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= until {
                        break;
                    }
                    one(options, dialect, index, &clients.0, &clients.1, &tally);
                    if (index + 1).is_multiple_of(1000) {
                        println!("{} of {until} after {} s", index + 1, start.elapsed().as_secs());
                    }
                }
            });
        }
    });
    if options.hold {
        println!("both stay up until the input ends");
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line)? > 0 {}
    }
    let tally = tally.into_inner().unwrap_or_default();
    summary(&tally, until)
}

fn one(
    options: &Options,
    dialect: Dialect,
    index: u64,
    ours: &Client,
    theirs: &Client,
    tally: &Mutex<Tally>,
) {
    let question = Question::generate(options.seed, index, dialect);
    let (path, form) = question.request();
    let begin = Instant::now();
    let b = theirs.ask(path, &form);
    let middle = Instant::now();
    let a = ours.ask(path, &form);
    let (they_took, we_took) = (middle - begin, middle.elapsed());
    if we_took > SLOW && we_took > they_took * 10 {
        println!("SLOW #{index} {we_took:.1?} against {they_took:.1?}: {}", question.line());
    }
    let found = judge(&question, &a, &b, dialect.modern);
    let varies = found.is_some() && peer_varies(&question, &a, &b, theirs, dialect);
    let Ok(mut tally) = tally.lock() else { return };
    let Some(found) = found else {
        tally.same += 1;
        tally.failing_alike += u64::from(b.body["status"] == "error");
        let data = &b.body["data"]["result"];
        tally.with_data += u64::from(data.as_array().is_some_and(|series| !series.is_empty()));
        return;
    };
    // The peer's time or samples ran out, or it tripped over itself: nothing to compare with.
    let error = b.body["error"].as_str().unwrap_or("");
    if b.body["errorType"] == "timeout"
        || error.contains("too many samples")
        || error.contains("runtime error")
    {
        tally.timed_out += 1;
        return;
    }
    if varies {
        tally.varying += 1;
        return;
    }
    let setting = rules::Setting {
        modern: dialect.modern,
        flush: options.flush,
        delayed_names: options.features.split(',').any(|name| name == "promql-delayed-name-removal"),
    };
    if let Some(rule) = rules::explanation(setting, &question, (&a, &b), &found) {
        *tally.explained.entry(rule.name).or_default() += 1;
        return;
    }
    *tally.unexplained.entry(found.kind).or_default() += 1;
    println!("DIFFERENCE {:?} #{index} {}\n    {}", found.kind, question.line(), found.text);
}

/// Whether the peer itself answers now this, now that (what it takes from a hash map comes in any order), and ours is
/// one of its answers. Of duplicate series any two may be named, and of equal values any may be chosen.
fn peer_varies(question: &Question, ours: &Reply, first: &Reply, theirs: &Client, dialect: Dialect) -> bool {
    let (path, form) = question.request();
    let mut varied = false;
    for _ in 0..12 {
        let again = theirs.ask(path, &form);
        if judge(question, ours, &again, dialect.modern).is_none() {
            return true;
        }
        // It contradicts itself: neither answer is more right than ours.
        if judge(question, first, &again, dialect.modern).is_some() {
            return true;
        }
        varied |= again.body != first.body;
    }
    let duplicates = |reply: &Reply| {
        let text = reply.body["error"].as_str().unwrap_or("");
        text.starts_with("found duplicate series for the match group")
            .then(|| text.contains("on the right hand-side"))
    };
    let same_fault = duplicates(ours).is_some() && duplicates(ours) == duplicates(first);
    let chooses = ["topk", "bottomk", "limitk"].iter().any(|op| question.query.contains(op));
    varied && (same_fault || chooses)
}

fn summary(tally: &Tally, asked: u64) -> Result<String> {
    println!("\n{:>8} asked", asked);
    println!(
        "{:>8} same, of them {} with data, {} failing alike",
        tally.same, tally.with_data, tally.failing_alike
    );
    println!("{:>8} where the peer ran out of time or samples, or failed in itself", tally.timed_out);
    println!("{:>8} where the peer's own answers vary, ours among them", tally.varying);
    for (name, count) in &tally.explained {
        let reason = rules::RULES.iter().find(|rule| rule.name == *name).map_or("", |rule| rule.reason);
        println!("{count:>8} explained: {name} ({reason})");
    }
    for (kind, count) in &tally.unexplained {
        println!("{count:>8} UNEXPLAINED: {kind:?}");
    }
    let left: u64 = tally.unexplained.values().sum();
    ensure!(left == 0, "{left} of {asked} answers differ, unexplained");
    Ok(format!(
        "{} of {asked} same ({} with data, {} failing alike), {} explained, {} where the peer varies, \
         {} beyond its limits",
        tally.same,
        tally.with_data,
        tally.failing_alike,
        tally.explained.values().sum::<u64>(),
        tally.varying,
        tally.timed_out
    ))
}
