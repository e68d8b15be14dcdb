//! What a run of generated queries is told.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::program;

/// What a run is told.
#[derive(Clone)]
pub(crate) struct Options {
    /// How many queries.
    pub(crate) queries: u64,
    /// Of data and queries.
    pub(crate) seed: u64,
    /// The Prometheus to compare with.
    pub(crate) prometheus: PathBuf,
    /// Today's Prometheus: says which differences from an older one are right.
    pub(crate) today: Option<PathBuf>,
    /// `--enable-feature` of all.
    pub(crate) features: String,
    /// Half of our data in blocks.
    pub(crate) flush: bool,
    /// Questions under way at a time.
    pub(crate) parallel: usize,
    /// Only this one.
    pub(super) only: Option<u64>,
    /// Ports: ours, theirs, today's.
    pub(super) ports: [Option<u16>; 3],
    /// All stay up at the end until the input ends.
    pub(super) hold: bool,
    /// Answers that are the same but for last digits are shown.
    pub(super) digits: bool,
}

impl Options {
    /// 10,000 queries against that Prometheus.
    pub(crate) fn new(prometheus: PathBuf) -> Self {
        Options {
            queries: 10_000,
            seed: 1,
            prometheus,
            today: None,
            features: String::new(),
            flush: false,
            parallel: 4,
            only: None,
            ports: [None; 3],
            hold: false,
            digits: false,
        }
    }

    /// From the command line.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options::new(PathBuf::new());
        let mut prometheus = None;
        let mut today = match std::env::var_os("PROMETHEUS3") {
            Some(_) => Some(program("PROMETHEUS3", "prometheus3")?),
            None => None,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--queries" => options.queries = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--prometheus" => prometheus = Some(PathBuf::from(value()?)),
                "--today" => today = Some(PathBuf::from(value()?)),
                "--no-today" => today = None,
                "--features" => options.features = value()?.clone(),
                "--parallel" => options.parallel = value()?.parse::<usize>()?.max(1),
                "--only" => options.only = Some(value()?.parse()?),
                "--flush" => options.flush = true,
                "--ports" => {
                    let mut ports = value()?.split(',').map(str::parse);
                    for port in &mut options.ports {
                        *port = ports.next().transpose()?;
                    }
                }
                "--hold" => options.hold = true,
                "--digits" => options.digits = true,
                other => bail!("no such option: {other}"),
            }
        }
        options.today = today;
        options.prometheus = match prometheus {
            Some(path) => path,
            None => program("PROMETHEUS2", "prometheus")?,
        };
        Ok(options)
    }

    /// Whether that feature is on.
    pub(super) fn has(&self, feature: &str) -> bool {
        self.features.split(',').any(|name| name == feature)
    }
}
