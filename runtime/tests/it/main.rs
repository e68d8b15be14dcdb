//! The runtime from outside: time, tasks and the disk, real and simulated.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod disk;
mod tasks;
mod time;
