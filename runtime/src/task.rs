//! A task: named, owned, awaited or aborted by its owner.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use model::ErrorKind;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Why a task gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The task was aborted, or the runtime stopped.
    #[error("task `{0}` was cancelled")]
    Cancelled(&'static str),
    /// The task panicked.
    #[error("task `{0}` panicked")]
    Panicked(&'static str),
}

impl TaskError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TaskError::Cancelled(_) => ErrorKind::Unavailable,
            TaskError::Panicked(_) => ErrorKind::Internal,
        }
    }
}

enum Handle<T> {
    Task(JoinHandle<T>),
    Thread(oneshot::Receiver<T>),
}

/// A running task. Awaiting gives its result; dropping aborts it (a thread's loop runs on until it
/// ends by itself); [`Task::detach`] lets it run unowned.
#[must_use = "a dropped task is aborted"]
pub struct Task<T> {
    name: &'static str,
    handle: Option<Handle<T>>,
}

impl<T> Task<T> {
    pub(crate) fn of_task(name: &'static str, handle: JoinHandle<T>) -> Self {
        Task { name, handle: Some(Handle::Task(handle)) }
    }

    pub(crate) fn of_thread(name: &'static str, result: oneshot::Receiver<T>) -> Self {
        Task { name, handle: Some(Handle::Thread(result)) }
    }

    /// The name it was spawned by.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Stops the task at its next await; a thread's loop must be told to end by its own channel.
    pub fn abort(&self) {
        if let Some(Handle::Task(handle)) = &self.handle {
            handle.abort();
        }
    }

    /// Whether it has ended (tasks only; false for a thread's loop until it is awaited).
    pub fn is_finished(&self) -> bool {
        match &self.handle {
            Some(Handle::Task(handle)) => handle.is_finished(),
            Some(Handle::Thread(_)) => false,
            None => true,
        }
    }

    /// Lets it run without an owner.
    pub fn detach(mut self) {
        self.handle = None;
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        let answer = match &mut self.handle {
            None => return Poll::Ready(Err(TaskError::Cancelled(name))),
            Some(Handle::Task(handle)) => match Pin::new(handle).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(value)) => Ok(value),
                Poll::Ready(Err(error)) if error.is_panic() => Err(TaskError::Panicked(name)),
                Poll::Ready(Err(_)) => Err(TaskError::Cancelled(name)),
            },
            Some(Handle::Thread(result)) => match Pin::new(result).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(value) => value.map_err(|_| TaskError::Panicked(name)),
            },
        };
        self.handle = None;
        Poll::Ready(answer)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}
