//! openraft's view of the runtime: our clock, timers and randomness, Tokio's channels and tasks.

use std::future::Future;
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot, TokioWatch};

use crate::moment::Moment;
use crate::simulation::{self, Sleep};
use crate::{random, runtime};

/// The `AsyncRuntime` of every Raft group: virtual inside a simulation, real elsewhere.
#[derive(Debug)]
pub struct RaftRuntime(runtime::Runtime);

/// Random numbers for openraft: the simulation's, or the thread's.
#[derive(Debug, Clone, Copy)]
pub struct RaftRandom;

fn draw() -> u64 {
    match simulation::current() {
        Some(sim) => sim.random_u64(),
        None => random::real_u64(),
    }
}

impl rand_core::TryRng for RaftRandom {
    type Error = std::convert::Infallible;

    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(draw() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(draw())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let random = draw().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Ok(())
    }
}

impl AsyncRuntime for RaftRuntime {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Moment;
    type TimeoutError = runtime::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = runtime::Timeout<T>;
    type ThreadLocalRng = RaftRandom;
    type Mpsc = TokioMpsc;
    type Watch = TokioWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    #[expect(clippy::disallowed_methods, reason = "openraft owns its tasks")]
    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep::new(duration)
    }

    fn sleep_until(deadline: Moment) -> Sleep {
        Sleep::until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        runtime::Timeout::new(Sleep::new(duration), future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Moment,
        future: F,
    ) -> Self::Timeout<R, F> {
        runtime::Timeout::new(Sleep::until(deadline), future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    fn thread_rng() -> RaftRandom {
        RaftRandom
    }

    fn new(_threads: usize) -> Self {
        RaftRuntime(runtime::Runtime::real())
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    #[expect(clippy::manual_async_fn, reason = "the trait's signature")]
    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, std::io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        async move { runtime::blocking(work).await.map_err(std::io::Error::other) }
    }
}
