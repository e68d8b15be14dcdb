//! The binary itself, over real HTTP, with real files: what a user would see.

#![expect(clippy::disallowed_methods, reason = "tests watch the process from outside, in real time")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail anywhere")]

mod cli;
mod crash;
mod deploy;
mod execution;
mod kept;
mod lifecycle;
mod malformed;
mod nodes;
mod process;
mod s3;
mod tenants;
mod write;
