//! Blocks from writing to reading, catalogs and buckets.

mod catalog;
mod common;
mod round_trip;
