//! A point on the monotonic clock, real or virtual.
//!
//! Counted from the start of the process (real) or of the simulation (virtual); never goes back.

use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::simulation;

/// A point on the monotonic clock. Moments of different runtimes cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

static START: OnceLock<Instant> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

impl Moment {
    /// Now: virtual inside a simulation, the machine's clock elsewhere.
    pub fn now() -> Self {
        match simulation::current() {
            Some(sim) => Moment(sim.now()),
            None => Moment(start().elapsed()),
        }
    }

    /// The time that passed since this moment.
    pub fn elapsed(self) -> Duration {
        Moment::now().since(self)
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn since_start(self) -> Duration {
        self.0
    }

    /// The same moment on Tokio's clock (real runtimes only).
    pub(crate) fn to_tokio(self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(start() + self.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, rhs: Duration) -> Moment {
        Moment(self.0.saturating_add(rhs))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, rhs: Duration) -> Moment {
        Moment(self.0.saturating_sub(rhs))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;
    fn sub(self, rhs: Moment) -> Duration {
        self.since(rhs)
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}

impl openraft::Instant for Moment {
    fn now() -> Self {
        Moment::now()
    }
}
