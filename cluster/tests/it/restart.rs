//! What was acknowledged is there after a restart, whatever way the node went down.

use std::time::Duration;

use cluster::Cluster;
use model::GroupId;
use runtime::Runtime;

use crate::ledger::{GROUP, check, config, open, payload, simulated, start};

#[test]
fn a_node_on_the_real_disk_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    let mut acknowledged = Vec::new();
    for round in 0..4u64 {
        let acknowledged_now = runtime.block_on(async {
            let (cluster, group, applied) = open(&runtime, &config(dir.path())).await;
            check(&acknowledged, &applied.lock(), "after restart");
            let mut now = Vec::new();
            for number in 0..50 {
                let number = round * 50 + number;
                let (position, answer) = group.propose(payload(number, 3000)).await.unwrap();
                assert_eq!(answer.len(), 8);
                assert!(group.flushed() >= position && group.applied() >= position);
                now.push((position.index, number));
            }
            cluster.shutdown().await.unwrap();
            now
        });
        acknowledged.extend(acknowledged_now);
    }
}

#[test]
fn concurrent_proposals_share_fsyncs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    runtime.block_on(async {
        let (cluster, group, applied) = open(&runtime, &config(dir.path())).await;
        let before = cluster.stats().wal;
        let tasks: Vec<_> = (0..64)
            .map(|proposer| {
                let group = group.clone();
                runtime.spawn("proposer", async move {
                    let mut done = Vec::new();
                    for i in 0..20 {
                        let number = proposer * 1000 + i;
                        done.push((group.propose(payload(number, 100)).await.unwrap().0.index, number));
                    }
                    assert!(done.is_sorted());
                    done
                })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for task in tasks {
            acknowledged.extend(task.await.unwrap());
        }
        check(&acknowledged, &applied.lock(), "while running");
        let after = cluster.stats().wal;
        assert_eq!(after.entries - before.entries, 1280);
        assert!(
            after.fsyncs - before.fsyncs < 1000,
            "{} fsyncs for 1280 entries",
            after.fsyncs - before.fsyncs
        );
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn groups_share_the_log_and_do_not_mix() {
    let (runtime, disk) = simulated(11);
    let config = config("/data");
    let groups: Vec<GroupId> = (0..5).map(GroupId).collect();
    let mut acknowledged = vec![Vec::new(); groups.len()];
    for _ in 0..3 {
        runtime.block_on(async {
            let cluster = Cluster::open(runtime.clone(), config.clone()).await.unwrap();
            for (i, id) in groups.iter().enumerate() {
                let (group, applied) = start(&cluster, *id).await;
                check(&acknowledged[i], &applied.lock(), "after restart");
                for n in 0..10u64 {
                    let number = n * 100 + i as u64;
                    let (position, _) = group.propose(payload(number, 200)).await.unwrap();
                    acknowledged[i].push((position.index, number));
                }
            }
            assert_eq!(cluster.known_groups(), groups);
        });
        disk.power_loss();
    }
}

#[test]
fn nothing_is_acknowledged_while_an_fsync_stalls_and_nothing_acknowledged_is_lost() {
    let (runtime, disk) = simulated(5);
    let config = config("/data");
    let acknowledged = runtime.block_on(async {
        let (_cluster, group, _) = open(&runtime, &config).await;
        let first = group.propose(payload(1, 100)).await.unwrap().0;
        disk.set_faults(|faults| faults.stall_syncs = true);
        let stalled = runtime.timeout(Duration::from_secs(60), group.propose(payload(2, 100))).await;
        assert!(stalled.is_err(), "acknowledged without an fsync: {stalled:?}");
        assert_eq!(group.flushed(), first, "nothing is durable while the fsync stalls");
        vec![(first.index, 1)]
    });
    disk.power_loss();
    runtime.block_on(async {
        let (_cluster, group, applied) = open(&runtime, &config).await;
        check(&acknowledged, &applied.lock(), "after the stall");
        let (position, _) = group.propose(payload(3, 100)).await.unwrap();
        let applied = applied.lock().clone();
        let at: Vec<_> = applied.iter().filter(|(index, _)| *index == position.index).collect();
        assert_eq!(at, [&(position.index, 3)], "one entry at a position");
    });
}

#[test]
fn a_stalled_fsync_that_returns_lets_its_proposals_through() {
    let (runtime, disk) = simulated(6);
    runtime.block_on(async {
        let (_cluster, group, applied) = open(&runtime, &config("/data")).await;
        disk.set_faults(|faults| faults.stall_syncs = true);
        let proposal = runtime.spawn("proposal", {
            let group = group.clone();
            async move { group.propose(payload(7, 100)).await }
        });
        runtime.sleep(Duration::from_secs(30)).await;
        assert!(!proposal.is_finished());
        disk.set_faults(|faults| faults.stall_syncs = false);
        let (position, _) = proposal.await.unwrap().unwrap();
        assert!(applied.lock().contains(&(position.index, 7)));
    });
}

#[test]
fn a_data_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::real();
    runtime.block_on(async {
        let (cluster, _group, _) = open(&runtime, &config(dir.path())).await;
        let repair = cluster::repair(&*runtime.disk(), dir.path()).unwrap_err();
        assert!(matches!(repair, cluster::Error::InUse { .. }), "{repair}");
        // whoever comes while the first is ending waits for it
        let (second, ended) =
            tokio::join!(Cluster::open(runtime.clone(), config(dir.path())), cluster.shutdown());
        ended.unwrap();
        second.unwrap().shutdown().await.unwrap();
    });
    assert!(cluster::repair(&*runtime.disk(), dir.path()).unwrap().was_sound());
}

#[test]
fn a_group_runs_once() {
    let (runtime, _) = simulated(1);
    runtime.block_on(async {
        let (cluster, _group, _) = open(&runtime, &config("/data")).await;
        let again = cluster.start_group(GROUP, crate::ledger::Ledger::new().0).await;
        assert!(matches!(again, Err(cluster::Error::Running(id)) if id == GROUP));
    });
}

#[test]
fn after_shutdown_proposals_are_refused() {
    let (runtime, _) = simulated(2);
    runtime.block_on(async {
        let (cluster, group, _) = open(&runtime, &config("/data")).await;
        cluster.shutdown().await.unwrap();
        let refused = group.propose(payload(1, 10)).await.unwrap_err();
        assert_eq!(refused.kind(), model::ErrorKind::Unavailable);
    });
}

#[test]
fn a_proposal_over_the_limit_is_refused_by_name() {
    let (runtime, _) = simulated(3);
    runtime.block_on(async {
        let (_cluster, group, _) = open(&runtime, &config("/data")).await;
        let large = bytes::Bytes::from(vec![0; cluster::PROPOSAL_BYTES_MAX + 1]);
        let refused = group.propose(large).await.unwrap_err();
        assert_eq!(refused.kind(), model::ErrorKind::Invalid);
        assert!(refused.to_string().contains("67108864"), "{refused}");
    });
}
