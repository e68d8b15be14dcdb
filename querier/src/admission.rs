//! How many requests run at once, and how many may wait: beyond that a request is refused, not queued.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ApiError;

/// A bounded number of running requests and a bounded queue before them, first come first served.
#[derive(Debug)]
pub(crate) struct Admission {
    what: &'static str,
    running: Semaphore,
    running_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// Counts a waiting request until it runs or goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    /// `what` (plural) is named in the refusal.
    pub(crate) fn new(what: &'static str, running_max: usize, waiting_max: usize) -> Self {
        let running_max = running_max.clamp(1, Semaphore::MAX_PERMITS);
        Admission {
            what,
            running: Semaphore::new(running_max),
            running_max,
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// Waits for a place; refuses at once when the queue is full. The place is free again when the permit drops.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Ok(permit) = self.running.try_acquire() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max {
            drop(Waiting(&self.waiting));
            return Err(ApiError::Unavailable(format!(
                "too many {}: {} are running and {} are waiting",
                self.what, self.running_max, self.waiting_max
            )));
        }
        let _waiting = Waiting(&self.waiting);
        self.running
            .acquire()
            .await
            .map_err(|_| ApiError::Unavailable("the server is shutting down".to_owned()))
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_queue_is_bounded_and_first_come_first_served() {
        let admission = Admission::new("queries", 1, 1);
        let running = admission.enter().now_or_never().unwrap().unwrap();
        let mut second = Box::pin(admission.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(admission.waiting(), 1);
        let refused = admission.enter().now_or_never().unwrap().err().unwrap();
        assert_eq!(refused.to_string(), "too many queries: 1 are running and 1 are waiting");
        assert_eq!((refused.status(), refused.error_type()), (503, "unavailable"));
        drop(running);
        assert!(second.as_mut().now_or_never().unwrap().is_ok());
        drop(second);
        assert_eq!(admission.waiting(), 0);
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_queue() {
        let admission = Admission::new("queries", 1, 1);
        let _running = admission.enter().now_or_never().unwrap().unwrap();
        let mut gone = Box::pin(admission.enter());
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        assert_eq!(admission.waiting(), 0);
    }
}
