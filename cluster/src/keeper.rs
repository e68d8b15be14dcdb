//! Keeps the log short: snapshots of groups whose log has grown, and of groups that pin old segments.
//!
//! A group that hardly writes holds the segment of its last entries, and every later one with it;
//! so once the whole log exceeds its budget, whoever needs the oldest segment is snapshotted.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::GroupId;
use runtime::Shutdown;

use crate::cluster::Inner;
use crate::wal::Wal;

const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Rounds of freeing the oldest segment before looking again at what has grown.
const ROUNDS_MAX: usize = 64;

/// Runs until told to end, or until the node is gone.
pub(crate) async fn run(node: Weak<Inner>, wal: Arc<Wal>, shutdown: Shutdown) {
    loop {
        tokio::select! { biased;
            () = shutdown.cancelled() => return,
            () = wal.shared.grown.notified() => {}
        }
        let Some(cluster) = node.upgrade() else { return };
        let runtime = cluster.runtime.clone();
        let done = tokio::select! { biased;
            () = shutdown.cancelled() => return,
            done = tidy(&cluster) => done,
        };
        drop(cluster);
        if !done {
            // a snapshot failed, and was logged: the disk may be full
            tokio::select! { biased;
                () = shutdown.cancelled() => return,
                () = runtime.sleep(RETRY_AFTER) => {}
            }
        }
    }
}

/// One look at everything; false when a snapshot failed.
async fn tidy(cluster: &Inner) -> bool {
    let groups = cluster.running();
    let mut done = true;
    for group in groups {
        if group.log_bytes() > cluster.config.snapshot_log_bytes {
            done &= snapshot(cluster, group.id()).await;
        }
    }
    for _ in 0..ROUNDS_MAX {
        if cluster.wal.shared.segment_bytes() <= cluster.config.wal_bytes_max {
            break;
        }
        let floors = cluster.wal.shared.floors.lock().clone();
        let Some(oldest) = floors.values().min().copied() else { break };
        let pinning: Vec<GroupId> =
            floors.into_iter().filter(|(_, floor)| *floor == oldest).map(|(id, _)| id).collect();
        if let Some(absent) = pinning.iter().find(|id| cluster.group(**id).is_none()) {
            // being started, mostly; the next write looks again
            tracing::debug!(group = %absent, "a group that does not run holds the oldest segment");
            break;
        }
        let before = cluster.wal.shared.segments.lock().len();
        for id in pinning {
            done &= snapshot(cluster, id).await;
        }
        if !done || cluster.wal.flush().await.is_err() {
            return false;
        }
        if cluster.wal.shared.segments.lock().len() >= before {
            break;
        }
    }
    done
}

async fn snapshot(cluster: &Inner, id: GroupId) -> bool {
    let Some(group) = cluster.group(id) else { return true };
    let before = group.log_bytes();
    match group.snapshot_now().await {
        Ok(()) => {
            tracing::debug!(group = %id, before, after = group.log_bytes(), "snapshot taken");
            true
        }
        Err(error) => {
            tracing::warn!(group = %id, %error, "snapshot failed, trying again later");
            false
        }
    }
}
