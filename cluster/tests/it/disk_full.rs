//! A full disk refuses writes, loses nothing, and is recovered from without a restart.

use std::time::Duration;

use cluster::ProposeError;

use crate::ledger::{check, config, open, payload, simulated};

#[test]
fn a_full_disk_refuses_proposals_and_goes_on_when_space_returns() {
    let (runtime, disk) = simulated(21);
    let config = config("/data");
    let mut acknowledged = Vec::new();
    runtime.block_on(async {
        let (cluster, group, applied) = open(&runtime, &config).await;
        disk.set_faults(|faults| faults.free_bytes = Some(100_000));
        let mut refused = None;
        for number in 0..1000 {
            match group.propose(payload(number, 5000)).await {
                Ok((position, _)) => acknowledged.push((position.index, number)),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let refused = refused.expect("the disk is full after 100 kB");
        assert!(matches!(refused, ProposeError::Disk { .. }), "{refused}");
        assert_eq!(refused.kind(), model::ErrorKind::Unavailable);
        assert!(cluster.stats().trouble.is_some());
        // at once, not after a wait
        assert!(matches!(group.propose(payload(5000, 10)).await, Err(ProposeError::Disk { .. })));
        check(&acknowledged, &applied.lock(), "while full");

        disk.set_faults(|faults| faults.free_bytes = None);
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(cluster.stats().trouble, None);
        let (position, _) = group.propose(payload(6000, 5000)).await.unwrap();
        acknowledged.push((position.index, 6000));
        check(&acknowledged, &applied.lock(), "after space returned");
    });
    disk.power_loss();
    runtime.block_on(async {
        let (_cluster, _group, applied) = open(&runtime, &config).await;
        check(&acknowledged, &applied.lock(), "after the restart");
    });
}

#[test]
fn a_node_that_goes_down_full_comes_back_when_space_returns() {
    let (runtime, disk) = simulated(22);
    let config = config("/data");
    let mut acknowledged = Vec::new();
    runtime.block_on(async {
        let (_cluster, group, _) = open(&runtime, &config).await;
        disk.set_faults(|faults| faults.free_bytes = Some(200_000));
        let mut number = 0;
        while let Ok((position, _)) = group.propose(payload(number, 3000)).await {
            acknowledged.push((position.index, number));
            number += 1;
        }
    });
    disk.power_loss();
    runtime.block_on(async {
        assert!(cluster::Cluster::open(runtime.clone(), config.clone()).await.is_err(), "still full");
        disk.set_faults(|faults| faults.free_bytes = None);
        let (_cluster, group, applied) = open(&runtime, &config).await;
        check(&acknowledged, &applied.lock(), "after the restart");
        group.propose(payload(9999, 10)).await.unwrap();
    });
}

#[test]
fn a_refused_fsync_stops_the_node_and_acknowledges_nothing() {
    let (runtime, disk) = simulated(23);
    let config = config("/data");
    let mut acknowledged = Vec::new();
    runtime.block_on(async {
        let (cluster, group, _) = open(&runtime, &config).await;
        acknowledged.push((group.propose(payload(1, 100)).await.unwrap().0.index, 1));
        disk.set_faults(|faults| faults.fail_syncs = true);
        let refused = group.propose(payload(2, 100)).await.unwrap_err();
        assert!(matches!(refused, ProposeError::Stopped { .. }), "{refused}");
        disk.set_faults(|faults| faults.fail_syncs = false);
        let refused = group.propose(payload(3, 100)).await.unwrap_err();
        assert!(matches!(refused, ProposeError::Stopped { .. }), "{refused}");
        assert!(cluster.stats().trouble.unwrap().contains("restart"));
    });
    disk.power_loss();
    runtime.block_on(async {
        let (_cluster, group, applied) = open(&runtime, &config).await;
        check(&acknowledged, &applied.lock(), "after the restart");
        group.propose(payload(4, 100)).await.unwrap();
    });
}

#[test]
fn a_snapshot_that_fails_leaves_the_group_running() {
    let (runtime, disk) = simulated(24);
    runtime.block_on(async {
        let (_cluster, group, _) = open(&runtime, &config("/data")).await;
        group.propose(payload(1, 100)).await.unwrap();
        disk.set_faults(|faults| faults.free_bytes = Some(0));
        assert!(group.snapshot_now().await.is_err());
        disk.set_faults(|faults| faults.free_bytes = None);
        runtime.sleep(Duration::from_secs(1)).await;
        group.propose(payload(2, 100)).await.unwrap();
        group.snapshot_now().await.unwrap();
        assert_eq!(group.snapshot_position(), group.applied());
    });
}
