//! Nodes over real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail anywhere")]

mod bytes;
mod failures;
mod nodes;
mod queries;
mod seams;
