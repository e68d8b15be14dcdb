//! Reads the segments of a folder back into groups' logs.
//!
//! Segments are numbered without gaps; older leftovers of a deletion are ignored. Every segment but
//! the last must end in a seal. The last may end in a torn write: it is cut there, unless a later
//! write proves that the bytes were durable. Payloads are checked, not kept.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::GroupId;
use runtime::{Disk, DiskFile, OpenMode};

use super::log::{LogState, Place, Slot};
use super::record::{Checkpoint, Record};
use super::scan::{End, Scanner, was_durable};
use super::segment;
use super::span::Spans;
use crate::types::{LogId, next_index};

/// A group as the log tells it.
#[derive(Debug, Default)]
pub(crate) struct RecoveredGroup {
    pub(crate) log: LogState,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) spans: Spans,
}

/// A segment on disk.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// What the folder held.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) groups: BTreeMap<GroupId, RecoveredGroup>,
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Where to cut and seal the last segment, when it has no seal.
    pub(crate) cut: Option<(u64, u64)>,
    /// Files to be written over.
    pub(crate) free: Vec<PathBuf>,
    /// Entries read.
    pub(crate) entries: u64,
    /// Whether bytes were found after the last record: a torn write, or a recycled file's past.
    pub(crate) torn: bool,
}

/// Damage that must not be passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// Why recovery gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

/// The segments of a folder that belong together, oldest first; and the files that do not.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<(Vec<u64>, Vec<PathBuf>, Vec<PathBuf>)> {
    let mut numbers = Vec::new();
    let mut free = Vec::new();
    let mut leftovers = Vec::new();
    for entry in disk.list(dir)? {
        if let Some(number) = segment::parse_name(&entry.name) {
            numbers.push(number);
        } else if segment::is_free_name(&entry.name) {
            free.push(dir.join(&entry.name));
        }
    }
    numbers.sort_unstable();
    if let Some(gap) = (1..numbers.len()).rev().find(|i| numbers[i - 1] + 1 != numbers[*i]) {
        leftovers = numbers.drain(..gap).map(|number| dir.join(segment::name(number))).collect();
    }
    Ok((numbers, free, leftovers))
}

/// Reads everything. Changes nothing but removes leftovers of deleted segments.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, Failure> {
    disk.create_dir_all(dir)?;
    let (numbers, free, leftovers) = list(disk, dir)?;
    for path in leftovers {
        disk.remove(&path)?;
    }
    let mut recovered = Recovered { free, ..Recovered::default() };
    let last = numbers.last().copied();
    for number in numbers {
        read_segment(disk, dir, number, Some(number) == last, &mut recovered)?;
    }
    for (id, group) in &recovered.groups {
        // the oldest segment may begin behind entries that a later record purges or writes again;
        // in the end none may be missing
        let from = next_index(group.log.purged.as_ref());
        if !group.log.entries.is_empty() && group.log.first > from {
            let segment = recovered.segments.keys().next().copied().unwrap_or(0);
            let reason = format!("entries {from} to {} of group {id} are missing", group.log.first - 1);
            return Err(Failure::Damage(Damage { segment, offset: 0, reason }));
        }
    }
    Ok(recovered)
}

fn read_segment(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    is_last: bool,
    recovered: &mut Recovered,
) -> Result<(), Failure> {
    let file = disk.open(&dir.join(segment::name(number)), OpenMode::Write)?;
    let damage =
        |offset, reason: &str| Failure::Damage(Damage { segment: number, offset, reason: reason.into() });
    let mut scanner = Scanner::new(Arc::clone(&file), number)?.map_err(|reason| damage(0, reason))?;
    let mut headed = false;
    let end = loop {
        match scanner.next()? {
            Ok((_, _, Record::CheckpointEnd)) => headed = true,
            Ok((header, offset, record)) => {
                recovered.entries += u64::from(matches!(record, Record::Entry { .. }));
                let group = recovered.groups.entry(header.group).or_default();
                group.apply(record, Place { segment: number, offset });
            }
            Err(end) => break end,
        }
    };
    let offset = scanner.offset();
    match end {
        End::Broken(reason) if !headed || !is_last => return Err(damage(offset, reason)),
        End::Broken(reason) => {
            if was_durable(&*file, number, offset)? {
                return Err(damage(offset, reason));
            }
            recovered.torn = offset < file.len()?;
            recovered.cut = Some((number, offset));
        }
        End::Sealed if !headed => return Err(damage(0, "its checkpoint is missing")),
        End::Sealed => {}
    }
    let bytes = file.len()?;
    recovered.segments.insert(number, Segment { file, bytes });
    Ok(())
}

impl RecoveredGroup {
    fn apply(&mut self, record: Record<'_>, place: Place) {
        match record {
            Record::Batch { .. } | Record::CheckpointEnd | Record::Seal => {}
            Record::Entry { id, payload, .. } => self.entry(id, payload.len(), place),
            Record::Vote(vote) => {
                self.log.vote = Some(vote);
                self.checkpoint.vote = Some(vote);
            }
            Record::Truncate { after } => self.log.truncate_from(after.map_or(0, |id| id.index + 1)),
            Record::Purge(upto) => self.purge(upto),
            Record::Committed(committed) => {
                self.log.committed = Some(committed);
                self.checkpoint.committed = Some(committed);
            }
            Record::Snapshot(snapshot) => {
                self.log.snapshot = Some(Arc::new(snapshot.clone()));
                self.checkpoint.snapshot = Some(snapshot);
            }
            Record::Checkpoint(checkpoint) => {
                self.log.vote = checkpoint.vote;
                self.log.committed = checkpoint.committed;
                self.log.snapshot = checkpoint.snapshot.clone().map(Arc::new);
                if let Some(upto) = checkpoint.purged {
                    self.purge(upto);
                }
                let purged = self.checkpoint.purged;
                self.checkpoint = *checkpoint;
                self.checkpoint.purged = purged;
            }
        }
    }

    fn entry(&mut self, id: LogId, payload_len: usize, place: Place) {
        let payload_len = u32::try_from(payload_len).unwrap_or(u32::MAX);
        let slot = Slot { term: id.leader_id.term, payload_len, place: Some(place), cached: None };
        self.log.push(id.index, slot);
        self.spans.wrote(id.index, place.segment);
    }

    fn purge(&mut self, upto: LogId) {
        self.log.purge(upto);
        self.spans.purge(upto.index);
        self.checkpoint.purged = self.log.purged;
    }
}

/// Index of the last entry ever written, for the writer.
pub(crate) fn last_index(log: &LogState) -> Option<u64> {
    log.last().map(|id| id.index)
}
