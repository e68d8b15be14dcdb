//! Records of the write-ahead log: their frame, their kinds, their bytes.
//!
//! A record is a header of 16 bytes (body length, CRC32C, kind, group), the body, and zeros up to a
//! multiple of 8. The checksum covers length, kind, group and body and is seeded with the segment's
//! number: what a recycled file held before never passes for a record of its new life.

use bytes::Bytes;
use model::GroupId;
use openraft::EntryPayload;

use crate::codec::{Malformed, Reader, Writer};
use crate::types::{Body, LogId, Payload, StoredSnapshot, Vote, log_id, term_of};

pub(crate) const HEADER_BYTES: usize = 16;
/// Longest body: an entry of the largest proposal, with room to spare.
pub(crate) const BODY_BYTES_MAX: usize = 128 << 20;
/// Term, index and payload kind before an entry's payload.
pub(crate) const ENTRY_PREFIX_BYTES: usize = 24;

const ALIGN: usize = 8;

/// What a record is. The numbers are the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Begins one write: what of the segment was durable before it.
    Batch = 1,
    Entry = 2,
    Vote = 3,
    Truncate = 4,
    Purge = 5,
    Committed = 6,
    Snapshot = 7,
    Checkpoint = 8,
    CheckpointEnd = 9,
    /// The segment ends here; the next one follows.
    Seal = 10,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Kind::Batch,
            2 => Kind::Entry,
            3 => Kind::Vote,
            4 => Kind::Truncate,
            5 => Kind::Purge,
            6 => Kind::Committed,
            7 => Kind::Snapshot,
            8 => Kind::Checkpoint,
            9 => Kind::CheckpointEnd,
            10 => Kind::Seal,
            _ => return None,
        })
    }
}

/// Everything of a group but its entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) committed: Option<LogId>,
    pub(crate) snapshot: Option<StoredSnapshot>,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.option(self.vote.as_ref(), Writer::vote);
        writer.option(self.purged.as_ref(), Writer::log_id);
        writer.option(self.committed.as_ref(), Writer::log_id);
        writer.option(self.snapshot.as_ref(), Writer::snapshot);
        writer.0
    }
}

/// The frame of a record, before its body is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) group: GroupId,
    pub(crate) body_len: usize,
    crc: u32,
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Header {
    /// Reads a frame; `None` when it cannot be one.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let body_len = usize::try_from(le32(bytes, 0)).ok()?;
        let kind = Kind::from_byte(bytes[8])?;
        if body_len > BODY_BYTES_MAX || bytes[9..12] != [0; 3] {
            return None;
        }
        Some(Header { kind, group: GroupId(le32(bytes, 12)), body_len, crc: le32(bytes, 4) })
    }

    fn bytes(kind: Kind, group: GroupId, body_len: usize) -> [u8; HEADER_BYTES] {
        let len = u32::try_from(body_len).expect("a body is at most BODY_BYTES_MAX");
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[8] = kind as u8;
        bytes[12..].copy_from_slice(&group.0.to_le_bytes());
        bytes
    }

    /// Bytes of the record in the file.
    pub(crate) fn record_len(&self) -> u64 {
        (HEADER_BYTES + self.body_len).next_multiple_of(ALIGN) as u64
    }

    /// Whether the body is the one this frame was written for, in this segment.
    pub(crate) fn matches(&self, segment: u64, body: &[u8]) -> bool {
        let bytes = Header::bytes(self.kind, self.group, self.body_len);
        body.len() == self.body_len && crc(segment, &bytes, &[body]) == self.crc
    }
}

fn crc(segment: u64, header: &[u8; HEADER_BYTES], body: &[&[u8]]) -> u32 {
    let seed = crc32c::crc32c(&segment.to_le_bytes());
    let mut crc = crc32c::crc32c_append(seed, &header[..4]);
    crc = crc32c::crc32c_append(crc, &header[8..]);
    body.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part))
}

/// A record as read.
#[derive(Debug, PartialEq)]
pub(crate) enum Record<'a> {
    Batch { durable: u64 },
    Entry { id: LogId, payload_kind: u8, payload: &'a [u8] },
    Vote(Vote),
    Truncate { after: Option<LogId> },
    Purge(LogId),
    Committed(LogId),
    Snapshot(StoredSnapshot),
    Checkpoint(Box<Checkpoint>),
    CheckpointEnd,
    Seal,
}

/// Decodes a body whose checksum was right.
pub(crate) fn decode(kind: Kind, body: &[u8]) -> Result<Record<'_>, Malformed> {
    let mut reader = Reader::new(body, "write-ahead log record");
    let record = match kind {
        Kind::Batch => Record::Batch { durable: reader.u64()? },
        Kind::Entry => {
            let id = log_id(reader.u64()?, reader.u64()?);
            let payload_kind = reader.u8()?;
            reader.take(7)?;
            return Ok(Record::Entry { id, payload_kind, payload: reader.rest() });
        }
        Kind::Vote => Record::Vote(reader.vote()?),
        Kind::Truncate => Record::Truncate { after: reader.option(Reader::log_id)? },
        Kind::Purge => Record::Purge(reader.log_id()?),
        Kind::Committed => Record::Committed(reader.log_id()?),
        Kind::Snapshot => Record::Snapshot(reader.snapshot()?),
        Kind::Checkpoint => Record::Checkpoint(Box::new(Checkpoint {
            vote: reader.option(Reader::vote)?,
            purged: reader.option(Reader::log_id)?,
            committed: reader.option(Reader::log_id)?,
            snapshot: reader.option(Reader::snapshot)?,
        })),
        Kind::CheckpointEnd => Record::CheckpointEnd,
        Kind::Seal => Record::Seal,
    };
    reader.end()?;
    Ok(record)
}

/// Decodes an entry's payload.
pub(crate) fn decode_payload(kind: u8, payload: Bytes) -> Result<Body, Malformed> {
    match kind {
        0 => Ok(EntryPayload::Blank),
        1 => Ok(EntryPayload::Normal(Payload(payload))),
        2 => {
            let mut reader = Reader::new(&payload, "membership");
            let membership = reader.membership()?;
            reader.end()?;
            Ok(EntryPayload::Membership(membership))
        }
        _ => Err(Malformed("entry payload kind")),
    }
}

/// Bytes of an entry's record in the file.
pub(crate) fn entry_record_len(payload_len: usize) -> u64 {
    (HEADER_BYTES + ENTRY_PREFIX_BYTES + payload_len).next_multiple_of(ALIGN) as u64
}

/// A run of records on its way to the disk; large payloads stay where they are.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    segment: u64,
    scratch: Vec<u8>,
    parts: Vec<Part>,
    len: u64,
}

#[derive(Debug)]
enum Part {
    Scratch(std::ops::Range<usize>),
    Shared(Bytes),
}

/// Below this a payload is copied: a part of its own costs the kernel as much.
const COPY_BYTES_MAX: usize = 2048;

impl Encoder {
    pub(crate) fn clear(&mut self, segment: u64) {
        self.segment = segment;
        self.scratch.clear();
        self.parts.clear();
        self.len = 0;
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn scratch(&mut self, bytes: &[u8]) {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
        match self.parts.last_mut() {
            Some(Part::Scratch(range)) if range.end == start => range.end = self.scratch.len(),
            _ => self.parts.push(Part::Scratch(start..self.scratch.len())),
        }
    }

    fn record(&mut self, kind: Kind, group: GroupId, prefix: &[u8], shared: &Bytes) {
        let body_len = prefix.len() + shared.len();
        let mut header = Header::bytes(kind, group, body_len);
        let crc = crc(self.segment, &header, &[prefix, shared]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        self.scratch(&header);
        self.scratch(prefix);
        if shared.len() > COPY_BYTES_MAX {
            self.len += shared.len() as u64;
            self.parts.push(Part::Shared(shared.clone()));
        } else {
            self.scratch(shared);
        }
        let padding = (HEADER_BYTES + body_len).next_multiple_of(ALIGN) - (HEADER_BYTES + body_len);
        self.scratch(&[0; ALIGN][..padding]);
    }

    fn small(&mut self, kind: Kind, group: GroupId, body: &[u8]) {
        self.record(kind, group, body, &Bytes::new());
    }

    pub(crate) fn batch(&mut self, durable: u64) {
        self.small(Kind::Batch, GroupId::META, &durable.to_le_bytes());
    }

    pub(crate) fn entry(&mut self, group: GroupId, id: &LogId, body: &Body) {
        let mut prefix = [0; ENTRY_PREFIX_BYTES];
        prefix[..8].copy_from_slice(&term_of(id).to_le_bytes());
        prefix[8..16].copy_from_slice(&id.index.to_le_bytes());
        let payload = match body {
            EntryPayload::Blank => Bytes::new(),
            EntryPayload::Normal(payload) => {
                prefix[16] = 1;
                payload.0.clone()
            }
            EntryPayload::Membership(membership) => {
                prefix[16] = 2;
                let mut writer = Writer::default();
                writer.membership(membership);
                Bytes::from(writer.0)
            }
        };
        self.record(Kind::Entry, group, &prefix, &payload);
    }

    pub(crate) fn vote(&mut self, group: GroupId, vote: &Vote) {
        let mut writer = Writer::default();
        writer.vote(vote);
        self.small(Kind::Vote, group, &writer.0);
    }

    pub(crate) fn truncate(&mut self, group: GroupId, after: Option<&LogId>) {
        let mut writer = Writer::default();
        writer.option(after, Writer::log_id);
        self.small(Kind::Truncate, group, &writer.0);
    }

    pub(crate) fn purge(&mut self, group: GroupId, upto: &LogId) {
        let mut writer = Writer::default();
        writer.log_id(upto);
        self.small(Kind::Purge, group, &writer.0);
    }

    pub(crate) fn committed(&mut self, group: GroupId, committed: &LogId) {
        let mut writer = Writer::default();
        writer.log_id(committed);
        self.small(Kind::Committed, group, &writer.0);
    }

    pub(crate) fn snapshot(&mut self, group: GroupId, snapshot: &StoredSnapshot) {
        let mut writer = Writer::default();
        writer.snapshot(snapshot);
        self.small(Kind::Snapshot, group, &writer.0);
    }

    pub(crate) fn checkpoint(&mut self, group: GroupId, checkpoint: &Checkpoint) {
        self.small(Kind::Checkpoint, group, &checkpoint.encode());
    }

    pub(crate) fn checkpoint_end(&mut self) {
        self.small(Kind::CheckpointEnd, GroupId::META, &[]);
    }

    pub(crate) fn seal(&mut self) {
        self.small(Kind::Seal, GroupId::META, &[]);
    }

    /// The bytes, in pieces, for one vectored write.
    pub(crate) fn slices(&self) -> Vec<std::io::IoSlice<'_>> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Scratch(range) => std::io::IoSlice::new(&self.scratch[range.clone()]),
                Part::Shared(bytes) => std::io::IoSlice::new(bytes),
            })
            .collect()
    }
}

/// Fuzz harness: any bytes are read as records, without a panic and without large allocations;
/// what decodes encodes to the same record again.
pub fn fuzz_wal_record(data: &[u8]) {
    let mut rest = data;
    while let Some((header, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let Some(header) = Header::parse(header) else { return };
        let Some(body) = tail.get(..header.body_len) else { return };
        // the checksum would stop nearly everything: decoding must hold without it
        let _matches = header.matches(1, body);
        if let Ok(Record::Entry { payload_kind, payload, .. }) = decode(header.kind, body) {
            let _decoded = decode_payload(payload_kind, Bytes::copy_from_slice(payload)).is_ok();
        }
        let len = usize::try_from(header.record_len()).unwrap_or(usize::MAX);
        rest = rest.get(len..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
