//! Processes that end with us: started with their output in a log file, killed when dropped.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running program.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A port of the loopback that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The program an environment variable names, or the default from PATH; an error when there is none.
pub(crate) fn program(variable: &str, default: &str) -> Result<PathBuf> {
    let wanted = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    if wanted.contains('/') {
        let path = PathBuf::from(&wanted);
        return if path.is_file() { Ok(path) } else { bail!("{variable}: no file {wanted}") };
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(&wanted))
        .find(|path| path.is_file())
        .with_context(|| format!("`{wanted}` is not in PATH; install it or name it by {variable}"))
}

impl Process {
    /// Starts `command`; its output goes to `NAME.log` in `dir`.
    pub(crate) fn start(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `url` answers 200.
    pub(crate) fn wait_ready(&mut self, url: &str, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; its log:\n{}", self.name, self.tail());
            }
            if crate::http::get(url).is_ok_and(|a| a.status == 200) {
                return Ok(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} was not ready at {url} within {limit:?}; its log:\n{}", self.name, self.tail())
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill -TERM {} failed", self.name);
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(
                    status.success(),
                    "{} ended with {status}; its log:\n{}",
                    self.name,
                    self.tail()
                );
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not end within {limit:?} of SIGTERM; its log:\n{}", self.name, self.tail())
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and nothing to do about it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
