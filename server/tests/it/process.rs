//! A server process under test: started on a free port, killed when dropped, its log kept for the failure.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The line by which the server says that reads and writes work.
const READY: &str = "ready to receive web requests";

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    log: Arc<Mutex<VecDeque<String>>>,
    lines: Mutex<Receiver<String>>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn binary() -> String {
    std::env::var("EPIMETHEUS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_epimetheus").to_owned())
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build().into()
}

/// Percent-encodes for a query string.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

impl Server {
    /// Starts on `dir` and waits for the line that says it is ready.
    pub(crate) fn start(dir: &Path, extra: &[&str]) -> Server {
        Self::start_on(free_port(), dir, extra, &[])
    }

    pub(crate) fn start_on(port: u16, dir: &Path, extra: &[&str], env: &[(&str, &str)]) -> Server {
        let mut child = Command::new(binary())
            .arg(format!("--data.dir={}", dir.display()))
            .arg(format!("--http.listen=127.0.0.1:{port}"))
            // Own metrics would be series that no test wrote.
            .args(if extra.iter().any(|a| a.contains("self-scrape")) {
                None
            } else {
                Some("--self-scrape.interval=0s")
            })
            .args(if extra.iter().any(|a| a.contains("grpc.listen")) {
                None
            } else {
                Some("--grpc.listen=127.0.0.1:0")
            })
            .args(extra)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, lines) = sync_channel(10_000);
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                if kept.len() == 200 {
                    kept.pop_front();
                }
                kept.push_back(line.clone());
                // A test that no longer looks at the log does not slow the server down.
                let _full = sender.try_send(line);
            }
        });
        let server = Server { child, port, log, lines: Mutex::new(lines) };
        server.wait_for(READY);
        server
    }

    /// Reads the log until a line contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        let lines = self.lines.lock().unwrap();
        while let Ok(line) = lines.recv() {
            if line.contains(text) {
                return;
            }
        }
        panic!("the server ended before it said `{text}`:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().iter().cloned().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends a request; an error means that the connection broke.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        request(&self.url(path), method, headers, body)
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.log()))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// `data.result` of an instant query.
    pub(crate) fn query(&self, expr: &str, time_ms: i64) -> Value {
        self.query_as(expr, time_ms, &[])
    }

    pub(crate) fn query_as(&self, expr: &str, time_ms: i64, headers: &[(&str, &str)]) -> Value {
        let path = format!(
            "/api/v1/query?query={}&time={}.{:03}",
            escape(expr),
            time_ms.div_euclid(1000),
            time_ms.rem_euclid(1000)
        );
        let answer = self.request("GET", &path, headers, b"");
        assert_eq!(answer.status, 200, "{expr}: {}", answer.text());
        answer.json()["data"]["result"].clone()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns whether it ended with exit code 0.
    pub(crate) fn terminate(&mut self) -> bool {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().success()
    }
}

/// Sends a request to any URL.
pub(crate) fn request(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = agent().run(request.body(body).unwrap())?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.into_body().into_with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer { status, headers, body })
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
