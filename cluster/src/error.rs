//! What can go wrong, by what the caller should do.

use std::io;

use model::{ErrorKind, GroupId, NodeId};

/// Why the cluster could not be opened, or an operation on it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stored bytes are not what was written.
    #[error(
        "write-ahead log segment `{segment}` is damaged at byte {offset}: {reason}; stop the server and run \
         `epimetheus wal repair --data.dir {data_dir}`"
    )]
    Damaged {
        /// File name of the segment.
        segment: String,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
        /// The data directory.
        data_dir: String,
    },
    /// The disk refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process, or another cluster of this one, writes there.
    #[error("data directory {data_dir} is in use by a running server")]
    InUse {
        /// Which one.
        data_dir: String,
    },
    /// A setting cannot be right.
    #[error("cluster setting `{setting}`: {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Why not.
        reason: String,
    },
    /// The group has stopped: by shutdown, or after the disk refused an fsync.
    #[error("group {group} has stopped: {reason}")]
    Stopped {
        /// Which one.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// The group runs already.
    #[error("group {0} runs already")]
    Running(GroupId),
    /// A proposal failed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Damaged { .. } => ErrorKind::Corrupt,
            Error::Io { .. } | Error::InUse { .. } | Error::Stopped { .. } => ErrorKind::Unavailable,
            Error::Setting { .. } => ErrorKind::Invalid,
            Error::Running(_) => ErrorKind::Internal,
            Error::Propose(error) => error.kind(),
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

/// Why a proposal was not acknowledged. Unless said otherwise it may still be applied: propose
/// again what can be applied twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads the group; not applied here.
    #[error("group {group} is led by node {leader}")]
    NotLeader {
        /// Which group.
        group: GroupId,
        /// Its leader.
        leader: NodeId,
    },
    /// No leader was found in time; not applied.
    #[error("group {group} has no leader")]
    NoLeader {
        /// Which group.
        group: GroupId,
    },
    /// The log cannot be written now; it goes on by itself when it can.
    #[error("the write-ahead log cannot be written: {reason}")]
    Disk {
        /// What the disk said.
        reason: String,
    },
    /// The group has stopped.
    #[error("group {group} has stopped: {reason}")]
    Stopped {
        /// Which one.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// The payload is over the limit; not applied.
    #[error("a proposal of {bytes} bytes exceeds the limit of {max} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Leadership was lost with the entry on its way.
    #[error("group {group} lost its leader while the entry was on its way")]
    LeaderLost {
        /// Which group.
        group: GroupId,
    },
}

impl ProposeError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ProposeError::TooLarge { .. } => ErrorKind::Invalid,
            ProposeError::NotLeader { .. }
            | ProposeError::NoLeader { .. }
            | ProposeError::Disk { .. }
            | ProposeError::Stopped { .. }
            | ProposeError::LeaderLost { .. } => ErrorKind::Unavailable,
        }
    }
}
