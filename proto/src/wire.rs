//! Protobuf's encoding, read from a slice that nobody vouches for: every length is checked, nothing panics.
//!
//! Strict where generated code is: a known field with another wire type, a field number of zero and an
//! overlong varint are errors; unknown fields are skipped, groups included.

use model::ErrorKind;

/// Deepest nesting of groups that is skipped.
const GROUP_DEPTH_MAX: u32 = 100;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length or a number reaches over the end.
    #[error("malformed protobuf: cut short at byte {0}")]
    Truncated(usize),
    /// A varint of more than 64 bits.
    #[error("malformed protobuf: overlong varint at byte {0}")]
    Varint(usize),
    /// Field number zero or too large, or a wire type that does not exist.
    #[error("malformed protobuf: bad tag at byte {0}")]
    Tag(usize),
    /// A known field with a wire type it cannot have.
    #[error("malformed protobuf: field {field} has wire type {wire_type}")]
    WireType {
        /// The field's number.
        field: u32,
        /// The wire type found.
        wire_type: u8,
    },
    /// Packed numbers whose length is no multiple of their size, or groups that do not close.
    #[error("malformed protobuf: inconsistent lengths at byte {0}")]
    Length(usize),
    /// More series, samples, symbols… than a request may have.
    #[error(
        "the request has more than {0} series, samples, histograms, exemplars and symbols; send smaller requests"
    )]
    TooMany(usize),
}

impl WireError {
    /// What the sender should do: repair the request.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;

/// Reads fields one after the other. Positions count from the start of the slice given.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Reads `start..end` of `bytes`, with positions from the start of `bytes`.
    #[inline]
    pub(crate) fn within(bytes: &'a [u8], start: usize, end: usize) -> Self {
        Reader { bytes: bytes.get(..end).unwrap_or(bytes), at: start }
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let mut value = 0u64;
        for i in 0..10 {
            let byte = *self.bytes.get(start + i).ok_or(WireError::Truncated(start))?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    break;
                }
                self.at = start + i + 1;
                return Ok(value);
            }
        }
        Err(WireError::Varint(start))
    }

    /// The next field's number and wire type; `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, u8)>, WireError> {
        if self.is_done() {
            return Ok(None);
        }
        let start = self.at;
        let key = u32::try_from(self.varint()?).map_err(|_| WireError::Tag(start))?;
        let wire_type = (key & 7) as u8;
        if key < 8 || wire_type > 5 {
            return Err(WireError::Tag(start));
        }
        Ok(Some((key >> 3, wire_type)))
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let bytes = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .ok_or(WireError::Truncated(self.at))?;
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn double(&mut self, field: u32, wire_type: u8) -> Result<f64, WireError> {
        if wire_type != FIXED64 {
            return Err(WireError::WireType { field, wire_type });
        }
        Ok(f64::from_bits(self.fixed64()?))
    }

    /// A field of type varint.
    #[inline]
    pub(crate) fn number(&mut self, field: u32, wire_type: u8) -> Result<u64, WireError> {
        if wire_type != VARINT {
            return Err(WireError::WireType { field, wire_type });
        }
        self.varint()
    }

    /// Where the bytes of a length-delimited field start and end; moves past them.
    #[inline]
    pub(crate) fn span(&mut self, field: u32, wire_type: u8) -> Result<(usize, usize), WireError> {
        if wire_type != BYTES {
            return Err(WireError::WireType { field, wire_type });
        }
        let at = self.at;
        let length = self.varint()?;
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(WireError::Truncated(at));
        }
        let start = self.at;
        self.at += length as usize;
        Ok((start, self.at))
    }

    /// The bytes of a length-delimited field.
    #[inline]
    pub(crate) fn slice(&mut self, field: u32, wire_type: u8) -> Result<&'a [u8], WireError> {
        let (start, end) = self.span(field, wire_type)?;
        Ok(&self.bytes[start..end])
    }

    /// Passes over a field nobody asked for.
    #[inline]
    pub(crate) fn skip(&mut self, field: u32, wire_type: u8) -> Result<(), WireError> {
        match wire_type {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            BYTES => self.span(field, wire_type).map(|_| ()),
            _ => self.skip_rare(field, wire_type),
        }
    }

    fn skip_rare(&mut self, field: u32, wire_type: u8) -> Result<(), WireError> {
        if wire_type == 5 {
            if self.bytes.len() - self.at < 4 {
                return Err(WireError::Truncated(self.at));
            }
            self.at += 4;
            return Ok(());
        }
        // an old-style group: everything up to the matching end
        let start = self.at;
        if wire_type != 3 {
            return Err(WireError::Tag(start));
        }
        let mut open = vec![field];
        while let Some(innermost) = open.last() {
            match self.field()?.ok_or(WireError::Truncated(start))? {
                (number, 4) if number == *innermost => {
                    open.pop();
                }
                (_, 4) => return Err(WireError::Length(start)),
                (number, 3) => {
                    if open.len() as u32 >= GROUP_DEPTH_MAX {
                        return Err(WireError::Length(start));
                    }
                    open.push(number);
                }
                (number, other) => self.skip(number, other)?,
            }
        }
        Ok(())
    }

    /// Hands out the numbers of a repeated varint field: one unpacked, or a packed run.
    #[inline]
    pub(crate) fn repeated_varint(
        &mut self,
        field: u32,
        wire_type: u8,
        mut take: impl FnMut(u64),
    ) -> Result<(), WireError> {
        if wire_type == VARINT {
            take(self.varint()?);
            return Ok(());
        }
        let (start, end) = self.span(field, wire_type)?;
        let mut packed = Reader::within(self.bytes, start, end);
        while !packed.is_done() {
            take(packed.varint()?);
        }
        Ok(())
    }

    /// Appends the numbers of a repeated double field: one unpacked, or a packed run.
    pub(crate) fn repeated_double(
        &mut self,
        field: u32,
        wire_type: u8,
        out: &mut Vec<f64>,
    ) -> Result<(), WireError> {
        if wire_type == FIXED64 {
            out.push(f64::from_bits(self.fixed64()?));
            return Ok(());
        }
        let at = self.at;
        let bytes = self.slice(field, wire_type)?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(WireError::Length(at));
        }
        out.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
        Ok(())
    }
}

/// Undoes the zigzag of `sint32` and `sint64`.
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// As `unzigzag`, in 32 bits, as generated code truncates.
#[inline]
pub(crate) fn unzigzag32(value: u64) -> i32 {
    let value = value as u32;
    ((value >> 1) as i32) ^ -((value & 1) as i32)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
pub(crate) fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    put_varint(out, u64::from(field) << 3 | u64::from(wire_type));
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_tag(out, field, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field unless it is zero.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_tag(out, field, VARINT);
        put_varint(out, value);
    }
}

/// Appends a double field unless it is +0.
pub(crate) fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        put_tag(out, field, FIXED64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}
