//! The meta group keeps its state over restarts, from its log and from its snapshot.

use cluster::{Cluster, Command, Member, Meta, MetaError, Placement};
use model::{GroupId, NodeId, SlotRange, TenantId};

use crate::ledger::{config, mounted, simulated};

#[test]
fn members_placements_and_committers_survive_restarts() {
    let (runtime, disk) = simulated(51);
    let node = NodeId(1);
    let member = Member { address: "127.0.0.1:9095".into(), zone: "a".into() };
    let tenant = TenantId::new("team-a").unwrap();
    let mut before = None;
    for life in 0..4 {
        let node_runtime = mounted(&runtime, &disk);
        let now = runtime.block_on(async {
            let cluster = Cluster::open(node_runtime, config("/data")).await.unwrap();
            let meta = Meta::start(&cluster).await.unwrap();
            meta.group().is_ready().await.unwrap();
            if let Some(before) = &before {
                assert_eq!(&meta.state(), before);
            }
            meta.bootstrap(node, member.clone()).await.unwrap();
            let record = meta.tenant(&tenant).await.unwrap();
            assert_eq!(record.placements[0], Placement::single(GroupId::FIRST_DATA));
            assert_eq!(meta.state().committer(&tenant), Some(node));
            let placement = Placement { from: life * 7_200_000, ..Placement::single(GroupId::FIRST_DATA) };
            meta.change(&Command::Place { tenant: tenant.clone(), placement }).await.unwrap();
            if life == 1 {
                meta.group().snapshot_now().await.unwrap();
            }
            meta.state()
        });
        assert_eq!(now.tenants[&tenant].placements.len() as i64, life + 2);
        before = Some(now);
        disk.power_loss();
    }
}

#[test]
fn what_the_state_does_not_allow_is_refused_with_the_reason() {
    let (runtime, _) = simulated(52);
    runtime.block_on(async {
        let cluster = Cluster::open(runtime.clone(), config("/data")).await.unwrap();
        let meta = Meta::start(&cluster).await.unwrap();
        let tenant = TenantId::new("t").unwrap();
        let early = meta.tenant(&tenant).await.unwrap_err();
        assert_eq!(early, MetaError::Refused("there is no data group yet".into()));
        let member = Member { address: String::new(), zone: String::new() };
        meta.bootstrap(NodeId(1), member).await.unwrap();
        meta.tenant(&tenant).await.unwrap();
        let ranges = vec![(SlotRange { first: 0, last: 9 }, GroupId::FIRST_DATA)];
        let placement = Placement { from: 0, ranges };
        let refused = meta.change(&Command::Place { tenant, placement }).await.unwrap_err();
        assert_eq!(refused.kind(), model::ErrorKind::Invalid);
    });
}
