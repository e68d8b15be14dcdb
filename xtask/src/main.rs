//! Developer commands, run as `cargo xtask COMMAND`. Nothing here is part of the product.

#![expect(clippy::disallowed_methods, reason = "a developer's tool: real clock, real files, no simulation")]
#![expect(clippy::print_stdout, reason = "a developer's tool prints")]

mod compare;
mod conformance;
mod crash;
mod differential;
mod end_to_end;
mod http;
mod process;
mod promtool;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  conformance        everything that needs outside parts: Prometheus's test scripts (PROMQLTEST_DIR),
                     a real Prometheus writing into us and answering the same queries, DuckDB and
                     pyarrow reading our blocks, promtool over the same rule files and tests.
                     Fails when a part is missing.
  crash [ROUNDS]     kill -9 under load and restart, ROUNDS times (default 200): every acknowledged
                     sample must be there, once.
  promtool           the part of conformance that compares our command line with promtool's.
  differential       generated queries, asked of us and of a Prometheus over the same data; every
                     difference that no rule explains is shown, and is a failure.
                       --queries N (10000)   --seed N (1)   --prometheus PATH (PROMETHEUS2)
                       --today PATH          today's Prometheus beside an older one (PROMETHEUS3, if set):
                                             only what it answers as we do is explained; or --no-today
                       --features LIST       Prometheus's names, for all
                       --flush               half of our data in blocks
                       --only N              the query of that number alone
                       --ports OURS,THEIRS[,TODAY'S]   --parallel N (4)   --hold: all stay up at the end
                       --digits              answers that are the same but for last digits are shown

Outside parts are looked for in PATH; these variables name them:
  PROMQLTEST_DIR     folder of Prometheus's promql/promqltest/testdata
  PROMETHEUS2        an older Prometheus, the client        (default prometheus)
  PROMETHEUS3        today's Prometheus, the judge          (default prometheus3)
  PROMTOOL           its promtool                           (default promtool)
  NODE_EXPORTER      node_exporter                          (default prometheus-node-exporter)
  MINIO              MinIO, the bucket                      (default minio)
  PYTHON             Python with duckdb and pyarrow         (default python3)
  EPIMETHEUS         the binary under test                  (default: built here)";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("conformance") => conformance::run(),
        Some("promtool") => conformance::promtool(),
        Some("crash") => {
            let rounds = args.next().map_or(Ok(200), |text| text.parse())?;
            let binary = conformance::binary()?;
            crash::run(&binary, rounds)
        }
        Some("differential") => {
            let options = differential::Options::parse(&args.collect::<Vec<_>>())?;
            let binary = conformance::binary()?;
            println!("{}", differential::run(&binary, &options)?);
            Ok(())
        }
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no such command: {other}\n\n{USAGE}"),
    }
}
