//! The two servers, started and given the same data.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::remote_write::{EncodeV1, SeriesToWrite, WireHistogram};
use serde_json::Value;

use super::data::{END, START, Series};
use super::judge::Reply;
use crate::process::{Process, free_port};

const START_LIMIT: Duration = Duration::from_secs(60);
/// Seconds of data per round of writes.
const SLICE: i64 = 600;
/// Series per request.
const SERIES_PER_REQUEST: usize = 60;

/// A running server and where it listens.
pub(super) struct Peer {
    _process: Process,
    pub(super) port: u16,
}

/// A keep-alive client of one server.
pub(super) struct Client {
    agent: ureq::Agent,
    port: u16,
}

impl Peer {
    /// Ours.
    pub(super) fn ours(binary: &Path, root: &Path, port: Option<u16>, features: &str) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--data.dir={}", root.join("ours").display()))
            .arg(format!("--http.listen=127.0.0.1:{port}"))
            .args(["--self-scrape.interval=0s", "--log.level=warn"]);
        if !features.is_empty() {
            command.arg(format!("--enable-feature={features}"));
        }
        let mut process = Process::start("ours", root, &mut command)?;
        process.wait_ready(&format!("http://127.0.0.1:{port}/-/ready"), START_LIMIT)?;
        Ok(Peer { _process: process, port })
    }

    /// A Prometheus; `name` is that of its folder and of its log.
    pub(super) fn prometheus(
        name: &str,
        binary: &Path,
        root: &Path,
        port: Option<u16>,
        features: &str,
    ) -> Result<Self> {
        let port = port.map_or_else(free_port, Ok)?;
        std::fs::write(root.join("prometheus.yml"), "global: {}\n")?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", root.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", root.join(name).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=100y", "--web.enable-remote-write-receiver"]);
        if !features.is_empty() {
            command.arg(format!("--enable-feature={features}"));
        }
        let mut process = Process::start(name, root, &mut command)?;
        process.wait_ready(&format!("http://127.0.0.1:{port}/-/ready"), START_LIMIT)?;
        Ok(Peer { _process: process, port })
    }
}

/// The version a Prometheus says it is: its first two numbers.
pub(super) fn version(binary: &Path) -> Result<(u32, u32)> {
    // An empty configuration is not needed to ask; the flag prints what `buildinfo` would.
    let output = Command::new(binary).arg("--version").output()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let numbers = text.split("version ").nth(1).unwrap_or("").split([' ', '.', '+', ',']);
    let mut numbers = numbers.map_while(|n| n.parse::<u32>().ok());
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

impl Client {
    /// Of the server at that port.
    pub(super) fn new(port: u16) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Client { agent, port }
    }

    /// What `buildinfo` says the version is: its first two numbers; zeros when it says none.
    pub(super) fn version(&self) -> Result<(u32, u32)> {
        let url = format!("http://127.0.0.1:{}/api/v1/status/buildinfo", self.port);
        let mut response = self.agent.get(url).call()?;
        let body: Value = serde_json::from_slice(&response.body_mut().read_to_vec()?)?;
        let mut numbers =
            body["data"]["version"].as_str().unwrap_or("").split(['.', '+', '-']).map(str::parse);
        let mut next = || numbers.next().and_then(std::result::Result::ok).unwrap_or(0);
        Ok((next(), next()))
    }

    /// POST of a form. What goes wrong below HTTP is a reply too.
    pub(super) fn ask(&self, path: &str, form: &str) -> Reply {
        match self.post(path, &[("Content-Type", "application/x-www-form-urlencoded")], form.as_bytes()) {
            Ok((status, bytes)) => {
                let body = serde_json::from_slice(&bytes)
                    .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
                Reply { status, body }
            }
            Err(error) => Reply { status: 0, body: Value::from(format!("{error:#}")) },
        }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut request = self.agent.post(format!("http://127.0.0.1:{}{path}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send(body)?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().into_with_config().limit(1 << 30).read_to_vec()?))
    }

    fn write(&self, body: &[u8]) -> Result<()> {
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        let (status, answer) = self.post("/api/v1/write", &headers, body)?;
        ensure!(status < 300, "write to port {}: {status} {}", self.port, String::from_utf8_lossy(&answer));
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let (status, answer) = self.post("/ingester/flush?drop=true", &[], b"")?;
        ensure!(status < 300, "flush: {status} {}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

/// Writes all series to all, slice by slice of time, series in order. With `flush`, the first of `to` puts what it
/// has into blocks after half the slices.
pub(super) fn load(series: &[Series], to: &[&Client], flush: bool) -> Result<usize> {
    let mut samples = 0;
    let slices = (END - START) / SLICE + 1;
    for slice in 0..slices {
        let from = (START + slice * SLICE) * 1000;
        for some in series.chunks(SERIES_PER_REQUEST) {
            let mut runs: Vec<_> = some.iter().map(|one| (&one.labels, runs_of(one, from))).collect();
            // A request holds one run of each series; those that change their kind need more requests.
            loop {
                let mut request = EncodeV1::default();
                let mut empty = true;
                for (labels, runs) in &mut runs {
                    let Some((floats, histograms)) = runs.pop_front() else { continue };
                    samples += floats.len() + histograms.len();
                    empty = false;
                    request.series(SeriesToWrite {
                        labels,
                        samples: &floats,
                        histograms: &histograms,
                        exemplars: &[],
                        metadata: None,
                    });
                }
                if empty {
                    break;
                }
                let body = snap::raw::Encoder::new().compress_vec(&request.finish())?;
                for client in to {
                    client.write(&body)?;
                }
            }
        }
        if flush && slice == slices / 2 {
            to.first().context("nobody to write to")?.flush()?;
        }
    }
    Ok(samples)
}

/// Floats, or histograms, that follow each other.
type Run = (Vec<(i64, f64, i64)>, Vec<WireHistogram>);

/// A series' samples of the slice that begins there, cut where floats and histograms take turns: of one request,
/// Prometheus takes the floats first, and then refuses histograms before them.
fn runs_of(series: &Series, from: i64) -> VecDeque<Run> {
    let within = |t: i64| (from..from + SLICE * 1000).contains(&t);
    let mut floats = series.floats.iter().filter(|s| within(s.0)).copied().peekable();
    let mut histograms = series.histograms.iter().filter(|h| within(h.t)).cloned().peekable();
    let mut runs: VecDeque<Run> = VecDeque::new();
    loop {
        let float_next = match (floats.peek(), histograms.peek()) {
            (None, None) => return runs,
            (Some(float), Some(histogram)) => float.0 <= histogram.t,
            (float, None) => float.is_some(),
            (None, Some(_)) => false,
        };
        let fits =
            runs.back().is_some_and(|(f, h): &Run| if float_next { h.is_empty() } else { f.is_empty() });
        if !fits {
            runs.push_back(Run::default());
        }
        let Some(run) = runs.back_mut() else { continue };
        if float_next {
            run.0.extend(floats.next());
        } else {
            run.1.extend(histograms.next());
        }
    }
}
