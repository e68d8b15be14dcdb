//! Reads a segment record by record, in bounded memory, and tells why it ends.

use std::io;
use std::sync::Arc;

use runtime::DiskFile;

use super::record::{self, HEADER_BYTES, Header, Record};
use super::segment;

const CHUNK_BYTES: usize = 1 << 20;

/// Why no further record follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The seal: the segment is whole.
    Sealed,
    /// The bytes at the offset are no record: a torn tail, or damage.
    Broken(&'static str),
}

/// Walks over the records of one segment.
pub(crate) struct Scanner {
    file: Arc<dyn DiskFile>,
    number: u64,
    file_len: u64,
    buffer: Vec<u8>,
    /// Where in the file `buffer` begins.
    base: u64,
    /// Where in `buffer` the next record begins.
    at: usize,
}

impl Scanner {
    /// Opens a segment's records; `Err(Some(_))` names what is wrong with its header.
    pub(crate) fn new(file: Arc<dyn DiskFile>, number: u64) -> io::Result<Result<Self, &'static str>> {
        let file_len = file.len()?;
        let mut scanner = Scanner { file, number, file_len, buffer: Vec::new(), base: 0, at: 0 };
        if !scanner.fill(segment::HEADER_BYTES)? {
            return Ok(Err("its header is cut short"));
        }
        if !segment::is_header(number, &scanner.buffer[..segment::HEADER_BYTES]) {
            return Ok(Err("its header is not that of a segment of this number"));
        }
        scanner.at = segment::HEADER_BYTES;
        Ok(Ok(scanner))
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Makes `count` bytes from the position on available; false when the file ends before.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at >= count {
            return Ok(true);
        }
        if self.offset() + count as u64 > self.file_len {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let wanted = count.max(CHUNK_BYTES) as u64;
        let wanted = usize::try_from(wanted.min(self.file_len - self.base)).map_err(io::Error::other)?;
        let have = self.buffer.len();
        if wanted > have {
            self.buffer.resize(wanted, 0);
            self.file.read_exact_at(self.base + have as u64, &mut self.buffer[have..])?;
        }
        Ok(self.buffer.len() >= count)
    }

    /// The next record with its frame and offset, or why there is none. Call again only after a record.
    pub(crate) fn next(&mut self) -> io::Result<Result<(Header, u64, Record<'_>), End>> {
        let offset = self.offset();
        if !self.fill(HEADER_BYTES)? {
            return Ok(Err(End::Broken("the file ends without a seal")));
        }
        let header = self.buffer[self.at..].first_chunk::<HEADER_BYTES>().and_then(Header::parse);
        let Some(header) = header else {
            return Ok(Err(End::Broken("no record begins here")));
        };
        let len = usize::try_from(header.record_len()).map_err(io::Error::other)?;
        if !self.fill(len)? {
            return Ok(Err(End::Broken("a record is cut short")));
        }
        let start = self.at + HEADER_BYTES;
        let body = &self.buffer[start..start + header.body_len];
        if !header.matches(self.number, body) {
            return Ok(Err(End::Broken("the checksum of a record does not match")));
        }
        match record::decode(header.kind, body) {
            Ok(Record::Seal) => Ok(Err(End::Sealed)),
            Ok(record) => {
                self.at += len;
                Ok(Ok((header, offset, record)))
            }
            Err(_) => Ok(Err(End::Broken("a record of this version is malformed"))),
        }
    }
}

/// Whether anything at or after `offset` proves that bytes after `offset` were durable once: then a
/// broken record at `offset` is damage, not the torn end of the last write.
pub(crate) fn was_durable(file: &dyn DiskFile, number: u64, offset: u64) -> io::Result<bool> {
    const RECORD: usize = HEADER_BYTES + 8;
    let file_len = file.len()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = offset.next_multiple_of(8);
    while at + RECORD as u64 <= file_len {
        let wanted = usize::try_from((file_len - at).min(CHUNK_BYTES as u64)).map_err(io::Error::other)?;
        file.read_exact_at(at, &mut buffer[..wanted])?;
        let mut inner = 0;
        while inner + RECORD <= wanted {
            let bytes = &buffer[inner..inner + RECORD];
            if bytes[8] == record::Kind::Batch as u8
                && let Some(header) = bytes.first_chunk::<HEADER_BYTES>().and_then(Header::parse)
                && header.body_len == 8
                && header.matches(number, &bytes[HEADER_BYTES..])
                && let Ok(Record::Batch { durable }) = record::decode(header.kind, &bytes[HEADER_BYTES..])
                && durable > offset
            {
                return Ok(true);
            }
            inner += 8;
        }
        at += inner as u64;
    }
    Ok(false)
}
