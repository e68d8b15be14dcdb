//! Agreement: Raft groups over one group-committed write-ahead log, and the meta group.
//!
//! A proposal is acknowledged once a majority of the group's voters has it on disk and this node
//! has applied it. A group's state is a deterministic function of its log.

mod cluster;
mod codec;
mod error;
mod group;
mod keeper;
mod meta;
mod types;
mod wal;

pub use cluster::{Cluster, ClusterConfig, ClusterStats, GroupStats};
pub use error::{Error, ProposeError};
pub use group::{Group, PROPOSAL_BYTES_MAX, SnapshotDir, SnapshotJob, StateMachine};
pub use meta::{Command, Member, Meta, MetaError, MetaState, Placement, Tenant, fuzz_meta};
pub use wal::record::fuzz_wal_record;
pub use wal::{RepairReport, WalStats, repair};
