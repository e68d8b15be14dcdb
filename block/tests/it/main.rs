//! Blocks from writing to reading, catalogs and buckets.

mod bucket;
mod catalog;
mod common;
mod faults;
mod golden;
mod round_trip;
mod s3;
mod verify;
