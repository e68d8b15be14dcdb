//! Segment files: their names, their head, how one is begun.
//!
//! A segment begins with a header and a checkpoint of every group. It gets its name only when both
//! are durable, so a file under a segment's name always has them.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::GroupId;
use runtime::{Disk, DiskFile, OpenMode};

use super::record::{Checkpoint, Encoder};

pub(crate) const HEADER_BYTES: usize = 24;
const MAGIC: &[u8; 8] = b"EPIMWAL\x01";
const SUFFIX: &str = ".wal";
const TEMPORARY: &str = "next.tmp";
const FREE_PREFIX: &str = "free-";

pub(crate) fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

pub(crate) fn free_name(number: u64) -> String {
    format!("{FREE_PREFIX}{number:020}")
}

pub(crate) fn is_free_name(name: &str) -> bool {
    name.starts_with(FREE_PREFIX)
}

fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn is_header(number: u64, bytes: &[u8]) -> bool {
    bytes == header(number)
}

/// A segment open for appending.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the next record goes; everything before is durable.
    pub(crate) offset: u64,
}

/// Begins segment `number`, in the file `recycled` if there is one. Durable under its name when
/// this returns; after an error nothing lies under that name.
pub(crate) fn begin<'a>(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    recycled: Option<PathBuf>,
    checkpoints: impl Iterator<Item = (GroupId, &'a Checkpoint)>,
) -> io::Result<Begun> {
    let temporary = dir.join(TEMPORARY);
    let (path, file) = match recycled {
        Some(path) => {
            let file = disk.open(&path, OpenMode::Write)?;
            (path, file)
        }
        None => {
            let file = disk.open(&temporary, OpenMode::Truncate)?;
            (temporary, file)
        }
    };
    let mut encoder = Encoder::default();
    encoder.clear(number);
    for (group, checkpoint) in checkpoints {
        encoder.checkpoint(group, checkpoint);
    }
    encoder.checkpoint_end();
    let head = header(number);
    let mut parts = vec![IoSlice::new(&head)];
    parts.extend(encoder.slices());
    file.write_vectored_at(0, &mut parts)?;
    file.sync_data()?;
    disk.rename(&path, &dir.join(name(number)))?;
    disk.sync_dir(dir)?;
    Ok(Begun { number, file, offset: HEADER_BYTES as u64 + encoder.len() })
}

/// Ends a segment at `offset`: whatever lies after is no part of it. Durable when this returns.
pub(crate) fn seal(file: &dyn DiskFile, number: u64, offset: u64) -> io::Result<()> {
    let mut encoder = Encoder::default();
    encoder.clear(number);
    encoder.seal();
    file.write_vectored_at(offset, &mut encoder.slices())?;
    file.sync_data()
}
