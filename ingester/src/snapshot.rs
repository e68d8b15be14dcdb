//! Snapshots of a group's heads as files.
//!
//! `segments-N` holds the segments sealed since snapshot N-1, each behind its length and checksum, and
//! never changes; `heads-N` holds the frames, in compressed pieces, and where their segments lie. A
//! segment is written once, however many snapshots name it. The layout is in
//! `docs/formats/head-snapshot.md`.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use cluster::SnapshotDir;
use model::TenantId;
use runtime::{DiskFile, OpenMode};

use crate::head::{Frozen, Segment, Stored, TenantHead};
use crate::wire::{Malformed, Reader, put_bytes, put_varint};

const VERSION: u8 = 1;
const BUFFER_BYTES: usize = 1 << 20;
/// Length and checksum before each segment or piece.
const HEADER_BYTES: usize = 8;

fn segments_name(number: u64) -> String {
    format!("segments-{number:020}")
}

fn heads_name(number: u64) -> String {
    format!("heads-{number:020}")
}

fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("head snapshot: {what}"))
}

/// Writes checksummed records through a buffer.
struct Writer {
    file: Arc<dyn DiskFile>,
    at: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn create(dir: &SnapshotDir, name: &str) -> io::Result<Self> {
        let file = dir.open(name, OpenMode::Truncate)?;
        Ok(Writer { file, at: 0, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Where the record lies.
    fn push(&mut self, record: &[u8]) -> io::Result<(u64, u32)> {
        let size = u32::try_from(record.len()).map_err(damaged)?;
        let at = self.at + self.buffer.len() as u64;
        self.buffer.extend_from_slice(&size.to_le_bytes());
        self.buffer.extend_from_slice(&crc32c::crc32c(record).to_le_bytes());
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok((at, size))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }
}

/// Reads one record at `at` into `record`; the offset behind it.
fn read_record(file: &dyn DiskFile, at: u64, size_max: usize, record: &mut Vec<u8>) -> io::Result<u64> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(at, &mut header)?;
    let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    let size = word(0) as usize;
    if size > size_max {
        return Err(damaged("record too long"));
    }
    record.clear();
    record.resize(size, 0);
    file.read_exact_at(at + HEADER_BYTES as u64, record)?;
    if crc32c::crc32c(record) != word(4) {
        return Err(damaged("checksum of a record does not match"));
    }
    Ok(at + (HEADER_BYTES + size) as u64)
}

/// Largest record that is believed.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// Writes what is not on disk yet; everything the returned manifest names is durable.
pub(crate) fn write(dir: &SnapshotDir, number: u64, heads: Vec<(TenantId, Frozen)>) -> io::Result<Bytes> {
    let mut segments_file: Option<Writer> = None;
    let mut fresh: Vec<(Arc<Segment>, Stored)> = Vec::new();
    let mut heads_file = Writer::create(dir, &heads_name(number))?;
    let mut files = BTreeSet::new();
    let mut record = Vec::new();
    let mut count = 0;
    for (tenant, frozen) in heads {
        let mut index = Vec::with_capacity(frozen.segments.len() * 12 + 64);
        put_bytes(&mut index, tenant.as_str().as_bytes());
        put_varint(&mut index, frozen.frame.len() as u64);
        put_varint(&mut index, frozen.segments.len() as u64);
        for segment in &frozen.segments {
            let stored = match segment.stored.get() {
                Some(stored) => *stored,
                None => {
                    let writer = match &mut segments_file {
                        Some(writer) => writer,
                        none => none.insert(Writer::create(dir, &segments_name(number))?),
                    };
                    record.clear();
                    segment.put(&mut record);
                    let (at, size) = writer.push(&record)?;
                    let stored = Stored { file: number, at, size };
                    fresh.push((Arc::clone(segment), stored));
                    stored
                }
            };
            files.insert(stored.file);
            put_varint(&mut index, stored.file);
            put_varint(&mut index, stored.at);
            put_varint(&mut index, u64::from(stored.size));
        }
        heads_file.push(&index)?;
        for piece in frozen.frame.chunks(BUFFER_BYTES) {
            heads_file.push(&lz4_flex::block::compress_prepend_size(piece))?;
        }
        count += 1;
    }
    if let Some(writer) = segments_file {
        writer.finish()?;
    }
    heads_file.finish()?;
    dir.sync()?;
    for (segment, stored) in fresh {
        // Set before only when it is written already; one job runs at a time.
        let _set_before = segment.stored.set(stored).is_err();
    }
    let mut manifest = vec![VERSION];
    put_varint(&mut manifest, number);
    put_varint(&mut manifest, count);
    put_varint(&mut manifest, files.len() as u64);
    files.iter().for_each(|file| put_varint(&mut manifest, *file));
    Ok(Bytes::from(manifest))
}

struct Manifest {
    number: u64,
    heads: usize,
    files: BTreeSet<u64>,
}

fn parse(manifest: &[u8]) -> io::Result<Manifest> {
    let parse = || -> Result<Manifest, Malformed> {
        let mut reader = Reader::new(manifest);
        if reader.byte()? != VERSION {
            return Err(Malformed("manifest: unknown version"));
        }
        let number = reader.varint()?;
        let heads = reader.u32()? as usize;
        let files = (0..reader.count(1)?).map(|_| reader.varint()).collect::<Result<_, _>>()?;
        Ok(Manifest { number, heads, files })
    };
    parse().map_err(damaged)
}

/// The number of the snapshot a manifest describes.
pub(crate) fn number_of(manifest: &[u8]) -> io::Result<u64> {
    parse(manifest).map(|manifest| manifest.number)
}

/// Reads the heads back, one after the other, one segment at a time.
pub(crate) fn read(dir: &SnapshotDir, manifest: &[u8], seed: u64) -> io::Result<Vec<(TenantId, TenantHead)>> {
    let manifest = parse(manifest)?;
    let file = dir.open(&heads_name(manifest.number), OpenMode::Read)?;
    let mut open: Option<(u64, Arc<dyn DiskFile>)> = None;
    let mut heads = Vec::new();
    let mut at = 0;
    let mut record = Vec::new();
    for _ in 0..manifest.heads {
        let mut index = Vec::new();
        at = read_record(&*file, at, RECORD_BYTES_MAX, &mut index)?;
        let mut reader = Reader::new(&index);
        let tenant = TenantId::new(reader.text().map_err(damaged)?).map_err(damaged)?;
        let frame_length = usize::try_from(reader.varint().map_err(damaged)?).map_err(damaged)?;
        let count = reader.count(3).map_err(damaged)?;
        let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut next = || reader.varint().map_err(damaged);
            let stored =
                Stored { file: next()?, at: next()?, size: u32::try_from(next()?).map_err(damaged)? };
            let handle = match &open {
                Some((number, handle)) if *number == stored.file => Arc::clone(handle),
                _ => {
                    let handle = dir.open(&segments_name(stored.file), OpenMode::Read)?;
                    open = Some((stored.file, Arc::clone(&handle)));
                    handle
                }
            };
            read_record(&*handle, stored.at, stored.size as usize, &mut record)?;
            let mut bytes = Reader::new(&record);
            let segment = Segment::read_back(&mut bytes, segments.last()).map_err(damaged)?;
            let _never_set = segment.stored.set(stored).is_err();
            segments.push(Arc::new(segment));
        }
        let mut frame = Vec::new();
        while frame.len() < frame_length {
            at = read_record(&*file, at, 2 * BUFFER_BYTES, &mut record)?;
            let size = record.get(..4).map_or(0, |s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]));
            if size as usize > BUFFER_BYTES || size == 0 {
                return Err(damaged("piece of a frame"));
            }
            let piece = lz4_flex::block::decompress_size_prepended(&record).map_err(damaged)?;
            frame.extend_from_slice(&piece);
        }
        heads.push((tenant, TenantHead::restore(seed, &frame, segments).map_err(damaged)?));
    }
    Ok(heads)
}

/// Deletes the files that the manifest does not name.
pub(crate) fn collect_garbage(dir: &SnapshotDir, manifest: &[u8]) -> io::Result<()> {
    let manifest = parse(manifest)?;
    let mut keep: BTreeSet<String> = manifest.files.iter().map(|file| segments_name(*file)).collect();
    keep.insert(heads_name(manifest.number));
    for entry in dir.list()? {
        let ours = entry.name.starts_with("segments-") || entry.name.starts_with("heads-");
        if ours && !keep.contains(&entry.name) {
            dir.remove(&entry.name)?;
        }
    }
    dir.sync()
}

/// Feeds outside bytes to the parsers of a snapshot: must neither panic nor allocate much.
pub fn fuzz_snapshot(data: &[u8]) {
    let _damaged = parse(data).is_err();
    let _damaged = Segment::read_back(&mut Reader::new(data), None).is_err();
    let _damaged = TenantHead::restore(0, data, Vec::new()).is_err();
}
