//! Verification: sound blocks pass, every damage is found.

use std::sync::Arc;

use block::{BlockState, Catalog, Edit, list_blocks, verify_blocks};
use bytes::Bytes;
use model::TenantId;
use runtime::Runtime;

use crate::common::{put, simulated_bucket, spec};
use crate::round_trip::mixed;

#[test]
fn damage_anywhere_is_found() {
    let runtime = Runtime::simulated(11);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let meta = put(&bucket, spec(1), mixed()).await;
        let catalog = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        catalog.publish_block(Arc::clone(&meta)).await.unwrap();
        let sound = verify_blocks(&runtime, &bucket, None).await.unwrap();
        assert!(sound.is_sound(), "{sound:?}");
        assert_eq!(sound.blocks.len(), 1);
        let mut random = runtime.random();
        let files: Vec<String> =
            meta.files.iter().map(|f| f.path.clone()).chain(["meta.json".into()]).collect();
        for file in &files {
            let path = meta.path(file);
            let whole = bucket.get(&path).await.unwrap();
            for round in 0..6 {
                let mut bytes = whole.to_vec();
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 0x10;
                if round == 0 {
                    bytes.truncate(at);
                }
                bucket.delete(&path).await.unwrap();
                if round != 1 {
                    bucket.put_if_absent(&path, Bytes::from(bytes)).await.unwrap();
                }
                let verified = verify_blocks(&runtime, &bucket, Some(&TenantId::anonymous())).await.unwrap();
                if file != "meta.json" || round < 2 {
                    assert!(!verified.is_sound(), "{file}, byte {at}");
                    assert!(verified.blocks[0].problems[0].contains(file.as_str()), "{verified:?}");
                }
            }
            bucket.delete(&path).await.unwrap();
            bucket.put_if_absent(&path, whole).await.unwrap();
        }
        bucket.put_if_absent(&meta.path("piece=000/foreign"), Bytes::new()).await.unwrap();
        assert!(!verify_blocks(&runtime, &bucket, None).await.unwrap().is_sound());
    });
}

#[test]
fn blocks_are_listed_with_what_the_catalog_says() {
    let runtime = Runtime::simulated(1);
    runtime.block_on(async {
        let bucket = simulated_bucket(&runtime);
        let meta = put(&bucket, spec(1), mixed()).await;
        let catalog = Catalog::open(bucket.clone(), TenantId::anonymous()).await.unwrap();
        catalog.publish_block(Arc::clone(&meta)).await.unwrap();
        let listed = list_blocks(&bucket, None).await.unwrap();
        assert_eq!((listed.len(), listed[0].state), (1, BlockState::Live));
        let edit = Edit::SetAside { block: meta.block.to_string(), at: 1, reason: "rot".into() };
        catalog.publish(vec![edit]).await.unwrap();
        let listed = list_blocks(&bucket, None).await.unwrap();
        assert_eq!((listed[0].state, listed[0].reason.as_deref()), (BlockState::SetAside, Some("rot")));
        let folder = "tenant=anonymous/catalog/00000000000000000001";
        bucket.delete(folder).await.unwrap();
        bucket.put_if_absent(folder, Bytes::from_static(b"{")).await.unwrap();
        let verified = verify_blocks(&runtime, &bucket, None).await.unwrap();
        assert!(!verified.is_sound());
        assert!(verified.catalogs[0].contains("00000000000000000001"), "{verified:?}");
    });
}
