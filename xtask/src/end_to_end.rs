//! The whole wiring of `deploy/`, without containers: node_exporter ← Prometheus 2.42 → us, blocks in MinIO.
//!
//! The same stream also goes to a Prometheus 3 (the judge of every answer) and to a second Epimetheus whose
//! bucket is a folder (so that DuckDB and pyarrow can read it); a further Prometheus 3 holds nothing and reads from us.
//! Queries are asked of all, and must agree: with everything in memory, after `kill -9` and restart, and from blocks
//! alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::compare::difference;
use crate::http;
use crate::process::{Process, free_port, program};

/// How long the client scrapes before answers are compared.
const SCRAPE_FOR: Duration = Duration::from_secs(45);
/// How long anything may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Expressions of stock dashboards, over what node_exporter and Prometheus show of themselves.
const QUERIES: &[&str] = &[
    "up",
    "count({__name__!=\"\"})",
    "rate(node_cpu_seconds_total[20s])",
    "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[20s]))",
    "sum by (mode) (irate(node_cpu_seconds_total[20s]))",
    "sum without (cpu) (increase(node_cpu_seconds_total[30s]))",
    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "topk(3, node_filesystem_size_bytes)",
    "bottomk(2, sum by (device) (node_network_receive_bytes_total))",
    "quantile(0.9, rate(node_cpu_seconds_total[20s]))",
    "stddev by (mode) (node_cpu_seconds_total)",
    "count_values(\"value\", up)",
    "max_over_time(node_load1[30s]) - min_over_time(node_load1[30s])",
    "avg_over_time(node_load1[30s])",
    "stddev_over_time(node_load1[30s])",
    "quantile_over_time(0.5, node_load1[30s])",
    "histogram_quantile(0.9, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[30s])))",
    "histogram_quantile(0.5, prometheus_http_response_size_bytes_bucket)",
    "deriv(node_memory_MemFree_bytes[30s])",
    "predict_linear(node_filesystem_avail_bytes[30s], 3600)",
    "changes(node_load1[30s])",
    "resets(node_cpu_seconds_total[30s])",
    "delta(node_memory_MemFree_bytes[30s])",
    "idelta(node_memory_MemFree_bytes[30s])",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(up, \"both\", \"-\", \"job\", \"instance\")",
    "absent(nothing_here{job=\"x\"})",
    "absent_over_time(nothing_here[30s])",
    "node_load1 > bool 0.5 or on () vector(7)",
    "node_uname_info * on (instance) group_left () up",
    "up and on (job) node_load1",
    "up unless node_load1",
    "sum(node_load1 offset 10s)",
    "max_over_time(rate(node_cpu_seconds_total{mode=\"user\"}[15s])[20s:5s])",
    "sum_over_time(up[30s])",
    "clamp_max(clamp_min(node_load1, 0.1), 0.2)",
    "round(node_load1 * 100) / 100",
    "sort_desc(sum by (mode) (node_cpu_seconds_total))",
    "timestamp(up)",
    "time()",
    "scalar(count(up)) + 1",
    "group by (job) ({__name__=~\"node_(load|memory_Mem).*\"})",
    "-abs(node_load1 - 1) ^ 2 % 3",
    "day_of_week(vector(time()))",
];

/// Expressions that must fail, with the same error on all sides.
const FAILING: &[&str] = &["rate(up)", "sum("];

/// Expressions of [`QUERIES`] whose answer may be empty: they depend on the machine, which may show node_exporter no
/// file system that it does not exclude (as in a container). An empty answer of the judge to anything else means that
/// the harness compares nothing.
const MAY_BE_EMPTY: &[&str] =
    &["topk(3, node_filesystem_size_bytes)", "predict_linear(node_filesystem_avail_bytes[30s], 3600)"];

/// What the judge must answer for a comparison with it to mean something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Success, with data.
    Data,
    /// Success, with or without data.
    DataOrEmpty,
    /// An error.
    Failure,
}

/// Everything that runs.
struct World {
    root: PathBuf,
    binary: PathBuf,
    minio: Process,
    ours_s3: Process,
    s3_port: u16,
    s3_bucket: String,
    ours_folder: Process,
    folder_port: u16,
    judge: Process,
    judge_port: u16,
    /// A Prometheus 3 that holds nothing and reads from us.
    reader: Process,
    reader_port: u16,
    client: Process,
    client_port: u16,
    _exporter: Process,
    /// Last, so that it goes after the processes that write into it.
    _dir: tempfile::TempDir,
}

/// The parts in order, each with its outcome. An error means that the world did not start.
pub(crate) fn run(binary: &Path) -> Result<Vec<(String, Result<String>)>> {
    let mut world = World::start(binary).context("end to end")?;
    let mut parts = Vec::new();
    std::thread::sleep(SCRAPE_FOR);
    let when = world.pick_time()?;
    let later = SystemTime::now() + Duration::from_secs(12);
    while SystemTime::now() < later {
        // What was scraped until `when` reaches everybody within the client's batch deadline of 5 s.
        std::thread::sleep(Duration::from_millis(200));
    }
    parts.push(("answers from heads".to_owned(), world.compare(when)));
    parts.push(("kill -9 and restart".to_owned(), world.kill_and_restart(when)));
    parts.push(("answers from blocks alone".to_owned(), world.flush_and_compare(when)));
    parts.push(("blocks verify".to_owned(), world.verify_blocks()));
    parts.push(("DuckDB and pyarrow".to_owned(), world.read_by_others()));
    parts.push(("clean shutdown".to_owned(), world.shut_down()));
    Ok(parts)
}

impl World {
    fn start(binary: &Path) -> Result<Self> {
        let programs = [
            program("PROMETHEUS2", "prometheus")?,
            program("PROMETHEUS3", "prometheus3")?,
            program("NODE_EXPORTER", "prometheus-node-exporter")?,
            program("MINIO", "minio")?,
        ];
        let dir = tempfile::tempdir()?;
        let root = dir.path().to_owned();
        let [exporter_port, minio_port, s3_port, folder_port, judge_port, client_port, reader_port] = [
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
        ];

        std::fs::create_dir_all(root.join("minio/metrics"))?;
        let mut minio = Process::start(
            "minio",
            &root,
            Command::new(&programs[3])
                .env("MINIO_ROOT_USER", "epimetheus")
                .env("MINIO_ROOT_PASSWORD", "epimetheus")
                .args(["server", &root.join("minio").to_string_lossy(), "--address"])
                .arg(format!("127.0.0.1:{minio_port}")),
        )?;
        minio.wait_ready(&format!("http://127.0.0.1:{minio_port}/minio/health/live"), START_LIMIT)?;
        let s3_bucket = format!("s3://metrics?endpoint=http://127.0.0.1:{minio_port}&region=us-east-1");

        let mut ours_s3 = epimetheus(binary, &root, "ours-s3", s3_port, Some(&s3_bucket))?;
        let mut ours_folder = epimetheus(binary, &root, "ours-folder", folder_port, None)?;
        ours_s3.wait_ready(&format!("http://127.0.0.1:{s3_port}/-/ready"), START_LIMIT)?;
        ours_folder.wait_ready(&format!("http://127.0.0.1:{folder_port}/-/ready"), START_LIMIT)?;

        let mut exporter = Process::start(
            "node-exporter",
            &root,
            Command::new(&programs[2]).arg(format!("--web.listen-address=127.0.0.1:{exporter_port}")),
        )?;
        exporter.wait_ready(&format!("http://127.0.0.1:{exporter_port}/metrics"), START_LIMIT)?;

        std::fs::write(root.join("judge.yml"), "global: {}\n")?;
        let mut judge = Process::start(
            "prometheus3",
            &root,
            prometheus(&programs[1], &root, "judge", judge_port)
                .args(["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"]),
        )?;
        judge.wait_ready(&format!("http://127.0.0.1:{judge_port}/-/ready"), START_LIMIT)?;

        std::fs::write(
            root.join("reader.yml"),
            format!("remote_read:\n- url: http://127.0.0.1:{s3_port}/api/v1/read\n  read_recent: true\n"),
        )?;
        let mut reader =
            Process::start("reader", &root, &mut prometheus(&programs[1], &root, "reader", reader_port))?;
        reader.wait_ready(&format!("http://127.0.0.1:{reader_port}/-/ready"), START_LIMIT)?;

        std::fs::write(
            root.join("client.yml"),
            format!(
                "global:\n  scrape_interval: 1s\nscrape_configs:\n\
                 - job_name: node\n  static_configs: [{{ targets: ['127.0.0.1:{exporter_port}'] }}]\n\
                 - job_name: prometheus\n  static_configs: [{{ targets: ['127.0.0.1:{client_port}'] }}]\n\
                 remote_write:\n\
                 - url: http://127.0.0.1:{s3_port}/api/v1/push\n  send_exemplars: true\n\
                 - url: http://127.0.0.1:{folder_port}/api/v1/write\n  send_exemplars: true\n\
                 - url: http://127.0.0.1:{judge_port}/api/v1/write\n  send_exemplars: true\n"
            ),
        )?;
        let mut client = Process::start(
            "prometheus2",
            &root,
            prometheus(&programs[0], &root, "client", client_port).arg("--enable-feature=exemplar-storage"),
        )?;
        client.wait_ready(&format!("http://127.0.0.1:{client_port}/-/ready"), START_LIMIT)?;
        Ok(World {
            root,
            binary: binary.to_owned(),
            minio,
            ours_s3,
            s3_port,
            s3_bucket,
            ours_folder,
            folder_port,
            judge,
            judge_port,
            reader,
            reader_port,
            client,
            client_port,
            _exporter: exporter,
            _dir: dir,
        })
    }

    /// An evaluation time (ms) at which everything has been scraped and no window of whole seconds begins
    /// exactly at a sample: 2.42 counts such a sample in, 3.x does not.
    fn pick_time(&self) -> Result<i64> {
        let answer =
            http::get(&format!("http://127.0.0.1:{}/api/v1/query?query=timestamp(up)", self.client_port))?
                .json()?;
        let results = answer["data"]["result"].as_array().context("no vector")?;
        ensure!(results.len() == 2, "two targets are scraped, not {}", results.len());
        let mut offsets: Vec<i64> = Vec::new();
        let mut newest = 0i64;
        for result in results {
            let seconds: f64 = result["value"][1].as_str().unwrap_or("").parse()?;
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
            let ms = (seconds * 1000.0).round() as i64;
            offsets.push(ms.rem_euclid(1000));
            newest = newest.max(ms);
        }
        // The middle of the widest gap between the targets' offsets within the second.
        offsets.sort_unstable();
        let gap = (offsets[1] - offsets[0], offsets[0] + 1000 - offsets[1]);
        let middle = if gap.0 > gap.1 { offsets[0] + gap.0 / 2 } else { offsets[1] + gap.1 / 2 };
        Ok(newest / 1000 * 1000 - 1000 + middle.rem_euclid(1000))
    }

    /// Asks everybody the same things; all must agree with the judge.
    fn compare(&self, when: i64) -> Result<String> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let mut paths = Vec::new();
        for query in QUERIES.iter().chain(FAILING) {
            let expected = if FAILING.contains(query) {
                Expected::Failure
            } else if MAY_BE_EMPTY.contains(query) {
                Expected::DataOrEmpty
            } else {
                Expected::Data
            };
            let query = http::escape(query);
            paths.push((format!("/api/v1/query?query={query}&time={}", seconds(when)), expected));
            paths.push((
                format!(
                    "/api/v1/query_range?query={query}&start={}&end={}&step=3",
                    seconds(when - 30_000),
                    seconds(when)
                ),
                expected,
            ));
        }
        let range = format!("start={}&end={}", seconds(when - 30_000), seconds(when));
        for path in [
            "labels?",
            "label/__name__/values?",
            "label/mode/values?match[]=node_cpu_seconds_total&",
            "series?match[]=up&match[]=node_load1&",
        ] {
            paths.push((format!("/api/v1/{path}{range}"), Expected::Data));
        }
        let mut agreed = 0;
        let mut differing = Vec::new();
        let mut meaningless = Vec::new();
        for (path, expected) in &paths {
            let theirs = http::get(&format!("http://127.0.0.1:{}{path}", self.judge_port))?.json()?;
            if let Some(what) = unexpected(&theirs, *expected) {
                meaningless.push(format!("{path}: {what}"));
            }
            let mut answers = vec![("s3", self.s3_port), ("folder", self.folder_port)];
            // over remote read nobody asks for names and values
            if path.starts_with("/api/v1/query") {
                answers.push(("remote read", self.reader_port));
            }
            for (name, port) in answers {
                let ours = http::get(&format!("http://127.0.0.1:{port}{path}"))?.json()?;
                match difference(&ours, &theirs) {
                    None => agreed += 1,
                    Some(what) => differing.push(format!("{name} {path}: {what}")),
                }
            }
        }
        ensure!(
            differing.is_empty(),
            "{} of {} answers differ from Prometheus 3:\n  {}",
            differing.len(),
            agreed + differing.len(),
            differing.join("\n  ")
        );
        ensure!(
            meaningless.is_empty(),
            "{} answers of Prometheus 3 prove nothing, the harness is at fault:\n  {}",
            meaningless.len(),
            meaningless.join("\n  ")
        );
        Ok(format!("{agreed} answers equal to those of Prometheus 3"))
    }

    fn kill_and_restart(&mut self, when: i64) -> Result<String> {
        self.ours_s3.kill()?;
        self.ours_folder.kill()?;
        self.ours_s3 = epimetheus(&self.binary, &self.root, "ours-s3", self.s3_port, Some(&self.s3_bucket))?;
        self.ours_folder = epimetheus(&self.binary, &self.root, "ours-folder", self.folder_port, None)?;
        let ready =
            self.ours_s3.wait_ready(&format!("http://127.0.0.1:{}/-/ready", self.s3_port), START_LIMIT)?;
        self.ours_folder
            .wait_ready(&format!("http://127.0.0.1:{}/-/ready", self.folder_port), START_LIMIT)?;
        let line = self.compare(when)?;
        Ok(format!("ready after {} ms, {line}", ready.as_millis()))
    }

    fn flush_and_compare(&mut self, when: i64) -> Result<String> {
        for port in [self.s3_port, self.folder_port] {
            let url = format!("http://127.0.0.1:{port}/ingester/flush?drop=true");
            let answer = http::post(&url, &[], b"")?;
            ensure!(answer.status == 204, "flush answered {}", answer.status);
        }
        self.compare(when)
    }

    fn verify_blocks(&self) -> Result<String> {
        let folder = self.root.join("ours-folder/bucket").to_string_lossy().into_owned();
        let mut lines = Vec::new();
        for bucket in [&self.s3_bucket, &folder] {
            for action in ["ls", "verify"] {
                let output =
                    aws(Command::new(&self.binary)).args(["blocks", action, "--bucket", bucket]).output()?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                ensure!(
                    output.status.success(),
                    "blocks {action} {bucket}: {}\n{text}{error}",
                    output.status
                );
                let last = text.lines().last().unwrap_or("").to_owned();
                if action == "ls" {
                    let blocks: u64 =
                        last.split_once(" blocks, ")
                            .and_then(|(n, _)| n.trim().parse().ok())
                            .with_context(|| format!("blocks ls {bucket} ends without a count: {text}"))?;
                    ensure!(blocks > 0, "blocks ls {bucket}: no blocks were written");
                }
                lines.push(last);
            }
        }
        Ok(lines.join("; "))
    }

    fn read_by_others(&self) -> Result<String> {
        let python = program("PYTHON", "python3")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read_blocks.py");
        let output = Command::new(python).arg(script).arg(self.root.join("ours-folder/bucket")).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "read_blocks.py: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        totals_of(&text)
    }

    fn shut_down(&mut self) -> Result<String> {
        let start = Instant::now();
        self.client.terminate(START_LIMIT)?;
        let clients = start.elapsed();
        self.ours_s3.terminate(START_LIMIT)?;
        self.ours_folder.terminate(START_LIMIT)?;
        let ours = start.elapsed() - clients;
        self.judge.terminate(START_LIMIT)?;
        self.reader.terminate(START_LIMIT)?;
        self.minio.kill()?;
        Ok(format!("both ended within {} ms of SIGTERM", ours.as_millis()))
    }
}

/// Why an answer of the judge is no measure for ours; `None` when it is one.
fn unexpected(theirs: &Value, expected: Expected) -> Option<String> {
    let failed = theirs["status"] != "success";
    match expected {
        Expected::Failure => (!failed).then(|| "succeeded, but must fail".to_owned()),
        Expected::Data | Expected::DataOrEmpty if failed => Some(format!("failed: {}", theirs["error"])),
        Expected::DataOrEmpty => None,
        Expected::Data => {
            let data = &theirs["data"];
            let entries = if data.is_array() { data } else { &data["result"] };
            entries.as_array().is_none_or(Vec::is_empty).then(|| "is empty".to_owned())
        }
    }
}

/// The totals of a report of `read_blocks.py` in one line; an error when it lists problems or read nothing.
fn totals_of(report: &str) -> Result<String> {
    let report: Value = serde_json::from_str(report).context("read_blocks.py printed no JSON document")?;
    let problems = report["problems"].as_array().context("read_blocks.py: no list of problems")?;
    ensure!(problems.is_empty(), "read_blocks.py: {}", report["problems"]);
    let total = |name: &str| {
        report["totals"][name].as_u64().with_context(|| format!("read_blocks.py: no total of {name}"))
    };
    let (blocks, samples) = (total("blocks")?, total("samples")?);
    ensure!(blocks > 0 && samples > 0, "read_blocks.py read {blocks} blocks, {samples} samples");
    Ok(format!(
        "{blocks} blocks, {samples} samples ({} staleness markers), {} histograms, {} exemplars, both engines alike",
        total("stale")?,
        total("histograms")?,
        total("exemplars")?
    ))
}

fn aws(mut command: Command) -> Command {
    command.env("AWS_ACCESS_KEY_ID", "epimetheus").env("AWS_SECRET_ACCESS_KEY", "epimetheus");
    command
}

fn epimetheus(binary: &Path, root: &Path, name: &str, port: u16, bucket: Option<&str>) -> Result<Process> {
    let mut command = aws(Command::new(binary));
    command
        .arg(format!("--data.dir={}", root.join(name).display()))
        .arg(format!("--http.listen=127.0.0.1:{port}"))
        // Off: what we show of ourselves would be series that the judge does not hold.
        .arg("--self-scrape.interval=0s");
    if let Some(bucket) = bucket {
        command.arg(format!("--bucket={bucket}"));
    }
    Process::start(name, root, &mut command)
}

fn prometheus(binary: &Path, root: &Path, name: &str, port: u16) -> Command {
    let mut command = Command::new(binary);
    command
        .current_dir(root)
        .arg(format!("--config.file={}", root.join(format!("{name}.yml")).display()))
        .arg(format!("--storage.tsdb.path={}", root.join(format!("{name}-data")).display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_proves_nothing_is_told_from_one_that_does() {
        let vector = |v: Value| json!({"status": "success", "data": {"resultType": "vector", "result": v}});
        let (empty, full) = (vector(json!([])), vector(json!([{"metric": {}, "value": [1, "1"]}])));
        let (no_labels, labels) =
            (json!({"status": "success", "data": []}), json!({"status": "success", "data": ["a"]}));
        let error = json!({"status": "error", "error": "no"});
        for (answer, data, data_or_empty, failure) in [
            (&empty, false, true, false),
            (&full, true, true, false),
            (&no_labels, false, true, false),
            (&labels, true, true, false),
            (&error, false, false, true),
        ] {
            assert_eq!(unexpected(answer, Expected::Data).is_none(), data, "{answer}");
            assert_eq!(unexpected(answer, Expected::DataOrEmpty).is_none(), data_or_empty, "{answer}");
            assert_eq!(unexpected(answer, Expected::Failure).is_none(), failure, "{answer}");
        }
        assert!(MAY_BE_EMPTY.iter().all(|query| QUERIES.contains(query)));
    }

    #[test]
    fn a_report_of_nothing_or_of_problems_fails() {
        let report = |blocks: u32, samples: u32, problems: Value| {
            let totals =
                json!({"blocks": blocks, "samples": samples, "stale": 0, "histograms": 0, "exemplars": 0});
            totals_of(&json!({"blocks": [], "totals": totals, "problems": problems}).to_string())
        };
        assert!(report(2, 10, json!([])).unwrap().starts_with("2 blocks, 10 samples"));
        for bad in [report(0, 0, json!([])), report(1, 0, json!([])), report(2, 10, json!(["twice"]))] {
            assert!(bad.is_err());
        }
        assert!(totals_of("").is_err());
        assert!(totals_of("{}").is_err());
    }
}
