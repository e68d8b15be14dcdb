//! A torn tail is cut; damage elsewhere is an error that names the repair, and the repair works.

use std::path::{Path, PathBuf};

use cluster::{Cluster, Error, repair};
use runtime::{Disk, OpenMode, Runtime, SimulatedDisk};

use crate::ledger::{check, config, open, payload, simulated};

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let dir = Path::new("/data/wal");
    let entries = disk.list(dir).unwrap();
    entries.iter().filter(|entry| entry.name.ends_with(".wal")).map(|entry| dir.join(&entry.name)).collect()
}

/// A node that wrote `count` entries of 2 kB and went down; what it acknowledged.
fn written(runtime: &Runtime, disk: &SimulatedDisk, count: u64) -> Vec<(u64, u64)> {
    let acknowledged = runtime.block_on(async {
        let (_cluster, group, _) = open(runtime, &config("/data")).await;
        let mut acknowledged = Vec::new();
        for number in 0..count {
            acknowledged.push((group.propose(payload(number, 2000)).await.unwrap().0.index, number));
        }
        acknowledged
    });
    disk.process_death();
    acknowledged
}

fn flip(disk: &SimulatedDisk, path: &Path, at: u64) {
    let file = disk.open(path, OpenMode::Write).unwrap();
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ 0x40]).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn garbage_after_the_last_record_is_cut() {
    for garbage in [vec![0; 5000], vec![0xff; 77], payload(3, 4000).to_vec()] {
        let (runtime, disk) = simulated(31);
        let acknowledged = written(&runtime, &disk, 10);
        let last = segments(&disk).pop().unwrap();
        disk.open(&last, OpenMode::Write).unwrap().append(&garbage).unwrap();
        runtime.block_on(async {
            let (_cluster, group, applied) = open(&runtime, &config("/data")).await;
            check(&acknowledged, &applied.lock(), "behind garbage");
            group.propose(payload(99, 10)).await.unwrap();
        });
    }
}

#[test]
fn damage_in_a_closed_segment_is_an_error_that_names_the_repair() {
    let (runtime, disk) = simulated(32);
    let acknowledged = written(&runtime, &disk, 100);
    let damaged = segments(&disk)[1].clone();
    let middle = disk.stat(&damaged).unwrap().unwrap().len / 2;
    flip(&disk, &damaged, middle);
    runtime.block_on(async {
        let error = Cluster::open(runtime.clone(), config("/data")).await.unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Corrupt);
        let Error::Damaged { segment, offset, .. } = &error else { panic!("{error}") };
        assert!(damaged.ends_with(segment) && *offset <= middle, "{error}");
        assert!(error.to_string().contains("epimetheus wal repair --data.dir /data"), "{error}");

        let report = repair(&disk, Path::new("/data")).unwrap();
        assert_eq!(report.damage.len(), 1);
        assert_eq!(report.set_aside.len(), segments_after_repair(&report.set_aside));
        let (_cluster, group, applied) = open(&runtime, &config("/data")).await;
        let applied = applied.lock().clone();
        assert!(
            !applied.is_empty() && acknowledged.starts_with(&applied),
            "what lay before the damage is kept"
        );
        group.propose(payload(1000, 10)).await.unwrap();
    });
    assert!(repair(&disk, Path::new("/data")).unwrap().was_sound());
}

fn segments_after_repair(set_aside: &[PathBuf]) -> usize {
    set_aside.iter().filter(|path| path.to_string_lossy().ends_with(".wal.damaged")).count()
}

#[test]
fn damage_within_what_was_durable_of_the_last_segment_is_not_taken_for_a_torn_tail() {
    let (runtime, disk) = simulated(33);
    let acknowledged = written(&runtime, &disk, 10);
    let last = segments(&disk).pop().unwrap();
    flip(&disk, &last, 5000);
    runtime.block_on(async {
        let error = Cluster::open(runtime.clone(), config("/data")).await.unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Corrupt);
        repair(&disk, Path::new("/data")).unwrap();
        let (_cluster, _group, applied) = open(&runtime, &config("/data")).await;
        let applied = applied.lock().clone();
        assert!(acknowledged.starts_with(&applied) && applied.len() < acknowledged.len());
    });
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_costs_only_the_last_write() {
    let (runtime, disk) = simulated(34);
    let acknowledged = written(&runtime, &disk, 60);
    let files = segments(&disk);
    let mut random = runtime.random();
    for _ in 0..150 {
        let path = &files[usize::try_from(random.below(files.len() as u64)).unwrap()];
        let len = disk.stat(path).unwrap().unwrap().len;
        let at = random.below(len);
        flip(&disk, path, at);
        runtime.block_on(async {
            match Cluster::open(runtime.clone(), config("/data")).await {
                Err(error) => assert_eq!(error.kind(), model::ErrorKind::Corrupt, "{error}"),
                Ok(cluster) => {
                    let (_group, applied) = crate::ledger::start(&cluster, crate::ledger::GROUP).await;
                    let applied = applied.lock().clone();
                    assert!(acknowledged.starts_with(&applied));
                    assert!(
                        applied.len() + 1 >= acknowledged.len(),
                        "{at} of {}: {}",
                        path.display(),
                        applied.len()
                    );
                }
            }
        });
        disk.process_death();
        // as it was: segments begun by the attempt go, a seal written into the last is overwritten
        flip(&disk, path, at);
        for begun in segments(&disk).into_iter().filter(|path| !files.contains(path)) {
            disk.remove(&begun).unwrap();
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let (runtime, disk) = simulated(35);
    written(&runtime, &disk, 100);
    disk.remove(&segments(&disk)[0]).unwrap();
    runtime.block_on(async {
        let error = Cluster::open(runtime.clone(), config("/data")).await.unwrap_err();
        assert_eq!(error.kind(), model::ErrorKind::Corrupt);
        assert!(error.to_string().contains("missing"), "{error}");
    });
}
