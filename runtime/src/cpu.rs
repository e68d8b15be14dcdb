//! The pool for CPU work: as many threads as cores, so that no reactor thread computes.
//!
//! A job whose caller has gone away is skipped when its turn comes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
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

type Job = Box<dyn FnOnce() + Send>;

/// What threads and those who give them work share.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Threads that sleep.
    idle: usize,
    is_closed: bool,
}

impl Queue {
    fn push(&self, job: Job) {
        let mut waiting = self.waiting.lock();
        waiting.jobs.push_back(job);
        let is_one_idle = waiting.idle > 0;
        drop(waiting);
        if is_one_idle {
            self.wake.notify_one();
        }
    }

    /// The next job; none once the pool is gone.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting.idle += 1;
            self.wake.wait(&mut waiting);
            waiting.idle -= 1;
        }
    }
}

/// Threads that take whole jobs, first come, first served, and sleep at once when there is none: jobs are small and
/// many, so looking around for more work would cost more than it finds.
pub(crate) struct CpuPool {
    queue: Arc<Queue>,
    threads: usize,
    gauges: Arc<Gauges>,
}

impl std::fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuPool").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Drop for CpuPool {
    fn drop(&mut self) {
        self.queue.waiting.lock().is_closed = true;
        self.queue.wake.notify_all();
    }
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
        let queue = Arc::new(Queue::default());
        for i in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || {
                while let Some(job) = queue.next() {
                    job();
                }
            };
            let thread = std::thread::Builder::new().name(format!("cpu-{i}"));
            thread.spawn(work).expect("the process may start threads");
        }
        CpuPool { queue, threads, gauges: Arc::default() }
    }

    pub(crate) async fn run<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let gauges = Arc::clone(&self.gauges);
        gauges.pending.fetch_add(1, Ordering::Relaxed);
        self.queue.push(Box::new(move || {
            gauges.pending.fetch_sub(1, Ordering::Relaxed);
            if sender.is_closed() {
                return;
            }
            let running = Counted::new(&gauges.running);
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(running);
            // the caller may have gone meanwhile: then nobody wants the result
            let _gone = sender.send(result).is_err();
        }));
        match receiver.await.expect("a job answers as long as its caller waits") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    pub(crate) fn stats(&self) -> CpuStats {
        CpuStats {
            threads: self.threads,
            pending: self.gauges.pending.load(Ordering::Relaxed),
            running: self.gauges.running.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn every_job_runs_and_a_panic_is_its_callers() {
        let pool = CpuPool::new();
        let all = join_all((0..1000).map(|i| pool.run(move || i * 2))).await;
        assert_eq!(all, (0..1000).map(|i| i * 2).collect::<Vec<_>>());
        let broken = AssertUnwindSafe(pool.run(|| unreachable!("broken")));
        assert!(futures::FutureExt::catch_unwind(broken).await.is_err());
        assert_eq!(pool.run(|| 7).await, 7);
        let stats = CpuStats { threads: pool.stats().threads, pending: 0, running: 0 };
        assert_eq!(pool.stats(), stats);
    }
}
