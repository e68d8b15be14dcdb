//! The one signal that asks everything to end.

use tokio::sync::watch;

/// A flag that is raised once; cloneable, all clones are one flag.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}

impl Shutdown {
    /// A flag not yet raised.
    pub fn new() -> Self {
        Shutdown(watch::channel(false).0)
    }

    /// Raises it; again does nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is raised.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when it is raised, at once if it is already.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.subscribe();
        // fails only without a sender, and self is one
        let _closed = receiver.wait_for(|raised| *raised).await.is_err();
    }

    /// Completes at the first SIGTERM or SIGINT (real runtimes only).
    pub async fn signal() -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! { biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}
