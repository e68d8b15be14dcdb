//! Writes entries.

use bytes::Bytes;
use model::{TenantId, TimestampMs};
use proto::AppendBatch;

use super::command::{APPEND, Command, Entry};
use super::section::{Limits, put_section};
use super::{ENTRY_BYTES_MAX, VERSION};
use crate::wire::{put_varint, put_zigzag};

/// Smaller entries are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 128;

/// Gathers batches into one entry.
#[derive(Debug)]
pub struct EntryWriter {
    plain: Vec<u8>,
    sections: usize,
}

impl EntryWriter {
    /// An entry of appends, written at `leader_time`.
    pub fn new(leader_time: TimestampMs) -> Self {
        let mut plain = Vec::with_capacity(32 << 10);
        put_zigzag(&mut plain, leader_time);
        plain.push(APPEND);
        EntryWriter { plain, sections: 0 }
    }

    /// Adds a batch; its outcome will stand where it stands.
    pub fn push(&mut self, tenant: &TenantId, limits: Limits, batch: &AppendBatch) {
        put_section(&mut self.plain, tenant, limits, batch);
        self.sections += 1;
    }

    /// Batches so far.
    pub fn sections(&self) -> usize {
        self.sections
    }

    /// Bytes so far, before compression.
    pub fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// The entry; `None` when it is over 64 MiB.
    pub fn finish(self) -> Option<Bytes> {
        (self.plain.len() <= ENTRY_BYTES_MAX).then(|| pack(&self.plain))
    }

    /// The entry of a command that is no append.
    pub fn command(leader_time: TimestampMs, command: &Command) -> Bytes {
        let mut plain = Vec::with_capacity(64);
        put_zigzag(&mut plain, leader_time);
        Entry::put_command(&mut plain, command);
        pack(&plain)
    }
}

fn pack(plain: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(plain.len() + 16);
    out.push(VERSION);
    if plain.len() >= COMPRESS_BYTES_MIN {
        put_varint(&mut out, plain.len() as u64);
        let head = out.len();
        out.resize(head + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
        if let Ok(length) = lz4_flex::block::compress_into(plain, &mut out[head..])
            && length < plain.len()
        {
            out.truncate(head + length);
            return Bytes::from(out);
        }
        out.truncate(1);
    }
    put_varint(&mut out, 0);
    out.extend_from_slice(plain);
    Bytes::from(out)
}
