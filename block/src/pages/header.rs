//! The header in front of every page: Thrift's compact protocol, the few fields that matter here.

use super::bits::{get_varint, unzigzag};
use super::{PAGE_VALUES_MAX, PageError};

/// Deepest nesting that is skipped.
const DEPTH_MAX: usize = 8;
const PAGE_V2: i64 = 3;
const ENCODING_DBP: i64 = 5;
const ENCODING_BSS: i64 = 9;

/// A data page's header (version 2 pages).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PageHeader {
    /// Bytes of the page after decompression, levels included.
    pub(crate) uncompressed_size: usize,
    /// Bytes of the page as stored, levels included, header not.
    pub(crate) compressed_size: usize,
    /// Rows.
    pub(crate) rows: usize,
    /// Rows without a value.
    pub(crate) nulls: usize,
    /// Bytes of the definition levels, never compressed.
    pub(crate) levels_size: usize,
    /// Whether the values are compressed.
    pub(crate) is_compressed: bool,
    /// Whether the values are DELTA_BINARY_PACKED, otherwise BYTE_STREAM_SPLIT.
    pub(crate) is_delta: bool,
}

struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    /// The next field of the struct being read: (number, type); `None` at its end.
    fn next(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>, PageError> {
        let head = *self.bytes.get(self.at).ok_or(PageError("a page header is cut short"))?;
        self.at += 1;
        if head == 0 {
            return Ok(None);
        }
        let number = if head >> 4 == 0 {
            unzigzag(get_varint(self.bytes, &mut self.at)?)
        } else {
            last.wrapping_add(i64::from(head >> 4))
        };
        *last = number;
        Ok(Some((number, head & 15)))
    }

    fn number(&mut self) -> Result<i64, PageError> {
        Ok(unzigzag(get_varint(self.bytes, &mut self.at)?))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), PageError> {
        if depth > DEPTH_MAX {
            return Err(PageError("a page header nests too deeply"));
        }
        match kind {
            1 | 2 => {}
            3 => self.at += 1,
            4..=6 => {
                self.number()?;
            }
            7 => self.at += 8,
            8 => {
                let length = get_varint(self.bytes, &mut self.at)?;
                self.at = self.at.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            }
            12 => {
                let mut last = 0;
                while let Some((_, kind)) = self.next(&mut last)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return Err(PageError("a page header has a field of unknown type")),
        }
        if self.at > self.bytes.len() {
            return Err(PageError("a page header is cut short"));
        }
        Ok(())
    }
}

fn size(value: i64) -> Result<usize, PageError> {
    usize::try_from(value)
        .ok()
        .filter(|v| *v <= PAGE_VALUES_MAX * 10)
        .ok_or(PageError("a size in a page header makes no sense"))
}

impl PageHeader {
    /// Reads a header; also tells its length.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(PageHeader, usize), PageError> {
        let mut fields = Fields { bytes, at: 0 };
        let mut header = PageHeader { is_compressed: true, ..Default::default() };
        let (mut kind, mut encoding, mut values, mut last) = (-1, -1, 0, 0);
        while let Some((number, of)) = fields.next(&mut last)? {
            match (number, of) {
                (1, 5) => kind = fields.number()?,
                (2, 5) => header.uncompressed_size = size(fields.number()?)?,
                (3, 5) => header.compressed_size = size(fields.number()?)?,
                (8, 12) => {
                    let mut last = 0;
                    while let Some((number, of)) = fields.next(&mut last)? {
                        match (number, of) {
                            (1, 5) => values = size(fields.number()?)?,
                            (2, 5) => header.nulls = size(fields.number()?)?,
                            (3, 5) => header.rows = size(fields.number()?)?,
                            (4, 5) => encoding = fields.number()?,
                            (5, 5) => header.levels_size = size(fields.number()?)?,
                            (6, 5) if fields.number()? != 0 => {
                                return Err(PageError("a page has repetition levels"));
                            }
                            (6, 5) => {}
                            (7, 1) => header.is_compressed = true,
                            (7, 2) => header.is_compressed = false,
                            (_, of) => fields.skip(of, 0)?,
                        }
                    }
                }
                (_, of) => fields.skip(of, 0)?,
            }
        }
        if kind != PAGE_V2 {
            return Err(PageError("a page is no data page of version 2"));
        }
        header.is_delta = match encoding {
            ENCODING_DBP => true,
            ENCODING_BSS => false,
            _ => return Err(PageError("a page has an encoding that was not expected")),
        };
        let fits = values == header.rows
            && header.rows <= PAGE_VALUES_MAX
            && header.nulls <= header.rows
            && header.levels_size <= header.compressed_size
            && header.levels_size <= header.uncompressed_size;
        if !fits {
            return Err(PageError("the numbers in a page header do not fit together"));
        }
        Ok((header, fields.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((_, length)) = PageHeader::parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
