//! Virtual time: a clock that jumps to the next timer when no task can run.
//!
//! A simulation is one current-thread executor. The executor calls [`Simulation::idle`] before it
//! would sleep; that moves the clock to the earliest timer and wakes everything due. Timers of one
//! deadline fire in the order they were made, so a run is a function of its seed.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::moment::Moment;
use crate::random::Random;

/// 2024-01-01T00:00:00Z, when every simulation begins.
const EPOCH_MS: i64 = 1_704_067_200_000;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Simulation>>> = const { RefCell::new(None) };
}

/// The simulation this thread runs, if any.
pub(crate) fn current() -> Option<Arc<Simulation>> {
    CURRENT.with(|current| current.borrow().clone())
}

#[derive(Debug)]
struct Timer {
    deadline: Duration,
    sequence: u64,
    state: Arc<Mutex<TimerState>>,
}

#[derive(Debug, Default)]
struct TimerState {
    fired: bool,
    dropped: bool,
    waker: Option<Waker>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Timer {}
impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.deadline, self.sequence).cmp(&(other.deadline, other.sequence))
    }
}

#[derive(Debug)]
struct State {
    now: Duration,
    sequence: u64,
    timers: BinaryHeap<Reverse<Timer>>,
    random: Random,
}

/// The clock, the timers and the randomness of one simulation.
#[derive(Debug)]
pub(crate) struct Simulation {
    state: Mutex<State>,
    root_woken: AtomicBool,
    hash_seed: u64,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let hash_seed = random.next_u64();
        let state = State { now: Duration::ZERO, sequence: 0, timers: BinaryHeap::new(), random };
        Simulation { state: Mutex::new(state), root_woken: AtomicBool::new(false), hash_seed }
    }

    pub(crate) fn now(&self) -> Duration {
        self.state.lock().now
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX - EPOCH_MS)
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.state.lock().random.next_u64()
    }

    pub(crate) fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    /// Makes this the simulation of the thread until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        let before = CURRENT.with(|current| current.replace(Some(Arc::clone(self))));
        Entered(before)
    }

    /// Nothing can run: moves the clock to the earliest timer somebody waits for and wakes what is due.
    pub(crate) fn idle(&self) {
        // a timer nobody has polled wakes nobody: then the clock goes on to the next
        while !self.root_woken.load(Ordering::SeqCst) {
            let due = self.take_due();
            assert!(!due.is_empty(), "the simulation is stuck: every task waits and no timer is set");
            let mut woken = false;
            for timer in due {
                let waker = {
                    let mut timer = timer.lock();
                    timer.fired = true;
                    timer.waker.take()
                };
                if let Some(waker) = waker {
                    woken = true;
                    waker.wake();
                }
            }
            if woken {
                return;
            }
        }
    }

    /// Moves the clock to the earliest timer and takes all that are due then.
    fn take_due(&self) -> Vec<Arc<Mutex<TimerState>>> {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        while let Some(Reverse(timer)) = state.timers.peek() {
            if timer.state.lock().dropped {
                state.timers.pop();
                continue;
            }
            if timer.deadline > state.now {
                if !due.is_empty() {
                    break;
                }
                state.now = timer.deadline;
            }
            if let Some(Reverse(timer)) = state.timers.pop() {
                due.push(timer.state);
            }
        }
        due
    }

    fn sleep_until(&self, deadline: Duration) -> Arc<Mutex<TimerState>> {
        let mut state = self.state.lock();
        let timer = Arc::new(Mutex::new(TimerState { fired: deadline <= state.now, ..Default::default() }));
        if deadline > state.now {
            state.sequence += 1;
            let sequence = state.sequence;
            state.timers.push(Reverse(Timer { deadline, sequence, state: Arc::clone(&timer) }));
        }
        timer
    }

    /// Runs a future as the root of the simulation, noting when it is woken: the clock must not
    /// jump while the root can run.
    pub(crate) async fn root<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(move |context| {
            self.root_woken.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::new(RootWaker {
                simulation: Arc::clone(&self),
                inner: context.waker().clone(),
            }));
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }
}

struct RootWaker {
    simulation: Arc<Simulation>,
    inner: Waker,
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.simulation.root_woken.store(true, Ordering::SeqCst);
        self.inner.wake_by_ref();
    }
}

/// Restores the thread's former simulation when dropped.
pub(crate) struct Entered(Option<Arc<Simulation>>);

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        CURRENT.with(|current| *current.borrow_mut() = before);
    }
}

/// Completes at its deadline, on real or virtual time.
#[derive(Debug)]
pub struct Sleep(Kind);

#[derive(Debug)]
enum Kind {
    Real(Pin<Box<tokio::time::Sleep>>),
    Simulated(Arc<Mutex<TimerState>>),
}

impl Sleep {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes timers")]
    pub(crate) fn new(duration: Duration) -> Self {
        match current() {
            Some(sim) => {
                let deadline = sim.now().saturating_add(duration);
                Sleep(Kind::Simulated(sim.sleep_until(deadline)))
            }
            None => Sleep(Kind::Real(Box::pin(tokio::time::sleep(duration)))),
        }
    }

    pub(crate) fn until(deadline: Moment) -> Self {
        match current() {
            Some(sim) => Sleep(Kind::Simulated(sim.sleep_until(deadline.since_start()))),
            None => Sleep(Kind::Real(Box::pin(tokio::time::sleep_until(deadline.to_tokio())))),
        }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Real(sleep) => sleep.as_mut().poll(context),
            Kind::Simulated(timer) => {
                let mut timer = timer.lock();
                if timer.fired {
                    return Poll::Ready(());
                }
                timer.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Kind::Simulated(timer) = &self.0 {
            timer.lock().dropped = true;
        }
    }
}
