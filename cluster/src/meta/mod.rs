//! The meta group: its state machine, and the handle to read and change its state.
//!
//! Reads are of this node's applied state: cheap, and as new as the last change applied here.

mod codec;
mod state;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use model::{GroupId, LogPosition, NodeId, TenantId};
use tokio::sync::watch;

pub use codec::fuzz_meta;
pub use state::{Command, Member, MetaState, Placement, Tenant};

use crate::cluster::Cluster;
use crate::error::{Error, ProposeError};
use crate::group::{Group, SnapshotDir, SnapshotJob, StateMachine};

const FILE_PREFIX: &str = "meta-";

/// The state machine behind [`Meta`]. Answers with nothing, or with why a command was refused.
struct Machine {
    view: watch::Sender<Arc<MetaState>>,
    applied: u64,
}

impl StateMachine for Machine {
    fn apply(&mut self, position: LogPosition, payload: &Bytes) -> Bytes {
        self.applied = position.index;
        let command = match codec::decode_command(payload) {
            Ok(command) => command,
            Err(error) => return Bytes::from(error.to_string()),
        };
        let mut state = MetaState::clone(&self.view.borrow());
        match state.apply(command) {
            Ok(()) => {
                self.view.send_replace(Arc::new(state));
                Bytes::new()
            }
            Err(reason) => Bytes::from(reason),
        }
    }

    fn snapshot(&mut self) -> SnapshotJob {
        let state = Arc::clone(&self.view.borrow());
        let name = format!("{FILE_PREFIX}{:020}", self.applied);
        Box::new(move |dir| {
            let bytes = codec::encode_state(&state);
            dir.write(&name, &bytes)?;
            dir.sync()?;
            let mut manifest = crc32c::crc32c(&bytes).to_le_bytes().to_vec();
            manifest.extend_from_slice(name.as_bytes());
            Ok(Bytes::from(manifest))
        })
    }

    fn restore(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        let (name, crc) = parse_manifest(manifest)?;
        let bytes = dir.read(name)?;
        let damaged = |reason: &str| {
            let path = dir.path().join(name);
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
        };
        if crc32c::crc32c(&bytes) != crc {
            return Err(damaged("the checksum does not match"));
        }
        let state = codec::decode_state(&bytes).map_err(|error| damaged(&error.to_string()))?;
        self.view.send_replace(Arc::new(state));
        Ok(())
    }

    fn collect_garbage(&mut self, manifest: &Bytes, dir: &SnapshotDir) -> io::Result<()> {
        let (name, _) = parse_manifest(manifest)?;
        let unused =
            dir.list()?.into_iter().filter(|entry| entry.name.starts_with(FILE_PREFIX) && entry.name != name);
        for entry in unused {
            dir.remove(&entry.name)?;
        }
        Ok(())
    }
}

fn parse_manifest(manifest: &[u8]) -> io::Result<(&str, u32)> {
    let bad =
        || io::Error::new(io::ErrorKind::InvalidData, "malformed manifest of the meta group's snapshot");
    let (crc, name) = manifest.split_first_chunk::<4>().ok_or_else(bad)?;
    let name = std::str::from_utf8(name).map_err(|_| bad())?;
    Ok((name, u32::from_le_bytes(*crc)))
}

/// Why a change of the meta state was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// The state does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The meta group did not take it.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl MetaError {
    /// What the caller should do.
    pub fn kind(&self) -> model::ErrorKind {
        match self {
            MetaError::Refused(_) => model::ErrorKind::Invalid,
            MetaError::Propose(error) => error.kind(),
        }
    }
}

/// The meta group on this node; clones are the same.
#[derive(Debug, Clone)]
pub struct Meta {
    group: Group,
    view: watch::Receiver<Arc<MetaState>>,
}

impl Meta {
    /// Starts the meta group on a node.
    pub async fn start(cluster: &Cluster) -> Result<Self, Error> {
        let (sender, view) = watch::channel(Arc::new(MetaState::default()));
        let machine = Machine { view: sender, applied: 0 };
        let group = cluster.start_group(GroupId::META, Box::new(machine)).await?;
        Ok(Meta { group, view })
    }

    /// Its group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The state as applied here.
    pub fn state(&self) -> Arc<MetaState> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<Arc<MetaState>> {
        self.view.clone()
    }

    /// Makes a change; it is durable and seen by [`Meta::state`] when this returns.
    pub async fn change(&self, command: &Command) -> Result<(), MetaError> {
        let (_, answer) = self.group.propose(Bytes::from(codec::encode_command(command))).await?;
        if answer.is_empty() {
            return Ok(());
        }
        Err(MetaError::Refused(String::from_utf8_lossy(&answer).into_owned()))
    }

    /// Makes this node a member with a first data group: what a cluster of one needs. Does nothing
    /// that is done already.
    pub async fn bootstrap(&self, node: NodeId, member: Member) -> Result<(), MetaError> {
        if self.state().members.get(&node) != Some(&member) {
            self.change(&Command::Join { node, member }).await?;
        }
        if self.state().groups.is_empty() {
            self.change(&Command::AddGroup { group: GroupId::FIRST_DATA }).await?;
        }
        Ok(())
    }

    /// The tenant's record, made on the first data group when the tenant is new.
    pub async fn tenant(&self, id: &TenantId) -> Result<Tenant, MetaError> {
        if let Some(tenant) = self.state().tenants.get(id) {
            return Ok(tenant.clone());
        }
        self.change(&Command::AddTenant { tenant: id.clone() }).await?;
        let gone = || MetaError::Refused(format!("tenant `{id}` is not known"));
        self.state().tenants.get(id).cloned().ok_or_else(gone)
    }
}
