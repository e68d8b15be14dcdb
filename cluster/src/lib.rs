//! Agreement: Raft groups over one group-committed write-ahead log, and the meta group.
