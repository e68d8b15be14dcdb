//! `epimetheus blocks ls|verify`: looks at a bucket without a server.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use block::{BlockMeta, Bucket, BucketOptions, Catalogs};
use runtime::Runtime;

use crate::cli::{BlocksCommand, BucketArgs, ServeArgs};
use crate::config::Config;

/// Runs the command; `verify` succeeds when every block is sound.
pub(crate) fn run(command: &BlocksCommand) -> Result<ExitCode> {
    // A second installation is refused and harmless.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(async {
        match command {
            BlocksCommand::Ls(args) => list(args).await,
            BlocksCommand::Verify(args) => verify(args).await,
        }
    })
}

/// The catalogs of the bucket that the flags name.
fn open(args: &BucketArgs) -> Result<(Runtime, Catalogs)> {
    let config = Config::load(&ServeArgs {
        data_dir: args.data_dir.clone(),
        bucket: args.bucket.clone(),
        ..ServeArgs::default()
    })?;
    let runtime = Runtime::real();
    let bucket = Bucket::open(&runtime, &config.bucket, &BucketOptions::default())?;
    Ok((runtime, Catalogs::new(bucket)))
}

/// All live blocks, by tenant and window.
async fn live(catalogs: &Catalogs) -> Result<Vec<Arc<BlockMeta>>> {
    let mut blocks = Vec::new();
    for tenant in catalogs.tenants().await? {
        blocks.extend(catalogs.get(&tenant).await?.live().iter().cloned());
    }
    Ok(blocks)
}

fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |t| t.format("%Y-%m-%d %H:%M").to_string())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn list(args: &BucketArgs) -> Result<ExitCode> {
    let (_runtime, catalogs) = open(args)?;
    let blocks = live(&catalogs).await?;
    println!(
        "{:<20} {:<26} {:<16} {:<5} {:>3} {:>3} {:>9} {:>12} {:>9} {:>8}",
        "TENANT", "BLOCK", "WINDOW (UTC)", "HOURS", "GEN", "LVL", "SERIES", "SAMPLES", "MIB", "B/SAMPLE"
    );
    let (mut samples, mut bytes) = (0, 0);
    for block in &blocks {
        let count = block.counts.samples + block.counts.histograms;
        samples += count;
        bytes += block.counts.bytes;
        println!(
            "{:<20} {:<26} {:<16} {:<5.1} {:>3} {:>3} {:>9} {:>12} {:>9.2} {:>8.3}",
            block.tenant.to_string(),
            block.block.to_string(),
            time(block.start),
            (block.end - block.start) as f64 / 3_600_000.0,
            block.generation,
            block.level,
            block.counts.series,
            count,
            mib(block.counts.bytes),
            block.counts.bytes as f64 / count.max(1) as f64,
        );
    }
    println!(
        "{} blocks, {samples} samples, {:.2} MiB, {:.3} bytes per sample",
        blocks.len(),
        mib(bytes),
        bytes as f64 / samples.max(1) as f64
    );
    Ok(ExitCode::SUCCESS)
}

async fn verify(args: &BucketArgs) -> Result<ExitCode> {
    let (runtime, catalogs) = open(args)?;
    let blocks = live(&catalogs).await?;
    let mut damaged = 0;
    for (i, block) in blocks.iter().enumerate() {
        let name = format!("[{}/{}] {} {}", i + 1, blocks.len(), block.tenant, block.block);
        let problems = block::verify_block(&runtime, catalogs.bucket(), block).await?;
        if problems.is_empty() {
            println!("{name} sound: {} series, {} samples", block.counts.series, block.counts.samples);
            continue;
        }
        damaged += 1;
        println!("{name} DAMAGED");
        for problem in problems {
            println!("    {problem}");
        }
    }
    println!("{} blocks sound, {damaged} damaged", blocks.len() - damaged);
    Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
