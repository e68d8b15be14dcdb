//! A node's log and groups from outside: restart, crash, full disk, damage, repetition by seed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail anywhere")]

mod crash;
mod damage;
mod disk_full;
mod kill;
mod ledger;
mod meta;
mod restart;
mod simulation;
mod truncation;
