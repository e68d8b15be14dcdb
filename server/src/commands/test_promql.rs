//! `epimetheus test promql`: runs scripts of Prometheus's test language and counts evaluations.
//!
//! Plainly, the data lies in memory beside the engine. With `--storage` it takes the whole way: remote write
//! 2.0 through the distributor, the log and the heads of several groups, in parts of random size of which some come
//! late, with blocks cut between them; every evaluation is pushed down to heads and blocks as far as it goes. With
//! `--nodes` the series are spread over several such nodes, which are read over sockets.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use distributor::PushRequest;
use model::{Histogram, TenantId, TimestampMs};
use promql::test_script::{LoadedSample, LoadedSeries, Report, ScriptTarget, parse_script, run_script};
use promql::{Answer, Engine, EngineOptions, EngineTarget, Features, QueryRequest, SampleValue};
use proto::Source;
use proto::remote_write::{EncodeV2, SeriesToWrite, WireHistogram};
use runtime::{Runtime, Shutdown};

use crate::cli::{ServeArgs, TestPromqlArgs};
use crate::config::Config;
use crate::node::{Node, source_of_nodes};

/// Runs the command; succeeds when every evaluation does.
pub(crate) fn run(args: &TestPromqlArgs) -> Result<ExitCode> {
    let TestPromqlArgs { storage, nodes, seed, verbose, paths } = args;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = tokio.block_on(run_all(*storage, *nodes, *seed, *verbose, paths))?;
    println!("{} passed, {} failed", report.passed, report.failures.len());
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_all(
    storage: bool,
    nodes: usize,
    seed: Option<u64>,
    verbose: bool,
    paths: &[PathBuf],
) -> Result<Report> {
    let runtime = Runtime::real();
    let seed = seed.unwrap_or_else(|| runtime.random_u64() >> 32);
    let folder = temporary_folder(&runtime)?;
    let mut target: Box<dyn ScriptTarget> = if storage {
        Box::new(StorageTarget::start(&runtime, &folder, nodes, seed).await?)
    } else {
        Box::new(EngineTarget::new(runtime.clone()))
    };
    let mut total = Report::default();
    for path in scripts(paths)? {
        let text = read_text(&path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let script = parse_script(&name, &text).with_context(|| path.display().to_string())?;
        let report = run_script(&script, target.as_mut()).await;
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        if verbose {
            for failure in &report.failures {
                println!("  {failure}");
            }
        }
        total.merge(report);
    }
    drop(target);
    if storage {
        println!("data was cut with --seed {seed}");
    }
    runtime.disk().remove_dir_all(&folder)?;
    Ok(total)
}

/// The files that are meant: folders stand for the `*.test` files in them.
fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for path in paths {
        if !path.is_dir() {
            out.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
            let file = entry?.path();
            if file.extension().is_some_and(|e| e == "test") {
                found.push(file);
            }
        }
        found.sort();
        anyhow::ensure!(!found.is_empty(), "{}: no *.test files there", path.display());
        out.extend(found);
    }
    Ok(out)
}

#[expect(clippy::disallowed_methods, reason = "scripts are the user's files, not the server's data")]
fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(String::from_utf8(bytes)?)
}

fn temporary_folder(runtime: &Runtime) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("epimetheus-test-{:016x}", runtime.random_u64()));
    runtime.disk().create_dir_all(&folder)?;
    Ok(folder)
}

/// Data in whole nodes; every `clear` begins a new tenant.
struct StorageTarget {
    engine: Engine,
    /// One, or more that are read over sockets.
    nodes: Vec<Arc<Node>>,
    source: Arc<dyn Source>,
    tenant: TenantId,
    tenants: u32,
    /// State of a generator of numbers; never 0.
    dice: u64,
}

/// Data groups of the node that scripts run on.
const GROUPS: u32 = 3;
/// Most parts a load is written in.
const PARTS_MAX: u64 = 4;

impl StorageTarget {
    async fn start(runtime: &Runtime, folder: &Path, count: usize, seed: u64) -> Result<Self> {
        let mut nodes = Vec::new();
        for number in 0..count.max(1) {
            let args = ServeArgs {
                data_dir: Some(folder.join(number.to_string())),
                grpc_listen: Some("127.0.0.1:0".to_owned()),
                multi_tenancy: true,
                // Scripts load what they like when they like.
                out_of_order_time_window: Some("100y".to_owned()),
                self_scrape_interval: Some("0s".to_owned()),
                ..ServeArgs::default()
            };
            let config = Config { data_groups: GROUPS, ..Config::load(&args)? };
            nodes.push(Node::start(config, runtime.clone(), Shutdown::new()).await?);
        }
        let tenant = TenantId::new("script-0")?;
        let source = if count == 0 {
            nodes[0].source(&tenant)
        } else {
            let addresses =
                nodes.iter().filter_map(|node| node.grpc_address).map(|address| address.to_string());
            source_of_nodes(&addresses.collect::<Vec<_>>(), &Arc::default())?
        };
        let options = EngineOptions { features: Features::of_test_scripts(), ..EngineOptions::default() };
        let engine = Engine::new(runtime.clone(), options);
        Ok(StorageTarget {
            engine,
            nodes,
            source,
            tenant,
            tenants: 0,
            dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        })
    }
}

#[async_trait]
impl ScriptTarget for StorageTarget {
    async fn load(&mut self, series: &[LoadedSeries]) -> Result<(), String> {
        let mut parts = self.parts();
        // a later part that comes first makes the earlier ones late
        let first = self.below(parts.len() as u64) as usize;
        parts.rotate_left(first);
        for part in parts {
            for (number, node) in self.nodes.clone().into_iter().enumerate() {
                let data = node.data.as_ref().ok_or("the node holds nothing")?;
                let count = self.nodes.len() as u64;
                let is_here = |one: &&LoadedSeries| one.labels.series_id().0 % count == number as u64;
                let request = PushRequest {
                    tenant: self.tenant.clone(),
                    content_type: Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                    content_encoding: Some("snappy"),
                    body: Bytes::from(encode(series.iter().filter(is_here), &part)),
                };
                let answer = data.distributor.push(request).await;
                if answer.status != 204 {
                    return Err(format!("push answered {}: {}", answer.status, answer.body));
                }
                match self.below(4) {
                    0 => data.flush(true).await.map_err(|e| e.to_string())?,
                    1 => data.flush(false).await.map_err(|e| e.to_string())?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), String> {
        self.tenants += 1;
        self.tenant = TenantId::new(&format!("script-{}", self.tenants)).map_err(|e| e.to_string())?;
        Ok(())
    }

    async fn instant(&mut self, query: &str, time_ms: TimestampMs) -> Result<Answer, String> {
        let request = QueryRequest::new(self.tenant.clone(), query);
        let source = Arc::clone(&self.source);
        self.engine.instant(source, request, time_ms).await.map_err(|e| e.to_string())
    }

    async fn range(
        &mut self,
        query: &str,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        step_ms: i64,
    ) -> Result<Answer, String> {
        let request = QueryRequest::new(self.tenant.clone(), query);
        let source = Arc::clone(&self.source);
        self.engine.range(source, request, start_ms, end_ms, step_ms).await.map_err(|e| e.to_string())
    }
}

/// A part of every series' samples: from and to, as shares of all of them.
type Share = std::ops::Range<f64>;

impl StorageTarget {
    /// A number below `most` (xorshift64).
    fn below(&mut self, most: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) % most
    }

    /// Cuts at random places.
    fn parts(&mut self) -> Vec<Share> {
        let count = self.below(PARTS_MAX);
        let mut cuts: Vec<f64> = (0..count).map(|_| self.below(1_000) as f64 / 1_000.0).collect();
        cuts.push(0.0);
        cuts.sort_by(f64::total_cmp);
        let ends = cuts.iter().skip(1).copied().chain([1.0]);
        cuts.iter().zip(ends).map(|(start, end)| *start..end).collect()
    }
}

/// A part of every series' samples as a compressed request of version 2.0.
fn encode<'a>(series: impl Iterator<Item = &'a LoadedSeries>, share: &Share) -> Vec<u8> {
    let mut request = EncodeV2::default();
    for one in series {
        let at = |share: f64| (share * one.samples.len() as f64) as usize;
        let (floats, histograms) = split(&one.samples[at(share.start)..at(share.end)]);
        if floats.is_empty() && histograms.is_empty() {
            continue;
        }
        request.series(SeriesToWrite {
            labels: &one.labels,
            samples: &floats,
            histograms: &histograms,
            exemplars: &[],
            metadata: None,
        });
    }
    compress(&request.finish())
}

/// Floats (time, value, start time) and histograms.
fn split(samples: &[LoadedSample]) -> (Vec<(TimestampMs, f64, TimestampMs)>, Vec<WireHistogram>) {
    let mut floats = Vec::new();
    let mut histograms = Vec::new();
    for sample in samples {
        let (t, start_t) = (sample.t, sample.start_t.unwrap_or(0));
        match &sample.value {
            SampleValue::Float(v) => floats.push((t, *v, start_t)),
            SampleValue::Histogram(h) => {
                let histogram = Histogram::Float(Box::new((**h).clone()));
                histograms.push(WireHistogram { t, start_t, histogram });
            }
        }
    }
    (floats, histograms)
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    // Fails only beyond 4 GiB, and scripts are files of kilobytes.
    snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default()
}
