//! The pool for CPU work: as many threads as cores, so that no reactor thread computes.
//!
//! A job whose caller has gone away is skipped when its turn comes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

/// What the CPU pool holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// Threads of the pool.
    pub threads: usize,
    /// Jobs that wait for a thread.
    pub pending: usize,
    /// Jobs that run.
    pub running: usize,
}

#[derive(Debug, Default)]
struct Gauges {
    pending: AtomicUsize,
    running: AtomicUsize,
}

#[derive(Debug)]
pub(crate) struct CpuPool {
    pool: rayon::ThreadPool,
    gauges: Arc<Gauges>,
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CpuPool {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .expect("the process may start threads");
        CpuPool { pool, gauges: Arc::new(Gauges::default()) }
    }

    pub(crate) async fn run<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let gauges = Arc::clone(&self.gauges);
        gauges.pending.fetch_add(1, Ordering::Relaxed);
        self.pool.spawn(move || {
            gauges.pending.fetch_sub(1, Ordering::Relaxed);
            if sender.is_closed() {
                return;
            }
            let running = Counted::new(&gauges.running);
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(running);
            // the caller may have gone meanwhile: then nobody wants the result
            let _gone = sender.send(result).is_err();
        });
        match receiver.await.expect("a job answers as long as its caller waits") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    pub(crate) fn stats(&self) -> CpuStats {
        CpuStats {
            threads: self.pool.current_num_threads(),
            pending: self.gauges.pending.load(Ordering::Relaxed),
            running: self.gauges.running.load(Ordering::Relaxed),
        }
    }
}
