//! A group's state machine: the heads of all its tenants, driven by the group's log.
//!
//! Readers share the heads with it: one writer, many readers, a lock per tenant held briefly.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use cluster::{SnapshotDir, SnapshotJob, StateMachine};
use model::{LogPosition, TenantId};
use parking_lot::RwLock;

use crate::entry::{Command, Entry, encode_outcomes, encode_refusal};
use crate::head::TenantHead;
use crate::snapshot;

/// The head of one tenant, shared.
pub(crate) type SharedHead = Arc<RwLock<TenantHead>>;

/// The heads of a group.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    tenants: RwLock<BTreeMap<TenantId, SharedHead>>,
}

impl Heads {
    /// The head of `tenant`, if it has one here.
    pub(crate) fn get(&self, tenant: &TenantId) -> Option<SharedHead> {
        self.tenants.read().get(tenant).cloned()
    }

    /// All heads, by tenant.
    pub(crate) fn all(&self) -> Vec<(TenantId, SharedHead)> {
        self.tenants.read().iter().map(|(tenant, head)| (tenant.clone(), Arc::clone(head))).collect()
    }

    fn get_or_make(&self, tenant: &TenantId, seed: u64) -> SharedHead {
        if let Some(head) = self.get(tenant) {
            return head;
        }
        let fresh = || Arc::new(RwLock::new(TenantHead::new(seed)));
        Arc::clone(self.tenants.write().entry(tenant.clone()).or_insert_with(fresh))
    }

    /// A number that is equal on replicas that applied the same entries.
    pub(crate) fn state_hash(&self) -> u64 {
        let mut bytes = Vec::new();
        for (tenant, head) in self.all() {
            bytes.extend_from_slice(tenant.as_str().as_bytes());
            bytes.extend_from_slice(&head.read().state_hash().to_le_bytes());
        }
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Machine {
    heads: Arc<Heads>,
    /// Number of the next snapshot.
    next_snapshot: u64,
    /// Of the process, for hash tables.
    seed: u64,
}

impl Machine {
    /// An empty machine over `heads`, which must be empty.
    pub(crate) fn new(heads: Arc<Heads>) -> Self {
        let seed = runtime::HashState::default().hash_one("head");
        Machine { heads, next_snapshot: 1, seed }
    }

    fn apply_entry(&self, position: LogPosition, entry: &Entry) -> Bytes {
        match &entry.command {
            Command::Append(sections) => {
                let mut outcomes = Vec::with_capacity(sections.len());
                for section in sections {
                    let head = self.heads.get_or_make(&section.tenant, self.seed);
                    let outcome = head.write().append(section, entry.leader_time);
                    outcomes.push(outcome);
                }
                encode_outcomes(&outcomes)
            }
            Command::Cut { tenant, until, identity } => {
                if let Some(head) = self.heads.get(tenant) {
                    head.write().cut(*until, *identity, position);
                }
                Bytes::new()
            }
            Command::Published { tenant, window, generation, block } => {
                if let Some(head) = self.heads.get(tenant) {
                    head.write().published(*window, *generation, *block);
                }
                Bytes::new()
            }
            Command::Drop { tenant, floor } => {
                if let Some(head) = self.heads.get(tenant) {
                    head.write().drop_before(*floor);
                }
                Bytes::new()
            }
        }
    }
}

impl StateMachine for Machine {
    fn apply(&mut self, position: LogPosition, payload: &Bytes) -> Bytes {
        match Entry::decode(payload) {
            Ok(entry) => self.apply_entry(position, &entry),
            // Every replica refuses it alike.
            Err(error) => {
                tracing::error!(index = position.index, %error, "log entry refused");
                encode_refusal(&error.to_string())
            }
        }
    }

    fn snapshot(&mut self) -> SnapshotJob {
        let number = self.next_snapshot;
        self.next_snapshot += 1;
        let heads = self.heads.all();
        let frozen = heads.into_iter().map(|(tenant, head)| (tenant, head.read().freeze())).collect();
        Box::new(move |dir| snapshot::write(dir, number, frozen))
    }

    fn restore(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        let heads = snapshot::read(dir, manifest, self.seed)?;
        self.next_snapshot = snapshot::number_of(manifest)? + 1;
        let mut tenants = self.heads.tenants.write();
        tenants.clear();
        tenants.extend(heads.into_iter().map(|(tenant, head)| (tenant, Arc::new(RwLock::new(head)))));
        Ok(())
    }

    fn collect_garbage(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        snapshot::collect_garbage(dir, manifest)
    }
}
