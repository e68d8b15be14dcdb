//! Recent data: replicated heads, and their cut into blocks.

mod codec;
mod entry;
mod head;
mod wire;

pub use head::HeadCounters;

pub use entry::{
    Answer, Command, Entry, EntryWriter, Floats, Limits, Section, TimestampRun, decode_answer, fuzz_entry,
};
pub use wire::Malformed;

/// Feeds outside bytes to the decoders of sealed chunks: must neither panic nor allocate much.
pub fn fuzz_chunk(data: &[u8]) {
    codec::fuzz_values(data);
}
