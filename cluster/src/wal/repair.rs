//! Makes a damaged log openable again, giving up what lies at and behind the damage.

use std::path::{Path, PathBuf};

use runtime::Disk;

use super::recovery::{self, Failure};
use super::{describe, segment, wal_dir};
use crate::error::Error;

/// What a repair gave up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Where the damage was: segment file, byte, reason. Empty when the log was sound.
    pub damage: Vec<(String, u64, String)>,
    /// Files that are no part of the log any more; they are kept under these names.
    pub set_aside: Vec<PathBuf>,
}

impl RepairReport {
    /// Whether nothing had to be done.
    pub fn was_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Repairs the write-ahead log under `data_dir`: cuts it at the first damage. Later segments are set
/// aside under the suffix `.damaged`, as is a copy of the cut one. Entries behind the damage are
/// lost to this replica. Refused while the server runs.
pub fn repair(disk: &dyn Disk, data_dir: &Path) -> Result<RepairReport, Error> {
    let dir = wal_dir(data_dir);
    let _lock = super::try_lock(disk, data_dir)?;
    let mut report = RepairReport::default();
    loop {
        let damage = match recovery::recover(disk, &dir) {
            Ok(_) => return Ok(report),
            Err(Failure::Damage(damage)) => damage,
            Err(failure) => return Err(describe(failure, data_dir)),
        };
        let at = (segment::name(damage.segment), damage.offset, damage.reason.clone());
        // every round sets files aside or cuts one, so the same damage twice cannot be cut away
        if report.damage.contains(&at) {
            return Err(describe(Failure::Damage(damage), data_dir));
        }
        report.damage.push(at);
        cut(disk, &dir, damage.segment, damage.offset, &mut report)
            .map_err(Error::io(format!("repairing the write-ahead log in {}", dir.display())))?;
    }
}

fn cut(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    offset: u64,
    report: &mut RepairReport,
) -> std::io::Result<()> {
    let (numbers, _, _) = recovery::list(disk, dir)?;
    let aside = |number| dir.join(format!("{}.damaged", segment::name(number)));
    // from the back, so that a crash leaves a log without gaps
    for later in numbers.iter().rev().filter(|later| **later > number) {
        disk.rename(&dir.join(segment::name(*later)), &aside(*later))?;
        report.set_aside.push(aside(*later));
    }
    let path = dir.join(segment::name(number));
    if offset == 0 {
        disk.rename(&path, &aside(number))?;
    } else {
        disk.write_atomic(&aside(number), &disk.read(&path)?)?;
        let file = disk.open(&path, runtime::OpenMode::Write)?;
        file.set_len(offset)?;
        segment::seal(&*file, number, offset)?;
    }
    report.set_aside.push(aside(number));
    disk.sync_dir(dir)
}
