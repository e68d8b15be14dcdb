//! The command line: what can be asked of the binary, and the help that teaches it.
//!
//! Flags carry Prometheus's style of names. A flag that is given wins over the configuration file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::MatchOp;

/// Long-term, multi-tenant store for Prometheus metrics.
#[derive(Debug, Parser)]
#[command(
    name = "epimetheus",
    version,
    about = "Long-term, multi-tenant store for Prometheus metrics.",
    long_about = "Epimetheus stores what Prometheus scrapes, for as long as you like.\n\n\
        Point `remote_write` of an existing Prometheus at it, point Grafana at it as a Prometheus data source; \
        old data lies as open Parquet in a folder or an S3 bucket. Without a subcommand it serves.",
    after_long_help = "Examples:\n  \
        epimetheus                                             serve; data under ./data, HTTP on :9009\n  \
        epimetheus --bucket 's3://metrics?endpoint=http://127.0.0.1:9000&region=us-east-1'\n                                                         \
        keep blocks in MinIO (keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)\n  \
        epimetheus query instant http://127.0.0.1:9009 'up'    ask a running server\n  \
        epimetheus blocks ls                                   what lies in ./data/bucket\n\n\
        In prometheus.yml:\n  \
        remote_write:\n    \
          - url: http://127.0.0.1:9009/api/v1/push",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    /// What to do; nothing means `serve`.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (the default).
    Serve(Box<ServeArgs>),
    /// Ask a running server.
    #[command(subcommand)]
    Query(QueryCommand),
    /// Work on PromQL text.
    Promql {
        #[command(subcommand)]
        command: PromqlCommand,
        /// Taken for promtool's sake, where these commands are experiments.
        #[arg(long, global = true, hide = true)]
        experimental: bool,
    },
    /// Look at the blocks in a bucket.
    #[command(subcommand)]
    Blocks(BlocksCommand),
    /// Check rule files.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Run unit tests of rules, and test scripts.
    #[command(subcommand)]
    Test(TestCommand),
    /// Mend the write-ahead log.
    #[command(subcommand)]
    Wal(WalCommand),
}

/// Flags of the server. Each has a key of the same path in the configuration file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (YAML). Without one the defaults serve.
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Folder for the write-ahead log, snapshots and, by default, the bucket. [default: ./data]
    #[arg(long = "data.dir", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where blocks are kept: a folder, or `s3://NAME?endpoint=URL&region=REGION`. [default: the folder `bucket` in the data directory]
    #[arg(long = "bucket", value_name = "FOLDER|URL")]
    pub(crate) bucket: Option<String>,
    /// Address for users: API, remote write, health, metrics. [default: 0.0.0.0:9009]
    #[arg(long = "http.listen", value_name = "ADDRESS")]
    pub(crate) http_listen: Option<String>,
    /// Address for other nodes, which read this one's series there. [default: 0.0.0.0:9095, if it is free]
    #[arg(long = "grpc.listen", value_name = "ADDRESS")]
    pub(crate) grpc_listen: Option<String>,
    /// Roles to run in this process: all, or querier (answers queries over the series of other nodes). [default: all]
    #[arg(long = "target", value_name = "ROLES")]
    pub(crate) target: Option<String>,
    /// Nodes that a querier reads, separated by commas. No series may be written to two of them.
    #[arg(long = "querier.nodes", value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub(crate) querier_nodes: Vec<String>,
    /// Tell tenants apart by the header X-Scope-OrgID; without it, every request belongs to `anonymous`.
    #[arg(long = "multi-tenancy")]
    pub(crate) multi_tenancy: bool,
    /// Drop whole blocks older than this (`15d`, `1y`). [default: keep for ever]
    #[arg(long = "storage.retention", value_name = "DURATION")]
    pub(crate) retention: Option<String>,
    /// How far behind its newest sample a series may still be written. [default: 24h]
    #[arg(long = "limits.out-of-order-time-window", value_name = "DURATION")]
    pub(crate) out_of_order_time_window: Option<String>,
    /// Longest a query looks back for the newest sample of a series. [default: 5m]
    #[arg(long = "query.lookback-delta", value_name = "DURATION")]
    pub(crate) lookback_delta: Option<String>,
    /// Longest a query may run. [default: 2m]
    #[arg(long = "query.timeout", value_name = "DURATION")]
    pub(crate) query_timeout: Option<String>,
    /// Most samples one query may hold in memory. [default: 50000000]
    #[arg(long = "query.max-samples", value_name = "COUNT")]
    pub(crate) query_max_samples: Option<usize>,
    /// Most bytes one query may hold in memory; 0: no limit. [default: 2147483648]
    #[arg(long = "query.max-memory-bytes", value_name = "BYTES")]
    pub(crate) query_max_memory_bytes: Option<usize>,
    /// Most bytes all queries of one tenant may hold in memory; 0: no limit. [default: 0]
    #[arg(long = "query.max-tenant-memory-bytes", value_name = "BYTES")]
    pub(crate) query_max_tenant_memory_bytes: Option<usize>,
    /// Most bytes all queries may hold in memory; 0: no limit. [default: half of the machine's memory]
    #[arg(long = "query.max-total-memory-bytes", value_name = "BYTES")]
    pub(crate) query_max_total_memory_bytes: Option<usize>,
    /// Most series one selector of a query may match; 0: no limit. [default: 0]
    #[arg(long = "query.max-series", value_name = "COUNT")]
    pub(crate) query_max_series: Option<usize>,
    /// Most points of one series in the answer to a range query, the first not counted; 0: no limit. [default: 11000]
    #[arg(long = "query.max-points-per-series", value_name = "COUNT")]
    pub(crate) query_max_points_per_series: Option<usize>,
    /// File to log queries to, one JSON object a line, as Prometheus's `query_log_file`. [default: none]
    #[arg(long = "query.log-file", value_name = "FILE")]
    pub(crate) query_log_file: Option<PathBuf>,
    /// Most queries that run at once; more wait. [default: 20]
    #[arg(long = "query.max-concurrency", value_name = "COUNT")]
    pub(crate) query_max_concurrency: Option<usize>,
    /// Most bytes of answers to range queries that are kept; 0: none are. [default: 134217728]
    #[arg(long = "query.result-cache-bytes", value_name = "BYTES")]
    pub(crate) query_result_cache_bytes: Option<u64>,
    /// How often to scrape our own metrics into the store; 0s: never. [default: 15s]
    #[arg(long = "self-scrape.interval", value_name = "DURATION")]
    pub(crate) self_scrape_interval: Option<String>,
    /// Features to switch on, separated by commas (Prometheus's names, such as promql-experimental-functions).
    #[arg(long = "enable-feature", value_name = "FEATURES", value_delimiter = ',')]
    pub(crate) enable_feature: Vec<String>,
    /// Rules of query push-down to switch off, separated by commas: push-selector, push-window, push-map,
    /// push-aggregate, push-rank, push-count-values, one-place, time-split, window-states.
    #[arg(long = "query.disable-rewrites", value_name = "RULES", value_delimiter = ',')]
    pub(crate) query_disable_rewrites: Vec<String>,
    /// Least severe messages to log. [default: info]
    #[arg(long = "log.level", value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
}

/// Severity of log messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to read.
    Info,
    /// What may need attention.
    Warn,
    /// What went wrong.
    Error,
}

/// Output of `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// As PromQL writes values.
    Promql,
    /// As the API answers.
    Json,
}

/// Questions to a running server.
#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// Evaluate an expression at one time.
    Instant {
        /// Server, such as http://127.0.0.1:9009
        server: String,
        /// PromQL expression.
        expr: String,
        /// Evaluation time: RFC 3339 or Unix seconds. [default: now]
        #[arg(long)]
        time: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Evaluate an expression over a range of time.
    Range {
        /// Server, such as http://127.0.0.1:9009
        server: String,
        /// PromQL expression.
        expr: String,
        /// Start: RFC 3339 or Unix seconds. [default: 5 minutes before the end]
        #[arg(long)]
        start: Option<String>,
        /// End: RFC 3339 or Unix seconds. [default: now]
        #[arg(long)]
        end: Option<String>,
        /// Step, as a duration. [default: 1/250 of the range, at least 1 s]
        #[arg(long)]
        step: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// Show how an expression is evaluated: operators, where they run, which blocks are read.
    Explain {
        /// Server, such as http://127.0.0.1:9009
        server: String,
        /// PromQL expression.
        expr: String,
        /// Run it, and show what every operator did.
        #[arg(long)]
        analyze: bool,
        /// Evaluation time of an instant query: RFC 3339 or Unix seconds. [default: now]
        #[arg(long, conflicts_with_all = ["start", "end", "step"])]
        time: Option<String>,
        /// Start of a range query: RFC 3339 or Unix seconds. [default: 5 minutes before the end]
        #[arg(long)]
        start: Option<String>,
        /// End of a range query: RFC 3339 or Unix seconds. [default: now]
        #[arg(long)]
        end: Option<String>,
        /// Step of a range query, as a duration. [default: 1/250 of the range, at least 1 s]
        #[arg(long)]
        step: Option<String>,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// List the series that match.
    Series {
        /// Server, such as http://127.0.0.1:9009
        server: String,
        /// Series selector; may be given several times.
        #[arg(long = "match", value_name = "SELECTOR", required = true)]
        matches: Vec<String>,
        #[command(flatten)]
        times: TimesArgs,
        #[command(flatten)]
        common: QueryArgs,
    },
    /// List the values of a label.
    Labels {
        /// Server, such as http://127.0.0.1:9009
        server: String,
        /// The label's name.
        name: String,
        /// Series selector; may be given several times. [default: all series]
        #[arg(long = "match", value_name = "SELECTOR")]
        matches: Vec<String>,
        #[command(flatten)]
        times: TimesArgs,
        #[command(flatten)]
        common: QueryArgs,
    },
}

/// Between which times a listing looks.
#[derive(Debug, Args)]
pub(crate) struct TimesArgs {
    /// Start: RFC 3339 or Unix seconds. [default: 9999 hours ago]
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// End: RFC 3339 or Unix seconds. [default: in 9999 hours]
    #[arg(long)]
    pub(crate) end: Option<String>,
}

/// Works on PromQL text.
#[derive(Debug, Subcommand)]
pub(crate) enum PromqlCommand {
    /// Print an expression laid out.
    Format {
        /// PromQL expression; `-`: read it from standard input.
        expr: String,
        #[command(flatten)]
        features: FeatureArgs,
    },
    /// Change the label matchers of an expression and print it laid out.
    #[command(subcommand)]
    LabelMatchers(LabelMatchersCommand),
}

/// Changes label matchers.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelMatchersCommand {
    /// Set a matcher in every selector.
    Set {
        /// Kind of the matcher: =, !=, =~ or !~.
        #[arg(long = "type", short = 't', value_name = "KIND", default_value = "=", value_parser = match_op)]
        op: MatchOp,
        /// PromQL expression; `-`: read it from standard input.
        expr: String,
        /// The label's name.
        name: String,
        /// What it is compared with.
        value: String,
        #[command(flatten)]
        features: FeatureArgs,
    },
    /// Take the matchers of a label out of every selector.
    Delete {
        /// PromQL expression; `-`: read it from standard input.
        expr: String,
        /// The label's name.
        name: String,
        #[command(flatten)]
        features: FeatureArgs,
    },
}

fn match_op(text: &str) -> Result<MatchOp, String> {
    [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]
        .into_iter()
        .find(|op| op.as_str() == text)
        .ok_or_else(|| format!("must be one of =,!=,=~,!~, got '{text}'"))
}

/// An HTTP header as `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(['=', ':']) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What every question takes.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// How to print the answer.
    #[arg(long, short = 'o', value_enum, default_value = "promql")]
    pub(crate) format: OutputFormat,
    /// Tenant to ask as (header X-Scope-OrgID).
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Further header of the request; may be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
}

/// Where a bucket is.
#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    /// Data directory whose `bucket` folder to read. [default: ./data]
    #[arg(long = "data.dir", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Bucket: a folder, or `s3://NAME?endpoint=URL&region=REGION`.
    #[arg(long = "bucket", value_name = "FOLDER|URL", conflicts_with = "data_dir")]
    pub(crate) bucket: Option<String>,
}

/// Looks at blocks.
#[derive(Debug, Subcommand)]
pub(crate) enum BlocksCommand {
    /// List the live blocks of all tenants.
    Ls(BucketArgs),
    /// Read every block whole and check it; exits with 0 when all are sound.
    Verify(BucketArgs),
}

/// Checks rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Check rule files as promtool does: faults end with exit code 1, lints, where they count, with 3.
    Rules {
        /// Lints, separated by commas: all, duplicate-rules, none.
        #[arg(long, value_name = "LINTS", default_value = "duplicate-rules")]
        lint: String,
        /// Lints that find something end with exit code 3.
        #[arg(long)]
        lint_fatal: bool,
        /// Let unknown fields pass.
        #[arg(long)]
        ignore_unknown_fields: bool,
        #[command(flatten)]
        features: FeatureArgs,
        /// Rule files; standard input without any.
        files: Vec<PathBuf>,
    },
}

/// The parts of the language that are off unless named.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FeatureArgs {
    /// Features of Prometheus to turn on: promql-experimental-functions, promql-delayed-name-removal,
    /// promql-extended-range-selectors, promql-binop-fill-modifiers.
    #[arg(long = "enable-feature", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) names: Vec<String>,
}

/// Runs unit tests of rules, and test scripts.
#[derive(Debug, Subcommand)]
pub(crate) enum TestCommand {
    /// Run unit tests of rules in promtool's format.
    Rules(TestRulesArgs),
    /// Run PromQL test scripts (Prometheus's test language) and count evaluations.
    Promql(TestPromqlArgs),
}

/// Flags of `test promql`.
#[derive(Debug, Args)]
pub(crate) struct TestPromqlArgs {
    /// Load the data through the whole server (remote write, heads, blocks) instead of from memory.
    #[arg(long)]
    pub(crate) storage: bool,
    /// Spread the series over so many servers that are read over sockets, with --storage. [default: one server, read in this process]
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true, requires = "storage")]
    pub(crate) nodes: usize,
    /// How the data is cut, with --storage; a random number when not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Print every failed evaluation.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Script files, or folders of `*.test` files.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// Flags of `test rules`.
#[derive(Debug, Args)]
pub(crate) struct TestRulesArgs {
    /// Run only tests whose names match this regular expression; may be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<String>,
    /// File to write the results to as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print what each test does, and all samples at its end.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Show alerts that differ as one coloured text.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Let unknown fields in rule files pass.
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    #[command(flatten)]
    pub(crate) features: FeatureArgs,
    /// Files of unit tests.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Mends the write-ahead log.
#[derive(Debug, Subcommand)]
pub(crate) enum WalCommand {
    /// Cut a damaged write-ahead log at the damage. What comes after is lost: the command says how much.
    Repair {
        /// Data directory. [default: ./data]
        #[arg(long = "data.dir", value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}
