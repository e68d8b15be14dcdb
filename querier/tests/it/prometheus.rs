//! A real Prometheus, started for a test.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use model::Histogram;
use proto::remote_write::{EncodeV2, SeriesToWrite, WireHistogram};

use crate::store::Series;
use crate::world::uri;

fn open_metrics(data: &[Series]) -> String {
    let quoted =
        |v: &str| format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let mut out = String::new();
    for series in data {
        let name = quoted(series.labels.metric_name());
        let pairs: Vec<String> = series
            .labels
            .iter()
            .filter(|(n, _)| *n != "__name__")
            .map(|(n, v)| format!("{}={}", quoted(n), quoted(v)))
            .collect();
        for (t, v) in &series.floats {
            writeln!(out, "{{{name},{}}} {v} {}", pairs.join(","), t / 1000).unwrap();
        }
    }
    out + "# EOF\n"
}

pub(crate) struct Prometheus {
    process: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = (self.process.kill(), self.process.wait());
    }
}

impl Prometheus {
    pub(crate) fn start(binary: &Path, folder: &Path, data: &[Series]) -> Self {
        Self::start_with(binary, folder, data, "")
    }

    #[expect(clippy::disallowed_methods, reason = "files of another program, and its log")]
    pub(crate) fn start_with(binary: &Path, folder: &Path, data: &[Series], config: &str) -> Self {
        std::fs::write(folder.join("data.om"), open_metrics(data)).unwrap();
        std::fs::write(folder.join("config.yml"), config).unwrap();
        let made = Command::new(binary.with_file_name("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "data.om", "data"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(binary)
            .args([
                "--config.file=config.yml",
                "--storage.tsdb.path=data",
                "--storage.tsdb.retention.time=100y",
                "--web.enable-remote-write-receiver",
            ])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map(Result::unwrap).find(|line| line.contains("Server is ready to receive"));
        assert!(ready.is_some(), "prometheus ended before it was ready");
        // a log that nobody reads, or that is closed, stops the process
        std::thread::spawn(move || log.map_while(Result::ok).count());
        Prometheus { process, port }
    }

    /// Sends samples by remote write.
    pub(crate) fn write(&self, data: &[Series]) {
        let mut request = EncodeV2::default();
        for series in data {
            let histograms: Vec<WireHistogram> = series
                .histograms
                .iter()
                .map(|(t, h)| WireHistogram {
                    t: *t,
                    start_t: 0,
                    histogram: Histogram::Float(Box::new((**h).clone())),
                })
                .collect();
            let samples: Vec<(i64, f64, i64)> = series.floats.iter().map(|(t, v)| (*t, *v, 0)).collect();
            request.series(SeriesToWrite {
                labels: &series.labels,
                samples: &samples,
                histograms: &histograms,
                exemplars: &[],
                metadata: None,
            });
        }
        let body = snap::raw::Encoder::new().compress_vec(&request.finish()).unwrap();
        let (status, text) = self.post("/api/v1/write", &body);
        assert_eq!(status, 204, "{}", String::from_utf8_lossy(&text));
    }

    /// Posts a compressed message.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Encoding: snappy\r\nContent-Type: \
             application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get_accepting("*/*", path);
        (status, String::from_utf8(body).unwrap())
    }

    pub(crate) fn get_accepting(&self, accept: &str, path: &str) -> (u16, Vec<u8>) {
        let head = format!("GET {} HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n", uri(path));
        self.exchange(head.as_bytes())
    }

    /// What promtool prints.
    pub(crate) fn promtool(&self, binary: &Path, arguments: &[String], query: &str) -> String {
        let (kind, flags) = (&arguments[0], &arguments[1..]);
        let (format, flags) = flags.split_at(1);
        let out = Command::new(binary.with_file_name("promtool"))
            .args(["query".to_owned(), format[0].clone(), kind.clone()])
            .args(flags)
            .args([&format!("http://127.0.0.1:{}", self.port), query])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap()
    }

    fn exchange(&self, request: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        (String::from_utf8(answer).unwrap().split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}
