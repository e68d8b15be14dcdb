//! The file of the query log: lines wait in a bounded queue for one writer.
//!
//! Always: a query never waits for the log. A line that finds the queue full, or that the disk refuses, is lost and
//! counted. A file that would become larger than it may is renamed to `FILE.1`, in place of the one before.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runtime::{Disk, DiskFile, OpenMode, Runtime, Task};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait to be written.
const WAITING_MAX: usize = 1024;
/// Bytes written at once, about.
const BATCH_BYTES: usize = 256 << 10;

/// What waits for the writer.
#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Who wants to know when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// The query log; lines are written until it is dropped. Those that wait then are lost, unless it was flushed.
#[derive(Debug)]
pub struct QueryLog {
    lines: mpsc::Sender<Entry>,
    counts: Arc<Counts>,
    _writer: Task<()>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl QueryLog {
    /// Opens the file, made if missing and continued if not, and starts to write.
    ///
    /// # Errors
    /// Those of opening the file.
    pub fn start(runtime: &Runtime, path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = LogFile::open(runtime.disk(), path, bytes_max)?;
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let counts = Arc::new(Counts::default());
        let writer = write(runtime.clone(), file, waiting, Arc::clone(&counts));
        Ok(QueryLog { lines, counts, _writer: runtime.spawn("query-log", writer) })
    }

    /// Appends a line, newline included.
    pub(crate) fn append(&self, line: Vec<u8>) {
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines that wait now are written, `limit` at most; gives whether they are.
    pub(crate) async fn flush(&self, runtime: &Runtime, limit: Duration) -> bool {
        let flushed = async {
            let (tell, told) = oneshot::channel();
            self.lines.send(Entry::Flush(tell)).await.is_ok() && told.await.is_ok()
        };
        tokio::select! { biased;
            flushed = flushed => flushed,
            () = runtime.sleep(limit) => false,
        }
    }

    /// Lines written, and lines lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.lost.load(Ordering::Relaxed))
    }
}

async fn write(runtime: Runtime, mut file: LogFile, mut waiting: mpsc::Receiver<Entry>, counts: Arc<Counts>) {
    let mut is_troubled = false;
    while let Some(first) = waiting.recv().await {
        let (mut batch, mut lines, mut to_tell) = (Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Entry::Flush(tell) => to_tell.push(tell),
            }
            next = if batch.len() < BATCH_BYTES { waiting.try_recv().ok() } else { None };
        }
        let job = runtime.blocking(move || {
            let result = file.append(&batch);
            (file, result)
        });
        let Ok((same, result)) = job.await else { return };
        file = same;
        match result {
            Ok(()) => {
                is_troubled = false;
                counts.written.fetch_add(lines, Ordering::Relaxed);
            }
            Err(error) => {
                if !is_troubled {
                    tracing::warn!(%error, file = %file.path.display(), "the query log cannot be written");
                }
                is_troubled = true;
                counts.lost.fetch_add(lines, Ordering::Relaxed);
            }
        }
        for tell in to_tell {
            // who asked may have gone
            let _gone = tell.send(());
        }
    }
}

/// The file as it is open.
struct LogFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: u64,
    bytes_max: u64,
}

impl LogFile {
    fn open(disk: Arc<dyn Disk>, path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::CreateOrOpen)?;
        let len = file.len()?;
        Ok(LogFile { disk, path: path.to_owned(), file, len, bytes_max })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.len > 0 && self.len.saturating_add(bytes.len() as u64) > self.bytes_max {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            self.disk.rename(&self.path, Path::new(&aside))?;
            self.file = self.disk.open(&self.path, OpenMode::Truncate)?;
            self.len = 0;
        }
        self.file.write_at(self.len, bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.log");
        let runtime = Runtime::real();
        let read = |path: &Path| String::from_utf8(runtime.disk().read(path).unwrap()).unwrap();
        let open = || LogFile::open(runtime.disk(), &path, 10).unwrap();
        let mut file = open();
        file.append(b"1\n2\n").unwrap();
        drop(file);
        let mut file = open();
        file.append(b"345\n").unwrap();
        assert_eq!(read(&path), "1\n2\n345\n");
        file.append(b"678\n").unwrap();
        let aside = dir.path().join("q.log.1");
        assert_eq!((read(&path), read(&aside)), ("678\n".to_owned(), "1\n2\n345\n".to_owned()));
        // one line alone may be larger
        file.append(b"a long line\n").unwrap();
        assert_eq!((read(&path), read(&aside)), ("a long line\n".to_owned(), "678\n".to_owned()));
    }

    #[test]
    fn lines_that_find_the_queue_full_are_lost_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.log");
        let runtime = Runtime::simulated(1).with_disk(Runtime::real().disk());
        let log = QueryLog::start(&runtime, &path, 1 << 20).unwrap();
        // nothing is written before the writer has its turn
        for _ in 0..WAITING_MAX + 3 {
            log.append(b"x\n".to_vec());
        }
        assert_eq!(log.counts(), (0, 3));
        runtime.block_on(async { runtime.sleep(Duration::from_millis(1)).await });
        assert_eq!(log.counts(), (WAITING_MAX as u64, 3));
        assert_eq!(runtime.disk().read(&path).unwrap().len(), 2 * WAITING_MAX);
    }

    #[test]
    fn what_waits_is_written_before_a_flush_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.log");
        let runtime = Runtime::simulated(1).with_disk(Runtime::real().disk());
        let log = QueryLog::start(&runtime, &path, 1 << 20).unwrap();
        for _ in 0..WAITING_MAX {
            log.append(b"x\n".to_vec());
        }
        let limit = Duration::from_secs(1);
        assert!(runtime.block_on(async { log.flush(&runtime, limit).await }));
        assert_eq!(runtime.disk().read(&path).unwrap().len(), 2 * WAITING_MAX);
        assert!(!runtime.block_on(async { log.flush(&runtime, Duration::ZERO).await }));
    }
}
