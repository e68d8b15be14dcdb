//! The kinds of entries.

use model::{BlockId, TenantId, TimestampMs};

use super::section::Section;
use super::{ENTRY_BYTES_MAX, VERSION};
use crate::wire::{Malformed, Reader, put_bytes, put_u128, put_varint, put_zigzag};

pub(super) const APPEND: u8 = 1;
const CUT: u8 = 2;
const PUBLISHED: u8 = 3;
const DROP: u8 = 4;

/// What an entry asks of the heads.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Samples, section by section.
    Append(Vec<Section>),
    /// Freeze everything of a tenant before `until`, and all its late samples, window by window.
    Cut {
        /// Whose.
        tenant: TenantId,
        /// First millisecond that stays open.
        until: TimestampMs,
        /// Drawn by who proposes it, different from that of every other cut of any store.
        identity: u128,
    },
    /// The block of a cut is in the catalog.
    Published {
        /// Whose.
        tenant: TenantId,
        /// Start of the cut's window.
        window: TimestampMs,
        /// The cut's generation.
        generation: u32,
        /// The block; `None` when the cut was empty.
        block: Option<BlockId>,
    },
    /// Let go of published data before `floor`, and of series idle since the floor before.
    Drop {
        /// Whose.
        tenant: TenantId,
        /// First millisecond that is kept; data not yet published is kept in any case.
        floor: TimestampMs,
    },
}

/// One entry of a group's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The leader's wall clock when it wrote the entry.
    pub leader_time: TimestampMs,
    /// What to do.
    pub command: Command,
}

impl Entry {
    /// Reads an entry; refuses damaged bytes, and more than 64 MiB.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(bytes);
        if outer.byte()? != VERSION {
            return Err(Malformed("entry: unknown version"));
        }
        let length = usize::try_from(outer.varint()?).map_err(|_| Malformed("entry: length"))?;
        if length == 0 {
            return Self::decode_plain(outer.rest());
        }
        // LZ4 cannot compress by more than 255 to 1.
        if length > ENTRY_BYTES_MAX || length / 256 > outer.rest().len() {
            return Err(Malformed("entry: length"));
        }
        let plain = lz4_flex::block::decompress(outer.rest(), length).map_err(|_| Malformed("entry: lz4"))?;
        Self::decode_plain(&plain)
    }

    fn decode_plain(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let leader_time = reader.zigzag()?;
        let kind = reader.byte()?;
        if kind == APPEND {
            let mut sections = Vec::new();
            while !reader.is_empty() {
                sections.push(Section::read(&mut reader)?);
            }
            return Ok(Entry { leader_time, command: Command::Append(sections) });
        }
        let tenant = read_tenant(&mut reader)?;
        let command = match kind {
            CUT => Command::Cut { tenant, until: reader.zigzag()?, identity: reader.u128()? },
            PUBLISHED => Command::Published {
                tenant,
                window: reader.zigzag()?,
                generation: reader.u32()?,
                block: read_block(&mut reader)?,
            },
            DROP => Command::Drop { tenant, floor: reader.zigzag()? },
            _ => return Err(Malformed("entry: unknown kind")),
        };
        Ok(Entry { leader_time, command })
    }

    /// Writes a command that is no append.
    pub(super) fn put_command(out: &mut Vec<u8>, command: &Command) {
        let (kind, tenant) = match command {
            Command::Append(_) => return,
            Command::Cut { tenant, .. } => (CUT, tenant),
            Command::Published { tenant, .. } => (PUBLISHED, tenant),
            Command::Drop { tenant, .. } => (DROP, tenant),
        };
        out.push(kind);
        put_bytes(out, tenant.as_str().as_bytes());
        match command {
            Command::Append(_) => {}
            Command::Cut { until, identity, .. } => {
                put_zigzag(out, *until);
                put_u128(out, *identity);
            }
            Command::Published { window, generation, block, .. } => {
                put_zigzag(out, *window);
                put_varint(out, u64::from(*generation));
                put_block(out, *block);
            }
            Command::Drop { floor, .. } => put_zigzag(out, *floor),
        }
    }
}

/// A block or none, as zero: no ULID is that old.
pub(crate) fn put_block(out: &mut Vec<u8>, block: Option<BlockId>) {
    put_u128(out, block.map_or(0, |block| block.0));
}

pub(crate) fn read_block(reader: &mut Reader<'_>) -> Result<Option<BlockId>, Malformed> {
    let number = reader.u128()?;
    Ok((number != 0).then_some(BlockId(number)))
}

pub(super) fn read_tenant(reader: &mut Reader<'_>) -> Result<TenantId, Malformed> {
    TenantId::new(reader.text()?).map_err(|_| Malformed("entry: tenant"))
}
