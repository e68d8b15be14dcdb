//! The handle everything is reached through.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::cpu::{CpuPool, CpuStats};
use crate::disk::{Disk, RealDisk, SimulatedDisk};
use crate::moment::Moment;
use crate::random::{self, Random};
use crate::simulation::{self, Simulation, Sleep};
use crate::task::{Task, TaskError};

/// The time given to a future ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time given ran out")]
pub struct Elapsed;

/// A future with a deadline.
#[derive(Debug)]
pub struct Timeout<F> {
    sleep: Sleep,
    future: Pin<Box<F>>,
}

impl<F> Timeout<F> {
    pub(crate) fn new(sleep: Sleep, future: F) -> Self {
        Timeout { sleep, future: Box::pin(future) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep).poll(context).map(|()| Err(Elapsed))
    }
}

struct Inner {
    handle: tokio::runtime::Handle,
    /// The Tokio runtime, when it is ours.
    owned: Option<tokio::runtime::Runtime>,
    simulation: Option<Arc<Simulation>>,
    cpu: OnceLock<CpuPool>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // what tasks drop may ask for the time once more
        let _entered = self.simulation.as_ref().map(Simulation::enter);
        if let Some(tokio) = self.owned.take() {
            tokio.shutdown_background();
        }
    }
}

/// The door to the world; cloneable, all clones are one runtime.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    disk: Arc<dyn Disk>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("simulated", &self.is_simulated()).finish_non_exhaustive()
    }
}

impl Runtime {
    /// The machine's clock, threads and disk. Uses the Tokio runtime it is called in; outside of
    /// one it makes its own (one worker per core), which ends with the last clone.
    pub fn real() -> Self {
        let (handle, owned) = match tokio::runtime::Handle::try_current() {
            Ok(handle) => (handle, None),
            Err(_) => {
                let tokio = tokio::runtime::Builder::new_multi_thread()
                    .thread_name("tokio")
                    .enable_all()
                    .build()
                    .expect("the process may start threads");
                (tokio.handle().clone(), Some(tokio))
            }
        };
        let inner = Inner { handle, owned, simulation: None, cpu: OnceLock::new() };
        Runtime { inner: Arc::new(inner), disk: Arc::new(RealDisk) }
    }

    /// A simulation: one thread, virtual time from 2024-01-01, everything random from `seed`, an
    /// empty disk in memory. Run it by [`Runtime::block_on`].
    pub fn simulated(seed: u64) -> Self {
        let simulation = Arc::new(Simulation::new(seed));
        let idle = Arc::downgrade(&simulation);
        let tokio = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || {
                if let Some(simulation) = idle.upgrade() {
                    simulation.idle();
                }
            })
            .build()
            .expect("a runtime without drivers needs nothing");
        let disk = SimulatedDisk::new(simulation.random_u64());
        let inner = Inner {
            handle: tokio.handle().clone(),
            owned: Some(tokio),
            simulation: Some(simulation),
            cpu: OnceLock::new(),
        };
        Runtime { inner: Arc::new(inner), disk: Arc::new(disk) }
    }

    /// The same runtime with another disk: one of several nodes in a simulation, or a faulty one.
    #[must_use]
    pub fn with_disk(&self, disk: Arc<dyn Disk>) -> Self {
        Runtime { inner: Arc::clone(&self.inner), disk }
    }

    /// Whether time, randomness and disk are simulated.
    pub fn is_simulated(&self) -> bool {
        self.inner.simulation.is_some()
    }

    /// Runs `future` to its end on this thread. Not from inside async code.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match (&self.inner.simulation, &self.inner.owned) {
            (Some(simulation), Some(tokio)) => {
                let _entered = simulation.enter();
                tokio.block_on(Arc::clone(simulation).root(future))
            }
            (None, Some(tokio)) => tokio.block_on(future),
            (_, None) => self.inner.handle.block_on(future),
        }
    }

    /// Wall-clock time, milliseconds since 1970; may jump.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now_ms(&self) -> i64 {
        if let Some(simulation) = &self.inner.simulation {
            return simulation.wall_ms();
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
    }

    /// The monotonic clock.
    pub fn monotonic(&self) -> Moment {
        match &self.inner.simulation {
            Some(simulation) => {
                let _entered = simulation.enter();
                Moment::now()
            }
            None => Moment::now(),
        }
    }

    /// 64 random bits.
    pub fn random_u64(&self) -> u64 {
        match &self.inner.simulation {
            Some(simulation) => simulation.random_u64(),
            None => random::real_u64(),
        }
    }

    /// 128 random bits.
    pub fn random_u128(&self) -> u128 {
        (u128::from(self.random_u64()) << 64) | u128::from(self.random_u64())
    }

    /// A generator of its own, seeded from here.
    pub fn random(&self) -> Random {
        Random::new(self.random_u64())
    }

    /// Starts a task on the shared executor.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task::of_task(name, self.inner.handle.spawn(future))
    }

    /// Starts a loop that blocks (writes and fsyncs files): a thread of its own here, a task in a
    /// simulation. Dropping the result does not stop it: end it through its own channel.
    pub fn spawn_loop<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.is_simulated() {
            let (sender, receiver) = oneshot::channel();
            let task = self.inner.handle.spawn(async move {
                // nobody may wait for the end of the loop
                let _gone = sender.send(future.await).is_err();
            });
            drop(task);
            return Task::of_thread(name, receiver);
        }
        let (sender, receiver) = oneshot::channel();
        let handle = self.inner.handle.clone();
        let thread = std::thread::Builder::new().name(name.to_string()).spawn(move || {
            let _entered = handle.enter();
            let _gone = sender.send(futures::executor::block_on(future)).is_err();
        });
        // without the thread the sender is gone, and awaiting the task says so
        if let Err(error) = thread {
            tracing::error!(name, %error, "thread not started");
        }
        Task::of_thread(name, receiver)
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(duration)
    }

    /// The future's result, or [`Elapsed`] once `duration` is over.
    pub fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(Sleep::new(duration), future)
    }

    /// Runs CPU work on the pool; in a simulation at once. Work whose caller is gone is skipped.
    /// A panic of the work is the caller's.
    pub async fn cpu<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if self.is_simulated() {
            return work();
        }
        self.inner.cpu.get_or_init(CpuPool::new).run(work).await
    }

    /// What the CPU pool holds.
    pub fn cpu_stats(&self) -> CpuStats {
        self.inner.cpu.get().map(CpuPool::stats).unwrap_or_default()
    }

    /// Runs work that blocks on files, on Tokio's blocking threads; in a simulation at once.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T, TaskError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        blocking(work).await
    }

    /// The disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Tokio's handle, for what insists on one. Do not spawn through it.
    pub fn tokio(&self) -> &tokio::runtime::Handle {
        &self.inner.handle
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts blocking work")]
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, TaskError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if simulation::current().is_some() {
        return Ok(work());
    }
    Task::of_task("blocking", tokio::task::spawn_blocking(work)).await
}
