//! Catalogs: who commits first, what a crash leaves.

use std::sync::Arc;

use block::{BlockMeta, Catalog, Catalogs, Edit, Published, list_tenants};
use model::{BlockId, SlotRange, TenantId};
use runtime::Runtime;

use crate::common::{END, START, encode, simulated_bucket, spec};

fn entry(number: u128, window: i64, generation: u32) -> Arc<BlockMeta> {
    let (meta, _) = encode(spec(number), Vec::new());
    let mut meta = (*meta).clone();
    (meta.start, meta.end) = (START + window * 7_200_000, END + window * 7_200_000);
    (meta.slice_ends, meta.generation) = (vec![meta.end], generation);
    Arc::new(meta)
}

#[test]
fn the_second_publish_of_a_key_loses() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let catalog = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        let first = entry(1, 0, 0);
        assert_eq!(catalog.publish_block(Arc::clone(&first)).await, Ok(Published::Committed));
        let second = catalog.publish_block(entry(2, 0, 0)).await;
        assert_eq!(second, Ok(Published::AlreadyPublished(Arc::clone(&first))));
        // the same block again: whoever is unsure just asks again
        assert_eq!(catalog.publish_block(Arc::clone(&first)).await, Ok(Published::Committed));
        assert_eq!(catalog.publish_block(entry(3, 0, 1)).await, Ok(Published::Committed));
        assert_eq!(catalog.live().len(), 2);
        let again = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        assert_eq!(again.live(), catalog.live());
        assert_eq!(list_tenants(&bucket).await, Ok(vec![TenantId::anonymous()]));
    });
}

#[test]
fn committers_that_race_all_get_through_once() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let mut catalogs = Vec::new();
        for _ in 0..4 {
            catalogs.push(Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap());
        }
        for window in 0..30 {
            let publishes = catalogs.iter().enumerate().map(|(i, catalog)| {
                catalog.publish_block(entry(window * 10 + i as u128 + 1, window as i64, 0))
            });
            let won = futures::future::join_all(publishes).await;
            let committed = won.iter().filter(|w| **w == Ok(Published::Committed)).count();
            assert_eq!(committed, 1, "{won:?}");
        }
        for catalog in &catalogs {
            catalog.refresh().await.unwrap();
            assert_eq!(catalog.live().len(), 30);
            assert_eq!(catalog.live(), catalogs[0].live());
        }
    });
}

#[test]
fn checkpoints_stand_for_what_came_before() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let catalog = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        for i in 0..230u32 {
            catalog.publish_block(entry(u128::from(i) + 1, i64::from(i), 0)).await.unwrap();
        }
        let gone = entry(5, 4, 0).block.to_string();
        let edit = Edit::Remove { block: gone.clone(), at: 7, reason: "retention".into() };
        catalog.publish(vec![edit.clone()]).await.unwrap();
        assert_eq!(catalog.publish(vec![edit]).await, Ok(Published::Committed));
        let before = bucket.stats().gets;
        let again = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        assert_eq!(again.live(), catalog.live());
        assert_eq!(again.live().len(), 229);
        assert!(again.state().removed.contains_key(&BlockId::parse(&gone).unwrap()));
        // checkpoint 200, commits 201 to 231, and the one that is not there
        assert_eq!(bucket.stats().gets - before, 33);
    });
}

#[test]
fn edits_that_break_an_invariant_are_refused() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let catalogs = Catalogs::new(bucket);
        let catalog = catalogs.get(&TenantId::anonymous()).await.unwrap();
        catalog.publish_block(entry(1, 0, 0)).await.unwrap();
        let mut overlapping = (*entry(2, 0, 0)).clone();
        overlapping.slots = SlotRange { first: 7, last: 9 };
        let refused = catalog.publish_block(Arc::new(overlapping)).await.unwrap_err();
        assert_eq!(refused.kind(), model::ErrorKind::Invalid);
        assert!(refused.to_string().contains("overlap"), "{refused}");
        let remove = Edit::Remove { block: "nope".into(), at: 0, reason: String::new() };
        assert!(catalog.publish(vec![remove]).await.is_err() || catalog.live().len() == 1);
        let mut foreign = (*entry(3, 1, 0)).clone();
        foreign.tenant = TenantId::new("other").unwrap();
        assert!(catalog.publish_block(Arc::new(foreign)).await.is_err());
        let aside = Edit::SetAside { block: entry(1, 0, 0).block.to_string(), at: 1, reason: "x".into() };
        assert_eq!(catalog.publish(vec![aside]).await, Ok(Published::Committed));
        // a damaged block may be cut again
        assert_eq!(catalog.publish_block(entry(9, 0, 0)).await, Ok(Published::Committed));
        assert!(Arc::ptr_eq(&catalog, &catalogs.get(&TenantId::anonymous()).await.unwrap()));
    });
}
