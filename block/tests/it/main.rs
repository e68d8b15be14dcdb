//! Blocks from writing to reading, catalogs and buckets.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod bucket;
mod catalog;
mod common;
mod faults;
mod golden;
mod matching;
mod round_trip;
mod s3;
mod verify;
