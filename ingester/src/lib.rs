//! Recent data: replicated heads, and their cut into blocks.

mod codec;
mod config;
mod cut;
mod entry;
mod error;
mod head;
mod ingester;
mod machine;
mod select;
mod snapshot;
mod stats;
mod wire;
mod writer;

pub use config::{IngesterConfig, LimitsOf};
pub use cut::FlushReport;
pub use error::IngesterError;
pub use head::HeadCounters;
pub use ingester::Ingester;
pub use select::HeadSource;
pub use snapshot::fuzz_snapshot;
pub use stats::{HeadStatus, IngesterStats};

pub use entry::{
    Answer, Command, Entry, EntryWriter, Floats, Limits, Section, TimestampRun, decode_answer, fuzz_entry,
};
pub use wire::Malformed;

/// Feeds outside bytes to the decoders of sealed chunks: must neither panic nor allocate much.
pub fn fuzz_chunk(data: &[u8]) {
    codec::fuzz_values(data);
}
