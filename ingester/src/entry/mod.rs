//! Log entries: what a group's log holds, and from what alone a head is made.
//!
//! An entry is self-contained: it can be decoded without the head or the entries before it, so what a
//! leader writes does not depend on what it has applied. It carries the leader's time and the limits in
//! force. The layout is in `docs/formats/log-entry.md`.

mod command;
mod encode;
mod floats;
mod histograms;
mod outcome;
mod section;

pub use command::{Command, Entry};
pub use encode::EntryWriter;
pub use outcome::{Answer, decode_answer};
pub use section::{Floats, Limits, Section, TimestampRun};

pub(crate) use command::{put_block, read_block};
pub(crate) use histograms::{put_histogram, read_histogram};
pub(crate) use outcome::{encode_outcomes, encode_refusal};
pub(crate) use section::{put_metadata, read_metadata};

/// First byte of every entry.
const VERSION: u8 = 1;
/// Largest entry before compression, in bytes.
pub(crate) const ENTRY_BYTES_MAX: usize = 64 << 20;

/// Feeds outside bytes to the decoder: must neither panic nor allocate much.
pub fn fuzz_entry(data: &[u8]) {
    let _damaged = Entry::decode(data).is_err();
    let _damaged = decode_answer(data).is_err();
}
