//! Both disks keep the same contract; the simulated one loses exactly what no fsync covers.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use runtime::{Disk, OpenMode, RealDisk, SimulatedDisk};

fn contract(disk: &dyn Disk, root: &Path) {
    let dir = root.join("a/b");
    disk.create_dir_all(&dir).unwrap();
    let path = dir.join("file");
    let error = |result: std::io::Result<Arc<dyn runtime::DiskFile>>| result.unwrap_err().kind();
    assert_eq!(error(disk.open(&path, OpenMode::Read)), ErrorKind::NotFound);
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    assert_eq!(error(disk.open(&path, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    file.write_vectored_at(0, &mut [IoSlice::new(b"hello "), IoSlice::new(b""), IoSlice::new(b"world")])
        .unwrap();
    file.write_at(6, b"W").unwrap();
    file.append(b"!").unwrap();
    file.write_at(20, b"far").unwrap();
    assert_eq!(disk.read(&path).unwrap(), b"hello World!\0\0\0\0\0\0\0\0far");
    let mut some = [0; 5];
    assert_eq!(file.read_at(21, &mut some).unwrap(), 2);
    assert_eq!(file.read_exact_at(21, &mut some).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    file.set_len(5).unwrap();
    assert_eq!(file.len().unwrap(), 5);
    file.sync_data().unwrap();
    disk.rename(&path, &dir.join("other")).unwrap();
    disk.sync_dir(&dir).unwrap();
    assert_eq!(disk.read(&dir.join("other")).unwrap(), b"hello");
    disk.write_atomic(&dir.join("z"), b"new").unwrap();
    let names: Vec<String> = disk.list(&dir).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["other", "z"]);
    assert!(disk.stat(&dir).unwrap().unwrap().is_dir);
    assert_eq!(disk.stat(&path).unwrap(), None);
    assert_eq!(disk.remove(&path).unwrap_err().kind(), ErrorKind::NotFound);
    disk.remove(&dir.join("z")).unwrap();
    disk.remove_dir_all(&dir).unwrap();
    disk.remove_dir_all(&dir).unwrap();
    assert_eq!(disk.stat(&dir.join("other")).unwrap(), None);
}

#[test]
fn the_real_disk_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    contract(&RealDisk, root.path());
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    contract(&SimulatedDisk::new(1), Path::new("/data"));
}

#[test]
fn a_name_is_lost_without_a_folder_fsync_in_some_runs_and_never_with_one() {
    let mut kept = 0;
    for seed in 0..64 {
        let disk = SimulatedDisk::new(seed);
        for name in ["/synced", "/loose"] {
            let file = disk.open(Path::new(name), OpenMode::CreateNew).unwrap();
            file.write_at(0, b"x").unwrap();
            file.sync_data().unwrap();
            if name == "/synced" {
                disk.sync_dir(Path::new("/")).unwrap();
            }
        }
        disk.power_loss();
        assert_eq!(disk.read(Path::new("/synced")).unwrap(), b"x");
        kept += i32::from(disk.stat(Path::new("/loose")).unwrap().is_some());
    }
    assert!((1..64).contains(&kept), "{kept} of 64");
}

#[test]
fn a_crash_kills_mounts_and_open_files_of_the_life_before() {
    let disk = SimulatedDisk::new(1);
    let mount = disk.mount();
    let file = mount.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    file.write_at(0, b"seen").unwrap();
    disk.process_death();
    assert!(file.write_at(0, b"late").is_err() && file.sync_data().is_err());
    assert!(mount.open(Path::new("/f"), OpenMode::Read).is_err());
    assert_eq!(disk.mount().read(Path::new("/f")).unwrap(), b"seen", "the process died, not the machine");
}

#[test]
fn a_full_disk_writes_what_fits_and_removing_a_file_makes_room() {
    let disk = SimulatedDisk::new(1);
    disk.set_faults(|faults| faults.free_bytes = Some(10));
    let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    assert_eq!(file.write_at(0, &[1; 16]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 10);
    file.write_at(0, &[2; 10]).unwrap();
    disk.remove(Path::new("/f")).unwrap();
    let file = disk.open(Path::new("/g"), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[1; 10]).unwrap();
}

proptest! {
    /// Whatever was written: after a power loss every byte covered by an fsync and not written since
    /// is as it was then, and every other byte is old or new, never something else.
    #[test]
    fn a_power_loss_keeps_what_an_fsync_covers(
        seed in any::<u64>(),
        writes in proptest::collection::vec((0u64..3000, 1usize..1500, 1u8..255), 1..12),
        synced in 0usize..12,
    ) {
        let disk = SimulatedDisk::new(seed);
        let path = Path::new("/f");
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut durable = Vec::new();
        let mut allowed: Vec<Vec<u8>> = Vec::new();
        for (i, (offset, len, byte)) in writes.iter().enumerate() {
            if i == synced {
                file.sync_data().unwrap();
                durable = disk.read(path).unwrap();
                allowed = durable.iter().map(|byte| vec![*byte]).collect();
            }
            file.write_at(*offset, &vec![*byte; *len]).unwrap();
            let end = usize::try_from(*offset).unwrap() + len;
            // a byte never written between two that were reads as zero
            allowed.resize(allowed.len().max(end), vec![0]);
            for old_or_new in &mut allowed[end - len..end] {
                old_or_new.push(*byte);
            }
        }
        disk.power_loss();
        let left = disk.read(path).unwrap();
        prop_assert!(left.len() >= durable.len() && left.len() <= allowed.len());
        for (at, byte) in left.iter().enumerate() {
            prop_assert!(allowed[at].contains(byte), "byte {at} is {byte}, allowed {:?}", allowed[at]);
        }
    }
}
